"""Norms of whole trees."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradtx.core.axes import AxisNames, across, by_axes
from gradtx.core.numerics import abs_sq
from gradtx.core.trees import compute_dtype
from gradtx.tree import arithmetic
from gradtx.tree.pooling import Totals, pooled


def sum_of_squares(tree: Any, axis_name: AxisNames = ()) -> jax.Array:
    """The sum of |x|^2 over all entries of all leaves, in at least float32.

    Small or bfloat16 leaves lose nothing: each is widened before it is squared, so a
    float16 leaf cannot overflow. An empty tree has 0.
    """
    total = jnp.zeros([], jnp.float32)
    for axes, leaves in by_axes(tree, axis_name).items():
        here = jnp.zeros([], jnp.float32)
        for part in _squares(pooled(leaves)):
            here += part
        total += across(here, axes)
    return total


_squares = Totals(lambda x: abs_sq(x.astype(compute_dtype(x.dtype))))


def norm(
    tree: Any,
    ord: int | float | str | None = None,
    squared: bool = False,
    *,
    axis_name: AxisNames = (),
) -> jax.Array:
    """The norm of a tree, as of one long vector.

        sqrt(sum over leaves and entries of |x|^2)    ord 2, the default
        sum over leaves and entries of |x|            ord 1
        max over leaves and entries of |x|            ord inf

    Args:
      tree: arrays, real or complex; `None` is passed over.
      ord: 1, 2 (or `None`) or infinity (or "inf").
      squared: return the square of it.
      axis_name: mesh axes over which leaves are split, see `clip_by_global_norm`; by
        default each device takes the norm of what it has.

    Returns:
      A scalar, at least float32; 0 for an empty tree.

    Raises:
      ValueError: another order.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tree = {"a": jnp.array([3.0]), "b": jnp.array(4.0)}
      >>> float(gradtx.tree.norm(tree)), float(gradtx.tree.norm(tree, 1))
      (5.0, 7.0)
    """
    if ord is None or ord == 2:
        total = sum_of_squares(tree, axis_name)
        return total if squared else jnp.sqrt(total)
    if ord not in (1, jnp.inf, "inf", "infinity"):
        raise ValueError(f"ord must be 1, 2 or inf, got {ord!r}.")
    total = jnp.zeros([], jnp.float32)
    for axes, leaves in by_axes(tree, axis_name).items():
        sizes = [jnp.abs(x.astype(compute_dtype(x.dtype))) for x in leaves]
        if ord == 1:
            total += across(arithmetic.sum(sizes), axes)
        else:
            largest = arithmetic.max(sizes)  # of no entries: -inf
            total = jnp.maximum(total, lax.pmax(largest, axes) if axes else largest)
    return total * total if squared else total
