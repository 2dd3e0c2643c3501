"""Losses of scores for classes.

The arithmetic is done in float32 at least and the loss is returned in the dtype of the
scores (`softmax_cross_entropy` and `hinge_loss`: promoted with the labels'). A class
with the score -inf is excluded: without label mass it changes neither the loss nor the
gradient, with label mass the loss is inf.
"""

import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.core import check
from gradtx.losses.regression import compute_dtype, elementwise, mask, real, same_shape


def _floats(function: str, name: str, values: ArrayLike) -> jax.Array:
    """Real values as an array; integers become floats."""
    array = real(function, name, values, integers=True)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(float)


def _axes(function: str, logits: jax.Array, axis) -> tuple[int, ...]:
    """The axes as nonnegative numbers, in the order given."""
    given = axis if isinstance(axis, tuple) else (axis,)
    if axis is None:
        given = tuple(range(logits.ndim))
    axes = tuple(i + logits.ndim if i < 0 else i for i in given)
    if len(set(axes)) < len(axes) or not set(axes) <= set(range(logits.ndim)):
        raise ValueError(
            f"{function}: axis {axis} does not fit logits of shape {logits.shape}: "
            f"name axes that it has, each once."
        )
    return axes


def _shift_and_log_sum(logits: jax.Array, axes: tuple[int, ...]):
    """m and log sum exp(logits - m), axes kept; both finite if every logit is -inf."""
    top = jnp.max(logits, axes, keepdims=True, initial=-jnp.inf)
    top = jax.lax.stop_gradient(jnp.where(jnp.isfinite(top), top, 0))
    total = jnp.sum(jnp.exp(logits - top), axes, keepdims=True)
    # 0 only if every class is excluded. NaN is not 0, so it gets through.
    return top, jnp.log(jnp.where(total == 0, 1, total))


def _pick(values: jax.Array, labels: jax.Array) -> jax.Array:
    """values[..., label]; a label out of range takes the nearest class."""
    index = jnp.clip(labels, 0, values.shape[-1] - 1)
    return jnp.take_along_axis(values, index[..., None], axis=-1)[..., 0]


def _integer_labels(function: str, name: str, scores: jax.Array, labels: ArrayLike):
    """Labels for scores with the classes last, in int32 at least, checked."""
    array = jnp.asarray(labels)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise TypeError(
            f"{function}: labels must be integers, got {array.dtype}: convert them "
            f"with labels.astype(int), or one-hot labels with labels.argmax(-1)."
        )
    if array.shape != scores.shape[:-1]:
        raise ValueError(
            f"{function}: labels has shape {array.shape}, {name} without its class "
            f"axis has {scores.shape[:-1]}: give one label for each example."
        )
    if scores.shape[-1] == 0:
        raise ValueError(
            f"{function}: {name} has no class: its class axis must not be empty."
        )
    # An int8 label cannot be compared with 1000 classes.
    return array.astype(jnp.promote_types(array.dtype, jnp.int32))


def _finish(loss: jax.Array, labels: jax.Array, classes: int, kept: jax.Array | None):
    """0 for a label whose class is masked, NaN for one that is no class."""
    wrong = (labels < 0) | (labels >= classes)
    if kept is not None:
        wrong &= jnp.any(kept, -1)
        loss = jnp.where(_pick(kept, labels) | wrong, loss, 0)
    # A factor, since a where would leave the gradient finite and plausible.
    return loss * jnp.where(wrong, jnp.nan, 1).astype(loss.dtype)


def softmax_cross_entropy(
    logits: ArrayLike,
    labels: ArrayLike,
    axis: int | tuple[int, ...] | None = -1,
    where: ArrayLike | None = None,
) -> jax.Array:
    """The cross entropy of class probabilities and a softmax.

        L = -sum_j y_j log(exp(s_j) / sum_k exp(s_k))

    Args:
      logits: s, floating point, any shape.
      labels: y, one-hot or probabilities, real, of the shape of logits, or a scalar.
        They are not normalized.
      axis: the class axis, a tuple of axes, or None for all of them.
      where: boolean, broadcastable to logits: the classes that exist. The others are
        left out of both sums, even if they are NaN, and their gradient is exactly 0.
        An example without any class has the loss 0.

    Returns:
      The losses, shaped like logits without axis, in the promoted dtype of both.

    Raises:
      ValueError: the shapes of logits and labels differ, or axis or where do not fit.
      TypeError: logits are not floating point, or where is not boolean.

    Source: Goodfellow, Bengio and Courville, Deep Learning, 2016, section 6.2.2.3;
    logits are shifted by their maximum, as it says. Where a label is 0 and its logit
    -inf, 0 log 0 = 0 and not NaN.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> logits = jnp.array([[0.0, -jnp.inf]])
      >>> gradtx.softmax_cross_entropy(logits, jnp.array([[1.0, 0.0]]))
      Array([0.], dtype=float32)
    """
    function = "softmax_cross_entropy"
    s = real(function, "logits", logits)
    y = real(function, "labels", labels, integers=True)
    same_shape(function, ("logits", "labels"), s, y)
    axes = _axes(function, s, axis)
    dtype, wide = jnp.result_type(s, y), compute_dtype(s, y)
    s, y = s.astype(wide), jnp.broadcast_to(y, s.shape).astype(wide)
    if where is not None:
        kept = mask(function, where, "logits", s.shape)
        s, y = jnp.where(kept, s, -jnp.inf), jnp.where(kept, y, 0)
    top, log_sum = _shift_and_log_sum(s, axes)
    excluded = (y == 0) & (s == -jnp.inf)
    cost = log_sum - jnp.where(excluded, 0, s - top)
    return jnp.sum(y * cost, axes).astype(dtype)


def softmax_cross_entropy_with_integer_labels(
    logits: ArrayLike,
    labels: ArrayLike,
    axis: int | tuple[int, ...] = -1,
    where: ArrayLike | None = None,
) -> jax.Array:
    """The cross entropy of a class and a softmax; no one-hot array is built.

        L = -log(exp(s_y) / sum_k exp(s_k))

    It equals `softmax_cross_entropy` of the one-hot labels, masks included.

    Args:
      logits: s, floating point, any shape.
      labels: y, integers, shaped like logits without axis.
      axis: the class axis, or a tuple of axes; then a label counts through these axes
        in the order given, the last one fastest.
      where: boolean, broadcastable to logits: the classes that exist, as in
        `softmax_cross_entropy`. A label whose class is masked has the loss 0, and so
        has an example without any class, whatever its label: to leave out padding,
        `where=(labels >= 0)[..., None]`.

    Returns:
      The losses, shaped like labels, in the dtype of logits. A label below 0 or beyond
      the classes gives NaN, in the loss and in the gradient of its example.

    Raises:
      ValueError: labels, axis or where do not fit the shape of logits.
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
    axes = _axes(function, s, axis)
    kept = None if where is None else mask(function, where, "logits", s.shape)

    def classes_last(array):
        array = jnp.moveaxis(array, axes, range(-len(axes), 0))
        batch = array.shape[: array.ndim - len(axes)]
        return array.reshape(*batch, math.prod(array.shape[len(batch) :]))

    s = classes_last(s)
    y = _integer_labels(function, "logits", s, labels)
    # Cast, then picked: the gradient p - 1 added up in bfloat16 is 0 for a sure p.
    wide = s.astype(compute_dtype(s))
    own = _pick(wide, y)
    if kept is not None:
        kept = classes_last(kept)
        wide = jnp.where(kept, wide, -jnp.inf)
    top, log_sum = _shift_and_log_sum(wide, (-1,))
    loss = log_sum[..., 0] - (own - top[..., 0])
    return _finish(loss, y, s.shape[-1], kept).astype(s.dtype)


def sigmoid_binary_cross_entropy(
    logits: ArrayLike, labels: ArrayLike, *, where: ArrayLike | None = None
) -> jax.Array:
    """The cross entropy of each label and a sigmoid.

        L = -y log σ(s) - (1 - y) log(1 - σ(s)),   σ(s) = 1 / (1 + exp(-s))

    Args:
      logits: s, floating point, any shape.
      labels: y, 0, 1 or a probability, of the shape of logits, or a scalar.
      where: boolean, broadcastable to the loss; where it is False the loss and its
        gradient are exactly 0, even if the logit or the label is NaN.

    Returns:
      The losses, shaped like logits, in the dtype of logits.

    Raises:
      ValueError: the shapes of logits and labels differ, or where does not fit.
      TypeError: logits are not floating point, or where is not boolean.

    Source: Bishop, Pattern Recognition and Machine Learning, 2006, equation 4.90,
    written with log(1 + e^s), so that it is exact for large logits; an infinite logit
    on the side of its label has the loss 0.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> logits, labels = jnp.array([1e4, -1e4]), jnp.array([1, 1])
      >>> gradtx.sigmoid_binary_cross_entropy(logits, labels)
      Array([    0., 10000.], dtype=float32)
    """

    def rule(s, y):
        # With a = -|s| and q the probability of the less likely answer, nothing
        # cancels, and one exponential is enough. With abs the curvature at s = 0
        # would be 0 and not 1/4.
        a, q = jnp.where(s > 0, -s, s), jnp.where(s > 0, 1 - y, y)
        return jax.nn.softplus(a) - q * jnp.where((q == 0) & (a == -jnp.inf), 0, a)

    function, names = "sigmoid_binary_cross_entropy", ("logits", "labels")
    loss = elementwise(function, rule, logits, labels, where, names)
    return loss.astype(jnp.asarray(logits).dtype)


def hinge_loss(
    predictor_outputs: ArrayLike,
    targets: ArrayLike,
    *,
    where: ArrayLike | None = None,
) -> jax.Array:
    """The hinge loss of two classes, called -1 and 1.

        L = max(0, 1 - t p)

    Args:
      predictor_outputs: p, real, any shape.
      targets: t, -1 or 1 (with 0, the loss is 1 whatever p is), of the shape of
        predictor_outputs, or a scalar.
      where: boolean, broadcastable to the loss; where it is False the loss and its
        gradient are exactly 0, even if the output or the target is NaN.

    Returns:
      The losses, shaped like predictor_outputs, in the promoted dtype of both.

    Raises:
      ValueError: the shapes of the two arguments differ, or where does not fit.
      TypeError: an argument is not real, or where is not boolean.

    Source: Cortes and Vapnik, Support-vector networks, 1995, as max(0, .) of the slack.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.hinge_loss(jnp.array([0.25, -3.0]), jnp.array([1, -1]))
      Array([0.75, 0.  ], dtype=float32)
    """

    def rule(p, t):
        return jnp.maximum(0, 1 - t * p)

    function, names = "hinge_loss", ("predictor_outputs", "targets")
    p = _floats(function, names[0], predictor_outputs)
    return elementwise(function, rule, p, targets, where, names)


def multiclass_hinge_loss(
    scores: ArrayLike,
    labels: ArrayLike,
    *,
    margin: ArrayLike = 1.0,
    over: str = "sum",
    where: ArrayLike | None = None,
) -> jax.Array:
    """The hinge loss of many classes: the multiclass SVM.

        L = sum_{j != y} max(0, s_j - s_y + m)

    Optax's loss of this name is the largest of these margins, not their sum: ask for
    its numbers with `over="max"`. For two classes, both are the same.

    Args:
      scores: s, real, the classes along the last axis.
      labels: y, integers, shaped like scores without the last axis.
      margin: m, by how much the score of the label must lead, at least 0.
      over: "sum" adds the margins of all other classes; "max" takes the largest.
      where: boolean, broadcastable to scores: the classes that exist, as in
        `softmax_cross_entropy_with_integer_labels`.

    Returns:
      The losses, shaped like labels, in the dtype of scores; NaN for a label below 0
      or beyond the classes.

    Raises:
      ValueError: labels or where do not fit the shape of scores, margin is below 0, or
        over is unknown.
      TypeError: scores are not real, labels not integers, or where not boolean.

    Source: sum: Weston and Watkins, Support vector machines for multi-class pattern
    recognition, 1999; max: Crammer and Singer, On the algorithmic implementation of
    multiclass kernel-based vector machines, 2001.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> scores = jnp.array([[2.0, 2.5, 1.25, -3.0]])
      >>> gradtx.multiclass_hinge_loss(scores, jnp.array([0]))
      Array([1.75], dtype=float32)
    """
    function = "multiclass_hinge_loss"
    check.nonnegative("margin", margin)
    check.choice("over", over, ("sum", "max"))
    s = _floats(function, "scores", scores)
    if not s.ndim:
        raise ValueError(f"{function}: scores is a scalar: give it a class axis.")
    y = _integer_labels(function, "scores", s, labels)
    kept = None if where is None else mask(function, where, "scores", s.shape)
    wide = s.astype(compute_dtype(s))
    # A class with the score -inf leads nothing, even where the label's is -inf too.
    rival = (jnp.arange(s.shape[-1]) != y[..., None]) & (s != -jnp.inf)
    if kept is not None:
        rival &= kept
        wide = jnp.where(kept, wide, 0)
    lead = jnp.where(rival, wide, 0) - _pick(wide, y)[..., None]
    # The label's own margin, 0, is the floor of the maximum; so is an empty sum.
    lead = jnp.where(rival, lead + jnp.asarray(margin, wide.dtype), 0)
    loss = jnp.maximum(0, lead).sum(-1) if over == "sum" else jnp.max(lead, -1)
    return _finish(loss, y, s.shape[-1], kept).astype(s.dtype)
