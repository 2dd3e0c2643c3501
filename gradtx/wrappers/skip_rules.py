"""Rules that say which gradients to leave out."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradtx.core import check
from gradtx.core.per_leaf import PerLeaf
from gradtx.tree.norms import norm
from gradtx.tree.pooling import pooled

ShouldSkipUpdateFunction = Callable[[Any, jax.Array, Any], tuple[Any, Any]]


def skip_not_finite(
    updates: Any, gradient_step: Any, params: Any
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Skip gradients with a NaN or an infinity in any leaf.

    A rule for `MultiSteps(..., should_skip_update_fn=skip_not_finite)`.

    Args:
      updates: gradients of one micro-batch; integers and `None` count as finite.
      gradient_step: not used.
      params: not used.

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
    leaves = _inexact(updates)
    should_skip = ~_all_finite(leaves)
    count = lax.cond(should_skip, _count, _none, leaves)
    return should_skip, {"should_skip": should_skip, "num_not_finite": count}


def skip_large_updates(
    updates: Any, gradient_step: Any, params: Any, max_squared_norm: Any
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
    size = norm(updates, squared=True)
    should_skip = ~(size < max_squared_norm)  # true for NaN, unlike >=
    return should_skip, {"should_skip": should_skip, "norm_squared": size}


def all_finite(tree: Any) -> jax.Array:
    """Whether no entry of any leaf is NaN or infinite."""
    return _all_finite(_inexact(tree))


def _all_finite(arrays: list[jax.Array]) -> jax.Array:
    finite = jnp.ones([], bool)
    for part in _is_finite([(x,) for x in arrays]):
        finite &= part
    return finite


# x - x is 0, or NaN where x is not finite. XLA fuses it into the sum, but stores what
# isfinite gives, and takes twice as long.
_is_finite = PerLeaf(lambda leaf, _: jnp.sum(leaf[0] - leaf[0]) == 0)


def _count(arrays: list[jax.Array]) -> jax.Array:
    count = jnp.zeros([], jnp.int32)
    most = jnp.iinfo(count.dtype).max
    for x in arrays:
        # At its largest it stays: 3e9 NaNs must not add up to a negative number.
        here = jnp.sum(~jnp.isfinite(x), dtype=count.dtype)
        count += jnp.minimum(here, most - count)
    return count


def _none(arrays: list[jax.Array]) -> jax.Array:
    return jnp.zeros([], jnp.int32)


def _inexact(tree: Any) -> list[jax.Array]:
    """The arrays that can hold a NaN; the small ones joined."""
    return [x for x in pooled(tree) if jnp.issubdtype(x.dtype, jnp.inexact)]
