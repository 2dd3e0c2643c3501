"""Losses of a softmax over classes.

The arithmetic is done in float32 at least and the loss is returned in the dtype of the
scores (of one-hot labels: promoted with theirs). A class with the score -inf is
excluded: without label mass it changes neither the loss nor the gradient, with label
mass the loss is inf.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.core import check
from gradtx.losses.inputs import (
    axes as axes_of,
    class_mask,
    compute_dtype,
    factor,
    finish,
    integer_labels,
    pick,
    real,
    same_shape,
)


def shift_and_log_sum(logits: jax.Array, axes: tuple[int, ...]):
    """m and log sum exp(logits - m), axes kept; both finite if every logit is -inf."""
    top = jnp.max(logits, axes, keepdims=True, initial=-jnp.inf)
    top = jax.lax.stop_gradient(jnp.where(jnp.isfinite(top), top, 0))
    total = jnp.sum(jnp.exp(logits - top), axes, keepdims=True)
    # 0 only if every class is excluded. NaN is not 0, so it gets through.
    return top, jnp.log(jnp.where(total == 0, 1, total))


def squared_log_sum(z_loss: ArrayLike, top: jax.Array, log_sum: jax.Array):
    """The term that holds log sum exp near 0; nothing, if it is not asked for."""
    check.nonnegative("z_loss", z_loss)
    # An infinite logit times 0 would be NaN.
    if isinstance(z_loss, int | float) and z_loss == 0:
        return 0.0
    return jnp.asarray(z_loss, log_sum.dtype) * jnp.square(top + log_sum)


class Costs(NamedTuple):
    """What a loss of class probabilities and a softmax is made of."""

    y: jax.Array  # label mass of each class, 0 where it is masked
    cost: jax.Array  # -log p of each class, 0 where it is excluded without any mass
    top: jax.Array  # log sum exp of the logits is top + log_sum; class axes kept
    log_sum: jax.Array
    axes: tuple[int, ...]  # of the classes
    dtype: jnp.dtype  # the promoted one of logits and labels


def costs(function: str, logits, labels, axis, where) -> Costs:
    """Check the inputs and take the logarithms, in float32 at least."""
    s = real(function, "logits", logits)
    y = real(function, "labels", labels, integers=True)
    same_shape(function, ("logits", "labels"), s, y)
    axes = axes_of(function, s, axis)
    dtype, wide = jnp.result_type(s, y), compute_dtype(s, y)
    s, y = s.astype(wide), jnp.broadcast_to(y, s.shape).astype(wide)
    if where is not None:
        kept = class_mask(function, where, "logits", s.shape, axes)
        s, y = jnp.where(kept, s, -jnp.inf), jnp.where(kept, y, 0)
    top, log_sum = shift_and_log_sum(s, axes)
    excluded = (y == 0) & (s == -jnp.inf)
    cost = log_sum - jnp.where(excluded, 0, s - top)
    return Costs(y, cost, top, log_sum, axes, dtype)


def softmax_cross_entropy(
    logits: ArrayLike,
    labels: ArrayLike,
    axis: int | tuple[int, ...] | None = -1,
    where: ArrayLike | None = None,
    *,
    z_loss: ArrayLike = 0.0,
) -> jax.Array:
    """The cross entropy of class probabilities and a softmax.

        L = sum_j y_j (-log(exp(s_j) / Z) + z log(Z)^2),   Z = sum_k exp(s_k)

    Args:
      logits: s, floating point, any shape.
      labels: y, one-hot or probabilities, real, of the shape of logits, or a scalar.
        They are not normalized.
      axis: the class axis, a tuple of axes, or None for all of them.
      where: boolean, the classes that exist, with as many axes as logits, to which it
        broadcasts; or the examples that do, with as many as the loss. What is masked
        is left out of all sums, even if it is NaN, and its gradient is exactly 0. An
        example without any class has the loss 0.
      z_loss: z, at least 0. The softmax does not see a number added to all logits; with
        z (1e-4 in the source) they stay near log Z = 0, where narrow formats are
        finest. The default leaves it out.

    Returns:
      The losses, shaped like logits without axis, in the promoted dtype of both.

    Raises:
      ValueError: the shapes of logits and labels differ, axis or where do not fit, or
        z_loss is below 0.
      TypeError: logits are not floating point, or where is not boolean.

    Source: Goodfellow, Bengio and Courville, Deep Learning, 2016, section 6.2.2.3;
    logits are shifted by their maximum, as it says. Where a label is 0 and its logit
    -inf, 0 log 0 = 0 and not NaN. z: Chowdhery et al., PaLM, 2022, section 5.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> logits = jnp.array([[0.0, -jnp.inf]])
      >>> gradtx.softmax_cross_entropy(logits, jnp.array([[1.0, 0.0]]))
      Array([0.], dtype=float32)
    """
    y, cost, top, log_sum, axes, dtype = costs(
        "softmax_cross_entropy", logits, labels, axis, where
    )
    cost = cost + squared_log_sum(z_loss, top, log_sum)
    return jnp.sum(y * cost, axes).astype(dtype)


def safe_softmax_cross_entropy(
    logits: ArrayLike, labels: ArrayLike, *, where: ArrayLike | None = None
) -> jax.Array:
    """As `softmax_cross_entropy` over the last axis, which is as safe here.

    Optax has two: its `softmax_cross_entropy` is NaN where a class is excluded by a
    logit of -inf. Args, returns and errors are those of `softmax_cross_entropy`.

    Source: as there.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> logits, labels = jnp.array([0.0, 0.0, -jnp.inf]), jnp.array([1.0, 0.0, 0.0])
      >>> gradtx.safe_softmax_cross_entropy(logits, labels)
      Array(0.6931472, dtype=float32)
    """
    found = costs("safe_softmax_cross_entropy", logits, labels, -1, where)
    return jnp.sum(found.y * found.cost, -1).astype(found.dtype)


def poly_loss_cross_entropy(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    epsilon: ArrayLike = 2.0,
    axis: int | tuple[int, ...] | None = -1,
    where: ArrayLike | None = None,
) -> jax.Array:
    """The cross entropy with another first coefficient of its series in 1 - p.

        L = sum_j y_j (-log p_j + eps (1 - p_j)),   p = softmax(s)

    Args:
      logits: s, floating point, any shape.
      labels: y, as in `softmax_cross_entropy`, and so are axis and where.
      epsilon: eps, a number or one for each loss. The cross entropy is the sum of
        (1 - p)^j / j; eps is added to the 1 of j = 1. In the source 2 is best for
        images, and -1 for detection.
      axis: the class axis, a tuple of axes, or None for all of them.
      where: boolean, the classes or the examples that exist.

    Returns:
      The losses, shaped like logits without axis, in the promoted dtype of both.

    Raises:
      ValueError: the shapes of logits and labels differ, or axis, where or epsilon do
        not fit.
      TypeError: logits are not floating point, or where is not boolean.

    Source: Leng et al., PolyLoss, 2022, equation 6 (Poly-1).

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> logits, labels = jnp.array([0.0, 0.0]), jnp.array([1.0, 0.0])
      >>> gradtx.poly_loss_cross_entropy(logits, labels)  # log 2 + 2 (1 - 1/2)
      Array(1.6931472, dtype=float32)
    """
    function = "poly_loss_cross_entropy"
    y, cost, _, _, axes, dtype = costs(function, logits, labels, axis, where)
    loss = jnp.sum(y * cost, axes)
    eps = factor(function, "epsilon", epsilon, check.finite, loss)
    return (loss + eps * jnp.sum(y * -jnp.expm1(-cost), axes)).astype(dtype)


def softmax_cross_entropy_with_integer_labels(
    logits: ArrayLike,
    labels: ArrayLike,
    axis: int | tuple[int, ...] = -1,
    where: ArrayLike | None = None,
    *,
    z_loss: ArrayLike = 0.0,
) -> jax.Array:
    """The cross entropy of a class and a softmax; no one-hot array is built.

        L = -log(exp(s_y) / Z) + z log(Z)^2,   Z = sum_k exp(s_k)

    It equals `softmax_cross_entropy` of the one-hot labels, masks included. Where the
    logits of a large vocabulary do not fit, see `chunked_softmax_cross_entropy`.

    Args:
      logits: s, floating point, any shape.
      labels: y, integers, shaped like logits without axis.
      axis: the class axis, or a tuple of axes; then a label counts through these axes
        in the order given, the last one fastest.
      where: boolean, the classes that exist, or the examples, as in
        `softmax_cross_entropy`. A label whose class is masked has the loss 0, and so
        has a masked example, whatever its label: to leave out padding,
        `where=labels >= 0`.
      z_loss: z, at least 0, as in `softmax_cross_entropy`.

    Returns:
      The losses, shaped like labels, in the dtype of logits. A label below 0 or beyond
      the classes gives NaN, in the loss and in the gradient of its example.

    Raises:
      ValueError: labels, axis or where do not fit the shape of logits, or z_loss is
        below 0.
      TypeError: logits are not floating point, labels not integers, where not boolean.

    Source: Goodfellow, Bengio and Courville, Deep Learning, 2016, equation 6.30. Optax
    reads a label -1 as the last class, and subtracts the logit of a masked label's
    class, which is unbounded below.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> logits, labels = jnp.array([[2.0, 0.0], [0.0, 0.0]]), jnp.array([0, 1])
      >>> loss = gradtx.softmax_cross_entropy_with_integer_labels(logits, labels)
      >>> loss.round(2)
      Array([0.13, 0.69], dtype=float32)
    """
    function = "softmax_cross_entropy_with_integer_labels"
    s = real(function, "logits", logits)
    if axis is None:
        raise ValueError(f"{function}: axis must be an integer or a tuple, got None.")
    axes = axes_of(function, s, axis)
    kept = None
    if where is not None:
        kept = class_mask(function, where, "logits", s.shape, axes)

    def classes_last(array):
        array = jnp.moveaxis(array, axes, range(-len(axes), 0))
        batch = array.shape[: array.ndim - len(axes)]
        return array.reshape(*batch, math.prod(array.shape[len(batch) :]))

    s = classes_last(s)
    y = integer_labels(function, "logits", s, labels)
    # Cast, then picked: the gradient p - 1 added up in bfloat16 is 0 for a sure p.
    wide = s.astype(compute_dtype(s))
    own = pick(wide, y)
    if kept is not None:
        kept = classes_last(kept)
        wide = jnp.where(kept, wide, -jnp.inf)
    top, log_sum = shift_and_log_sum(wide, (-1,))
    loss = (log_sum + squared_log_sum(z_loss, top, log_sum))[..., 0]
    loss = loss - (own - top[..., 0])
    return finish(loss, y, s.shape[-1], kept).astype(s.dtype)
