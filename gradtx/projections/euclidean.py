"""The sphere and the ball of the Euclidean norm."""

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.axes import AxisNames, size_of
from gradtx.core.trees import at_work, map_present
from gradtx.core.types import Scalar
from gradtx.projections.points import as_given, groups_of, point
from gradtx.tree.norms import norm


@at_work("projection_l2_sphere")
def projection_l2_sphere(
    tree: Any, scale: Scalar = 1, *, axis_name: AxisNames = ()
) -> Any:
    """The nearest point of a given norm over all leaves.

        P(x) = scale x / |x|

    All points of the sphere are as near to 0; of these it gives the one with equal
    entries. The sphere is not convex.

    Args:
      tree: x, arrays, real or complex, together one vector; `None` stays.
      scale: the radius, at least 0; one number.
      axis_name: mesh axes over which leaves are split, see `clip_by_global_norm`.

    Returns:
      The point, in the structure, shapes and dtypes of tree; computed in at least
      float32 and rounded once.

    Raises:
      ValueError: scale below 0.
      TypeError: a leaf of integers.

    Source: Parikh & Boyd, Proximal algorithms (2014), section 6.5.1, for the ball.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.projections.projection_l2_sphere(jnp.array([3.0, -4.0]), 10.0)
      Array([ 6., -8.], dtype=float32)
    """
    check.nonnegative("scale", scale)
    x = point(tree)
    size = norm(x, axis_name=axis_name)
    groups = groups_of(x, axis_name)
    entries = sum(part.size * size_of(axes) for axes, part in groups)
    zero = size == 0

    def rule(x: jax.Array) -> jax.Array:
        # Divided first: a quotient of scale and norm may be out of range.
        unit = x / jnp.where(zero, 1, size).astype(x.real.dtype)
        return scale * jnp.where(zero, max(entries, 1) ** -0.5, unit)

    return as_given(map_present(rule, x), tree)


@at_work("projection_l2_ball")
def projection_l2_ball(
    tree: Any, scale: Scalar = 1, *, axis_name: AxisNames = ()
) -> Any:
    """The nearest point of at most a given norm over all leaves.

        P(x) = x min(1, scale / |x|)

    A point of the ball is not changed, to the bit.

    Args:
      tree: x, arrays, real or complex, together one vector; `None` stays.
      scale: the radius, at least 0; one number.
      axis_name: mesh axes over which leaves are split, see `clip_by_global_norm`.

    Returns:
      The point, in the structure, shapes and dtypes of tree; computed in at least
      float32 and rounded once.

    Raises:
      ValueError: scale below 0.
      TypeError: a leaf of integers.

    Source: Parikh & Boyd, Proximal algorithms (2014), section 6.5.1.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.projections.projection_l2_ball(jnp.array([3.0, -4.0]), 2.5)
      Array([ 1.5, -2. ], dtype=float32)
    """
    check.nonnegative("scale", scale)
    x = point(tree)
    size = norm(x, axis_name=axis_name)
    inside = size <= scale

    def rule(x: jax.Array) -> jax.Array:
        unit = x / jnp.where(inside, 1, size).astype(x.real.dtype)
        return jnp.where(inside, x, scale * unit)

    return as_given(map_present(rule, x), tree)
