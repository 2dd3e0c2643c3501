"""Cosines of the angle between vectors."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.core import check
from gradtx.losses.inputs import axes as axes_of, class_mask, compute_dtype, real


def unit(x: jax.Array, axes: tuple[int, ...], epsilon: ArrayLike):
    """x / max(|x|, sqrt(epsilon)), and what its squared norm lacks to 1.

    Squares neither overflow nor vanish; a vector of zeros stays one.
    """
    least = jnp.sqrt(jnp.asarray(epsilon, x.dtype))
    top = jnp.maximum(jnp.max(jnp.abs(x), axes, keepdims=True, initial=0), least)
    # The unit does not depend on it, so that its gradient is none of the result's.
    top = jax.lax.stop_gradient(jnp.where(top == 0, 1, top))
    x, floor = x / top, jnp.square(least / top)
    square = jnp.sum(jnp.square(x), axes, keepdims=True)
    is_long, some = square > floor, jnp.where(floor == 0, 1, floor)
    # One or the other, each with its own gradient: the root has none at 0. A division
    # by infinity keeps a vector of zeros, and its gradient, at 0.
    floor = jnp.where(floor == 0, jnp.inf, jnp.sqrt(some))
    norm = jnp.where(is_long, jnp.sqrt(jnp.where(is_long, square, 1)), floor)
    lack = jnp.where(is_long, 0, 1 - square / some)
    return x / norm, jnp.squeeze(lack, axes)


def _units(function, predictions, targets, epsilon, axis, where):
    check.nonnegative("epsilon", epsilon)
    p = real(function, "predictions", predictions)
    t = real(function, "targets", targets)
    if p.shape != t.shape:
        raise ValueError(
            f"{function}: targets has shape {t.shape}, predictions has {p.shape}: "
            f"reshape one of them, they are not broadcast."
        )
    axes = axes_of(function, p, axis, "predictions")
    dtype, wide = jnp.result_type(p, t), compute_dtype(p, t)
    if where is not None:
        kept = class_mask(function, where, "predictions", p.shape, axes)
        p, t = jnp.where(kept, p, 0), jnp.where(kept, t, 0)
    units = (unit(x.astype(wide), axes, epsilon) for x in (p, t))
    return *units, axes, dtype


def cosine_similarity(
    predictions: ArrayLike,
    targets: ArrayLike,
    *,
    epsilon: ArrayLike = 0.0,
    axis: int | tuple[int, ...] | None = -1,
    where: ArrayLike | None = None,
) -> jax.Array:
    """The cosine of the angle between predictions and targets.

        S = <p, t> / (max(|p|, sqrt(eps)) max(|t|, sqrt(eps)))

    A vector of zeros is like nothing: S is 0, and so is its gradient.

    Args:
      predictions: p, floating point, any shape.
      targets: t, floating point, of the shape of predictions.
      epsilon: eps, a floor under the squared norms, at least 0. None is needed against
        a division by 0; a larger one makes short vectors count less.
      axis: of the vectors, a tuple of axes, or None for all of them.
      where: boolean, the entries that exist, with the axes of predictions; or the
        vectors that do, of the result's shape. The others are taken as 0.

    Returns:
      The cosines, in [-1, 1], shaped like predictions without axis, in the promoted
      dtype of both. The arithmetic is done in float32 at least; entries of vectors may
      be as small as 1e-37 and as large as 1e37.

    Raises:
      ValueError: the shapes differ, axis or where do not fit, or epsilon is below 0.
      TypeError: an argument is not floating point, or where is not boolean.

    Source: Salton, Wong and Yang, A vector space model for automatic indexing, 1975.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.cosine_similarity(jnp.array([3.0, 4.0]), jnp.array([1.0, 0.0]))
      Array(0.6, dtype=float32)
    """
    (p, _), (t, _), axes, dtype = _units(
        "cosine_similarity", predictions, targets, epsilon, axis, where
    )
    return jnp.sum(p * t, axes).astype(dtype)


def cosine_distance(
    predictions: ArrayLike,
    targets: ArrayLike,
    *,
    epsilon: ArrayLike = 0.0,
    axis: int | tuple[int, ...] | None = -1,
    where: ArrayLike | None = None,
) -> jax.Array:
    """One minus the cosine of the angle between predictions and targets.

        D = 1 - S

    Computed as half of the squared distance of both units, so that a small angle a has
    a^2 / 2 to all digits, and no distance is negative.

    Args, returns and errors are those of `cosine_similarity`; a masked vector has the
    distance 1.

    Source: as there.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> d = gradtx.cosine_distance(jnp.array([1.0, 1e-4]), jnp.array([1.0, 0.0]))
      >>> (1e9 * d).round(3)
      Array(5., dtype=float32)
    """
    (p, p_lacks), (t, t_lacks), axes, dtype = _units(
        "cosine_distance", predictions, targets, epsilon, axis, where
    )
    apart = jnp.sum(jnp.square(p - t), axes)
    return (0.5 * (apart + p_lacks + t_lacks)).astype(dtype)
