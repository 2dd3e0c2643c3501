"""What `check` finds: for each kind what is wrong, and the same done right."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

import gradtx
from gradtx import (
    MultiSteps,
    adam,
    adamw,
    add_decayed_weights,
    chain,
    clip,
    clip_by_global_norm,
    conditionally_mask,
    conditionally_transform,
    distributed,
    freeze,
    galore,
    groups,
    lamb,
    masked,
    named_chain,
    partition,
    scale,
    scale_by_adam,
    scale_by_learning_rate,
    scale_by_schedule,
    schedule_free_adamw,
    sgd,
)

MATRIX = {"w": jax.ShapeDtypeStruct((3, 2), jnp.float32)}
VECTOR = jax.ShapeDtypeStruct((2,), jnp.float32)
PARAMS = MATRIX | {"b": VECTOR}
STACK = {
    "embed": MATRIX["w"],
    "layers": {
        "kernel": jax.ShapeDtypeStruct((4, 3, 2), jnp.float32),
        "bias": jax.ShapeDtypeStruct((4, 2), jnp.float32),
    },
}
LINE = gradtx.linear_schedule(1.0, 0.0, 10)


def matrices(params):
    return jax.tree.map(lambda p: p.ndim > 1, params)


def vectors(params):
    return jax.tree.map(lambda p: p.ndim <= 1, params)


def nothing(params):
    return jax.tree.map(lambda p: False, params)


def labels(params):
    return jax.tree.map(lambda p: "matrix" if p.ndim > 1 else "vector", params)


DECAY, CLIP = add_decayed_weights(0.1), clip_by_global_norm(1.0)
# A kind, what is wrong, what the finding says, what is right, the parameters.
ROWS = [
    (
        "decay_after_rate",
        chain(sgd(0.5), DECAY),
        "Write chain(add_decayed_weights(0.1), sgd(0.5)).",
        chain(DECAY, sgd(0.5)),
        MATRIX,
    ),
    (
        "decay_after_rate",
        chain(CLIP, adam(0.5), DECAY),
        "Write adamw(..., weight_decay=0.1).",
        chain(CLIP, adamw(0.5, weight_decay=0.1)),
        MATRIX,
    ),
    (
        "decay_after_rate",
        chain(scale_by_adam(), scale(-0.5), DECAY, scale(2.0)),
        "stands behind scale(-0.5), where nothing turns its sign",
        chain(scale_by_adam(), DECAY, scale(-0.5), scale(2.0)),
        MATRIX,
    ),
    (
        "decay_after_rate",
        chain(masked(sgd(0.5), vectors, otherwise="zero"), masked(DECAY, vectors)),
        "add_decayed_weights(0.1) stands behind sgd(0.5)",
        chain(masked(sgd(0.5), vectors, otherwise="zero"), masked(DECAY, matrices)),
        PARAMS,
    ),
    (
        "clip_after_rate",
        named_chain(("opt", MultiSteps(adam(0.5), 2)), ("clip", CLIP)),
        "Write chain(clip_by_global_norm(1.0), adam(0.5)).",
        named_chain(("clip", CLIP), ("opt", MultiSteps(adam(0.5), 2))),
        MATRIX,
    ),
    (
        "clip_after_rate",
        chain(schedule_free_adamw(0.5), clip(1.0)),
        "clip(1.0) limits the steps of schedule_free_adamw(0.5)",
        chain(scale_by_adam(), clip(1.0), scale_by_learning_rate(0.5)),
        MATRIX,
    ),
    (
        "two_rates",
        chain(*[sgd(0.5)] * 2),
        "sgd(0.5) stands behind sgd(0.5): their learning rates multiply",
        chain(scale_by_adam(), sgd(0.5)),
        MATRIX,
    ),
    (
        "two_rates",
        partition({"matrix": chain(adam(0.1), sgd(0.5)), "vector": sgd(0.1)}, labels),
        "sgd(0.5) stands behind adam(0.1)",
        partition({"matrix": adam(0.1), "vector": sgd(0.1)}, labels),
        PARAMS,
    ),
    (
        "two_rates",
        gradtx.maximize(chain(adam(0.1), sgd(0.5))),
        "sgd(0.5) stands behind adam(0.1)",
        gradtx.maximize(adam(0.1)),
        PARAMS,
    ),
    (
        "two_schedules",
        chain(sgd(LINE), scale_by_schedule(LINE)),
        "are two schedules of the same parameters",
        chain(sgd(0.5), scale_by_schedule(LINE)),
        MATRIX,
    ),
    (
        "raw_gradients",
        masked(sgd(0.5), matrices),
        "the raw gradients of 'b' are added, uphill",
        masked(sgd(0.5), matrices, otherwise="zero"),
        PARAMS,
    ),
    (
        "raw_gradients",
        chain(masked(sgd(0.5), matrices), masked(CLIP, vectors)),
        'Write masked(..., otherwise="zero")',
        chain(masked(sgd(0.5), matrices), masked(adam(0.1), vectors)),
        PARAMS,
    ),
    (
        "raw_gradients",
        masked(chain(CLIP, sgd(0.5)), {"w": True, "b": False}),
        "the raw gradients of 'b'",
        chain(masked(sgd(0.5), {"w": True, "b": False}), freeze(vectors)),
        PARAMS,
    ),
    (
        "raw_gradients",
        conditionally_transform(sgd(0.5), lambda step: step > 3),
        "Write conditionally_mask(...)",
        conditionally_mask(sgd(0.5), lambda step: step > 3),
        MATRIX,
    ),
    (
        "accumulate_inside_zero1",
        distributed.zero1(chain(CLIP, MultiSteps(adam(0.5), 4)), "data"),
        "Write MultiSteps(zero1(adam(0.5), 'data'), 4).",
        MultiSteps(distributed.zero1(chain(CLIP, adam(0.5)), "data"), 4),
        MATRIX,
    ),
    (
        "mask_of_none",
        chain(masked(CLIP, nothing), sgd(0.5)),
        "the mask of masked(clip_by_global_norm(1.0), nothing) chooses none of 'b',",
        chain(masked(CLIP, matrices), sgd(0.5)),
        PARAMS,
    ),
    (
        "mask_of_none",
        adamw(0.5, weight_decay=0.1, mask=nothing),
        "the mask of adamw(0.5, weight_decay=0.1, mask=nothing)",
        # In the group of vectors its mask chooses none, and is right.
        groups([("b", {"learning_rate": 0.1})], adamw(0.5, mask=matrices)),
        PARAMS,
    ),
    (
        "mask_of_none",
        partition({"matrix": adam(0.1), "kernel": sgd(0.1)}, labels),
        "no parameter has the label 'kernel' of sgd(0.1)",
        partition({"matrix": adam(0.1), "still": gradtx.set_to_zero()}, labels),
        MATRIX,
    ),
    (
        "decay_on_vectors",
        adamw(0.5, weight_decay=0.1),
        "decays biases or gains of normalisation: 'b'. Write mask=lambda params:",
        adamw(0.5, weight_decay=0.1, mask=matrices),
        PARAMS,
    ),
    (
        "decay_on_vectors",
        gradtx.sophia(0.5, weight_decay=0.1),
        "Write weight_decay_mask=lambda params:",
        gradtx.sophia(0.5, weight_decay=0.1, weight_decay_mask=matrices),
        PARAMS,
    ),
    (
        "decay_on_vectors",
        gradtx.prodigy(1.0, weight_decay=0.1),
        'Write groups([("**/bias", dict(weight_decay=0.0)), ...], default=...)',
        gradtx.prodigy(1.0),
        PARAMS,
    ),
    (
        "decay_on_vectors",
        adamw(0.5, mask=matrices),  # a stack of vectors has two axes
        "'layers/bias'. Write groups(",
        groups([("**/bias", {"weight_decay": 0.0})], adamw(0.5)),
        STACK,
    ),
    (
        "stacked_layers",
        lamb(0.5),
        "lamb(0.5) has one norm for all layers in an array, and 'layers/kernel' look",
        groups([("layers", adam(0.5))], lamb(0.5)),
        STACK,
    ),
    (
        "stacked_layers",
        galore(0.5, rank=1),
        "galore(0.5, rank=1) leaves arrays of three axes to another rule",
        adam(0.5),
        STACK,
    ),
    (
        "bfloat16_second_moment",
        adam(0.5, nu_dtype=jnp.bfloat16),
        "with b2=0.999 a change is rounded away. Write nu_dtype=None",
        adam(0.5, b2=0.99, mu_dtype=jnp.bfloat16, nu_dtype=jnp.bfloat16),
        MATRIX,
    ),
    (
        "eps_underflows",
        adam(0.5, nu_dtype="float16"),
        "eps=1e-08 is all that they are divided by",
        adam(0.5, nu_dtype="float16", eps=1e-3),
        MATRIX,
    ),
    (
        "eps_underflows",
        adam(0.5, eps=np.float16(1e-8)),
        "has eps=0 as float16: a smaller number than 6e-08 is zero there",
        adam(0.5, eps=1e-8),  # with float16 parameters, too
        {"w": jax.ShapeDtypeStruct((3, 2), jnp.float16)},
    ),
    (
        "from_elsewhere",
        chain(optax.scale_by_adam(), scale_by_learning_rate(0.1)),
        "a pair of functions by scale_by_adam has no call",
        chain(scale_by_adam(), scale_by_learning_rate(0.1)),
        MATRIX,
    ),
]
