"""Eigenvalues of matrices that are known by their products with vectors."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gradtx.core import check
from gradtx.core.once import compiled_once
from gradtx.core.trees import at_work, failure, map_present
from gradtx.core.types import Params
from gradtx.curvature.products import NOT_GIVEN, LossFn, of_batch
from gradtx.tree import arithmetic, norms
from gradtx.tree.random import random_like

Matrix = jax.Array | Callable[[Any], Any]  # or what multiplies a vector with it


@compiled_once
@at_work("power_iteration")
def power_iteration(
    matrix: Matrix,
    *,
    v0: Any = None,
    num_iters: Any = 100,
    error_tolerance: Any = 1e-6,
    precision: lax.Precision = lax.Precision.HIGHEST,
    key: jax.Array | None = None,
) -> tuple[jax.Array, Any]:
    """The eigenvalue of the largest size, and its eigenvector.

        v <- A v / |A v|,   e = v.(A v)   until |A v - e v| < error_tolerance |e|

    The error falls by the ratio of the two largest sizes in each iteration: where they
    are close `lanczos` needs far fewer products.

    Args:
      matrix: A, a square array, or a function that multiplies a vector, which may be a
        tree, with it.
      v0: the start, not 0; a vector or tree. By default numbers uniform in [-1, 1] for
        an array; with a function it has to be given.
      num_iters: iterations at most, at least 0.
      error_tolerance: at least 0; relative.
      precision: of the products with an array.
      key: of the start; `jax.random.key(0)` by default.

    Returns:
      `(eigenvalue, eigenvector)`: a scalar, and a vector of norm 1. Of a matrix of
      zeros 0, and the start.

    Raises:
      ValueError: an array that is not square, no v0 with a function, a number out of
        range.

    Source: Golub & Van Loan, Matrix computations (2013), section 8.2.1.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> A = jnp.array([[2.0, 0.0], [0.0, -4.0]])
      >>> float(gradtx.curvature.power_iteration(A)[0])
      -4.0
    """
    check.nonnegative("num_iters", num_iters)
    check.nonnegative("error_tolerance", error_tolerance)
    product = _product(matrix, precision)
    if v0 is None:
        v0 = _start(matrix, key)
    v = _unit(arithmetic.add(v0, arithmetic.zeros_like(v0)))
    image = product(v)

    def measured(v: Any, image: Any) -> tuple[jax.Array, jax.Array]:
        value = arithmetic.vdot(v, image)
        off = jax.tree.map(lambda z, v: z - value.astype(v.dtype) * v, image, v)
        return value, norms.norm(off) >= error_tolerance * jnp.abs(value)

    def goes_on(carry: Any) -> jax.Array:
        _, image, _, off, i = carry
        return off & (i < num_iters) & (norms.norm(image) > 0)

    def body(carry: Any) -> Any:
        v = _unit(carry[1])
        image = product(v)
        return v, image, *measured(v, image), carry[-1] + 1

    start = (v, image, *measured(v, image), jnp.zeros([], jnp.int32))
    v, image, value, *_ = lax.while_loop(goes_on, body, start)
    # One more step for the vector, which costs no product.
    return value, arithmetic.where(norms.norm(image) > 0, _unit(image), v)


class Eigenpairs(NamedTuple):
    """What `lanczos` finds, the largest eigenvalue first.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> found = gradtx.curvature.lanczos(jnp.diag(jnp.array([3.0, 1.0])), k=2)
      >>> found.vectors.shape
      (2, 2)
    """

    values: jax.Array  # k numbers, falling
    vectors: Any  # of norm 1, like v0 with a first axis of k
    residuals: jax.Array  # |A v - value v| of each: an eigenvalue is at most so far


@compiled_once
@at_work("lanczos")
def lanczos(
    matrix: Matrix,
    v0: Any = None,
    *,
    k: int = 1,
    num_iters: int = 32,
    precision: lax.Precision = lax.Precision.HIGHEST,
    key: jax.Array | None = None,
) -> Eigenpairs:
    """The largest eigenvalues of a symmetric matrix, by Lanczos' method.

        b_j q_{j+1} = A q_j - a_j q_j - b_{j-1} q_{j-1},   a_j = q_j.(A q_j)

    and the eigenvalues of the tridiagonal matrix of a and b. Every new vector is made
    orthogonal to all before it, twice, so that none comes up again. Where the vectors
    reached fill a space of their own, a random one goes on, so that with num_iters of
    the whole dimension it is the whole spectrum, multiplicities included.

    For the smallest ones give -A. Memory: num_iters vectors.

    Args:
      matrix: A, a symmetric array, or a function that multiplies a vector, which may be
        a tree of real arrays, with it.
      v0: the start, not 0; by default normal numbers for an array. With a function it
        has to be given.
      k: how many eigenvalues, from 1 to num_iters.
      num_iters: products with A; no more than the dimension are made. The outer
        eigenvalues are found first: 32 give the largest of a Hessian to some digits.
      precision: of the products with an array.
      key: of the start, and of what goes on; `jax.random.key(0)` by default.

    Returns:
      `Eigenpairs`.

    Raises:
      ValueError: an array that is not square, no v0 with a function, a complex one, k
        above num_iters or the dimension, a number out of range.

    Source: Golub & Van Loan, Matrix computations (2013), algorithm 10.1.1 and section
    10.3.2; the residuals by equation 10.1.10.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> A = jnp.diag(jnp.array([1.0, 4.0, -9.0, 2.0]))
      >>> gradtx.curvature.lanczos(A, k=2).values.round(3)
      Array([4., 2.], dtype=float32)
    """
    check.count("k", k, 1)
    check.count("num_iters", num_iters, k)
    key = jax.random.key(0) if key is None else key
    product = _product(matrix, precision)
    if v0 is None:
        v0 = _start(matrix, key, jax.random.normal)
    v0 = map_present(lambda x: arithmetic.wide(jnp.asarray(x)), v0)
    size = arithmetic.size(v0)
    num_iters = min(num_iters, size)
    if k > num_iters:
        raise failure(f"k must be at most the dimension, {size}, got {k}.")
    dtype = jnp.result_type(*jax.tree.leaves(v0))
    if jnp.issubdtype(dtype, jnp.complexfloating):
        raise failure(f"v0 must be real, got {dtype}: give real and imaginary parts.")
    basis = map_present(lambda x: jnp.zeros((num_iters + 1, *x.shape), x.dtype), v0)
    basis = _put(basis, _unit(v0), 0)
    zeros = jnp.zeros(num_iters, dtype)

    def body(j: Any, carry: Any) -> Any:
        basis, a, b, largest = carry
        q = map_present(lambda x: x[j], basis)
        image = product(q)
        a_j = arithmetic.vdot(q, image).astype(dtype)
        w = _orthogonal(image, basis)
        b_j = norms.norm(w).astype(dtype)
        largest = jnp.maximum(largest, jnp.abs(a_j) + b_j)
        # Below rounding of the products nothing is left: the space is full.
        eps = jnp.finfo(dtype).eps
        done = b_j <= 4 * eps * largest

        def anew(w: Any) -> Any:
            fresh = random_like(jax.random.fold_in(key, j), w, jax.random.normal)
            return _orthogonal(_unit(_orthogonal(fresh, basis)), basis)

        w = lax.cond(done, anew, lambda w: w, w)
        b_j = jnp.where(done, 0, b_j)
        basis = _put(basis, _unit(w), j + 1)
        return basis, a.at[j].set(a_j), b.at[j].set(b_j), largest

    carry = basis, zeros, zeros, jnp.zeros([], dtype)
    basis, a, b, _ = lax.fori_loop(0, num_iters, body, carry)
    tridiagonal = jnp.diag(a) + jnp.diag(b[:-1], 1) + jnp.diag(b[:-1], -1)
    values, weights = jnp.linalg.eigh(tridiagonal)
    values, weights = values[::-1][:k], weights[:, ::-1][:, :k]

    def combined(x: jax.Array) -> jax.Array:
        return jnp.tensordot(weights.T.astype(x.dtype), x[:-1], 1, precision=_EXACT)

    residuals = jnp.abs(b[-1] * weights[-1])
    return Eigenpairs(values, map_present(combined, basis), residuals)


@compiled_once
@at_work("sharpness")
def sharpness(
    loss: LossFn,
    params: Params,
    inputs: Any = NOT_GIVEN,
    targets: Any = NOT_GIVEN,
    *,
    num_iters: int = 32,
    key: jax.Array | None = None,
) -> jax.Array:
    """The largest eigenvalue of the Hessian of a loss.

    Gradient descent of rate r goes downhill in every direction where it is below 2 / r;
    in training it rises up to there, and stays. By `lanczos`, which see.

    Args:
      loss: `loss(params, inputs, targets)`, a scalar; without targets, or inputs and
        targets, `loss(params, inputs)`, `loss(params)`.
      params: where it is taken; real floating arrays.
      inputs, targets: handed on to loss.
      num_iters: products with the Hessian, at least 1, each some gradients dear.
      key: of the start; the same by default, so that it is the same number each time.

    Returns:
      A scalar; from below, by what `lanczos` has not found yet.

    Raises:
      ValueError: num_iters below 1.

    Source: Cohen et al., Gradient descent on neural networks typically occurs at the
    edge of stability (2021), section 2.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> params = {"w": jnp.array([1.0, 2.0])}
      >>> float(gradtx.curvature.sharpness(lambda p: (p["w"] ** 3).sum(), params))
      12.0
    """
    gradient = jax.grad(of_batch(loss, inputs, targets))

    def product(v: Any) -> Any:
        v = jax.tree.map(lambda v, p: v.astype(jnp.result_type(p)), v, params)
        return jax.jvp(gradient, (params,), (v,))[1]

    key = jax.random.key(0) if key is None else key
    start = random_like(key, params, jax.random.normal)
    count = min(num_iters, arithmetic.size(params))
    return lanczos(product, start, num_iters=count, key=key).values[0]


_EXACT = lax.Precision.HIGHEST


def _product(matrix: Matrix, precision: lax.Precision) -> Callable[[Any], Any]:
    if callable(matrix):
        return matrix
    shape = jnp.shape(matrix)
    if len(shape) != 2 or shape[0] != shape[1]:
        raise failure(f"matrix must be square or a function, got shape {shape}.")
    return lambda v: jnp.matmul(matrix, v, precision=precision)


def _uniform(key: jax.Array, shape: Any, dtype: Any) -> jax.Array:
    return jax.random.uniform(key, shape, dtype, minval=-1, maxval=1)


def _start(matrix: Any, key: Any, draw: Any = _uniform) -> jax.Array:
    if callable(matrix):
        raise failure(
            "v0 must be given where matrix is a function: what it multiplies."
        )
    key = jax.random.key(0) if key is None else key
    matrix = jnp.asarray(matrix)
    return draw(key, matrix.shape[-1:], matrix.dtype)


def _unit(tree: Any) -> Any:
    """The tree over its norm; 0 stays 0."""
    size = norms.norm(tree)
    size = jnp.where(size == 0, 1, size)
    return map_present(lambda x: x / size.astype(x.real.dtype), tree)


def _put(basis: Any, v: Any, j: Any) -> Any:
    return jax.tree.map(lambda x, v: x.at[j].set(v.astype(x.dtype)), basis, v)


def _orthogonal(w: Any, basis: Any) -> Any:
    """What of w is orthogonal to the basis, whose other vectors are 0."""

    def once(w: Any) -> Any:
        parts = jax.tree.map(
            lambda q, x: jnp.tensordot(q, x, x.ndim, precision=_EXACT), basis, w
        )
        along: Any = sum(jax.tree.leaves(parts))
        return jax.tree.map(
            lambda q, x: (
                x - jnp.tensordot(along.astype(x.dtype), q, 1, precision=_EXACT)
            ),
            basis,
            w,
        )

    w = jax.tree.map(lambda x, q: x.astype(q.dtype), w, basis)
    return once(once(w))  # twice is enough
