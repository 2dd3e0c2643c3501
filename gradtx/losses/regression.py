"""Losses of real predictions, and the inputs that all losses check.

Each function returns one loss per prediction, in the promoted dtype of predictions and
targets. The arithmetic is done in float32 at least: a float16 loss overflows only if
its value does, not because a step on the way to it did.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from gradtx.core import check


def real(function: str, name: str, values: ArrayLike, integers=False) -> jax.Array:
    """The values as an array; TypeError unless real, or integers where these may be."""
    array = jnp.asarray(values)
    if jnp.issubdtype(array.dtype, jnp.floating):
        return array
    if integers and not jnp.issubdtype(array.dtype, jnp.complexfloating):
        return array
    raise TypeError(
        f"{function}: {name} must be {'real' if integers else 'floating point'}, got "
        f"{array.dtype}: convert it first."
    )


def same_shape(
    function: str, names: tuple[str, str], first: jax.Array, second: jax.Array
) -> None:
    """ValueError unless the shapes are equal or one of the two is a scalar."""
    if first.ndim and second.ndim and first.shape != second.shape:
        raise ValueError(
            f"{function}: {names[1]} has shape {second.shape}, {names[0]} has "
            f"{first.shape}: reshape one of them, they are not broadcast."
        )


def must_fit(
    function: str, name: str, array: jax.Array, whole: str, shape: tuple[int, ...]
) -> None:
    """ValueError unless the array broadcasts to the shape of the whole."""
    try:
        fits = np.broadcast_shapes(array.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"{function}: {name} has shape {array.shape}, {whole} has {shape}: "
            f"give a scalar, or an array that broadcasts to {shape}."
        )


def mask(
    function: str, where: ArrayLike, whole: str, shape: tuple[int, ...]
) -> jax.Array:
    """`where` broadcast to a shape; an error unless it is boolean and fits."""
    array = jnp.asarray(where)
    if array.dtype != jnp.bool_:
        raise TypeError(
            f"{function}: where must be boolean, got {array.dtype}: pass where != 0."
        )
    must_fit(function, "where", array, whole, shape)
    return jnp.broadcast_to(array, shape)


def compute_dtype(*arrays: jax.Array):
    """The promoted dtype of the arrays, and float32 at least."""
    return jnp.promote_types(jnp.result_type(*arrays), jnp.float32)


def elementwise(
    function: str,
    rule: Callable[[jax.Array, jax.Array], jax.Array],
    predictions: ArrayLike,
    targets: ArrayLike | None,
    where: ArrayLike | None,
    names: tuple[str, str] = ("predictions", "targets"),
) -> jax.Array:
    """Check the inputs, apply a rule for two arrays of one shape, mask, cast back."""
    p = real(function, names[0], predictions)
    t = real(function, names[1], 0 if targets is None else targets, integers=True)
    same_shape(function, names, p, t)
    shape, dtype = jnp.broadcast_shapes(p.shape, t.shape), jnp.result_type(p, t)
    p = jnp.broadcast_to(p, shape).astype(compute_dtype(p, t))
    t = jnp.broadcast_to(t, shape).astype(p.dtype)
    if where is None:
        return rule(p, t).astype(dtype)
    kept = mask(function, where, "the loss", shape)
    # Masked twice: the outer mask alone would send 0 * NaN back through the rule.
    loss = rule(jnp.where(kept, p, 0), jnp.where(kept, t, 0))
    return jnp.where(kept, loss, 0).astype(dtype)


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
    if jnp.ndim(delta) == 0:  # or one for each error, which passes like any array
        check.positive("delta", delta)

    def rule(p, t):
        e = p - t
        size = e * jnp.sign(e)  # not abs: its gradient at NaN is -1
        bound = jnp.asarray(delta, e.dtype)
        must_fit("huber_loss", "delta", bound, "the loss", e.shape)
        inside = size <= bound
        # Each case sees only its own errors, or an infinite one makes 0 * inf in the
        # gradient of the square. min(|e|, delta) does it too, but then the gradient
        # is (e - delta) + delta, which rounds small errors away.
        square = 0.5 * jnp.square(jnp.where(inside, e, 0))
        line = bound * (jnp.where(inside, bound, size) - 0.5 * bound)
        return jnp.where(inside, square, line)

    return elementwise("huber_loss", rule, predictions, targets, where)
