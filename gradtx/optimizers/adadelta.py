"""AdaDelta: gradients scaled by the ratio of past steps to past gradients."""

from typing import NamedTuple

from gradtx.core import check
from gradtx.core.compose import chain
from gradtx.core.leafwise import leafwise, zeros
from gradtx.core.masking import MaskOrFn
from gradtx.core.numerics import abs_sq, divide, root
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, ScalarOrSchedule, Updates
from gradtx.transforms.decay import add_decayed_weights
from gradtx.transforms.scale import scale_by_learning_rate


class ScaleByAdaDeltaState(NamedTuple):
    e_g: Updates  # average squared gradient, real, shaped like params
    e_x: Updates  # average squared update, real, shaped like params


@transformation
def scale_by_adadelta(rho: Scalar = 0.9, eps: Scalar = 1e-6):
    """Multiply the gradient by the ratio of two root mean squares.

        e_g_t = rho e_g_{t-1} + (1 - rho) |g_t|^2,   e_g_0 = 0
        u_t = sqrt(e_x_{t-1} + eps) / sqrt(e_g_t + eps) g_t
        e_x_t = rho e_x_{t-1} + (1 - rho) |u_t|^2,   e_x_0 = 0

    The update has the unit of the parameter, so that no learning rate is needed.

    State: two real arrays per parameter.

    Args:
      rho: decay of both averages, in [0, 1).
      eps: inside of both roots, above 0: it starts the first step, of about sqrt(eps).

    Raises:
      ValueError: a number out of range.

    Source: Zeiler, ADADELTA: an adaptive learning rate method (2012), algorithm 1.

    Example:
      >>> import gradtx
      >>> tx = gradtx.scale_by_adadelta()
      >>> round(float(tx.update(2.0, tx.init(1.0))[0]), 6)
      0.003162
    """
    check.decay("rho", rho)
    check.positive("eps", eps)

    def rule(g, e_g, e_x):
        square = (1 - rho) * abs_sq(g)
        e_g = rho * e_g + square
        below = e_g + eps
        u = g * root(divide(e_x + eps, below, eps))
        # Not |g|^2 (e_x + eps) / (e_g + eps), for large gradients inf / inf.
        e_x = rho * e_x + (1 - rho) * abs_sq(u)
        if not isinstance(rho, float | int) or rho == 0:  # an array may be 0, too
            return u, e_g, e_x
        # The old e_x expressed by the new: it is then dead, and a donated step copies
        # nothing. Neither root nor quotient is shared, or XLA would store it. All terms
        # are positive.
        return g * root((e_x + rho * eps) / (rho * below + square)), e_g, e_x

    return leafwise(
        ScaleByAdaDeltaState, rule, e_g=zeros(real=True), e_x=zeros(real=True)
    )


@transformation
def adadelta(
    learning_rate: ScalarOrSchedule = 1.0,
    rho: Scalar = 0.9,
    eps: Scalar = 1e-6,
    weight_decay: ScalarOrSchedule = 0.0,
    weight_decay_mask: MaskOrFn | None = None,
):
    """AdaDelta: L2 regularisation, `scale_by_adadelta`, then the learning rate.

    State: two real arrays per parameter.

    Args:
      learning_rate: a finite number or a schedule; the paper has none, hence 1.
      rho, eps: see `scale_by_adadelta`.
      weight_decay, weight_decay_mask: see `add_decayed_weights`; coupled: it is added
        to the gradient.

    Raises:
      ValueError: a number out of range, or a mask that does not fit.

    Source: Zeiler, ADADELTA: an adaptive learning rate method (2012), algorithm 1.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.adadelta()
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.ones(2), tx.init(params), params)
    """
    return chain(
        add_decayed_weights(weight_decay, weight_decay_mask),
        scale_by_adadelta(rho, eps),
        scale_by_learning_rate(learning_rate),
    )
