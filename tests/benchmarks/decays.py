"""What is measured of weight decay, fixed norms and rates of leaves, as data."""

import jax
import jax.numpy as jnp

from gradtx.testing.values import is_matrix, layer_of

from .combinations import RATE, Workload, adamw
from .minimum import all_twice

# One shape for all leaves: the factor is the same for each.
WIDTHS = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((2, 2), (4, 8))]

DECAYS = (
    Workload(
        "cautiously_decayed_adamw",
        lambda lib: lib.adamw(RATE, weight_decay=lib.decay(0.1, "cautious")),
        "adamw",
        in_optax=False,
    ),
    Workload(
        "corrected_adamw",
        lambda lib: lib.with_decay(
            lib.adam(lib.cosine_decay_schedule(RATE, 100)),
            *(0.1, "corrected"),
            normalized=is_matrix,
        ),
        "adamw",
        in_optax=False,
    ),
    Workload(
        "hyperball_adam",
        lambda lib: lib.hyperball(lib.adam(RATE)),
        minimum=all_twice,
        in_optax=False,
    ),
    Workload(
        "layerwise_adamw",
        lambda lib: lib.layerwise_decay(adamw(lib), layer_of, last=3),
        "adamw",
        in_optax=False,
    ),
    Workload(
        "mup_adamw",
        lambda lib: lib.mup_scale(adamw(lib), *WIDTHS),
        "adamw",
        in_optax=False,
    ),
)
