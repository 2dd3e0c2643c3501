"""Least squares without negative entries."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradtx.core import check
from gradtx.core.once import compiled_once
from gradtx.core.trees import at_work, failure
from gradtx.tree.arithmetic import wide


@compiled_once
@at_work("nnls")
def nnls(
    A: jax.Array,
    b: jax.Array,
    iters: int,
    unroll: int | bool = 1,
    L: Any = None,
) -> jax.Array:
    """Least squares without negative entries, by the accelerated projected gradient.

        minimize |A x - b|   over x >= 0

        x_k = max(0, y_{k-1} - A^T (A y_{k-1} - b) / L)
        t_k = (1 + sqrt(1 + 4 t_{k-1}^2)) / 2,   t_0 = 1
        y_k = x_k + (t_{k-1} - 1) / t_k (x_k - x_{k-1})

    and t begins again where the step has led uphill, (y_{k-1} - x_k).(x_k - x_{k-1})
    > 0: without that it swings, and an ill-conditioned A takes many times the
    iterations. Each column of b has its own.

    Args:
      A: of shape (m, n), real.
      b: of shape (m,) or (m, k).
      iters: how many iterations; their number grows as the condition of A.
      unroll: of the loop, as `lax.scan` takes it.
      L: a bound of the largest eigenvalue of A^T A, above 0. By default the smaller of
        two norms of it, an upper bound by some factor.

    Returns:
      x, of shape (n,) or (n, k), in the dtype of A and b; computed in at least float32.

    Raises:
      ValueError: shapes that do not fit, or iters below 0.

    Source: Beck & Teboulle, A fast iterative shrinkage-thresholding algorithm (2009),
    equations 4.1 to 4.3; O'Donoghue & Candes, Adaptive restart for accelerated gradient
    schemes (2015), section 3.2.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> A = jnp.array([[1.0, 2.0], [3.0, 4.0]])
      >>> gradtx.curvature.nnls(A, jnp.array([5.0, 6.0]), 1000).round(3)
      Array([0. , 1.7], dtype=float32)
    """
    A, b = jnp.asarray(A), jnp.asarray(b)
    check.count("iters", iters)
    if A.ndim != 2:
        raise failure(f"A must be a matrix, got shape {A.shape}.")
    if b.ndim not in (1, 2) or len(b) != len(A):
        raise failure(
            f"b must have a first dimension of {len(A)}, as A has, and one more at "
            f"most, got shape {b.shape}."
        )
    shape, dtype = A.shape[1:] + b.shape[1:], jnp.result_type(A, b)
    A, b = wide(A), wide(b.reshape(len(A), -1))
    square = jnp.matmul(A.T, A, precision=_EXACT)
    right = jnp.matmul(A.T, b, precision=_EXACT)
    if L is None:
        rows = jnp.max(jnp.sum(jnp.abs(square), 1), initial=0)
        L = jnp.minimum(jnp.linalg.norm(square), rows)
    else:
        check.positive("L", L)
    L = jnp.where(L == 0, 1, L)  # of zeros there is no gradient

    def body(carry: Any, _: None) -> Any:
        x, y, t = carry
        gradient = jnp.matmul(square, y, precision=_EXACT) - right
        new = jnp.maximum(y - gradient / L, 0)
        t = jnp.where(jnp.sum((y - new) * (new - x), 0) > 0, 1, t)
        after = (1 + jnp.sqrt(1 + 4 * t * t)) / 2
        return (new, new + (t - 1) / after * (new - x), after), None

    x = jnp.zeros_like(right)
    start = x, x, jnp.ones(x.shape[1:], x.dtype)
    (x, _, _), _ = lax.scan(body, start, length=iters, unroll=unroll)
    return x.reshape(shape).astype(dtype)


_EXACT = lax.Precision.HIGHEST
