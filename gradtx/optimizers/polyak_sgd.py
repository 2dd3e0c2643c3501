"""Polyak's step: as long as the value is above its least."""

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.axes import AxisNames, check_axis_name
from gradtx.core.compose import check_states
from gradtx.core.leafwise import stateless_init
from gradtx.core.plan import lift
from gradtx.core.transformation import transformation
from gradtx.core.types import EmptyState, Scalar, ScalarOrSchedule
from gradtx.linesearch.objective import check_unless_infinite, need_extra
from gradtx.optimizers.sgd import sgd
from gradtx.tree.norms import norm


@transformation
def scale_by_polyak(
    f_min: Scalar = 0.0,
    max_learning_rate: Scalar = 1.0,
    eps: Scalar = 0.0,
    variant: str = "sps",
    *,
    axis_name: AxisNames = None,
):
    """Scale the update by Polyak's step size.

        u = min((value - f_min) / (|g|_2^2 + eps), max_learning_rate) g

    The norm is of the whole tree; an update of zero stays zero. `update` needs
    `value=`, the value at the parameters, of the same batch as the gradient.

    State: none.

    Args:
      f_min: the least value there is, or a bound below it, a finite number. 0 for a
        model that can fit every example.
      max_learning_rate: the longest step, above 0; inf for none.
      eps: added to the square of the norm, at least 0.
      variant: "sps+" takes a value below f_min for f_min, and stands still; with "sps"
        the step then leads uphill.
      axis_name: mesh axes over which leaves are split, see `clip_by_global_norm`.

    Raises:
      ValueError: a number out of range, another variant; in `update`, no value, or one
        that is no scalar.

    Source: Loizou et al., Stochastic Polyak step-size for SGD (2021), eq. 3 (SPS_max).

    Example:
      >>> import gradtx
      >>> tx = gradtx.scale_by_polyak()
      >>> float(tx.update(4.0, tx.init(2.0), value=4.0)[0])  # 4 / 16 of the gradient
      1.0
    """
    step_of = _steps(f_min, max_learning_rate, eps, variant)
    check_axis_name(axis_name)

    def update(updates, state, params=None, *, value: Any = None, **extra):
        step = step_of(value, norm(updates, axis_name=axis_name))
        return _scaled(updates, scalars=(step,))[0], state

    return stateless_init, update


_scaled = lift(lambda g, step: step * g)


def _steps(f_min: Scalar, max_learning_rate: Scalar, eps: Scalar, variant: str):
    """From value and norm to Polyak's step size."""
    check.finite("f_min", f_min)
    check_unless_infinite(check.positive, "max_learning_rate", max_learning_rate)
    check.nonnegative("eps", eps)
    check.choice("variant", variant, ("sps", "sps+"))

    def step_of(value: Any, size: jax.Array) -> jax.Array:
        need_extra(value=value)
        check.scalar("value", value)
        gap = jnp.asarray(value, size.dtype) - f_min
        if variant == "sps+":
            gap = jnp.maximum(gap, 0)
        there = size > 0
        size = jnp.where(there, size, 1)
        # Not over |g|^2, which may be out of range.
        step = gap / size / (size + eps / size)
        return jnp.where(there, jnp.minimum(step, max_learning_rate), 0)

    return step_of


@transformation
def polyak_sgd(
    max_learning_rate: Scalar = 1.0,
    scaling: ScalarOrSchedule = 1.0,
    f_min: Scalar = 0.0,
    eps: Scalar = 0.0,
    variant: str = "sps",
    *,
    axis_name: AxisNames = None,
):
    """SGD with Polyak's step size: `sgd`, then `scale_by_polyak`.

        h_t = scaling g_t
        a_t = min((value_t - f_min) / (|h_t|_2^2 + eps), max_learning_rate)
        p_t = p_{t-1} - a_t h_t

    State: none; for a schedule one int32 and the current number.

    Args:
      max_learning_rate, f_min, eps, variant, axis_name: see `scale_by_polyak`.
      scaling: a finite number or a schedule. It scales the gradient, and so divides
        the step: it is the c of the paper, and the longest step is scaling times
        max_learning_rate.

    Raises:
      ValueError: a number out of range, another variant; in `update`, no value.

    Source: Loizou et al., Stochastic Polyak step-size for SGD (2021), eq. 3 (SPS_max).

    Example:
      >>> import jax, jax.numpy as jnp, gradtx
      >>> tx = gradtx.polyak_sgd()
      >>> p = jnp.array([2.0, -1.0])
      >>> value, grads = jax.value_and_grad(lambda p: jnp.sum(p**2))(p)
      >>> tx.step(grads, tx.init(p), p, value=value)[0]
      Array([ 1. , -0.5], dtype=float32)
    """
    check.learning_rate("scaling", scaling)
    step_of = _steps(f_min, max_learning_rate, eps, variant)
    check_axis_name(axis_name)
    descent = sgd(scaling)

    def init(params):
        return descent.init(params), EmptyState()

    def update(updates, state, params=None, *, value: Any = None, **extra):
        check_states(state, 2)
        scaled, (inner,) = descent.update(updates, state[0], params)
        rate = inner.learning_rate if callable(scaling) else scaling
        # Not the norm of what is scaled: XLA would store that.
        size = norm(updates, axis_name=axis_name)
        step = step_of(value, jnp.abs(jnp.asarray(rate, size.dtype)) * size)
        return _scaled(scaled, scalars=(step,))[0], ((inner,), state[1])

    return init, update
