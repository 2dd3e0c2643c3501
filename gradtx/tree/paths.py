"""Paths through a state: its nodes, what they are called, whose they are."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax

Path = tuple[Any, ...]  # as jax.tree_util has it, with NamedTupleKey for a field
Filter = Callable[[Path, Any], bool]


class NamedTupleKey(NamedTuple):
    """A step of a path into a NamedTuple: prints as `.count`, knows whose it is."""

    tuple_name: str  # the NamedTuple's class
    name: str  # the field

    def __str__(self) -> str:
        return f".{self.name}"


def in_group(name: Any) -> Filter:
    """A filter for `get`, `set` and `get_all_with_path`: one group's state only.

    Args:
      name: of a group of `groups`, or a label of `partition`.

    Example:
      >>> import gradtx
      >>> sgd = gradtx.inject_hyperparams(gradtx.sgd)
      >>> tx = gradtx.groups([("head", dict(learning_rate=0.5))], default=sgd(0.1))
      >>> state = tx.init({"body": 1.0, "head": 1.0})
      >>> head = gradtx.tree.in_group("head")
      >>> state = gradtx.tree.set(state, head, learning_rate=1.0)
      >>> float(gradtx.tree.get(state, "learning_rate", group="head"))
      1.0
    """

    def inside(path: Path, value: Any) -> bool:
        return any(
            getattr(above, "name", None) == "inner_states"
            and isinstance(step, jax.tree_util.DictKey)
            and step.key == name
            for above, step in itertools.pairwise(path)
        )

    return inside


def entries(node: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every node below, the outer before the inner, with its path; the node first."""
    level = [(path, node)]
    while level:
        yield from level
        level = [
            ((*at, key), child) for at, x in level for key, child in children(x)[0]
        ]


def children(node: Any) -> tuple[list[tuple[Any, Any]], Any]:
    """One level of a tree: the children with their keys, and the structure."""
    found, treedef = jax.tree_util.tree_flatten_with_path(
        node, is_leaf=lambda x: x is not node
    )
    if node is None or (len(found) == 1 and found[0][0] == ()):
        return [], None  # a leaf
    name = type(node).__name__
    named = hasattr(node, "_fields")
    return [
        (NamedTupleKey(name, key.name) if named and hasattr(key, "name") else key, x)
        for (key,), x in found
    ], treedef


def name_of(key: Any) -> Any:
    """What a step of a path is called; None for a place in a tuple or a list."""
    return getattr(key, "name", getattr(key, "key", None))
