"""Inverse roots of matrices, by Newton's method."""

import operator
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradtx.core import check
from gradtx.core.once import compiled_once
from gradtx.core.trees import at_work, compute_dtype, failure
from gradtx.curvature.spectrum import power_iteration


@compiled_once
@at_work("matrix_inverse_pth_root")
def matrix_inverse_pth_root(
    matrix: jax.Array,
    p: int,
    num_iters: Any = 100,
    ridge_epsilon: Any = 1e-6,
    error_tolerance: Any = 1e-6,
    precision: lax.Precision = lax.Precision.HIGHEST,
) -> tuple[jax.Array, jax.Array]:
    """A^(-1/p) of a symmetric positive semidefinite matrix.

        B = A + ridge_epsilon e I,   e the largest eigenvalue of A
        M_0 = z B,   X_0 = z^(1/p) I,   z = (1 + p) / (2 |B|_F)
        T_k = ((1 + p) I - M_k) / p
        M_{k+1} = T_k^p M_k,   X_{k+1} = X_k T_k      M -> I, X -> B^(-1/p)

    by products alone, until max |M - I| is below error_tolerance, or grows by more than
    a fifth, as rounding makes it do: then it takes the matrix before.

    Args:
      matrix: A, of shape (n, n).
      p: a whole number, at least 1.
      num_iters: iterations at most, at least 0.
      ridge_epsilon: at least 0, in units of the largest eigenvalue: how much each is
        made larger. Below 1e-6 float32 does not tell the smallest from 0.
      error_tolerance: of M, at least 0.
      precision: of the products.

    Returns:
      `(root, error)`, error the max |M - I| at the end; computed in float32 at least,
      the root in the dtype of matrix.

    Raises:
      ValueError: a matrix that is not square, a number out of range, or a p that is
        not known when `jit` traces.

    Source: Higham, Functions of matrices (2008), equation 7.18, with Guo & Higham
    (2006) for the scale.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> root, _ = gradtx.curvature.matrix_inverse_pth_root(jnp.eye(2) * 16.0, 4)
      >>> root.round(4)
      Array([[0.5, 0. ],
             [0. , 0.5]], dtype=float32)
    """
    matrix = jnp.asarray(matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise failure(f"matrix must be square, got shape {matrix.shape}.")
    try:
        p = operator.index(p)
    except (TypeError, jax.errors.TracerIntegerConversionError):
        raise failure(f"p must be a whole number that is known, got {p!r}.") from None
    check.count("p", p, 1)
    check.nonnegative("num_iters", num_iters)
    check.nonnegative("ridge_epsilon", ridge_epsilon)
    check.nonnegative("error_tolerance", error_tolerance)
    dtype = compute_dtype(matrix.dtype)
    wide, identity = matrix.astype(dtype), jnp.eye(len(matrix), dtype=dtype)
    # Over its largest entry first: squares of the norm may be out of range.
    unit = jnp.max(jnp.abs(wide), initial=0)
    unit = jnp.where(unit == 0, 1, unit)
    largest, _ = power_iteration(wide / unit, precision=precision)
    ridge = ridge_epsilon * jnp.maximum(largest.astype(dtype), 1e-16)
    damped = wide / unit + ridge * identity
    size = jnp.linalg.norm(damped)
    z = (1 + p) / (2 * jnp.where(size == 0, 1, size))

    def product(x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.matmul(x, y, precision=precision)

    def error_of(m: jax.Array) -> jax.Array:
        return jnp.max(jnp.abs(m - identity), initial=0)

    def goes_on(carry: Any) -> jax.Array:
        i, _, _, _, error, falls = carry
        return (i < num_iters) & (error > error_tolerance) & falls

    def body(carry: Any) -> Any:
        i, m, x, _, error, _ = carry
        t = ((1 + p) * identity - m) / p
        new = product(_power(t, p, product), m)
        after = error_of(new)
        return i + 1, new, product(x, t), x, after, after < 1.2 * error

    m, x = z * damped, z ** (1 / p) * identity
    start = (jnp.zeros([], jnp.int32), m, x, x, error_of(m), jnp.asarray(True))
    _, _, x, before, error, falls = lax.while_loop(goes_on, body, start)
    root = jnp.where(falls, x, before) * unit ** (-1 / p)
    return root.astype(matrix.dtype), error


def _power(x: jax.Array, p: int, product: Any) -> jax.Array:
    """x^p by squares."""
    if p == 1:
        return x
    half = _power(product(x, x), p // 2, product)
    return product(half, x) if p % 2 else half
