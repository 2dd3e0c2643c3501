"""Steps left out when the loss or the gradient is far above what it has been."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.axes import (
    AxisNames,
    axes_of_any,
    check_axis_name,
    mean_across,
    need_together,
)
from gradtx.core.extra import scalar_dtype
from gradtx.core.numerics import safe_increment
from gradtx.core.transformation import inner_of, transformation
from gradtx.core.trees import compute_dtype, dtype_of, failure, is_function, is_inexact
from gradtx.core.types import Scalar
from gradtx.transforms.history import check_window, entered, is_above
from gradtx.tree.norms import norm
from gradtx.wrappers.inner import sometimes
from gradtx.wrappers.loss_scaling import check_not_scaled

OF = ("loss", "grad_norm")


class SkipSpikesState(NamedTuple):
    losses: Any  # of the last steps taken, newest last, (window,); () if not asked for
    grad_norms: Any  # of their gradients, likewise; both float32 at least
    count: jax.Array  # how many of them there are, int32
    skipped_in_a_row: jax.Array  # steps left out up to now, int32
    total_skipped: jax.Array  # steps left out so far, int32
    inner_state: Any  # the inner transformation's, of the last step taken


@transformation
def skip_spikes(
    inner: Any,
    window: int = 128,
    sigmas: Scalar = 6.0,
    of: Any = OF,
    warmup: int | None = None,
    max_consecutive: int = 10,
    *,
    axis_name: AxisNames = None,
):
    """Leave out steps whose loss or gradient is far above that of the steps before.

        u_t = inner(g_t) if x_t <= m + sigmas s, else 0,   for each x that is looked at

    x is the loss, or the norm of the gradients; m and s are its mean and its standard
    deviation in the last `window` steps that were taken (s with n - 1, and at least the
    last digit of x). A step that is left out gives zero updates, leaves the inner state
    as it was, and does not count in m and s. What is far below is no spike.

    A loss or a norm that is NaN or infinite is a spike at any time. Others are from the
    `warmup`th step taken on. `update` needs `value`, the loss, if it is looked at.

    After `max_consecutive` steps in a row the loss is at a new level, and the guard
    lets go: the next step that is finite is taken, and the statistics begin anew with
    it, so that `warmup` steps are taken before it judges again. A step that is not
    finite is never taken: it would end the run.

    The inner transformation runs inside of `lax.cond`, as in `apply_if_finite`.

    Around `MultiSteps` it judges each micro-batch, and one that is left out is none of
    the k. Inside of it, it judges the mean gradient, but the loss of the last
    micro-batch only: give `of="grad_norm"` there, or the mean loss as `value` of the
    last. `loss_scaling` goes around it, not inside, where it would not see the steps
    that overflow; a `clip_by_global_norm` goes inside, or no norm is beyond another.

    State: `window` numbers for each of `of`, three int32, and the inner state.

    Args:
      inner: the transformation that takes the other steps.
      window: how many steps count, a whole number from 2. 128 is what OLMo takes.
      sigmas: how many deviations are too many, above 0; 6, as OLMo has it: normal
        values are beyond once in 1e9 steps.
      of: what is looked at: "loss", "grad_norm", or both in a tuple.
      warmup: how many steps have to be there to judge by, a whole number from 2 to
        `window`; half of it by default, when a deviation is known to a tenth.
      max_consecutive: how many steps in a row to leave out, a whole number from 1. Bad
        data is over after a few batches; ten that are all beyond have another reason.
      axis_name: mesh axes whose devices decide together, inside of `pmap` or
        `shard_map`: those over which the leaves are split, see `clip_by_global_norm`.
        Of losses that differ along them the mean counts.

    Raises:
      ValueError: a number out of range, an unknown name in `of`; in `update`, no value,
        or one that is no real scalar; gradients or the value differ along an axis that
        is not named.
      TypeError: if inner is not a transformation.

    Example:
      >>> import gradtx
      >>> tx = gradtx.skip_spikes(gradtx.sgd(1.0), window=4, warmup=2)
      >>> params, state = 0.0, tx.init(0.0)
      >>> for loss in (3.0, 2.0, 2.5, 1e3, 2.0):
      ...     params, state = tx.step(1.0, state, params, value=loss)
      >>> float(params), int(state.total_skipped)
      (-4.0, 1)
    """
    least = check_window(window, warmup, window // 2, 2)
    check.positive("sigmas", sigmas)
    check.count("max_consecutive", max_consecutive, 1)
    asked = tuple(of) if isinstance(of, tuple | list) else (of,)
    if not asked:
        raise ValueError(f"of must name some of {OF}, got {of!r}.")
    for name in asked:
        check.choice("of", name, OF)
    check_axis_name(axis_name)
    tx = inner_of("skip_spikes: inner", inner)

    def init(params):
        inner_state = tx.init(params)
        check_not_scaled("skip_spikes", inner_state)

        def none(name):
            here = jnp.zeros([window], scalar_dtype(params))
            return here if name in asked else ()

        return SkipSpikesState(
            losses=none("loss"),
            grad_norms=none("grad_norm"),
            count=jnp.zeros([], jnp.int32),
            skipped_in_a_row=jnp.zeros([], jnp.int32),
            total_skipped=jnp.zeros([], jnp.int32),
            inner_state=inner_state,
        )

    def judge(updates, state, params, extra):
        seen = {}  # by field: the value, and the part of it that its digits make
        if "loss" in asked:
            seen["losses"] = _loss(updates, extra.get("value"), axis_name)
        if "grad_norm" in asked:
            size = norm(updates, axis_name=axis_name)
            seen["grad_norms"] = size, float(jnp.finfo(size.dtype).eps)
        finite, calm = jnp.ones([], bool), jnp.ones([], bool)
        for field, (value, eps) in seen.items():
            values = getattr(state, field)
            value = value.astype(values.dtype)
            finite &= jnp.isfinite(value)
            calm &= ~is_above(value, values, state.count, sigmas, eps)
        calm |= state.count < least
        take = finite & (calm | (state.skipped_in_a_row >= max_consecutive))
        count = jnp.where(calm, jnp.minimum(state.count + 1, window), 1)
        windows = {
            field: jnp.where(take, entered(values, value), values)
            for field, (value, _) in seen.items()
            for values in [getattr(state, field)]
        }
        return take, state._replace(
            **windows,
            count=jnp.where(take, count, state.count),
            skipped_in_a_row=jnp.where(take, 0, safe_increment(state.skipped_in_a_row)),
            total_skipped=jnp.where(
                take, state.total_skipped, safe_increment(state.total_skipped)
            ),
        )

    return init, *sometimes(SkipSpikesState, tx, judge)


def _loss(updates: Any, value: Any, axis_name: AxisNames) -> tuple[jax.Array, float]:
    """The loss of all devices, and the part of it that its last digit makes."""
    if value is None:
        raise failure(
            "the loss is missing: call tx.update(updates, state, params, "
            'value=loss), or look at of="grad_norm" alone.'
        )
    check.scalar("value", value)
    if jnp.issubdtype(dtype_of(value), jnp.complexfloating):
        raise failure(f"value must be real, got {dtype_of(value)}.")
    need_together()
    dtype = dtype_of(value) if is_inexact(dtype_of(value)) else jnp.float32
    eps = float(jnp.finfo(dtype).eps)
    given = jnp.asarray(value, compute_dtype(dtype))
    alone = axis_name is not None and not is_function(axis_name)
    names = axes_of_any(updates, axis_name) or (() if alone else None)
    hint = (
        f"axis_name={axis_name!r} does not name, so that they would not agree. Average "
        f"it first (lax.pmean), name the axis, or give axis_name=() to have each "
        f"device go by itself."
    )
    return mean_across("value", given, names, hint), eps
