"""Lion: the sign of an interpolated momentum."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.compose import chain
from gradtx.core.leafwise import leafwise, zeros
from gradtx.core.masking import MaskOrFn
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, ScalarOrSchedule, Updates
from gradtx.transforms.decay import add_decayed_weights
from gradtx.transforms.scale import scale_by_learning_rate


class ScaleByLionState(NamedTuple):
    count: jax.Array  # steps taken, int32
    mu: Updates  # momentum, shaped like params, float32 at least


@transformation
def scale_by_lion(
    b1: Scalar = 0.9,
    b2: Scalar = 0.99,
    mu_dtype: Any = None,
    *,
    mode: str = "hard",
    smooth_beta: Scalar = 1.0,
):
    """Take the sign of a mixture of momentum and gradient.

        u_t = sign(b1 mu_{t-1} + (1 - b1) g_t)
        mu_t = b2 mu_{t-1} + (1 - b2) g_t,   mu_0 = 0

    For complex numbers the sign is z / |z|. With another mode it does not jump at 0:
    "smooth" takes tanh(smooth_beta z), "refined" z itself up to a size of 1 and its
    sign beyond. Both depend on the size of the gradient, as the sign does not.

    State: one array per parameter and one int32.

    Args:
      b1: weight of the momentum in the update, in [0, 1).
      b2: decay of the momentum, in [0, 1).
      mu_dtype: dtype of the momentum; by default the parameter's, at least float32.
      mode: "hard" for the sign, "smooth" or "refined".
      smooth_beta: for "smooth", how steep it is at 0, above 0.

    Raises:
      ValueError: a number out of range, or another mode.

    Source: Chen et al., Symbolic discovery of optimization algorithms (2023),
    algorithm 2. The update is computed from the new momentum, which is the same but
    for rounding.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.scale_by_lion()
      >>> tx.update(jnp.array([0.5, -20.0]), tx.init(jnp.ones(2)))[0]
      Array([ 1., -1.], dtype=float32)
    """
    check.decay("b1", b1)
    check.decay("b2", b2)
    check.choice("mode", mode, ("hard", "smooth", "refined"))
    check.positive("smooth_beta", smooth_beta)

    def sign(z):
        if mode == "smooth":
            return jnp.sign(z) * jnp.tanh(smooth_beta * jnp.abs(z))
        if mode == "refined":
            return jnp.where(jnp.abs(z) < 1, z, jnp.sign(z))
        return jnp.sign(z)

    def rule(g, mu):
        new = b2 * mu + (1 - b2) * g
        if not isinstance(b2, float | int) or b2 == 0:  # an array may be 0, too
            return sign(b1 * mu + (1 - b1) * g), new
        # From the new momentum: the old one is then dead, and a donated step copies
        # nothing.
        return sign(b1 / b2 * new + (1 - b1 / b2) * g), new

    return leafwise(ScaleByLionState, rule, mu=zeros(mu_dtype))


@transformation
def lion(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.99,
    mu_dtype: Any = None,
    weight_decay: ScalarOrSchedule = 1e-3,
    mask: MaskOrFn | None = None,
):
    """Lion: `scale_by_lion`, then weight decay, then the learning rate.

    Every entry moves by learning_rate each step (and by its decay). State: one array
    per parameter and one int32, half of Adam's.

    Args:
      learning_rate: a finite number or a schedule; 3 to 10 times smaller than Adam's.
      b1, b2, mu_dtype: see `scale_by_lion`.
      weight_decay: see `add_decayed_weights`; 3 to 10 times larger than AdamW's, as
        the rate that multiplies it is smaller.
      mask: which leaves decay, see `add_decayed_weights`.

    Raises:
      ValueError: a number out of range, or a mask that does not fit.

    Source: Chen et al., Symbolic discovery of optimization algorithms (2023),
    algorithm 2.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.lion(0.1)
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.ones(2), tx.init(params), params)
    """
    return chain(
        scale_by_lion(b1, b2, mu_dtype),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )
