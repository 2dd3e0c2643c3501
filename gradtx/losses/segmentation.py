"""Losses of the overlap of regions.

The arithmetic is done in float32 at least; the loss has the dtype of the predictions.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.core import check
from gradtx.losses.inputs import (
    axes as axes_of,
    compute_dtype,
    mask,
    not_empty,
    real,
)
from gradtx.losses.softmax import shift_and_log_sum


class Regions(NamedTuple):
    """Both arrays with a class axis, where masked 0."""

    p: jax.Array  # predicted probabilities, float32 at least
    t: jax.Array  # targets, of the shape and dtype of p
    dtype: jnp.dtype  # of the predictions


def _regions(function: str, predictions, targets, as_logits: bool, where) -> Regions:
    """Check the inputs and make logits probabilities."""
    p = real(function, "predictions", predictions)
    t = real(function, "targets", targets, integers=True)
    if p.ndim == t.ndim - 1:
        p = p[..., None]
    elif t.ndim == p.ndim - 1:
        t = t[..., None]
    if p.shape != t.shape or not p.ndim:
        raise ValueError(
            f"{function}: targets has shape {jnp.shape(targets)}, predictions has "
            f"{jnp.shape(predictions)}: both need the axis of classes, and are not "
            f"broadcast."
        )
    if not p.shape[-1]:
        raise ValueError(
            f"{function}: predictions has no class: its last axis must not be empty."
        )
    dtype, wide = p.dtype, compute_dtype(p, t)
    p, t = p.astype(wide), t.astype(wide)
    kept = None
    if where is not None:
        kept = mask(function, where, "predictions without classes", p.shape[:-1])
        kept = kept[..., None]
        p, t = jnp.where(kept, p, 0), jnp.where(kept, t, 0)
    if as_logits and p.shape[-1] == 1:
        p = jax.nn.sigmoid(p)
    elif as_logits:
        top, log_sum = shift_and_log_sum(p, (p.ndim - 1,))
        p = jnp.exp(p - top - log_sum)
    return Regions(p if kept is None else jnp.where(kept, p, 0), t, dtype)


def _overlap(function: str, regions: Regions, smooth, alpha, beta, axis) -> jax.Array:
    """The loss of each class, classes last."""
    for name, value in (("smooth", smooth), ("alpha", alpha), ("beta", beta)):
        check.nonnegative(name, value)
    p, t, _ = regions
    axes = tuple(range(1, p.ndim - 1))
    if axis is not None:
        axes = axes_of(function, p, axis, "predictions")
    if p.ndim - 1 in axes:
        raise ValueError(
            f"{function}: axis {axis} has the last axis, that of the classes: they are "
            f"not summed over."
        )
    both, predicted, true = (jnp.sum(x, axes) for x in (p * t, p, t))
    s, a, b = (jnp.asarray(x, p.dtype) for x in (smooth, alpha, beta))
    missed = a * (predicted - both) + b * (true - both)
    whole = both + missed + s
    # As 1 minus a quotient a small loss would lose its digits.
    return jnp.where(whole == 0, 0, missed / jnp.where(whole == 0, 1, whole))


def dice_loss(
    predictions: ArrayLike,
    targets: ArrayLike,
    *,
    class_weights: ArrayLike | None = None,
    smooth: ArrayLike = 1.0,
    alpha: ArrayLike = 0.5,
    beta: ArrayLike = 0.5,
    apply_softmax: bool = True,
    reduction: str = "mean",
    ignore_background: bool = False,
    axis: int | tuple[int, ...] | None = None,
    where: ArrayLike | None = None,
) -> jax.Array:
    """One minus the overlap of predicted and true regions, for each class.

        L_c = 1 - (I + s) / (I + alpha (P - I) + beta (T - I) + s)
        I = sum p t,   P = sum p,   T = sum t   over the points of a class

    With alpha = beta = 1/2 it is the loss of Dice's coefficient 2 I / (P + T), with 1
    that of Jaccard's; alpha above beta punishes false positives more (Tversky).

    Args:
      predictions: logits, floating point, of shape (batch, ..., classes). p is their
        softmax, or their sigmoid if there is one class.
      targets: t, one-hot or probabilities, real, of the shape of predictions. One of
        the two may lack the axis of a single class.
      class_weights: factors of the losses, one for each class; None means 1.
      smooth: s, at least 0. It makes the loss of an empty region 0; with s = 0 it is 0
        where no point is predicted either.
      alpha: the weight of false positives, at least 0.
      beta: the weight of false negatives, at least 0.
      apply_softmax: False if predictions are probabilities. They are taken as they are;
        Optax refuses, out of `jit`, what does not sum to 1, as one class never does.
      reduction: over the classes: "mean", "sum", or "none".
      ignore_background: leave out the first of several classes.
      axis: which to sum over, not that of the classes; None means all but the first and
        the last.
      where: boolean, the points that exist, broadcastable to the shape of predictions
        without the last axis. The others are in no sum, even if they are NaN.

    Returns:
      The losses, shaped like predictions without axis, and without the classes unless
      reduction is "none", in the dtype of predictions.

    Raises:
      ValueError: the shapes differ, class_weights, axis or where do not fit, there is
        no class, a number is below 0, or reduction is unknown.
      TypeError: predictions are not floating point, or where is not boolean.

    Source: Milletari, Navab and Ahmadi, V-Net, 2016, section 3; alpha and beta: Salehi,
    Erdogmus and Gholipour, Tversky loss function for image segmentation, 2017.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> p, t = jnp.array([[[0.5], [0.5]]]), jnp.array([[[1.0], [0.0]]])
      >>> gradtx.dice_loss(p, t, smooth=0.0, apply_softmax=False)
      Array([0.5], dtype=float32)
    """
    function = "dice_loss"
    check.choice("reduction", reduction, ("mean", "sum", "none"))
    regions = _regions(function, predictions, targets, apply_softmax, where)
    loss = _overlap(function, regions, smooth, alpha, beta, axis)
    if class_weights is not None:
        w = real(function, "class_weights", class_weights, integers=True)
        if w.shape != loss.shape[-1:]:
            raise ValueError(
                f"{function}: class_weights has shape {w.shape}, predictions has "
                f"{regions.p.shape}: give one weight for each class."
            )
        loss *= w.astype(loss.dtype)
    if ignore_background and loss.shape[-1] > 1:
        loss = loss[..., 1:]
    if reduction == "mean":
        loss = jnp.mean(loss, -1)
    elif reduction == "sum":
        loss = jnp.sum(loss, -1)
    return loss.astype(regions.dtype)


def multiclass_generalized_dice_loss(
    predictions: ArrayLike,
    targets: ArrayLike,
    *,
    smooth: ArrayLike = 1.0,
    apply_softmax: bool = True,
    ignore_background: bool = False,
    where: ArrayLike | None = None,
) -> jax.Array:
    """The mean of `dice_loss`, in which rare classes count as much as large ones.

        L = mean over batch and classes of w_c L_c,   w_c = K v_c / sum_k v_k
        v_c = 1 / (T_c^2 + 1e-7)

    T_c is the number of points of a class in the whole batch, and K that of classes. A
    class without any point has by far the largest weight.

    Args:
      predictions: as in `dice_loss`, and so are targets and all options.
      targets: t, one-hot or probabilities, of the shape of predictions.
      smooth: s, at least 0.
      apply_softmax: False if predictions are probabilities.
      ignore_background: leave out the first of several classes; its weight counts in
        the sum of weights.
      where: boolean, the points that exist.

    Returns:
      A number, in the dtype of predictions.

    Raises:
      ValueError: the shapes differ, where does not fit, smooth is below 0, or the batch
        is empty.
      TypeError: predictions are not floating point, or where is not boolean.

    Source: Sudre et al., Generalised Dice overlap as a deep learning loss function for
    highly unbalanced segmentations, 2017, section 2; its weights are inside of the
    fraction. This is Optax's loss.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> t = jnp.array([[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]])
      >>> gradtx.multiclass_generalized_dice_loss(jnp.zeros((1, 3, 2)), t)
      Array(0.3212121, dtype=float32)
    """
    function = "multiclass_generalized_dice_loss"
    p, t, dtype = _regions(function, predictions, targets, apply_softmax, where)
    not_empty(function, "predictions", p, "point")
    loss = _overlap(function, Regions(p, t, dtype), smooth, 0.5, 0.5, None)
    v = 1 / (jnp.square(jnp.sum(t, tuple(range(t.ndim - 1)))) + 1e-7)
    loss *= v / jnp.mean(v)
    if ignore_background and loss.shape[-1] > 1:
        loss = loss[..., 1:]
    return jnp.mean(loss).astype(dtype)


def binary_dice_loss(
    predictions: ArrayLike,
    targets: ArrayLike,
    *,
    smooth: ArrayLike = 1.0,
    apply_sigmoid: bool = True,
    where: ArrayLike | None = None,
) -> jax.Array:
    """`dice_loss` of one class.

    Args:
      predictions: logits, floating point, of shape (batch, ...), or with a last axis of
        size 1, which is that of the class.
      targets: 0, 1 or a probability, of the shape of predictions.
      smooth: as in `dice_loss`.
      apply_sigmoid: False if predictions are probabilities.
      where: boolean, the points that exist, broadcastable to predictions without the
        axis of the class.

    Returns:
      One loss for each member of the batch, in the dtype of predictions.

    Raises:
      ValueError: the shapes differ, where does not fit, or smooth is below 0.
      TypeError: predictions are not floating point, or where is not boolean.

    Source: that of `dice_loss`.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> p, t = jnp.array([[0.5, 0.5]]), jnp.array([[1.0, 0.0]])
      >>> gradtx.binary_dice_loss(p, t, smooth=0.0, apply_sigmoid=False)
      Array([0.5], dtype=float32)
    """
    function = "binary_dice_loss"
    shape = jnp.shape(predictions)
    if shape == jnp.shape(targets) and shape[-1:] != (1,):
        predictions, targets = (
            jnp.asarray(x)[..., None] for x in (predictions, targets)
        )
    regions = _regions(function, predictions, targets, apply_sigmoid, where)
    loss = _overlap(function, regions, smooth, 0.5, 0.5, None)
    return jnp.mean(loss, -1).astype(regions.dtype)
