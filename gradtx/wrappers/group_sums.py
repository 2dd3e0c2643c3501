"""Sums of squares over a tree and over each group of its leaves."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.axes import AxisNames, Names, axes_of_each, by_axes
from gradtx.core.compose import partition
from gradtx.core.masking import spread_list
from gradtx.core.pair import GradientTransformation
from gradtx.core.trees import (
    absent,
    as_array,
    dtype_of,
    is_function,
    is_inexact,
    is_none,
    leaves_of,
)
from gradtx.tree.norms import squares_of

WHOLE = ""  # the name of what is not of one group


def inside(tx: Any) -> Iterator[Any]:
    """The transformation, what it is made of, and those among its arguments."""
    if type(tx) is tuple and len(tx) == 2:  # of named_chain
        tx = tx[1]
    if not isinstance(tx, GradientTransformation):
        return
    yield tx
    if tx.made_of is not None:
        yield from inside(tx.made_of)
    elif tx.call is not None:
        for value in tx.call.bound.arguments.values():
            if isinstance(value, dict):
                value = [*value.values()]
            for member in value if type(value) in (tuple, list) else (value,):
                yield from inside(member)


class GroupSums:
    """Sums of squares of trees like the parameters, each by the name of its group.

    Args:
      tx: with the groups in it.
      per_group: whether they are asked for.
      axis_name: see `clip_by_global_norm`.
    """

    def __init__(self, tx: Any, per_group: bool, axis_name: AxisNames):
        self.axis_name = axis_name
        self.names: tuple[str, ...] = ()
        if not per_group:
            return
        calls = [x.call for x in inside(tx) if x.call is not None]
        found = [call for call in calls if call.factory is partition]
        if not found:
            raise ValueError(
                f"with_metrics: per_group=True is for groups, and there are none in "
                f"{tx!r:.60}: see gradtx.groups."
            )
        arguments = found[0].bound.arguments
        self._members, self._given = arguments["transforms"], arguments["param_labels"]
        self.names = tuple(map(str, self._members))

    def of(self, tree: Any, like: Any, *scale: Any) -> dict[str, jax.Array]:
        """The sums: of the whole tree, and of the groups if they are asked for.

        Args:
          tree: of arrays.
          like: the tree that the groups are chosen by.
          *scale: what entries are multiplied by first.
        """
        tree = jax.tree.map(lambda x: x if _counts(x) else None, tree)
        if not self.names:
            return {WHOLE: squares_of(by_axes(tree, self.axis_name), *scale)}
        parts: dict[str, dict[Names, list[jax.Array]]] = {n: {} for n in self.names}
        each = axes_of_each(tree, self.axis_name)
        rows = zip(leaves_of(tree)[0], each, self._labels(like), strict=True)
        for x, axes, name in rows:
            if not absent(x):
                parts[name].setdefault(axes, []).append(as_array(x))
        return _with_whole({n: squares_of(part, *scale) for n, part in parts.items()})

    def _labels(self, like: Any) -> list[str]:
        """The name of each leaf's group."""
        given, known = self._given, self._members
        labels = given(like) if is_function(given) else given

        def is_label(x: Any) -> bool:
            try:
                return is_none(x) or x in known
            except TypeError:  # no hash, as of a list
                return False

        return list(map(str, spread_list("param_labels", labels, like, is_label)))


def _counts(x: Any) -> bool:
    return not absent(x) and is_inexact(dtype_of(x))


def _with_whole(sums: dict[str, jax.Array]) -> dict[str, jax.Array]:
    return sums | {WHOLE: sum(sums.values(), jnp.zeros([]))}
