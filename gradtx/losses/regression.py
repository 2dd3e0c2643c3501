"""Losses of real predictions.

Each function returns one loss per prediction, in the promoted dtype of predictions and
targets. The arithmetic is done in float32 at least: a float16 loss overflows only if
its value does, not because a step on the way to it did.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.core import check
from gradtx.losses.inputs import elementwise, factor

LOG_2 = 0.6931471805599453


def squared_error(
    predictions: ArrayLike,
    targets: ArrayLike | None = None,
    *,
    where: ArrayLike | None = None,
) -> jax.Array:
    """The squared error of each prediction.

        L = (p - t)^2

    Args:
      predictions: p, floating point, any shape.
      targets: t, of the shape of predictions, or a scalar; None means 0.
      where: boolean, broadcastable to the loss; where it is False the loss and its
        gradient are exactly 0, even if the prediction or the target is NaN.

    Returns:
      The losses, shaped like predictions, in the promoted dtype of both.

    Raises:
      ValueError: the shapes of predictions and targets differ, or where does not fit.
      TypeError: predictions are not floating point, or where is not boolean.

    Source: Legendre, Nouvelles méthodes pour la détermination des orbites des comètes,
    1805, appendix. `l2_loss` is half of it, so that its gradient is p - t.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.squared_error(jnp.array([1.0, 3.0]), jnp.array([0.0, 5.0]))
      Array([1., 4.], dtype=float32)
    """

    def rule(p, t):
        return jnp.square(p - t)

    return elementwise("squared_error", rule, predictions, targets, where)


def l2_loss(
    predictions: ArrayLike,
    targets: ArrayLike | None = None,
    *,
    where: ArrayLike | None = None,
) -> jax.Array:
    """Half of the squared error of each prediction: the gradient is p - t.

        L = (p - t)^2 / 2

    Args, returns and errors are those of `squared_error`.

    Source: Bishop, Pattern Recognition and Machine Learning, 2006, equation 1.2.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.l2_loss(jnp.array([1.0, 3.0]), jnp.array([0.0, 5.0]))
      Array([0.5, 2. ], dtype=float32)
    """

    def rule(p, t):
        return 0.5 * jnp.square(p - t)

    return elementwise("l2_loss", rule, predictions, targets, where)


def huber_loss(
    predictions: ArrayLike,
    targets: ArrayLike | None = None,
    *,
    delta: ArrayLike = 1.0,
    where: ArrayLike | None = None,
) -> jax.Array:
    """Quadratic for small errors, linear for large ones.

        L = e^2 / 2                  if |e| <= delta,   e = p - t
        L = delta (|e| - delta / 2)  otherwise

    The gradient is e clipped to [-delta, delta], and stays so for an infinite error.

    Args:
      predictions: p, floating point, any shape.
      targets: t, of the shape of predictions, or a scalar; None means 0.
      delta: where the linear part begins, in the units of predictions, above 0; the
        default suits targets of unit variance. An array broadcasts to the loss.
      where: boolean, broadcastable to the loss; where it is False the loss and its
        gradient are exactly 0, even if the prediction or the target is NaN.

    Returns:
      The losses, shaped like predictions, in the promoted dtype of both.

    Raises:
      ValueError: the shapes of predictions and targets differ, where or delta does not
        fit, or delta is not above 0.
      TypeError: predictions are not floating point, or where is not boolean.

    Source: Huber, Robust estimation of a location parameter, 1964, with k for delta.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.huber_loss(jnp.array([0.5, -3.0]), delta=1.0)
      Array([0.125, 2.5  ], dtype=float32)
    """

    def rule(p, t):
        e = p - t
        size = e * jnp.sign(e)  # not abs: its gradient at NaN is -1
        bound = factor("huber_loss", "delta", delta, check.positive, e)
        inside = size <= bound
        # Each case sees only its own errors, or an infinite one makes 0 * inf in the
        # gradient of the square. min(|e|, delta) does it too, but then the gradient
        # is (e - delta) + delta, which rounds small errors away.
        square = 0.5 * jnp.square(jnp.where(inside, e, 0))
        line = bound * (jnp.where(inside, bound, size) - 0.5 * bound)
        return jnp.where(inside, square, line)

    return elementwise("huber_loss", rule, predictions, targets, where)


def log_cosh(
    predictions: ArrayLike,
    targets: ArrayLike | None = None,
    *,
    where: ArrayLike | None = None,
) -> jax.Array:
    """The logarithm of the hyperbolic cosine of each error.

        L = log cosh(e),   e = p - t

    It is e^2 / 2 for small errors and |e| - log 2 for large ones; the gradient is
    tanh(e), and it has all derivatives. Small errors keep their digits (1e-6 has the
    loss 5e-13), large ones do not overflow.

    Args, returns and errors are those of `squared_error`.

    Source: Chen et al., Log hyperbolic cosine loss improves variational auto-encoder,
    2019, equation 5.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.log_cosh(jnp.array([0.01, 1e4])).round(6)
      Array([5.000000e-05, 9.999307e+03], dtype=float32)
    """

    def rule(p, t):
        e = p - t
        size = e * jnp.sign(e)  # not abs: its gradient at NaN is -1
        small = size < 1
        # Each case sees only its own errors. cosh e = 1 + 2 sinh^2(e / 2).
        near = jnp.log1p(2 * jnp.square(jnp.sinh(0.5 * jnp.where(small, e, 0))))
        far = jnp.where(small, 1, size)
        return jnp.where(small, near, far + jnp.log1p(jnp.exp(-2 * far)) - LOG_2)

    return elementwise("log_cosh", rule, predictions, targets, where)
