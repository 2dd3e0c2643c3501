"""Which parameter each array of a state is made from."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.trees import absent, dtype_of, failure, leaves_of, paths_of


class Source:
    """Stands for one parameter: a node without leaves that knows its type.

    `jax.tree.map` passes it by, so it comes out of `init` wherever the state of its
    parameter goes, whatever that state is. Masks and labels may read its shape.
    """

    def __init__(self, place: int, shape: tuple[int, ...], dtype: Any):
        self.place = place  # among the leaves of the parameters, None counted
        self.shape = shape
        self.dtype = dtype
        self.ndim = len(shape)
        self.size = 1
        for n in shape:
            self.size *= n


jax.tree_util.register_static(Source)


def shapes_of(params: Any) -> Any:
    """The parameters as shapes and dtypes, without placement."""
    leaves, treedef = leaves_of(params)
    return treedef.unflatten(
        x if absent(x) else jax.ShapeDtypeStruct(jnp.shape(x), dtype_of(x))
        for x in leaves
    )


def sources_of(tx: Any, params: Any) -> tuple[Any, list[int | None]]:
    """The state in shapes, and for each leaf the place of its parameter.

    Args:
      tx: a transformation.
      params: a tree of arrays or of shapes.

    Returns:
      `(state, places)`: the state that `init` makes, in shapes, and for each of its
      leaves the place of its parameter among `leaves_of(params)`; None for what is
      made from no one parameter: counts, keys, vectors that join parameters.

    Raises:
      TypeError: `init` cannot work on what stands for the parameters, or takes them
        to pieces, so that nothing tells what is made from which.
    """
    shapes = shapes_of(params)
    state = jax.eval_shape(tx.init, shapes)
    leaves, treedef = leaves_of(shapes)
    stand_ins = treedef.unflatten(
        x if absent(x) else Source(i, x.shape, x.dtype) for i, x in enumerate(leaves)
    )
    try:
        made = jax.eval_shape(lambda: tx.init(stand_ins))
    except Exception as error:
        raise failure(
            f"which parameter an array of the state is made from cannot be told: init "
            f"computes with parameters one by one ({type(error).__name__}: {error}). "
            f"Use jax.tree.map there; give a mask or labels as a tree, or as a "
            f"function that reads shapes only.",
            TypeError,
        ) from error
    places = [
        place for place, part in _parts(made, state) for _ in jax.tree.leaves(part)
    ]
    _check_the_others(state, places, shapes)
    return state, places


def _is_source(x: Any) -> bool:
    return isinstance(x, Source)


def _parts(made: Any, state: Any) -> Iterator[tuple[int | None, Any]]:
    """The state in parts, in order, each with the place of its parameter."""
    found, treedef = jax.tree.flatten(made, is_leaf=_is_source)
    try:
        parts = treedef.flatten_up_to(state)
    except (ValueError, TypeError, KeyError):
        yield from _apart(made, state)
        return
    for x, part in zip(found, parts, strict=True):
        yield (x.place if _is_source(x) else None), part


def _apart(made: Any, state: Any) -> Iterator[tuple[int | None, Any]]:
    """Where the two differ below: a transformation that joined what it saw, nothing."""
    inside, node = _level(made)
    if node == _level(state)[1] and inside:
        for below, part in zip(inside, _level(state)[0], strict=True):
            yield from _parts(below, part)
    elif any(map(_is_source, jax.tree.leaves(made, is_leaf=_is_source))):
        raise failure(
            f"which parameter an array of the state is made from cannot be told: init "
            f"takes the tree of parameters to pieces. With stand-ins for them it makes "
            f"{jax.tree.structure(made)}, else {jax.tree.structure(state)}.",
            TypeError,
        )
    else:
        yield None, state


def _level(node: Any) -> tuple[list[Any], Any]:
    """The children of a node and its own structure."""
    return jax.tree.flatten(node, is_leaf=lambda x: x is not node)


def _check_the_others(state: Any, places: list[int | None], params: Any) -> None:
    """Raise if an array that is made from no one parameter has the shape of one.

    `init` may have made it by hand: it may belong to that parameter. A vector may
    also be a joined one, and is small.
    """
    by_shape = {x.shape: path for path, x in paths_of(params) if not absent(x)}
    arrays = [(path, x) for path, x in paths_of(state) if x is not None]
    for (path, x), place in zip(arrays, places, strict=True):
        if place is None and x.ndim > 1 and x.shape in by_shape:
            raise failure(
                f"state{path} has the shape {x.shape} of params{by_shape[x.shape]}, "
                f"but init has not made it with jax.tree.map: whether it is made from "
                f"that parameter cannot be told. Use jax.tree.map there.",
                TypeError,
            )
