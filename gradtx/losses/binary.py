"""Losses of a score for one of two classes.

The arithmetic is done in float32 at least. The loss has the dtype of the logits
(`hinge_loss` and `perceptron_loss`: promoted with the targets').
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.core import check
from gradtx.losses.inputs import elementwise, factor, floats


def _of_logits(function, rule, logits, labels, where) -> jax.Array:
    """A loss of each logit and its label, in the dtype of logits."""
    loss = elementwise(function, rule, logits, labels, where, ("logits", "labels"))
    return loss.astype(jnp.asarray(logits).dtype)


def _sides(s: jax.Array, y: jax.Array):
    """a = -|s| and q, the label's probability of the less likely answer.

    With these nothing cancels, and one exponential is enough. With abs the curvature
    at s = 0 would be 0 and not 1/4.
    """
    return jnp.where(s > 0, -s, s), jnp.where(s > 0, 1 - y, y)


def _cross_entropy(a: jax.Array, q: jax.Array) -> jax.Array:
    return jax.nn.softplus(a) - q * jnp.where((q == 0) & (a == -jnp.inf), 0, a)


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
        return _cross_entropy(*_sides(s, y))

    return _of_logits("sigmoid_binary_cross_entropy", rule, logits, labels, where)


def sigmoid_focal_loss(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    alpha: ArrayLike | None = None,
    gamma: ArrayLike = 2.0,
    where: ArrayLike | None = None,
) -> jax.Array:
    """The cross entropy of each label, less of it where the answer is right already.

        L = a r^gamma H,   r = y (1 - p) + (1 - y) p,   p = σ(s)
        H = -y log p - (1 - y) log(1 - p),   a = alpha y + (1 - alpha) (1 - y)

    r is the probability of the wrong answer, small where there is little to learn.

    Args:
      logits: s, floating point, any shape.
      labels: y, 0, 1 or a probability, of the shape of logits, or a scalar.
      alpha: the weight of label 1, in [0, 1], and 1 - alpha that of label 0; a number,
        or one for each loss. None leaves a out. In the source 0.25, with gamma 2.
      gamma: at least 0, a number or one for each loss; with 0 it is the cross entropy.
      where: boolean, broadcastable to the loss; where it is False the loss and its
        gradient are exactly 0, even if the logit or the label is NaN.

    Returns:
      The losses, shaped like logits, in the dtype of logits.

    Raises:
      ValueError: the shapes of logits and labels differ, where, alpha or gamma do not
        fit, or alpha or gamma is out of range.
      TypeError: logits are not floating point, or where is not boolean.

    Source: Lin et al., Focal loss for dense object detection, 2017, equation 5. The
    power is taken of log r, so that it has a gradient for logits of any size and gamma
    below 1. A label between 0 and 1 is Optax's reading.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.sigmoid_focal_loss(jnp.array([0.0, 1e4, -1e4]), jnp.ones(3)).round(4)
      Array([1.733e-01, 0.000e+00, 1.000e+04], dtype=float32)
    """
    function = "sigmoid_focal_loss"

    def rule(s, y):
        a, q = _sides(s, y)
        cost = _cross_entropy(a, q)
        power = factor(function, "gamma", gamma, check.nonnegative, cost)
        # r = (q + (1 - q) e^a) / (1 + e^a). For q = 0 its logarithm is linear in a,
        # and does not vanish. 0 log 0 is 0: at an infinite logit any finite a will do.
        mixed = jnp.log(jnp.where(q == 0, 1, q + (1 - q) * jnp.exp(a)))
        sure = jnp.where(a == -jnp.inf, jnp.finfo(a.dtype).min, a)
        log_r = jnp.where(q == 0, sure, mixed) - jax.nn.softplus(a)
        weight = jnp.exp(power * log_r)
        # An infinite loss times the weight's gradient, which is 0 there, would be NaN.
        weight = jnp.where(cost == jnp.inf, jax.lax.stop_gradient(weight), weight)
        if alpha is not None:
            share = factor(function, "alpha", alpha, check.fraction, cost)
            weight *= share * y + (1 - share) * (1 - y)
        return weight * cost

    return _of_logits(function, rule, logits, labels, where)


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
    p = floats(function, names[0], predictor_outputs)
    return elementwise(function, rule, p, targets, where, names)


def perceptron_loss(
    predictor_outputs: ArrayLike,
    targets: ArrayLike,
    *,
    where: ArrayLike | None = None,
) -> jax.Array:
    """The perceptron's loss of two classes, called -1 and 1.

        L = max(0, -t p)

    Args, returns and errors are those of `hinge_loss`, whose margin of 1 it lacks: it
    is 0 for all predictions of 0.

    Source: Rosenblatt, The perceptron, 1958, whose rule is its gradient descent.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.perceptron_loss(jnp.array([0.25, -3.0]), jnp.array([1, 1]))
      Array([0., 3.], dtype=float32)
    """

    def rule(p, t):
        return jnp.maximum(0, -t * p)

    function, names = "perceptron_loss", ("predictor_outputs", "targets")
    p = floats(function, names[0], predictor_outputs)
    return elementwise(function, rule, p, targets, where, names)


def sparsemax_loss(
    logits: ArrayLike, labels: ArrayLike, *, where: ArrayLike | None = None
) -> jax.Array:
    """The sparsemax loss of two classes: 0 once a logit leads by 1.

        L = 0 if x <= -1,   (x + 1)^2 / 4 if -1 < x < 1,   x if x >= 1
        x = -s for the label 1, and s for the label 0

    Args:
      logits: s, floating point, any shape.
      labels: y, 0 or 1, of the shape of logits, or a scalar.
      where: boolean, broadcastable to the loss; where it is False the loss and its
        gradient are exactly 0, even if the logit or the label is NaN.

    Returns:
      The losses, shaped like logits, in the dtype of logits; NaN for another label.

    Raises:
      ValueError: the shapes of logits and labels differ, or where does not fit.
      TypeError: logits are not floating point, or where is not boolean.

    Source: Blondel, Martins and Niculae, Learning with Fenchel-Young losses, 2020,
    section 4.4. Optax takes any label but 0 for 1, -1 too.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.sparsemax_loss(jnp.array([0.0, 1.0, -3.0]), jnp.array([1, 1, 1]))
      Array([0.25, 0.  , 3.  ], dtype=float32)
    """

    def rule(s, y):
        x = jnp.where(y == 1, -s, s)
        # Each case sees only its own logits, so that an infinite one is no NaN.
        inside = jnp.where(jnp.abs(x) < 1, x, -1)
        loss = jnp.where(x >= 1, x, 0.25 * jnp.square(inside + 1))
        wrong = ((y != 0) & (y != 1)) | (x != x)
        # By a product, or the gradient would be finite and plausible.
        bad = jnp.where(wrong, x, 0) * jnp.where(wrong, jnp.nan, 1)
        return jnp.where(wrong, bad, loss)

    return _of_logits("sparsemax_loss", rule, logits, labels, where)
