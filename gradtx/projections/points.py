"""What projections share: leaves in a width to compute in, one vector of them all."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.axes import AxisNames, Names, by_axes
from gradtx.core.masking import spread_list
from gradtx.core.trees import (
    absent,
    check_inexact,
    dtype_of,
    failure,
    leaves_of,
    paths_of,
)
from gradtx.tree.arithmetic import narrowed, wide
from gradtx.tree.pooling import pooled


def point(tree: Any, name: str = "tree") -> Any:
    """The tree in at least float32, every leaf floating or complex."""
    leaves, treedef = leaves_of(tree)
    check_inexact(leaves, tree, name)
    return treedef.unflatten(x if absent(x) else wide(jnp.asarray(x)) for x in leaves)


def need_order(tree: Any) -> None:
    """Raise if there is a complex leaf."""
    for path, leaf in paths_of(tree):
        if not absent(leaf) and jnp.issubdtype(dtype_of(leaf), jnp.complexfloating):
            raise failure(
                f"tree{path} is {dtype_of(leaf)}: complex numbers have no order. Give "
                f"their parts, or None for that leaf."
            )


def as_given(new: Any, tree: Any) -> Any:
    """The new point in the dtypes of the given one."""
    leaves, treedef = leaves_of(tree)
    return treedef.unflatten(
        x if absent(x) else narrowed(y, jnp.asarray(x).dtype)
        for x, y in zip(leaves, leaves_of(new)[0], strict=True)
    )


def by_leaf(rule: Callable[..., Any], tree: Any, **bounds: Any) -> Any:
    """Apply a rule to each leaf that is there and to its bounds.

    Args:
      rule: from an array and the value of each bound, or None, to an array.
      bounds: a value for all leaves, a tree like this one, or a prefix of it.

    Raises:
      ValueError: a bound that does not fit the tree, or its leaf.
    """
    leaves, treedef = leaves_of(tree)
    columns = {
        name: [
            _fitting(name, bound, path, leaf)
            for bound, (path, leaf) in zip(
                spread_list(name, given, tree), paths_of(tree), strict=True
            )
        ]
        for name, given in bounds.items()
    }
    found = [
        x if absent(x) else narrowed(rule(jnp.asarray(x), *row), jnp.asarray(x).dtype)
        for x, *row in zip(leaves, *columns.values(), strict=True)
    ]
    return treedef.unflatten(found)


def _fitting(name: str, bound: Any, path: str, leaf: Any) -> Any:
    if absent(leaf) or bound is None:
        return None
    shape = jnp.shape(bound)
    try:
        fits = jnp.broadcast_shapes(shape, jnp.shape(leaf)) == jnp.shape(leaf)
    except ValueError:
        fits = False
    if not fits:
        raise failure(
            f"{name}{path} has shape {shape}, tree{path} has {jnp.shape(leaf)}: give "
            f"a number, or an array that broadcasts to that shape."
        )
    return bound


def groups_of(tree: Any, axis_name: AxisNames) -> list[tuple[Names, jax.Array]]:
    """The arrays that have entries, small ones joined, each with its axes."""
    return [
        (axes, x)
        for axes, leaves in by_axes(tree, axis_name).items()
        for x in pooled(leaves)
        if x.size
    ]
