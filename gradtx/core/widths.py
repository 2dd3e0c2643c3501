"""How wide updates are on their way: nothing is rounded before the end.

Updates travel from transformation to transformation in the dtype that they were
computed in, at least float32. Only the outermost `update`, which nothing else is
around, hands them out in the wider of the gradient's and the parameter's dtype, and
`step` rounds once, into the parameter.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core import trees
from gradtx.core.trees import absent, compute_dtype, dtype_of, is_inexact, leaves_of

# Whether another transformation is around the one at work.
_inside: ContextVar[bool] = ContextVar("gradtx_inside", default=False)


@contextmanager
def inside() -> Iterator[None]:
    """Inside of it no `update` is the outermost."""
    token = _inside.set(True)
    try:
        yield
    finally:
        _inside.reset(token)


def outermost(update: Callable[..., tuple[Any, Any]]) -> Callable[..., Any]:
    """The same `update`, which rounds what it hands out if nothing is around it."""

    @functools.wraps(update)
    def run(updates: Any, state: Any, params: Any = None, **extra: Any) -> Any:
        if _inside.get():
            return update(updates, state, params, **extra)
        with inside():
            new, state = update(updates, state, params, **extra)
        return handed_out(new, updates, params), state

    return run


def handed_out(new: Any, updates: Any, params: Any) -> Any:
    """New updates in the wider of the gradients' and the parameters' dtypes."""
    if getattr(type(new), "__as_computed__", False):  # more than updates
        return new
    leaves, treedef = leaves_of(new)
    given = leaves_of(updates)[0]
    # More updates than gradients: those of each copy of the parameters in turn.
    given *= max(1, len(leaves) // max(1, len(given)))
    if len(given) != len(leaves):
        return new  # not of one structure: whoever applies them says so
    own = given if params is None else leaves_of(params)[0]
    own = own if len(own) == len(leaves) else given
    for i, (u, g, p) in enumerate(zip(leaves, given, own, strict=True)):
        leaves[i] = u if absent(u) else _cast(u, wider_of(g, p))
    return treedef.unflatten(leaves)


def on_the_way(g: Any, p: Any = None) -> Any:
    """The dtype that an update travels in: at least float32 and the parameter's."""
    dtype = wider_of(g, p)
    return compute_dtype(dtype) if is_inexact(dtype) else dtype


def wider_of(g: Any, p: Any) -> Any:
    """The wider of two dtypes; the one there is, if a leaf is not."""
    dtypes = [dtype_of(x) for x in (g, p) if not absent(x)]
    if len(dtypes) == 2 and dtypes[0] != dtypes[1]:
        return trees.wider(*dtypes)
    return dtypes[0] if dtypes else jnp.dtype(jnp.float32)


def _cast(u: Any, dtype: Any) -> Any:
    """The update in that dtype, real if it is real; itself if it is already."""
    own = dtype_of(u)
    if own == dtype or not (is_inexact(own) and is_inexact(dtype)):
        return u
    if own.kind != "c" and jnp.issubdtype(dtype, jnp.complexfloating):
        dtype = jnp.finfo(dtype).dtype
    return jnp.asarray(u, dtype)


def widened(tree: Any) -> Any:
    """The tree with its floating arrays in at least float32.

    For an `update` written by hand: what it computes of these is not rounded on its way
    through a chain, and is as wide as what an inner transformation gives, as the
    branches of a `lax.cond` have to be.

    Args:
      tree: any tree; what is no floating array stays as it is.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.tree.widened({"w": jnp.ones(2, jnp.bfloat16), "n": 3})
      {'n': 3, 'w': Array([1., 1.], dtype=float32)}
    """

    def wide(x: Any) -> Any:
        if not isinstance(x, jax.Array | np.ndarray | jax.ShapeDtypeStruct):
            return x
        if not is_inexact(x.dtype) or compute_dtype(x.dtype) == x.dtype:
            return x
        if isinstance(x, jax.ShapeDtypeStruct):
            return jax.ShapeDtypeStruct(x.shape, compute_dtype(x.dtype))
        return x.astype(compute_dtype(x.dtype))

    return jax.tree.map(wide, tree)
