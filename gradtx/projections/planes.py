"""Straight sets: a line through 0, a hyperplane, a half of the space."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradtx.core import check
from gradtx.core.axes import AxisNames
from gradtx.core.trees import at_work, check_match, map_present
from gradtx.core.types import Scalar
from gradtx.projections.points import as_given, point
from gradtx.tree.arithmetic import zipped
from gradtx.tree.norms import norm, sum_of_entries, sum_of_squares


@at_work("projection_vector")
def projection_vector(x: Any, a: Any, *, axis_name: AxisNames = ()) -> Any:
    """The nearest point on the line through 0 and a.

        P(x) = (a.x / a.a) a

    With a of zeros that line is a point, 0. Of complex numbers the real part of
    conj(a) x counts, as of two real ones each.

    Args:
      x: arrays, together one vector; `None` stays.
      a: the same structure and shapes.
      axis_name: mesh axes over which leaves are split, see `clip_by_global_norm`.

    Returns:
      The point, in the structure, shapes and dtypes of x; computed in at least
      float32 and rounded once.

    Raises:
      ValueError: a does not fit x.
      TypeError: a leaf of integers.

    Source: Boyd & Vandenberghe, Convex optimization (2004), section 8.1.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.projections.projection_vector(jnp.array([2.0, 4.0]), jnp.ones(2))
      Array([3., 3.], dtype=float32)
    """
    unit, _, square, along = _measured(x, a, axis_name)
    factor = along / square
    return as_given(map_present(lambda a: factor.astype(a.real.dtype) * a, unit), x)


@at_work("projection_hyperplane")
def projection_hyperplane(
    x: Any, a: Any, b: Scalar, *, axis_name: AxisNames = ()
) -> Any:
    """The nearest point whose product with a is b.

        P(x) = x + (b - a.x) / a.a a

    With a of zeros every point is taken as it is. Complex numbers count as in
    `projection_vector`.

    Args:
      x: arrays, together one vector; `None` stays.
      a: the same structure and shapes, orthogonal to the plane.
      b: one finite number; the plane is b / |a| away from 0.
      axis_name: mesh axes over which leaves are split, see `clip_by_global_norm`.

    Returns:
      The point, in the structure, shapes and dtypes of x; computed in at least
      float32 and rounded once.

    Raises:
      ValueError: a does not fit x, or b is not finite.
      TypeError: a leaf of integers.

    Source: Boyd & Vandenberghe, Convex optimization (2004), section 8.1.1.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.projections.projection_hyperplane(jnp.zeros(2), jnp.ones(2), 4.0)
      Array([2., 2.], dtype=float32)
    """
    return _moved(x, a, b, axis_name, lambda way: way)


@at_work("projection_halfspace")
def projection_halfspace(
    x: Any, a: Any, b: Scalar, *, axis_name: AxisNames = ()
) -> Any:
    """The nearest point whose product with a is at most b.

        P(x) = x - max(0, a.x - b) / a.a a

    With a of zeros every point is taken as it is. Complex numbers count as in
    `projection_vector`.

    Args:
      x: arrays, together one vector; `None` stays.
      a: the same structure and shapes; it leads out of the half.
      b: one finite number; the border is b / |a| away from 0.
      axis_name: mesh axes over which leaves are split, see `clip_by_global_norm`.

    Returns:
      The point, in the structure, shapes and dtypes of x; computed in at least
      float32 and rounded once.

    Raises:
      ValueError: a does not fit x, or b is not finite.
      TypeError: a leaf of integers.

    Source: Boyd & Vandenberghe, Convex optimization (2004), section 8.1.1.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.projections.projection_halfspace(jnp.ones(2), jnp.ones(2), 1.0)
      Array([0.5, 0.5], dtype=float32)
    """
    return _moved(x, a, b, axis_name, lambda way: jnp.where(way >= 0, 0, way))


def _moved(
    x: Any, a: Any, b: Scalar, axis_name: AxisNames, how_far: Callable[[Any], Any]
) -> Any:
    """The point, moved along a: by its way to the plane, or what becomes of that."""
    check.finite("b", b)
    unit, largest, square, along = _measured(x, a, axis_name)
    way = how_far((b / largest - along) / square)

    def move(x: jax.Array, a: jax.Array) -> jax.Array:
        return x + way.astype(x.real.dtype) * a

    return as_given(zipped(move, point(x, "x"), unit), x)


def _measured(
    x: Any, a: Any, axis_name: AxisNames
) -> tuple[Any, jax.Array, jax.Array, jax.Array]:
    """u, the a over its largest entry, that entry, u.u, and u.x.

    Not a itself, whose squares may be out of range. Of an a of zeros 1 takes the place
    of the entry and of u.u.
    """
    check_match("x", x, "a", a)
    x, a = point(x, "x"), point(a, "a")
    largest = lax.stop_gradient(norm(a, "inf", axis_name=axis_name))
    largest = jnp.where(largest == 0, 1, largest)
    unit = map_present(lambda a: a / largest.astype(a.real.dtype), a)
    square = sum_of_squares(unit, axis_name)
    products = zipped(lambda x, a: jnp.real(jnp.conj(a) * x), x, unit)
    along = sum_of_entries(products, axis_name)
    return unit, largest, jnp.where(square == 0, 1, square), along
