"""Sizes with a derivative everywhere, and gradients scaled on their way back."""

import math
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.trees import compute_dtype, map_present
from gradtx.core.types import Scalar
from gradtx.tree.norms import norm_along


def safe_norm(
    x: Any,
    min_norm: Scalar,
    ord: int | float | str | None = None,
    axis: int | tuple[int, ...] | None = None,
    keepdims: bool = False,
) -> jax.Array:
    """The norm of an array, at least min_norm, with a derivative at 0.

        y = max(|x|, min_norm)

    Where the norm is min_norm or less the derivative by x is 0: that of
    `jnp.linalg.norm` at 0 is NaN, and stays so through `jnp.maximum`.

    Args:
      x: an array, real or complex.
      min_norm: the least value, at least 0.
      ord, axis, keepdims: see `jnp.linalg.norm`. By default the root of the sum of
        squares, right over the whole range of the dtype.

    Returns:
      Real, in at least float32.

    Raises:
      ValueError: min_norm below 0; an order that there is not.

    Example:
      >>> import jax, jax.numpy as jnp, gradtx
      >>> jax.grad(gradtx.safe_norm)(jnp.zeros(2), 0.0)
      Array([0., 0.], dtype=float32)
    """
    check.nonnegative("min_norm", min_norm)
    x = _wide(x)
    one_axis = isinstance(axis, int) or (axis is None and x.ndim <= 1)
    if ord is None or (ord == 2 and one_axis) or ord == "fro":
        if ord == "fro" and one_axis:
            raise ValueError('ord="fro" is a norm of matrices: give two axes.')
        size = norm_along(x, axis, keepdims)
        return jnp.where(size <= min_norm, min_norm, size)
    small = jnp.linalg.norm(x, ord, axis, keepdims=True) <= min_norm
    size = jnp.linalg.norm(jnp.where(small, 1, x), ord, axis, keepdims=keepdims)
    return jnp.where(small if keepdims else jnp.squeeze(small, axis), min_norm, size)


def safe_root_mean_squares(x: Any, min_rms: Scalar) -> jax.Array:
    """The root mean square of an array, at least min_rms, with a derivative at 0.

        y = max(rms(x), min_rms),   rms(x)^2 = mean of |x|^2 over the array

    Where it is min_rms or less the derivative by x is 0. An array without entries
    has 0.

    Args:
      x: an array, real or complex.
      min_rms: the least value, at least 0.

    Returns:
      A real scalar, at least float32.

    Raises:
      ValueError: min_rms below 0.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> float(gradtx.safe_root_mean_squares(jnp.array([3.0, 0.0, 4.0, 0.0]), 0.0))
      2.5
    """
    check.nonnegative("min_rms", min_rms)
    x = _wide(x)
    size = norm_along(x) / math.sqrt(max(x.size, 1))
    return jnp.where(size <= min_rms, min_rms, size)


def _wide(x: Any) -> jax.Array:
    x = jnp.asarray(x)
    return x.astype(compute_dtype(x.dtype))


@jax.custom_jvp
def _passed(x: jax.Array, scale: Any) -> jax.Array:
    return x


@_passed.defjvp
def _(primals: Any, tangents: Any) -> Any:
    x, scale = primals
    wide = compute_dtype(x.dtype)
    slope = jnp.asarray(scale, jnp.finfo(wide).dtype) * tangents[0].astype(wide)
    return _passed(x, scale), slope.astype(x.dtype)


def scale_gradient(inputs: Any, scale: Scalar) -> Any:
    """The inputs, whose derivatives are scaled on their way through.

    Args:
      inputs: a tree of arrays; what is no floating array passes.
      scale: a finite number, an array or a tracer. 0 is `stop_gradient`, -1 turns the
        gradient around, as adversarial training wants it.

    Returns:
      The same numbers. Both directions of differentiation are scaled.

    Raises:
      ValueError: a scale that is not finite or no scalar.

    Example:
      >>> import jax, gradtx
      >>> float(jax.grad(lambda x: gradtx.scale_gradient(x, -0.5) ** 2)(3.0))
      -3.0
    """
    check.finite("scale", scale)
    fixed = isinstance(scale, float | int)

    def through(x: Any) -> Any:
        if (fixed and scale == 1) or not jnp.issubdtype(
            jnp.result_type(x), jnp.inexact
        ):
            return x
        if fixed and scale == 0:  # also of a gradient that is not finite
            return jax.lax.stop_gradient(x)
        return _passed(jnp.asarray(x), scale)

    return map_present(through, inputs)
