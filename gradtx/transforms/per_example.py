"""Gradients of each example: clipped one by one, and added up."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.axes import AxisNames, Names, across, axes_of_each, size_of
from gradtx.core.numerics import abs_sq, root, shrinking, window
from gradtx.core.trees import (
    absent,
    as_array,
    compute_dtype,
    failure,
    leaves_of,
    paths_of,
)
from gradtx.core.types import Scalar, Updates


def per_example_global_norm_clip(
    grads: Updates, l2_norm_clip: Scalar, *, axis_name: AxisNames = None
) -> tuple[Updates, jax.Array]:
    """Shrink the gradient of each example to a largest norm, and add them up.

        G = sum_i g_i min(1, l2_norm_clip / |g_i|_2)

    with norms over all leaves. So no example moves the sum by more than l2_norm_clip.
    One that is longer than 1e34 / n limits, for n entries in float32, counts as
    infinite, and is left out; one with a NaN or an infinity in it makes the sum NaN.

    Args:
      grads: gradients with the examples along the first axis of every leaf, as
        `jax.vmap(jax.grad(loss), (None, 0))(params, batch)` gives them; `None` stays.
      l2_norm_clip: largest Euclidean norm of an example's gradient, at least 0; inf
        clips none.
      axis_name: mesh axes over which leaves are split, see `clip_by_global_norm`; `()`
        where each device has examples of its own.

    Returns:
      The sum, in float32 at least, and how many examples were clipped, int32.

    Raises:
      ValueError: a number out of range, leaves that are not of the same examples, an
        axis that is not there, or a leaf that differs along one that is not named.

    Source: Abadi et al., Deep learning with differential privacy (2016), algorithm 1.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> grads = {"w": jnp.array([[3.0, 4.0], [0.5, 0.0]])}
      >>> gradtx.per_example_global_norm_clip(grads, 2.5)
      ({'w': Array([2., 2.], dtype=float32)}, Array(1, dtype=int32))
    """
    _check_limit("l2_norm_clip", l2_norm_clip)
    leaves, treedef = leaves_of(grads)
    batch_size(grads)
    wide = {i: _wide(x) for i, x in enumerate(leaves) if not absent(x)}
    axes = axes_of_each(grads, axis_name)
    found, clipped = _clipped_sum(
        list(wide.values()), l2_norm_clip, [axes[i] for i in wide]
    )
    for i, x in zip(wide, found, strict=True):
        leaves[i] = x
    return treedef.unflatten(leaves), clipped


def per_example_layer_norm_clip(
    grads: Updates,
    global_l2_norm_clip: Scalar,
    uniform: bool = True,
    *,
    axis_name: AxisNames = None,
) -> tuple[Updates, Any]:
    """Shrink each leaf of each example's gradient to its share, and add them up.

        G_l = sum_i g_{i,l} min(1, C_l / |g_{i,l}|_2)   for each leaf l
        C_l = C / sqrt(K),   or C sqrt(D_l / D)

    for K leaves, of D_l entries each and D together. The squares of the C_l add up to
    that of C, so that the whole gradient of an example is no longer than C.

    Args:
      grads: see `per_example_global_norm_clip`.
      global_l2_norm_clip: the norm C, at least 0.
      uniform: whether all leaves have the same share, or else one by their sizes.
      axis_name: see `per_example_global_norm_clip`.

    Returns:
      The sum, in float32 at least, and for each leaf how many examples were clipped.

    Raises:
      ValueError: a number out of range, leaves that are not of the same examples, an
        axis that is not there, or a leaf that differs along one that is not named.

    Source: McMahan et al., Learning differentially private recurrent language models
    (2018), section 3.1, per-layer clipping.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> grads = {"w": jnp.array([[3.0, 4.0]]), "b": jnp.array([0.5])}
      >>> sums, clipped = gradtx.per_example_layer_norm_clip(grads, 2**0.5)
      >>> [round(float(x), 4) for x in sums["w"]]
      [0.6, 0.8]
      >>> {name: int(n) for name, n in clipped.items()}
      {'b': 0, 'w': 1}
    """
    _check_limit("global_l2_norm_clip", global_l2_norm_clip)
    leaves, treedef = leaves_of(grads)
    batch_size(grads)
    there = {i: _wide(x) for i, x in enumerate(leaves) if not absent(x)}
    axes = axes_of_each(grads, axis_name)
    sizes = {i: math.prod(x.shape[1:]) * size_of(axes[i]) for i, x in there.items()}
    counts = list(leaves)
    for i, x in there.items():
        part = 1 / len(there) if uniform else sizes[i] / max(sum(sizes.values()), 1)
        limit = global_l2_norm_clip * part**0.5
        [leaves[i]], counts[i] = _clipped_sum([x], limit, [axes[i]])
    return treedef.unflatten(leaves), treedef.unflatten(counts)


def batch_size(grads: Any, axis: int = 0) -> int:
    """How many examples there are along the first axis of every leaf.

    Raises:
      ValueError: a leaf without that axis, or with another number than the first.
    """
    found: dict[str, int] = {}
    for path, x in paths_of(grads):
        if absent(x):
            continue
        if jnp.ndim(x) == 0:
            raise failure(
                f"grads{path} is a number: it needs the examples along its first axis."
            )
        found[path] = jnp.shape(x)[axis]
        first, size = next(iter(found.items()))
        if found[path] != size:
            raise failure(
                f"grads{first} has {size} examples, grads{path} has {found[path]}."
            )
    return next(iter(found.values()), 0)


def _check_limit(name: str, value: Any) -> None:
    if not (isinstance(value, float) and value == math.inf):
        check.nonnegative(name, value)


def _wide(x: Any) -> jax.Array:
    x = as_array(x)
    return x.astype(compute_dtype(x.dtype))


def _clipped_sum(
    leaves: list[jax.Array], limit: Any, axes: list[Names]
) -> tuple[list[jax.Array], Any]:
    """The sum of clipped examples of these leaves together, and how many were."""
    if not leaves:
        return [], jnp.zeros([], jnp.int32)
    dtype = min((x.real.dtype for x in leaves), key=lambda kind: jnp.finfo(kind).max)
    each = list(zip(leaves, axes, strict=True))
    entries = sum(math.prod(x.shape[1:]) * size_of(names) for x, names in each)
    if isinstance(limit, float) and limit == math.inf:
        return [jnp.sum(x, axis=0) for x in leaves], jnp.zeros([], jnp.int32)
    if not (isinstance(limit, float | int) and limit > 0):
        limit = jnp.minimum(jnp.asarray(limit, dtype), jnp.finfo(dtype).max)
    scale = window(limit, entries, dtype)
    squares = [across(_squares(scale, x).astype(dtype), names) for x, names in each]
    size, largest = root(functools.reduce(jnp.add, squares)), scale * limit
    factor = shrinking(size, largest, limit)

    def clipped(x: jax.Array) -> jax.Array:
        # Not a product of matrices, in which some devices round to ten bits.
        f = factor.astype(x.real.dtype).reshape(-1, *[1] * (x.ndim - 1))
        return jnp.sum(f * x, axis=0)

    return [clipped(x) for x in leaves], jnp.sum(size > largest, dtype=jnp.int32)


def _squares(scale: Any, x: jax.Array) -> jax.Array:
    """For each example the sum of its squares, scaled."""
    return jnp.sum(abs_sq(scale * x), axis=tuple(range(1, x.ndim)))
