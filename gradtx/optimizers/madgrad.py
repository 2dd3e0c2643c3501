"""MADGRAD: dual averaging with a cube root, and momentum."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.compose import chain
from gradtx.core.leafwise import filled, initial, zeros
from gradtx.core.numerics import abs_sq, as_float, divide, now, safe_increment
from gradtx.core.plan import Inputs, check_shapes, check_state, planned
from gradtx.core.transformation import transformation
from gradtx.core.types import Params, Scalar, ScalarOrSchedule, Updates
from gradtx.transforms.decay import add_decayed_weights


class MadgradState(NamedTuple):
    count: jax.Array  # steps taken, int32
    grad_sum_sq: Updates  # weighted sum of squares, real, like params, float32 at least
    s: Updates  # weighted sum of gradients, shaped like params, float32 at least
    x0: Params  # where it began, shaped like params, float32 at least
    # Of the last step (the first, before), where it is a schedule: float.
    learning_rate: jax.Array | None = None


@transformation
def scale_by_madgrad(
    learning_rate: ScalarOrSchedule, momentum: Scalar = 0.9, eps: Scalar = 1e-6
):
    """Go towards the point that dual averaging names, all the way from the start.

        a_t = (learning_rate + eps) sqrt(t)
        G_t = G_{t-1} + a_t |g_t|^2,   s_t = s_{t-1} + a_t g_t
        z_t = p_0 - s_t / (cbrt(G_t) + eps)
        u_t = (1 - momentum) (z_t - p_t)

    The learning rate is part of it, and the updates lead downhill.

    State: three arrays per parameter and one int32; the current rate, of a schedule.
    `update` needs params.

    Args:
      learning_rate: a finite number or a schedule; eps is added to it, as the authors
        do, so that one of 0 still moves.
      momentum: in [0, 1); also the part of the way that is left out.
      eps: at least 0.

    Raises:
      ValueError: a number out of range, or no params in `update`.

    Source: Defazio & Jelassi, Adaptivity without compromise (2021), algorithm 1; eps
    beside the rate as in the authors' program.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.scale_by_madgrad(1.0, momentum=0.0, eps=0.0)
      >>> params = jnp.zeros(2)
      >>> tx.update(jnp.array([8.0, -1.0]), tx.init(params), params)[0]
      Array([-2.,  1.], dtype=float32)
    """
    check.learning_rate("learning_rate", learning_rate)
    check.decay("momentum", momentum)
    check.nonnegative("eps", eps)

    def rule(g, p, total, s, x0, weight):
        total = total + weight * abs_sq(g)
        s = s + weight * g
        z = x0 - divide(s, _cube_root(total) + eps, eps)
        return (1 - momentum) * (z - p), total, s, x0

    def rate_of(count):
        return now("learning_rate", learning_rate, count)

    def init(params):
        count = jnp.zeros([], jnp.int32)
        return MadgradState(
            count=count,
            grad_sum_sq=filled(zeros(real=True), params),
            s=filled(zeros(), params),
            x0=filled(initial(), params),
            learning_rate=rate_of(count) if callable(learning_rate) else None,
        )

    def prepare(updates, state, params):
        check_state(state, MadgradState)
        check_shapes(updates, state.s)
        rate, count = rate_of(state.count), safe_increment(state.count)
        weight = (as_float(rate) + eps) * jnp.sqrt(as_float(count))
        shown = rate if callable(learning_rate) else None

        def rebuild(total, s, x0):
            return MadgradState(count, total, s, x0, shown)

        return Inputs([state.grad_sum_sq, state.s, state.x0], (weight,)), rebuild

    return planned(
        init, rule, prepare, with_params=True, slots=("grad_sum_sq", "s", "x0")
    )


def _cube_root(x):
    """The cube root; at 0, where its derivative is infinite, that is taken to be 0."""
    return jnp.where(x == 0, 0, jnp.cbrt(jnp.where(x == 0, 1, x)))


@transformation
def madgrad(
    learning_rate: ScalarOrSchedule,
    momentum: Scalar = 0.9,
    weight_decay: ScalarOrSchedule = 0.0,
    eps: Scalar = 1e-6,
):
    """MADGRAD: L2 regularisation, then `scale_by_madgrad`.

    State: three arrays per parameter and one int32.

    Args:
      learning_rate, momentum, eps: see `scale_by_madgrad`. The rate is to be found
        anew: it is not that of SGD or Adam.
      weight_decay: see `add_decayed_weights`; coupled: it is added to the gradient. A
        smaller one than with SGD does.

    Raises:
      ValueError: a number out of range, or no params in `update`.

    Source: Defazio & Jelassi, Adaptivity without compromise (2021), algorithm 1.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.madgrad(0.1)
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.ones(2), tx.init(params), params)
    """
    return chain(
        add_decayed_weights(weight_decay),
        scale_by_madgrad(learning_rate, momentum, eps),
    )
