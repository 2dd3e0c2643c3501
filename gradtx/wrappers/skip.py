"""Steps left out when a gradient is not finite."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.axes import AxisNames, check_axis_name
from gradtx.core.numerics import safe_increment
from gradtx.core.transformation import inner_of, transformation
from gradtx.wrappers.inner import sometimes
from gradtx.wrappers.loss_scaling import check_not_scaled
from gradtx.wrappers.skip_rules import all_finite


class ApplyIfFiniteState(NamedTuple):
    notfinite_count: jax.Array  # bad gradients in a row up to now, int32
    last_finite: jax.Array  # whether the last gradient was finite, bool
    total_notfinite: jax.Array  # bad gradients so far, int32
    inner_state: Any  # the inner transformation's, of the last step taken


@transformation
def apply_if_finite(
    inner: Any, max_consecutive_errors: int, *, axis_name: AxisNames = None
):
    """Leave out steps whose gradients hold a NaN or an infinity.

    A step left out gives zero updates and leaves the inner state as it was. So many
    bad gradients in a row mean that the parameters themselves are broken: after
    `max_consecutive_errors` of them the next is applied nonetheless, so that the
    failure shows in the loss.

    The inner transformation runs inside `lax.cond`, so a step left out costs only the
    look at the gradients. `step` has the application inside too: the parameters are
    then not even read.

    State: three scalars, and the inner state.

    Args:
      inner: the transformation to run on finite gradients.
      max_consecutive_errors: how many bad gradients in a row to leave out, a whole
        number; 0 leaves out none and only counts. 5 to 10 outlasts what a loss scale
        or a bad batch causes.

      axis_name: mesh axes whose devices decide together, inside of `pmap` or
        `shard_map`: those over which the leaves are split, or along which the
        gradients differ. See `clip_by_global_norm`.

    Raises:
      ValueError: if max_consecutive_errors is below 0 or not whole, gradients differ
        along an axis that is not named, or there is `loss_scaling` inside, which has to
        see what is left out.
      TypeError: if inner is not a transformation.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.apply_if_finite(gradtx.sgd(0.5), max_consecutive_errors=5)
      >>> params = jnp.array([1.0, 2.0])
      >>> state = tx.init(params)
      >>> params, state = tx.step(jnp.array([1.0, jnp.nan]), state, params)
      >>> params, int(state.notfinite_count)
      (Array([1., 2.], dtype=float32), 1)
    """
    check.count("max_consecutive_errors", max_consecutive_errors)
    check_axis_name(axis_name)
    tx = inner_of("apply_if_finite: inner", inner)

    def init(params):
        inner_state = tx.init(params)
        check_not_scaled("apply_if_finite", inner_state)
        return ApplyIfFiniteState(
            notfinite_count=jnp.zeros([], jnp.int32),
            last_finite=jnp.ones([], bool),
            total_notfinite=jnp.zeros([], jnp.int32),
            inner_state=inner_state,
        )

    def judge(updates, state, params, extra):
        finite = all_finite(updates, axis_name)
        in_a_row = jnp.where(finite, 0, safe_increment(state.notfinite_count))
        total = state.total_notfinite
        total = jnp.where(finite, total, safe_increment(total))
        take = finite | (in_a_row > max_consecutive_errors)
        return take, ApplyIfFiniteState(in_a_row, finite, total, state.inner_state)

    return init, *sometimes(ApplyIfFiniteState, tx, judge)
