"""Norms of whole trees, and of parts of arrays."""

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gradtx.core.axes import (
    AxisNames,
    MissingAxisError,
    Names,
    across,
    by_axes,
    size_of,
)
from gradtx.core.numerics import abs_sq, norm_of, root, window
from gradtx.core.rules import Formula
from gradtx.core.stacks import layer_axes
from gradtx.core.trees import compute_dtype, is_abstract, map_present
from gradtx.tree import arithmetic
from gradtx.tree.pooling import Totals, pooled

# A distance below counts as none: squares of it, and of 1e14 times it, are in range.
LEAST = 1e-20


def sum_of_squares(tree: Any, axis_name: AxisNames = ()) -> jax.Array:
    """The sum of |x|^2 over all entries of all leaves, in at least float32.

    Small or bfloat16 leaves lose nothing: each is widened before it is squared, so a
    float16 leaf cannot overflow. An empty tree has 0.
    """
    return squares_of(by_axes(tree, axis_name))


def squares_of(leaves: Mapping[Names, list[jax.Array]], *scale: Any) -> jax.Array:
    """The same of leaves by the axes that they are split over, each times a scale."""
    total = jnp.zeros([], jnp.float32)
    for axes, some in leaves.items():
        total += _total(pooled(some), axes, *scale)
    return total


def sum_of_entries(tree: Any, axis_name: AxisNames = ()) -> jax.Array:
    """The sum of all entries of all leaves, at least float32; of complex, real parts.

    For what a rule has computed of several trees: under `jit` it is not stored. Small
    leaves share a reduction.
    """
    found = jnp.zeros([], jnp.float32)
    for axes, leaves in by_axes(tree, axis_name).items():
        here = jnp.zeros([], jnp.float32)
        for part in _entries(pooled(leaves)):
            here += part
        found += across(here, axes)
    return found


def norm(
    tree: Any,
    ord: int | float | str | None = None,
    squared: bool = False,
    *,
    axis_name: AxisNames = (),
) -> jax.Array:
    """The norm of a tree, as of one long vector.

        |x|_2 = sqrt(sum |x|^2),   |x|_1 = sum |x|,   |x|_inf = max(|x|)

    over leaves and entries. Entries whose squares are out of range (from 2e19 or below
    1e-19 in float32) have the right norm all the same: where the sum of squares shows
    that some may have been, they are squared again, scaled. The derivative at 0 is 0.

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
        return sum_of_squares(tree, axis_name) if squared else _length(tree, axis_name)
    if ord not in (1, jnp.inf, "inf", "infinity"):
        raise ValueError(f"ord must be 1, 2 or inf, got {ord!r}.")
    total = jnp.zeros([], jnp.float32)
    for axes, leaves in by_axes(tree, axis_name).items():
        sizes = [_magnitude(x.astype(compute_dtype(x.dtype))) for x in leaves]
        if ord == 1:
            total += across(arithmetic.sum(sizes), axes)
        else:
            largest = arithmetic.max(sizes)  # of no entries: -inf
            total = jnp.maximum(total, lax.pmax(largest, axes) if axes else largest)
    return total * total if squared else total


def norm_at_first(params: Any, axis_name: AxisNames) -> jax.Array:
    """The norm of parameters in `init`.

    It may be called outside of the axes, with whole leaves; shapes count as zeros.
    """
    arrays = map_present(lambda p: None if is_abstract(p) else p, params)
    try:
        return norm(arrays, axis_name=axis_name)
    except MissingAxisError:
        return norm(arrays)


def global_norm(updates: Any, *, axis_name: AxisNames = ()) -> jax.Array:
    """The Euclidean norm of a tree, as of one long vector; see `tree.norm`.

    Args:
      updates: arrays, real or complex; `None` is passed over.
      axis_name: see `tree.norm`.

    Returns:
      A scalar, at least float32; 0 for an empty tree.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> float(gradtx.global_norm({"a": jnp.array([3.0]), "b": jnp.array(4.0)}))
      5.0
    """
    return norm(updates, axis_name=axis_name)


def norm_above(tree: Any, limit: Any, axis_name: AxisNames) -> jax.Array:
    """The norm of a tree, where it is above a limit; below it may be too small.

    So one look is enough, see `window`; `norm` may need two.
    """
    size, scale = norm_in_window(tree, limit, axis_name)
    return size / scale


def norm_in_window(
    tree: Any, limit: Any, axis_name: AxisNames
) -> tuple[jax.Array, Any]:
    """The same times a scale, see `window`, and that."""
    groups = [(x, pooled(leaves)) for x, leaves in by_axes(tree, axis_name).items()]
    entries = sum(x.size * size_of(axes) for axes, parts in groups for x in parts)
    dtypes = [jnp.finfo(compute_dtype(x.dtype)).dtype for _, ps in groups for x in ps]
    dtype = min(dtypes, key=_maximum, default=jnp.float32)
    scale = jnp.asarray(window(limit, entries, dtype), dtype)
    total = jnp.zeros([], jnp.float32)
    for axes, parts in groups:
        total += _total(parts, axes, scale)
    return root(total), scale


def leaf_norm(x: jax.Array | Formula, axes: Names = ()) -> jax.Array:
    """The norm of one leaf, for a rule; `axes` are those that it is split over.

    Of a formula it is computed by itself, and nothing is stored.
    """
    if isinstance(x, Formula):
        arrays = x.apart()
        once = x.of(*arrays)
        total = _total([once], axes)
        entries = once.size * size_of(axes)
        layers = layer_axes()

        def parts(*given: jax.Array) -> list[jax.Array]:
            return [x.of(*given)]

        size = _look_again(parts, arrays, total, axes, entries, layers)
        return norm_of(total, size)
    total = _total([x], axes)
    entries = x.size * size_of(axes)
    return norm_of(total, _sure([x], total, axes, entries, layer_axes()))


def norm_along(x: jax.Array, axis: Any = None, keepdims: bool = False) -> jax.Array:
    """The norms of the parts of an array along some dimensions, as of one leaf each."""
    x = x.astype(compute_dtype(x.dtype))
    largest = jnp.max(_magnitude(x), axis=axis, keepdims=True, initial=0)
    unit = jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1)
    squares = jnp.sum(abs_sq(x / unit), axis=axis, keepdims=True)
    total = jnp.sum(abs_sq(x), axis=axis, keepdims=True)
    found = norm_of(total, unit * jnp.sqrt(squares))
    return found if keepdims else jnp.squeeze(found, axis)


def _maximum(dtype: Any) -> float:
    return float(jnp.finfo(dtype).max)


@jax.custom_jvp
def _magnitude(x: jax.Array) -> jax.Array:
    return jnp.abs(x)


@_magnitude.defjvp
def _(primals: Any, tangents: Any) -> Any:
    # That of jnp.abs, but for complex 0, where it is NaN, and large numbers.
    x, t = primals[0], tangents[0]
    size = _magnitude(x)
    sign = x / jnp.where(size == 0, 1, size)
    return size, jnp.real(jnp.conj(sign) * t)


def _squared(x: jax.Array, scale: Any = None) -> jax.Array:
    x = x.astype(compute_dtype(x.dtype))
    return abs_sq(x if scale is None else x * scale)


_squares = Totals(_squared)
_entries = Totals(lambda x: jnp.real(x).astype(compute_dtype(x.real.dtype)))


def _total(parts: list[jax.Array], axes: Names, *scale: jax.Array) -> jax.Array:
    return across(_added(_squares(parts, *scale)), axes)


def _added(totals: Sequence[jax.Array]) -> jax.Array:
    """Of at least float32; no equation for a single one, since each leaf has some."""
    found = functools.reduce(operator.add, totals) if totals else jnp.zeros([])
    return found.astype(jnp.promote_types(found.dtype, jnp.float32))


def _length(tree: Any, axis_name: AxisNames) -> jax.Array:
    total = jnp.zeros([], jnp.float32)
    sizes, entries = [], 0
    for axes, leaves in by_axes(tree, axis_name).items():
        parts = pooled(leaves)
        here = _total(parts, axes)
        count = sum(x.size for x in parts) * size_of(axes)
        sizes.append(_sure(parts, here, axes, count, ()))
        total, entries = total + here, entries + count
    if len(sizes) == 1:
        return norm_of(total, sizes[0].astype(total.dtype))
    # The sizes of several groups, put together in the same way.
    size = jnp.sqrt(total)
    if sizes:
        largest = functools.reduce(jnp.maximum, sizes)
        unit = jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1)
        squares = functools.reduce(operator.add, [abs_sq(x / unit) for x in sizes])
        size = jnp.where(_in_range(total, entries), size, unit * jnp.sqrt(squares))
    return norm_of(total, size)


def _look_again(
    parts: Callable[..., list[jax.Array]],
    arrays: Sequence[jax.Array],
    total: jax.Array,
    axes: Names,
    entries: int,
    layers: Names = (),
) -> jax.Array:
    """The root of a sum of squares; where it is out of range, after another look.

    At parts that are made of the arrays, which are all that has to be stored. All
    layers of a stack are looked at again if one is, or both branches would be taken.
    """
    within = _in_range(total, entries)
    every = lax.pmin(within.astype(jnp.int32), layers) == 1 if layers else within

    def again(arrays: Sequence[jax.Array], total: jax.Array) -> jax.Array:
        scale = _scale(total)
        size = jnp.sqrt(_total(parts(*arrays), axes, scale)) / scale
        if layers:  # those of other layers, whose scale is not for them
            size = jnp.where(within, jnp.sqrt(total), size)
        return size.astype(total.dtype)

    def plain(arrays: Sequence[jax.Array], total: jax.Array) -> jax.Array:
        return jnp.sqrt(total)

    return lax.cond(every, plain, again, arrays, total)


# Compiled: without an outer jit a lax.cond is compiled by itself.
@functools.partial(jax.jit, static_argnums=(2, 3, 4))
def _sure(
    parts: list[jax.Array], total: jax.Array, axes: Names, entries: int, layers: Names
) -> jax.Array:
    return _look_again(lambda *given: list(given), parts, total, axes, entries, layers)


def _in_range(total: jax.Array, entries: int) -> jax.Array:
    """Whether no squares can have been too large, or too small to count.

    A square below the smallest number is lost. All of those together are less than
    the last digit of a sum that is larger by that digit and their number.
    """
    info = jnp.finfo(total.dtype)
    least = entries * float(info.tiny) / float(info.eps)
    return (total >= least) & (total <= float(info.max))


def _scale(total: jax.Array) -> jax.Array:
    """A power of two that brings squares into range whose sum is out of it.

    Not 1 / the largest entry: to find that takes another look, and devices would have
    to agree on it. In float32 2^-80, or 2^100 for a sum that is too small.
    """
    bits = int(jnp.finfo(total.dtype).maxexp)
    large, small = 2.0 ** (-5 * bits // 8), 2.0 ** (25 * bits // 32)
    return jnp.where(total > 1, *np.asarray([large, small], total.dtype))
