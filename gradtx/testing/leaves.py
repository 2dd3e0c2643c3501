"""The tree that transformations are tried on, and leaves picked out of it by path."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.trees import absent, is_none, paths_of


def _array(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.float32)


# A matrix, a vector, a 0-d array, an empty one, and a leaf that is not there.
OUTLINE = {
    "layer": {"kernel": _array(3, 2), "bias": _array(2)},
    "gain": _array(),
    "empty": _array(0, 2),
    "absent": None,
}

_outline: ContextVar[Any] = ContextVar("gradtx_outline", default=OUTLINE)


@contextmanager
def shaped_like(params: Any) -> Iterator[None]:
    """Inside of it the tree has the structure and the shapes of these parameters.

    Raises:
      ValueError: there is no array with entries among them.
    """
    if params is None:
        yield
        return
    outline = jax.tree.map(
        lambda x: None if absent(x) else _array(*jnp.shape(x)), params, is_leaf=is_none
    )
    if not any(x is not None and x.size for x in jax.tree.leaves(outline)):
        raise ValueError(f"params must have an array with entries, got {params!r}.")
    token = _outline.set(outline)
    try:
        yield
    finally:
        _outline.reset(token)


def outline() -> Any:
    """The tree as shapes, in float32."""
    return _outline.get()


def outline_key() -> Any:
    """A hashable that is equal for trees alike."""
    leaves, treedef = jax.tree.flatten(outline())
    return treedef, tuple(x.shape for x in leaves)


def kernel() -> str:
    """The path of the largest leaf, as errors write it."""
    return _by_size()[0]


def bias() -> str:
    """The path of another leaf, the largest but one; the same if there is one only."""
    return _by_size()[:2][-1]


def _by_size() -> list[str]:
    sizes = [(path, x.size) for path, x in paths_of(outline()) if x is not None]
    return [path for path, size in sorted(sizes, key=lambda found: -found[1]) if size]


def leaf_at(tree: Any, path: str) -> Any:
    """The leaf at that path."""
    return dict(paths_of(tree))[path]


def replaced(tree: Any, path: str, value: Any) -> Any:
    """The tree with something else at that path."""

    def choose(at: Any, x: Any) -> Any:
        return value if jax.tree_util.keystr(at) == path else x

    return jax.tree_util.tree_map_with_path(choose, tree, is_leaf=is_none)


def map_shapes(fn: Callable[[tuple[int, ...]], Any]) -> Any:
    """The tree with an array made for each shape."""
    return jax.tree.map(lambda x: fn(x.shape), outline())


def waves(start: float, dtype: Any = jnp.float32, lead: tuple[int, ...] = ()) -> Any:
    """Entries between -1 and 1, the same each time, without two alike."""

    def wave(shape: tuple[int, ...]) -> jax.Array:
        where = np.arange(np.prod((*lead, *shape), dtype=int)) + start
        values = np.cos(1.7 * where).reshape((*lead, *shape))
        if jnp.issubdtype(dtype, jnp.complexfloating):
            values = values + 1j * np.sin(2.3 * where).reshape((*lead, *shape))
        return jnp.asarray(values, dtype)

    return map_shapes(wave)


def gradients(step: int, dtype: Any = jnp.float32, lead: tuple[int, ...] = ()) -> Any:
    """The gradients of a step, counted from 0."""
    return waves(10.0 + 3 * step, dtype, lead)
