"""From updates to new parameters."""

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.per_leaf import PerLeaf
from gradtx.core.trees import (
    absent,
    as_array,
    check_match,
    compute_dtype,
    dtype_of,
    failure,
    is_inexact,
    leaves_of,
    paths_of,
    wider,
)
from gradtx.core.types import Params, Updates


def add_to(p: Any, u: Any) -> Any:
    """The sum in the wider dtype, rounded to the parameter's."""
    dtype = wider(p.dtype, u.dtype)
    return (p.astype(dtype) + u.astype(dtype)).astype(p.dtype)


_add = PerLeaf(lambda leaf, shared: add_to(*leaf))


def check_moves(p: Any, params: Params, i: int) -> None:
    """Raise if an update of leaf i would be lost."""
    if not is_inexact(dtype_of(p)):
        raise failure(
            f"params{paths_of(params)[i][0]} is {dtype_of(p)}: an update would "
            f"be rounded off. Give None as its update.",
            TypeError,
        )


def apply_updates(params: Params, updates: Updates) -> Params:
    """Add the updates to the parameters.

    The sum is taken in the wider of the two dtypes and rounded to the parameter's.

    Args:
      params: a tree of arrays; where it holds `None` there is nothing to update.
      updates: a tree with the same structure and shapes; where it holds `None` the
        parameter stays as it is.

    Returns:
      The new parameters, in the dtypes of the old.

    Raises:
      ValueError: structure or shape of a leaf differ; it is named.
      TypeError: a leaf of integers has an update.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.apply_updates({"w": jnp.ones(2)}, {"w": jnp.array([0.5, -1.0])})
      {'w': Array([1.5, 0. ], dtype=float32)}
    """
    check_match("updates", updates, "params", params, less=True)
    leaves, treedef = leaves_of(params)
    given = enumerate(leaves_of(updates)[0])
    moves = {i: u for i, u in given if not (absent(u) or leaves[i] is None)}
    for i in moves:
        check_moves(leaves[i], params, i)
    pairs = [(as_array(leaves[i]), as_array(u)) for i, u in moves.items()]
    for i, new in zip(moves, _add(pairs), strict=True):
        leaves[i] = new
    return treedef.unflatten(leaves)


def incremental_update(
    new_tensors: Params, old_tensors: Params, step_size: float | jax.Array
) -> Params:
    """Move a part of the way from old to new (Polyak averaging, target networks).

        average = old + step_size (new - old)

    Computed in the widest of both dtypes and float32, and rounded once: to a bfloat16
    average steps of less than 1/256 of it are lost, so keep averages in float32.

    Args:
      new_tensors, old_tensors: trees with the same structure and shapes.
      step_size: the part of the way, in [0, 1].

    Returns:
      The average, in the dtypes of the old.

    Raises:
      ValueError: structure or shape of a leaf differ; it is named. A step_size that
        is no scalar.

    Example:
      >>> import gradtx
      >>> float(gradtx.incremental_update(2.0, 1.0, step_size=0.25))
      1.25
    """
    check.scalar("step_size", step_size)
    check_match("new_tensors", new_tensors, "old_tensors", old_tensors)

    def mix(new: Any, old: Any) -> Any:
        if new is None:
            return old
        dtype = jnp.result_type(old)
        width = compute_dtype(jnp.promote_types(jnp.result_type(new), dtype))
        step = jnp.asarray(step_size, jnp.finfo(width).dtype)
        mixed = step * jnp.asarray(new, width) + (1 - step) * jnp.asarray(old, width)
        return mixed.astype(dtype)

    return jax.tree.map(mix, new_tensors, old_tensors, is_leaf=lambda x: x is None)


def periodic_update(
    new_tensors: Params, old_tensors: Params, steps: Any, update_period: int
) -> Params:
    """Take the new tensors every `update_period` steps, else keep the old.

    Args:
      new_tensors, old_tensors: trees with the same structure and shapes.
      steps: the count of steps; the new are taken when it is divisible.
      update_period: at least 1.

    Returns:
      One of the two trees, in the dtypes of the old.

    Raises:
      ValueError: structure or shape of a leaf differ; it is named.

    Example:
      >>> import gradtx
      >>> float(gradtx.periodic_update(2.0, 1.0, steps=6, update_period=3))
      2.0
    """
    check_match("new_tensors", new_tensors, "old_tensors", old_tensors)
    check.scalar("steps", steps)
    check.scalar("update_period", update_period)
    take = jnp.asarray(steps) % update_period == 0

    def pick(new: Any, old: Any) -> Any:
        if new is None:
            return old
        return jnp.where(take, new, old).astype(jnp.result_type(old))

    return jax.tree.map(pick, new_tensors, old_tensors, is_leaf=lambda x: x is None)
