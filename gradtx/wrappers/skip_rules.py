"""Rules that say which gradients to leave out."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradtx.core import check
from gradtx.core.axes import AxisNames, Names, across, alike, by_axes, size_of
from gradtx.core.trees import wider
from gradtx.tree.norms import norm
from gradtx.tree.pooling import Totals, pooled

ShouldSkipUpdateFunction = Callable[[Any, jax.Array, Any], tuple[Any, Any]]


def skip_not_finite(
    updates: Any, gradient_step: Any, params: Any, *, axis_name: AxisNames = None
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Skip gradients with a NaN or an infinity in any leaf.

    A rule for `MultiSteps(..., should_skip_update_fn=skip_not_finite)`.

    Args:
      updates: gradients of one micro-batch; integers and `None` count as finite.
      gradient_step: not used.
      params: not used.
      axis_name: mesh axes whose devices decide together, see `apply_if_finite`; bind
        it with `functools.partial`.

    Returns:
      `(should_skip, skip_state)`; the state is a dict with `should_skip`, a bool, and
      `num_not_finite`, the number of entries that are not finite, int32.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> skip, state = gradtx.skip_not_finite(jnp.array([1.0, jnp.nan]), 0, None)
      >>> bool(skip), int(state["num_not_finite"])
      (True, 1)
    """
    del gradient_step, params
    groups = _inexact(updates, axis_name)
    should_skip = ~_all_finite(groups)
    count = jnp.zeros([], jnp.int32)
    for axes, arrays in groups.items():
        # The sum is outside of lax.cond, where all devices meet.
        here = lax.cond(should_skip, _count, _none, arrays)
        here = across(jnp.minimum(here, _MOST // size_of(axes)), axes)
        count += jnp.minimum(here, _MOST - count)
    return should_skip, {"should_skip": should_skip, "num_not_finite": count}


def skip_large_updates(
    updates: Any,
    gradient_step: Any,
    params: Any,
    max_squared_norm: Any,
    *,
    axis_name: AxisNames = None,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Skip gradients whose norm is too large, or NaN.

        skip unless |g|^2 < max_squared_norm,   |g|^2 over all leaves and entries

    A rule for `MultiSteps`, once the limit is bound:
    `functools.partial(skip_large_updates, max_squared_norm=100.0)`.

    Args:
      updates: gradients of one micro-batch.
      gradient_step: not used.
      params: not used.
      max_squared_norm: the limit, above 0, of the square of the Euclidean norm.
      axis_name: mesh axes over which leaves are split, see `clip_by_global_norm`.

    Returns:
      `(should_skip, skip_state)`; the state is a dict with `should_skip`, a bool, and
      `norm_squared`, at least float32.

    Raises:
      ValueError: if max_squared_norm is not above 0.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> skip, state = gradtx.skip_large_updates(jnp.array([3.0, 4.0]), 0, None, 20.0)
      >>> bool(skip), float(state["norm_squared"])
      (True, 25.0)
    """
    del gradient_step, params
    check.positive("max_squared_norm", max_squared_norm)
    size = norm(updates, squared=True, axis_name=axis_name)
    should_skip = ~(size < max_squared_norm)  # true for NaN, unlike >=
    return should_skip, {"should_skip": should_skip, "norm_squared": size}


def all_finite(tree: Any, axis_name: AxisNames = None) -> jax.Array:
    """Whether no entry of any leaf is NaN or infinite, on any device along the axes."""
    return _all_finite(_inexact(tree, axis_name))


def _all_finite(groups: dict[Names, list[jax.Array]]) -> jax.Array:
    finite = jnp.ones([], bool)
    for axes, arrays in groups.items():
        here = jnp.ones([], bool)
        for total in _differences(arrays):
            here &= total == 0
        finite &= across(jnp.where(here, 0, 1), axes) == 0 if axes else here
    return finite


# x - x is 0, or NaN where x is not finite. XLA fuses it into the sum, but stores what
# isfinite gives, and takes twice as long. Widened first, as float8_e8m0fnu has no 0.
_differences = Totals(lambda x: x.astype(wider(x.dtype)) - x.astype(wider(x.dtype)))

_MOST = jnp.iinfo(jnp.int32).max


def _count(arrays: list[jax.Array]) -> jax.Array:
    count = jnp.zeros([], jnp.int32)
    for x in arrays:
        # At its largest it stays: 3e9 NaNs must not add up to a negative number.
        here = jnp.sum(~jnp.isfinite(x), dtype=count.dtype)
        count += jnp.minimum(here, _MOST - count)
    return count


def _none(arrays: list[jax.Array]) -> jax.Array:
    # Of the arrays, so that it varies over devices as the count does.
    return alike(jnp.zeros([], jnp.int32), *arrays)


def _inexact(tree: Any, axis_name: AxisNames) -> dict[Names, list[jax.Array]]:
    """The arrays that can hold a NaN, by the axes they are split over; small joined."""
    return {
        axes: [x for x in pooled(leaves) if jnp.issubdtype(x.dtype, jnp.inexact)]
        for axes, leaves in by_axes(tree, axis_name).items()
    }
