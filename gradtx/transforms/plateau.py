"""A smaller step where the loss has stopped falling."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.extra import need_extra, scalar_dtype
from gradtx.core.numerics import safe_increment
from gradtx.core.plan import check_state, lift
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar


class ReduceLROnPlateauState(NamedTuple):
    scale: jax.Array  # what updates are multiplied by, from 1 down, float32 at least
    best_value: jax.Array  # least value so far, inf at first, float32 at least
    plateau_count: jax.Array  # values in a row that were no better, int32
    cooldown_count: jax.Array  # values still to be passed by after a reduction, int32
    count: jax.Array  # values in avg_value, from 0 to accumulation_size - 1, int32
    avg_value: jax.Array  # their mean, float32 at least


@transformation
def reduce_on_plateau(
    factor: Scalar = 0.1,
    patience: int = 10,
    rtol: Scalar = 1e-4,
    atol: Scalar = 0.0,
    cooldown: int = 0,
    accumulation_size: int = 1,
    min_scale: Scalar = 0.0,
):
    """Multiply updates by a number that falls whenever the loss does not.

        u_t = s_t g_t,   s_0 = 1
        s_t = max(factor s_{t-1}, min_scale)
        value >= best - (rtol |best| + atol)

    s_t falls so after `patience` values in a row for which the last line holds. Behind
    an optimizer it is a learning rate that falls. `update` needs `value`: the loss, or
    whatever is to become small, of this batch or the last that was found on data kept
    apart. It counts in every step; what is found once in an epoch belongs into a
    transformation that is called as often, or `accumulation_size` is the steps of an
    epoch.

    A NaN is no better than anything.

    State: three numbers and three int32.

    Args:
      factor: in (0, 1).
      patience: values in a row, a whole number from 1. In PyTorch one less.
      rtol: part of the best value that a better one is to be below it, in [0, 1].
      atol: the same in units of the value, at least 0.
      cooldown: values after a reduction that only count if they are the best so far, a
        whole number.
      accumulation_size: values whose mean counts as one, a whole number from 1.
      min_scale: least multiplier, at least 0.

    Raises:
      ValueError: a number out of range; in `update`, no value or one that is no scalar.

    Example:
      >>> import gradtx
      >>> tx = gradtx.chain(gradtx.sgd(1.0), gradtx.reduce_on_plateau(0.5, patience=2))
      >>> state = tx.init(0.0)
      >>> for loss in (3.0, 2.0, 2.0, 2.0, 1.0):
      ...     update, state = tx.update(1.0, state, value=loss)
      ...     print(float(update))
      -1.0
      -1.0
      -1.0
      -0.5
      -0.5
    """
    check.inside("factor", factor, 0, 1)
    check.count("patience", patience, 1)
    check.fraction("rtol", rtol)
    check.nonnegative("atol", atol)
    check.count("cooldown", cooldown)
    check.count("accumulation_size", accumulation_size, 1)
    check.nonnegative("min_scale", min_scale)
    scaled = lift(lambda g, scale: scale * g)

    def init(params):
        dtype, none = scalar_dtype(params), jnp.int32
        return ReduceLROnPlateauState(
            scale=jnp.ones([], dtype),
            best_value=jnp.full([], jnp.inf, dtype),
            plateau_count=jnp.zeros([], none),
            cooldown_count=jnp.zeros([], none),
            count=jnp.zeros([], none),
            avg_value=jnp.zeros([], dtype),
        )

    def judged(state):
        """The state after a whole value, avg_value."""
        value, best = state.avg_value, state.best_value
        # From infinity there is no part to take.
        margin = jnp.where(jnp.isinf(best), 0, rtol * jnp.abs(best) + atol)
        better = value < best - margin
        cooling = state.cooldown_count > 0
        waited = safe_increment(state.plateau_count)
        waited = jnp.where(better | cooling, 0, waited)
        reduce = waited >= patience
        scale = jnp.where(reduce, factor * state.scale, state.scale)
        cool = jnp.where(reduce, cooldown, jnp.maximum(state.cooldown_count - 1, 0))
        return ReduceLROnPlateauState(
            scale=jnp.maximum(scale, min_scale),
            best_value=jnp.where(better, value, best),
            plateau_count=jnp.where(reduce, 0, waited),
            cooldown_count=cool,
            count=jnp.zeros_like(state.count),
            avg_value=jnp.zeros_like(value),
        )

    def update(updates, state, params=None, *, value: Any = None):
        check_state(state, ReduceLROnPlateauState)
        need_extra(value=value)
        check.scalar("value", value)
        count = safe_increment(state.count)
        value = jnp.asarray(value, state.avg_value.dtype)
        before, now = (n.astype(value.dtype) for n in (state.count, count))
        mean = (before * state.avg_value + value) / now
        waiting = state._replace(count=count, avg_value=mean)
        whole = count >= accumulation_size
        new = ReduceLROnPlateauState(
            *(
                jnp.where(whole, x, y).astype(y.dtype)
                for x, y in zip(judged(waiting), waiting, strict=True)
            )
        )
        updates, _ = scaled(updates, scalars=(new.scale,))
        return updates, new

    return init, update
