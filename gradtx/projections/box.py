"""Entry by entry: boxes, and the ball of the largest entry."""

from numbers import Real
from typing import Any

import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.trees import at_work, failure
from gradtx.core.types import Scalar
from gradtx.projections.points import as_given, by_leaf, need_order, point


@at_work("projection_non_negative")
def projection_non_negative(tree: Any) -> Any:
    """The nearest point without negative entries.

        P(x) = max(x, 0)

    The derivative is 1 above 0, and 0 elsewhere.

    Args:
      tree: x, real arrays; `None` stays.

    Returns:
      The point, in the structure, shapes and dtypes of tree.

    Raises:
      ValueError: a complex leaf.

    Source: Parikh & Boyd, Proximal algorithms (2014), section 6.2.4.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.projections.projection_non_negative(jnp.array([-1.0, 2.0]))
      Array([0., 2.], dtype=float32)
    """
    need_order(tree)
    # Not maximum, which halves the derivative at 0; and a NaN stays.
    return by_leaf(lambda x: jnp.where(x <= 0, jnp.zeros_like(x), x), tree)


@at_work("projection_box")
def projection_box(tree: Any, lower: Any, upper: Any) -> Any:
    """The nearest point with every entry between two bounds.

        P(x) = min(max(x, lower), upper)

    The derivative by x is 1 within the bounds, and 0 outside.

    Args:
      tree: x, real arrays; `None` stays.
      lower, upper: numbers, trees like x (or prefixes of it), whose arrays broadcast
        to the leaves; `None` is no bound. Arrays with lower above upper give upper.

    Returns:
      The point, in the structure, shapes and dtypes of tree.

    Raises:
      ValueError: a complex leaf, bounds that do not fit, are NaN, or leave no point
        between them.

    Source: Parikh & Boyd, Proximal algorithms (2014), section 6.2.4.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.projections.projection_box(jnp.array([-1.0, 0.5, 4.0]), 0, 2)
      Array([0. , 0.5, 2. ], dtype=float32)
    """
    need_order(tree)

    def rule(x: Any, low: Any, high: Any) -> Any:
        _check_bounds(low, high)
        if low is not None:
            x = jnp.where(x < low, low, x)
        return x if high is None else jnp.where(x > high, high, x)

    return by_leaf(rule, tree, lower=lower, upper=upper)


def _check_bounds(low: Any, high: Any) -> None:
    for name, bound in (("lower", low), ("upper", high)):
        if isinstance(bound, Real) and bound != bound:
            raise failure(f"{name} must be a number or infinite, got {bound}.")
    if isinstance(low, Real) and isinstance(high, Real) and low > high:
        raise failure(f"lower must be at most upper, got lower={low}, upper={high}.")


@at_work("projection_hypercube")
def projection_hypercube(tree: Any, scale: Any = 1) -> Any:
    """The nearest point with every entry between 0 and a number.

        P(x) = min(max(x, 0), scale)

    Args:
      tree: x, real arrays; `None` stays.
      scale: the edge, at least 0; a number, or as the bounds of `projection_box`.

    Returns:
      The point, in the structure, shapes and dtypes of tree.

    Raises:
      ValueError: a complex leaf, a scale that does not fit or is below 0.

    Source: Parikh & Boyd, Proximal algorithms (2014), section 6.2.4.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.projections.projection_hypercube(jnp.array([-1.0, 0.5, 4.0]))
      Array([0. , 0.5, 1. ], dtype=float32)
    """
    if isinstance(scale, Real):
        check.nonnegative("scale", scale)
    return projection_box(tree, 0, scale)


@at_work("projection_linf_ball")
def projection_linf_ball(tree: Any, scale: Scalar = 1) -> Any:
    """The nearest point with no entry larger than a number.

        P(x) = x min(1, scale / |x|)   entry by entry

    Args:
      tree: x, arrays, real or complex; `None` stays.
      scale: the radius, at least 0; one number.

    Returns:
      The point, in the structure, shapes and dtypes of tree.

    Raises:
      ValueError: scale below 0.
      TypeError: a leaf of integers.

    Source: Parikh & Boyd, Proximal algorithms (2014), section 6.2.4.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.projections.projection_linf_ball(jnp.array([-3.0, 0.5]), 2.0)
      Array([-2. ,  0.5], dtype=float32)
    """
    check.nonnegative("scale", scale)

    def rule(x: Any) -> Any:
        if jnp.iscomplexobj(x):
            inside = jnp.abs(x) <= scale
            # The derivative of the size of a complex 0 is NaN: it is not asked for.
            return jnp.where(inside, x, scale * _phase(jnp.where(inside, 1, x)))
        # In two steps, as a box: a NaN stays, and at the edge the derivative is 1.
        x = jnp.where(x < -scale, -scale, x)
        return jnp.where(x > scale, scale, x)

    return as_given(by_leaf(rule, point(tree)), tree)


def _phase(x: Any) -> Any:
    return x / jnp.abs(x)
