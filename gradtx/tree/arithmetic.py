"""Arithmetic with whole trees.

`None` leaves stay `None`, and trees that go together have the same structure and
shapes: nothing is broadcast from leaf to leaf.
"""

import builtins
import functools
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.trees import (
    absent,
    check_match,
    compute_dtype,
    leaves_of,
    map_present,
)
from gradtx.core.types import Scalar


def _outline(tree: Any) -> Any:
    """The shapes alone: here a complex leaf may go with a real one."""
    return map_present(
        lambda x: jax.ShapeDtypeStruct(jnp.shape(x), jnp.dtype(jnp.float32)), tree
    )


def _check(x: Any, y: Any, name: str, other: str) -> None:
    check_match(name, _outline(x), other, _outline(y))


def zipped(
    fn: Callable[[Any, Any], Any],
    x: Any,
    y: Any,
    name: str = "tree_x",
    other: str = "tree_y",
) -> Any:
    """Map over the pairs of leaves that are there."""
    _check(x, y, name, other)
    leaves, treedef = leaves_of(x)
    others = leaves_of(y)[0]
    return treedef.unflatten(
        a if absent(a) else fn(jnp.asarray(a), jnp.asarray(b))
        for a, b in zip(leaves, others, strict=True)
    )


def _reduce(fn: Callable[[Any, Any], Any], parts: list[Any], empty: float) -> jax.Array:
    return functools.reduce(fn, parts) if parts else jnp.asarray(empty, jnp.float32)


def _present(tree: Any) -> list[jax.Array]:
    return [jnp.asarray(x) for x in leaves_of(tree)[0] if not absent(x)]


def wide(x: jax.Array) -> jax.Array:
    """At least float32, unless it is of whole numbers."""
    if jnp.issubdtype(x.dtype, jnp.inexact):
        return x.astype(compute_dtype(x.dtype))
    return x


def narrowed(value: jax.Array, dtype: Any) -> jax.Array:
    """Back to a leaf's dtype, which a scalar must not widen."""
    value_dtype = value.dtype
    both = jnp.complexfloating, jnp.floating
    same_kind = any(
        jnp.issubdtype(value_dtype, k) and jnp.issubdtype(dtype, k) for k in both
    )
    return value.astype(dtype) if same_kind else value


def add(tree_x: Any, tree_y: Any, *other_trees: Any) -> Any:
    """The sum of two or more trees, leaf by leaf.

    More than two are added in at least float32 and rounded once.

    Raises:
      ValueError: structure or shape of a leaf differ; it is named.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.tree.add({"w": jnp.ones(2), "b": None}, {"w": jnp.ones(2), "b": None})
      {'b': None, 'w': Array([2., 2.], dtype=float32)}
    """
    if not other_trees:
        return zipped(jnp.add, tree_x, tree_y)
    total = map_present(lambda x: wide(jnp.asarray(x)), tree_x)
    dtypes = [jnp.result_type(x) for x in _present(tree_x)]
    for tree in (tree_y, *other_trees):
        total = zipped(lambda x, y: x + wide(y), total, tree)
        pairs = zip(dtypes, _present(tree), strict=True)
        dtypes = [jnp.promote_types(dtype, x.dtype) for dtype, x in pairs]
    narrow = iter(dtypes)
    return map_present(lambda x: narrowed(x, next(narrow)), total)


def sub(tree_x: Any, tree_y: Any) -> Any:
    """tree_x - tree_y, leaf by leaf; raises as `add` does."""
    return zipped(jnp.subtract, tree_x, tree_y)


def mul(tree_x: Any, tree_y: Any) -> Any:
    """tree_x times tree_y, leaf by leaf and entry by entry; raises as `add` does."""
    return zipped(jnp.multiply, tree_x, tree_y)


def div(tree_x: Any, tree_y: Any) -> Any:
    """tree_x / tree_y, leaf by leaf and entry by entry; raises as `add` does."""
    return zipped(jnp.true_divide, tree_x, tree_y)


def scale(scalar: Scalar, tree: Any) -> Any:
    """A number times a tree.

    Floating leaves keep their dtype whatever the number's; the product is taken in at
    least float32.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.tree.scale(jnp.float32(0.5), jnp.ones(2, jnp.bfloat16))
      Array([0.5, 0.5], dtype=bfloat16)
    """

    check.scalar("scalar", scalar)

    def times(x: Any) -> Any:
        x = jnp.asarray(x)
        return narrowed(scalar * wide(x), x.dtype)

    return map_present(times, tree)


def add_scale(tree_x: Any, scalar: Scalar, tree_y: Any) -> Any:
    """tree_x + scalar tree_y; the number does not widen the leaves.

    Raises:
      ValueError: structure or shape of a leaf differ; it is named.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.tree.add_scale(jnp.ones(2), -0.1, jnp.array([1.0, 5.0]))
      Array([0.9, 0.5], dtype=float32)
    """
    check.scalar("scalar", scalar)
    return zipped(
        lambda x, y: narrowed(
            wide(x) + scalar * wide(y), jnp.promote_types(x.dtype, y.dtype)
        ),
        tree_x,
        tree_y,
    )


def vdot(tree_x: Any, tree_y: Any) -> jax.Array:
    """The inner product of two trees, as of two long vectors.

        <x, y> = sum conj(x) y   (over leaves and entries)

    Summed in at least float32, and not as a matrix product, which on an accelerator
    may round its factors. An empty tree has 0.

    Raises:
      ValueError: structure or shape of a leaf differ; it is named.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> float(gradtx.tree.vdot([jnp.ones(2), 3.0], [jnp.ones(2), 2.0]))
      8.0
    """
    products = zipped(lambda x, y: jnp.sum(jnp.conj(wide(x)) * wide(y)), tree_x, tree_y)
    return _reduce(operator.add, _present(products), 0)


def sum(tree: Any, associative_reduction: bool = False) -> jax.Array:
    """The sum of all entries of all leaves, in at least float32.

    Args:
      tree: arrays; `None` is passed over. An empty tree has 0.
      associative_reduction: whether to add the leaves' sums in pairs, then those in
        pairs, ...; with thousands of leaves that compiles faster.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> float(gradtx.tree.sum({"w": jnp.ones((2, 3)), "b": 1.0}))
      7.0
    """
    sums = [jnp.sum(wide(x)) for x in _present(tree)]
    if associative_reduction and sums:
        return jax.tree.reduce_associative(operator.add, sums)
    return _reduce(operator.add, sums, 0)


def max(tree: Any) -> jax.Array:
    """The largest entry of all leaves; -inf where there is none."""
    return _reduce(jnp.maximum, [x.max() for x in _present(tree) if x.size], -jnp.inf)


def min(tree: Any) -> jax.Array:
    """The smallest entry of all leaves; inf where there is none."""
    return _reduce(jnp.minimum, [x.min() for x in _present(tree) if x.size], jnp.inf)


def size(tree: Any) -> int:
    """The number of entries of all leaves, a Python int.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.tree.size({"w": jnp.ones((2, 3)), "b": 0.0, "frozen": None})
      7
    """
    return builtins.sum(jnp.size(x) for x in leaves_of(tree)[0] if not absent(x))


def zeros_like(tree: Any, dtype: Any = None) -> Any:
    """Zeros in the shapes of a tree, in its dtypes or in the given one."""
    return full_like(tree, 0, dtype)


def ones_like(tree: Any, dtype: Any = None) -> Any:
    """Ones in the shapes of a tree, in its dtypes or in the given one."""
    return full_like(tree, 1, dtype)


def full_like(tree: Any, fill_value: Scalar, dtype: Any = None) -> Any:
    """A value everywhere, in the shapes of a tree, in its dtypes or in the given one.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.tree.full_like({"w": jnp.ones(2), "b": None}, 0.5)
      {'b': None, 'w': Array([0.5, 0.5], dtype=float32)}
    """
    return map_present(lambda x: jnp.full_like(x, fill_value, dtype=dtype), tree)


def batch_shape(tree: Any, shape: tuple[int, ...] = ()) -> Any:
    """Every leaf repeated along new leading axes.

    Args:
      tree: arrays; `None` stays `None`.
      shape: of the new axes, which come first.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.tree.batch_shape({"w": jnp.ones(2), "b": None}, (3,))["w"].shape
      (3, 2)
    """
    return map_present(lambda x: jnp.broadcast_to(x, (*shape, *jnp.shape(x))), tree)


def where(condition: Any, tree_x: Any, tree_y: Any) -> Any:
    """tree_x where the condition holds, else tree_y.

    Args:
      condition: a bool, or an array that broadcasts against every leaf.
      tree_x, tree_y: trees with the same structure and shapes.

    Raises:
      ValueError: structure or shape of a leaf differ; it is named.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> float(gradtx.tree.where(jnp.array(False), 1.0, 2.0))
      2.0
    """
    return zipped(functools.partial(jnp.where, condition), tree_x, tree_y)


def conj(tree: Any) -> Any:
    """The complex conjugate of every leaf."""
    return map_present(jnp.conj, tree)


def real(tree: Any) -> Any:
    """The real part of every leaf."""
    return map_present(jnp.real, tree)


def clip(
    tree: Any, min_value: Scalar | None = None, max_value: Scalar | None = None
) -> Any:
    """Hold every entry in [min_value, max_value]; `None` is no bound.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.tree.clip(jnp.array([-2.0, 0.5, 2.0]), -1, 1)
      Array([-1. ,  0.5,  1. ], dtype=float32)
    """
    return map_present(lambda x: jnp.clip(x, min_value, max_value), tree)


def allclose(
    a: Any, b: Any, rtol: Scalar = 1e-5, atol: Scalar = 1e-8, equal_nan: bool = False
) -> jax.Array:
    """Whether |a - b| <= atol + rtol |b| for all entries of all leaves.

    Raises:
      ValueError: structure or shape of a leaf differ; it is named.

    Example:
      >>> import gradtx
      >>> bool(gradtx.tree.allclose({"w": 1.0}, {"w": 1.0 + 1e-6}))
      True
    """
    _check(a, b, "a", "b")
    close = functools.partial(jnp.allclose, rtol=rtol, atol=atol, equal_nan=equal_nan)
    pairs = zip(leaves_of(a)[0], leaves_of(b)[0], strict=True)
    both = [close(x, y) for x, y in pairs if not absent(x)]
    return functools.reduce(operator.and_, both, jnp.asarray(True))
