"""Clipping: of entries, of leaves, of units, of the whole tree."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.axes import (
    AxisName,
    AxisNames,
    across,
    axes_of,
    check_axis_name,
    names_of,
    size_of,
)
from gradtx.core.leafwise import leafwise, stateless_init
from gradtx.core.numerics import abs_sq, divide, root, shrinking, window
from gradtx.core.plan import Inputs, planned
from gradtx.core.transformation import transformation
from gradtx.core.trees import compute_dtype
from gradtx.core.types import EmptyState, Scalar
from gradtx.tree.norms import norm_along, norm_in_window


@transformation
def clip(max_delta: Scalar):
    """Limit every entry.

        u = min(max(g, -max_delta), max_delta)

    State: none.

    Args:
      max_delta: largest magnitude of an entry, above 0.

    Raises:
      ValueError: if max_delta is not above 0, or a leaf is complex (it has no order).

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.clip(1.0)
      >>> tx.update(jnp.array([0.5, -3.0]), tx.init(None))[0]
      Array([ 0.5, -1. ], dtype=float32)
    """
    check.positive("max_delta", max_delta)

    def rule(g):
        check.ordered(g)
        return jnp.clip(g, -max_delta, max_delta)

    return leafwise(EmptyState, rule)


class Clip(NamedTuple):
    """What `clip_by_global_norm` has found out, in one look; for `with_metrics`."""

    size: jax.Array  # the norm of the updates as they come in, times the scale
    scale: Any  # what they were multiplied by before they were squared
    limit: Any  # the largest norm, a number or an array
    factor: jax.Array  # what the updates are multiplied by


# A window is exact from a limit up. This one begins lower, so that the norm of updates
# within the limit is known, too, for those who look at it.
BELOW = 2.0**-5


@transformation
def clip_by_global_norm(max_norm: Scalar, *, axis_name: AxisNames = None):
    """Shrink the updates, all by the same factor, to a largest norm of the whole tree.

        u = g min(1, max_norm / |g|),   |g|^2 = sum over leaves and entries

    A NaN anywhere makes the norm and so every update NaN; see `zero_nans` and
    `apply_if_finite`. A limit of 0, as a schedule may have, gives 0. One look at the
    gradients finds the norm of updates up to 3e32 / n limits long, for n entries in
    float32; what is longer counts as infinite.

    State: none.

    Args:
      max_norm: largest Euclidean norm, above 0.
      axis_name: inside of `pmap` or `shard_map`, the mesh axis or axes over which the
        leaves are split, so that all devices find the norm of the whole. In
        `shard_map` a leaf that does not vary along one counts once; under `pmap` and
        with `check_vma=False`, where types do not tell, every leaf counts as split,
        unless a function is given: from the updates to a tree (or a prefix of one) of
        names, tuples of names or `PartitionSpec`s. `()` lets each device go by
        itself. Not for `jit` with sharded arrays, which sees whole leaves.

    Raises:
      ValueError: if max_norm is not above 0, an axis is not there, or the updates
        differ along one that is not named.

    Source: Pascanu, Mikolov & Bengio, On the difficulty of training recurrent neural
    networks (2013), algorithm 1.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.clip_by_global_norm(1.0)
      >>> tx.update(jnp.array([3.0, 4.0]), tx.init(None))[0]
      Array([0.6, 0.8], dtype=float32)
    """
    check.positive("max_norm", max_norm)
    check_axis_name(axis_name)

    # One scalar times g, not g / norm * max_norm: XLA would store the quotient.
    def prepare(updates, state, params):
        size, scale = norm_in_window(updates, BELOW * max_norm, axis_name)
        factor = shrinking(size, scale * max_norm, max_norm)
        found = Clip(size, scale, max_norm, factor)
        return Inputs(scalars=(factor,), clip=found), lambda: state

    def rule(g, factor):
        return factor * g

    return planned(
        *(stateless_init, rule, prepare),
        reads_updates=True,
        entrywise=True,
        clips=True,
    )


@transformation
def clip_by_block_rms(threshold: Scalar, *, axis_name: AxisName = None):
    """Shrink each leaf to a largest root mean square.

        u = g / max(1, rms(g) / threshold),   rms(g)^2 = mean of |g|^2 over the leaf

    State: none.

    Args:
      threshold: largest root mean square of a leaf, above 0.
      axis_name: mesh axes over which every leaf is split evenly, inside of `pmap` or
        `shard_map` (there, if its type says that it varies along them).

    Raises:
      ValueError: if threshold is not above 0, an axis is not there, or a leaf differs
        along one that is not named.

    Source: Shazeer & Stern, Adafactor (2018), section 6, update clipping.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.clip_by_block_rms(1.0)
      >>> tx.update(jnp.array([2.0, -2.0]), tx.init(None))[0]
      Array([ 1., -1.], dtype=float32)
    """
    check.positive("threshold", threshold)
    names_of(axis_name)

    def rule(g):
        axes = axes_of(g, axis_name)
        entries = max(g.size, 1) * size_of(axes)
        scale = window(threshold * entries**0.5, entries, g.real.dtype)
        size = root(across(jnp.sum(abs_sq(scale * g)), axes) / entries)
        return shrinking(size, scale * threshold, threshold) * g

    return leafwise(EmptyState, rule, whole_leaf=True)


@transformation
def adaptive_grad_clip(
    clipping: Scalar,
    eps: Scalar = 1e-3,
    axis: int | tuple[int, ...] | None = None,
    *,
    axis_name: AxisName = None,
):
    """Shrink each unit's gradient to a fraction of the norm of the unit's weights.

        u_i = g_i min(1, clipping max(|p_i|, eps) / |g_i|)   for each unit i

    A unit is an output: a column of a matrix, a filter of a convolution kernel with the
    outputs last. The norms go over the first axis of 2 or 3, over all but the last of 4
    or 5, and over the whole leaf if it is a vector or a scalar.

    State: none. `update` needs params.

    Args:
      clipping: largest ratio of the norms, above 0; the paper uses 0.01 for large
        batches.
      eps: least norm of weights that counts, above 0, so that a unit at zero can move.
      axis: axes of one unit, for all leaves, in place of the rule above.
      axis_name: mesh axes over which the units themselves are split, inside of `pmap`
        or `shard_map`: rows of a matrix, not columns. A leaf split by outputs has
        whole units and needs `()`; with both kinds, `partition` gives each its own.

    Raises:
      ValueError: a number out of range, no params, or a leaf of more than 5
        dimensions without `axis`.

    Source: Brock et al., High-performance large-scale image recognition without
    normalization (2021), eq. 3.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.adaptive_grad_clip(0.1)
      >>> tx.update(jnp.array([3.0, 4.0]), tx.init(None), jnp.array([0.0, 10.0]))[0]
      Array([0.6, 0.8], dtype=float32)
    """
    check.positive("clipping", clipping)
    check.positive("eps", eps)
    names_of(axis_name)

    def unit_norm(x, names, limit):
        """The norm in a window, and the window's scale."""
        axes = _unit_axes(x, axis)
        entries = math.prod(x.shape if axes is None else _lengths(x, axes))
        scale = window(limit, entries * size_of(names), x.real.dtype)
        total = jnp.sum(abs_sq(scale * x), axis=axes, keepdims=True)
        return root(across(total, names)), scale

    def rule(g, p):
        names = axes_of(g, axis_name)
        weights, scale = unit_norm(p, names, eps)
        size, own_scale = unit_norm(g, names, clipping * eps)
        largest = clipping * own_scale / scale * jnp.maximum(weights, scale * eps)
        return shrinking(size, largest, clipping) * g

    return leafwise(EmptyState, rule, with_params=True, whole_leaf=True)


def _lengths(x, axes):
    return [x.shape[i] for i in ((axes,) if isinstance(axes, int) else axes)]


def _unit_axes(x, axis, who="adaptive_grad_clip: a leaf"):
    if axis is not None:
        return axis
    if sum(n > 1 for n in x.shape) <= 1:  # a scalar or a vector, also one of (1, n)
        return None
    if x.ndim <= 3:
        return 0
    if x.ndim <= 5:
        return tuple(range(x.ndim - 1))
    raise ValueError(
        f"{who} has shape {x.shape}; for more than 5 dimensions give axis, the axes "
        f"of one unit."
    )


def unitwise_norm(x: Any, axis: int | tuple[int, ...] | None = None) -> jax.Array:
    """The norm of the unit that each entry belongs to.

    Args:
      x: an array, real or complex.
      axis: axes of one unit; by default as in `adaptive_grad_clip`.

    Returns:
      Real numbers in the shape of x, in at least float32, the same within a unit. The
      derivative at 0 is 0.

    Raises:
      ValueError: more than 5 dimensions without `axis`.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.unitwise_norm(jnp.array([[3.0, 0.0], [4.0, 1.0]]))
      Array([[5., 1.],
             [5., 1.]], dtype=float32)
    """
    x = jnp.asarray(x)
    units = _unit_axes(x, axis, "unitwise_norm: x")
    return jnp.broadcast_to(norm_along(x, units, keepdims=True), x.shape)


def unitwise_clip(
    g_norm: Any, max_norm: Any, grad: Any, div_eps: Scalar = 1e-6
) -> jax.Array:
    """Shrink the entries of each unit to a largest norm.

        u = grad min(1, max_norm / max(g_norm, div_eps))

    Args:
      g_norm: the norms of the gradient's units, see `unitwise_norm`.
      max_norm: their largest values, in the same shape.
      grad: the gradient, in the same shape.
      div_eps: least norm that is divided by, at least 0; a unit that is shorter is
        shrunk too far.

    Returns:
      The gradient clipped, in its own dtype.

    Raises:
      ValueError: shapes that differ; they are named. A negative div_eps.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> g = jnp.array([3.0, 4.0])
      >>> gradtx.unitwise_clip(gradtx.unitwise_norm(g), jnp.ones(2), g)
      Array([0.6, 0.8], dtype=float32)
    """
    check.nonnegative("div_eps", div_eps)
    for name, x in (("g_norm", g_norm), ("max_norm", max_norm)):
        if jnp.shape(x) != jnp.shape(grad):
            raise ValueError(
                f"unitwise_clip: {name} has shape {jnp.shape(x)}, grad has "
                f"{jnp.shape(grad)}."
            )
    grad, g_norm, max_norm = map(jnp.asarray, (grad, g_norm, max_norm))
    dtype = compute_dtype(grad.dtype)
    inside = g_norm < max_norm
    least = jnp.maximum(g_norm, div_eps).astype(dtype)
    factor = jnp.where(inside, 1, divide(max_norm.astype(dtype), least, div_eps))
    return (factor * grad.astype(dtype)).astype(grad.dtype)
