"""Labels that are less sure."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.core import check
from gradtx.losses.inputs import axes as axes_of, class_mask, compute_dtype, real


def smooth_labels(
    labels: ArrayLike,
    alpha: ArrayLike,
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: ArrayLike | None = None,
) -> jax.Array:
    """Mix labels with the uniform distribution.

        y' = (1 - alpha) y + alpha / K

    Args:
      labels: y, one-hot or probabilities, floating point, any shape.
      alpha: the share of the uniform distribution, in [0, 1]; 0.1 in the source.
      axis: the class axis, a tuple of axes, or None for all of them; they have K
        classes.
      where: boolean, the classes that exist, with the axes of labels, or the examples,
        without axis; K counts those alone, and what is masked gets 0. (Optax gives
        alpha / K to the masked classes, too.)

    Returns:
      The labels, of their shape and dtype; if they sum to 1, they still do.

    Raises:
      ValueError: alpha is out of range, axis or where do not fit, or there is no class.
      TypeError: labels are not floating point, or where is not boolean.

    Source: Szegedy et al., Rethinking the Inception architecture, 2016, section 7.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.smooth_labels(jnp.array([1.0, 0.0]), 0.1)
      Array([0.95, 0.05], dtype=float32)
    """
    function = "smooth_labels"
    check.fraction("alpha", alpha)
    y = real(function, "labels", labels)
    axes = axes_of(function, y, axis, "labels")
    if any(y.shape[i] == 0 for i in axes):
        raise ValueError(
            f"{function}: labels has no class: its class axis must not be empty."
        )
    dtype, wide = y.dtype, compute_dtype(y)
    kept = jnp.full(y.shape, True)
    if where is not None:
        kept = class_mask(function, where, "labels", y.shape, axes)
    count = jnp.maximum(jnp.sum(kept, axes, keepdims=True), 1).astype(wide)
    share = jnp.asarray(alpha, wide)
    y = jnp.where(kept, y, 0).astype(wide)
    return jnp.where(kept, (1 - share) * y + share / count, 0).astype(dtype)
