"""The simplex, and the sphere and the ball of the sum of sizes."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradtx.core import check
from gradtx.core.axes import AxisNames, Names, across
from gradtx.core.trees import at_work, map_present
from gradtx.core.types import Scalar
from gradtx.projections.points import (
    as_given,
    groups_of,
    need_order,
    point,
)
from gradtx.tree import norms


@at_work("projection_simplex")
def projection_simplex(
    tree: Any, scale: Scalar = 1, *, axis_name: AxisNames = ()
) -> Any:
    """The nearest point with no negative entry and a given sum over all leaves.

        P(x) = max(x - t, 0),   t such that the sum over all entries is scale

    Without sorting: t is found by Newton's method on that sum, which is convex and
    piecewise linear in t, so that from below it ends after finitely many passes, some
    ten on random numbers. Numbers are taken relative to the largest, so that a common
    offset costs no digits. With the support S, the entries above 0, the derivative is
    that of

        P(x)_i = x_i + (scale - sum over S of x_j) / |S|   for i in S,   else 0

    Args:
      tree: x, real floating arrays, together one vector; `None` stays.
      scale: the sum, at least 0; one number.
      axis_name: mesh axes over which leaves are split, see `clip_by_global_norm`.

    Returns:
      The point, in the structure, shapes and dtypes of tree; computed in at least
      float32 and rounded once. Any NaN in x makes it NaN.

    Raises:
      ValueError: a complex leaf, or scale below 0.
      TypeError: a leaf of integers.

    Source: Held, Wolfe & Crowder, Validation of subgradient optimization (1974), for
    the threshold; Condat, Fast projection onto the simplex and the l1 ball (2016),
    section 3, for Newton's method (there Michelot's) without sorting.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tree = {"w": jnp.array([2.5, 3.25]), "b": jnp.array(0.5)}
      >>> gradtx.projections.projection_simplex(tree)["w"]
      Array([0.125, 0.875], dtype=float32)
    """
    check.nonnegative("scale", scale)
    need_order(tree)
    x = point(tree)
    top, depth = _level(x, scale, axis_name)
    return as_given(map_present(lambda x: _above(x - top + depth), x), tree)


@at_work("projection_l1_sphere")
def projection_l1_sphere(
    tree: Any, scale: Scalar = 1, *, axis_name: AxisNames = ()
) -> Any:
    """A nearest point whose sizes have a given sum over all leaves.

        P(x) = sign(x) S(|x|),   S the projection onto the simplex

    The sign of 0 is taken to be 1: the nearest point to 0 is not 0, and it is one of
    several. The sphere is not convex.

    Args:
      tree: x, arrays, real or complex, together one vector; `None` stays.
      scale: the radius, at least 0; one number.
      axis_name: mesh axes over which leaves are split, see `clip_by_global_norm`.

    Returns:
      The point, in the structure, shapes and dtypes of tree; see `projection_simplex`.

    Raises:
      ValueError: scale below 0.
      TypeError: a leaf of integers.

    Source: Duchi et al., Efficient projections onto the l1-ball (2008), lemma 3.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.projections.projection_l1_sphere(jnp.array([0.25, -0.5]))
      Array([ 0.375, -0.625], dtype=float32)
    """
    check.nonnegative("scale", scale)
    x = point(tree)
    top, depth = _level(map_present(_size, x), scale, axis_name)
    new = map_present(lambda x: _sign(x) * _above(_size(x) - top + depth), x)
    return as_given(new, tree)


@at_work("projection_l1_ball")
def projection_l1_ball(
    tree: Any, scale: Scalar = 1, *, axis_name: AxisNames = ()
) -> Any:
    """The nearest point whose sizes have at most a given sum over all leaves.

        P(x) = x                              if sum |x| <= scale
        P(x) = sign(x) max(|x| - t, 0)        otherwise, as onto the sphere

    A point of the ball is not changed, to the bit. Outside most entries become 0.

    Args:
      tree: x, arrays, real or complex, together one vector; `None` stays.
      scale: the radius, at least 0; one number.
      axis_name: mesh axes over which leaves are split, see `clip_by_global_norm`.

    Returns:
      The point, in the structure, shapes and dtypes of tree; see `projection_simplex`.

    Raises:
      ValueError: scale below 0.
      TypeError: a leaf of integers.

    Source: Duchi et al., Efficient projections onto the l1-ball (2008), section 4.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.projections.projection_l1_ball(jnp.array([2.0, -1.5, 0.25]))
      Array([ 0.75, -0.25,  0.  ], dtype=float32)
    """
    check.nonnegative("scale", scale)
    x = point(tree)
    inside = norms.norm(x, 1, axis_name=axis_name) <= scale
    top, depth = _level(map_present(_size, x), scale, axis_name)

    def rule(x: jax.Array) -> jax.Array:
        return jnp.where(inside, x, _sign(x) * _above(_size(x) - top + depth))

    return as_given(map_present(rule, x), tree)


def _level(tree: Any, total: Scalar, axis_name: AxisNames) -> Any:
    """The largest entry, and how far below it the threshold lies.

    So that the sum of max(x - top + depth, 0) is the total, with the derivative of
    depth where the same entries stay above 0.
    """
    groups = groups_of(tree, axis_name)
    arrays, axes = [x for _, x in groups], tuple(axes for axes, _ in groups)
    still = [lax.stop_gradient(x) for x in arrays]
    tops = [jnp.max(x) for x in still]
    tops = [lax.pmax(x, a) if a else x for x, a in zip(tops, axes, strict=True)]
    top = functools.reduce(jnp.maximum, tops, *([] if tops else [jnp.float32(0)]))
    total = jnp.asarray(total, top.dtype)
    found = _settled(lax.stop_gradient(total), still, top, axes)
    return top, _newton(found, total, arrays, still, top, axes)


# Compiled: without an outer jit a lax.while_loop is compiled by itself.
@functools.partial(jax.jit, static_argnums=3)
def _settled(
    total: jax.Array, arrays: list[jax.Array], top: jax.Array, axes: tuple[Names, ...]
) -> jax.Array:
    """Where Newton's method stays. From the total it can only fall.

    That would do for the largest entry alone.
    """

    def better(depth: jax.Array) -> jax.Array:
        return _newton(depth, total, arrays, arrays, top, axes)

    def falls(depths: tuple[jax.Array, jax.Array]) -> jax.Array:
        return depths[1] < depths[0]

    def body(depths: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        return depths[1], better(depths[1])

    return lax.while_loop(falls, body, (total, better(total)))[0]


def _newton(
    depth: jax.Array,
    total: jax.Array,
    arrays: list[jax.Array],
    still: list[jax.Array],
    top: jax.Array,
    axes: tuple[Names, ...],
) -> jax.Array:
    """The depth that would do for the entries that are above 0 at this one."""
    entries, below = jnp.zeros_like(total), jnp.zeros_like(total)
    for x, now, names in zip(arrays, still, axes, strict=True):
        above = now - top > -depth
        entries += across(jnp.sum(above, dtype=total.dtype), names)
        below += across(jnp.sum(jnp.where(above, x - top, 0)), names)
    return (total - below) / jnp.maximum(entries, 1)


def _above(x: jax.Array) -> jax.Array:
    """max(x, 0), with a derivative of 0 at 0; a NaN stays."""
    return jnp.where(x <= 0, 0, x)


def _size(x: jax.Array) -> jax.Array:
    """|x|, with a derivative of 0 at 0, also of complex numbers."""
    zero = x == 0
    return jnp.where(zero, 0, jnp.abs(jnp.where(zero, 1, x)))


def _sign(x: jax.Array) -> jax.Array:
    """Of size 1 everywhere, 1 for 0."""
    if not jnp.iscomplexobj(x):
        return jnp.where(x < 0, -1, 1).astype(x.dtype)
    unit = jnp.where(x == 0, 1, x)
    return unit / jnp.abs(unit)
