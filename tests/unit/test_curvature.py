"""Curvature: products, diagonals, eigenvalues and roots beside NumPy's and scipy's."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.optimize
from jax.flatten_util import ravel_pytree

from gradtx import curvature
from gradtx.core.once import _compile


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def model(params, inputs):
    return jnp.tanh(inputs @ params["w"] + params["b"])


def error(outputs, targets):
    return jnp.sum((outputs - targets) ** 4)


def loss(params, inputs, targets):
    return error(model(params, inputs), targets)


def problem(dtype=np.float64):
    rng = np.random.default_rng(0)
    params = {"w": rng.normal(size=(3, 2)), "b": rng.normal(size=2)}
    inputs, targets = rng.normal(size=(4, 3)), rng.normal(size=(4, 2))
    return jax.tree.map(lambda x: jnp.asarray(x, dtype), (params, inputs, targets))


def hessian(params, inputs, targets):
    """By differences of the gradient."""
    flat, back = ravel_pytree(params)
    gradient = jax.jit(jax.grad(lambda x: loss(back(x), inputs, targets)))
    h = 1e-5
    rows = [(gradient(flat + h * e) - gradient(flat - h * e)) for e in np.eye(8)]
    return np.stack(rows) / (2 * h)


def test_products_and_diagonals_are_those_of_the_hessian():
    params, inputs, targets = problem()
    matrix = hessian(params, inputs, targets)
    v = np.random.default_rng(1).normal(size=8)
    back = ravel_pytree(params)[1]
    for vector in (v, back(v)):
        found = jax.jit(functools.partial(curvature.hvp, loss))(
            vector, params, inputs, targets
        )
        assert jax.tree.structure(found) == jax.tree.structure(params)
        # Differences of 1e-5 are exact to 1e-10, times third derivatives.
        np.testing.assert_allclose(ravel_pytree(found)[0], matrix @ v, rtol=1e-6)
    for size in (None, 3, 8):
        found = curvature.hessian_diag(loss, params, inputs, targets, batch_size=size)
        np.testing.assert_allclose(found, np.diag(matrix), rtol=1e-6, atol=1e-8)
    gradient, _ = ravel_pytree(jax.grad(loss)(params, inputs, targets))
    found = curvature.fisher_diag(loss, params, inputs, targets)
    np.testing.assert_allclose(found, np.square(gradient), rtol=1e-14)


def test_numbers_are_optaxs():
    params, inputs, targets = problem()
    v = np.random.default_rng(1).normal(size=8)
    given = params, inputs, targets
    with pytest.warns(DeprecationWarning, match="removed|deprecated"):
        theirs = optax.second_order.hvp(loss, v, *given)
    for one, two in zip(
        *map(jax.tree.leaves, (curvature.hvp(loss, v, *given), theirs)), strict=True
    ):
        np.testing.assert_allclose(one, two, rtol=1e-14)
    for name in ("hessian_diag", "fisher_diag"):
        with pytest.warns(DeprecationWarning, match="removed|deprecated"):
            theirs = getattr(optax.second_order, name)(loss, *given)
        found = getattr(curvature, name)(loss, *given)
        np.testing.assert_allclose(found, theirs, rtol=1e-12)


def test_the_gauss_newton_product_is_of_jacobians():
    params, inputs, targets = problem()
    flat, back = ravel_pytree(params)
    outputs = model(params, inputs)
    v = np.random.default_rng(2).normal(size=8)
    jacobian = jax.jacobian(lambda x: model(back(x), inputs).ravel())(flat)
    bend = np.diag(12 * np.square(outputs - targets).ravel())
    found = curvature.gnvp(model, error, back(v), params, inputs, targets)
    expected = jacobian.T @ bend @ jacobian @ v
    np.testing.assert_allclose(ravel_pytree(found)[0], expected, rtol=1e-12)
    # Where the model is linear it is the Hessian.
    linear = lambda p, x: x @ p["w"] + p["b"]  # noqa: E731  two words
    found = curvature.gnvp(linear, error, v, params, inputs, targets)
    whole = curvature.hvp(
        lambda p, x, y: error(linear(p, x), y), v, params, inputs, targets
    )
    for one, two in zip(*map(jax.tree.leaves, (found, whole)), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-12)


def symmetric(n, seed=0):
    x = np.random.default_rng(seed).normal(size=(n, n))
    return x + x.T


def test_lanczos_has_the_eigenvalues_of_numpy():
    matrix = symmetric(40)
    values, vectors = np.linalg.eigh(matrix)
    find = jax.jit(functools.partial(curvature.lanczos, k=3, num_iters=25))
    found = find(matrix)
    np.testing.assert_allclose(found.values, values[::-1][:3], rtol=1e-4)
    misses = np.abs(np.asarray(found.values) - values[::-1][:3])
    assert (misses <= np.asarray(found.residuals) + 1e-12).all()
    away = matrix @ found.vectors.T - found.vectors.T * found.values
    # The residual is that of the vectors, known without a product.
    norms = np.linalg.norm(away, axis=0)
    np.testing.assert_allclose(norms, found.residuals, atol=1e-10)
    whole = curvature.lanczos(matrix, k=40, num_iters=99)
    np.testing.assert_allclose(whole.values, values[::-1], atol=1e-12)
    np.testing.assert_allclose(
        np.abs(whole.vectors @ vectors[:, ::-1]), np.eye(40), atol=1e-9
    )  # fmt: skip  one line less
    batch = np.stack([matrix, -matrix])
    each = jax.vmap(find)(batch).values
    np.testing.assert_allclose(each[1], -values[:3], rtol=1e-4)


def test_lanczos_goes_on_where_a_space_is_full():
    for diagonal in ([2.0] * 5, [0.0] * 4, [3.0, 3.0, -1.0, -1.0, 0.0], [-2.0, -3.0]):
        matrix, n = np.diag(diagonal), len(diagonal)
        found = curvature.lanczos(matrix, k=n, num_iters=n)
        np.testing.assert_allclose(found.values, sorted(diagonal)[::-1], atol=1e-12)
        np.testing.assert_allclose(
            found.vectors @ found.vectors.T, np.eye(n), atol=1e-12
        )  # fmt: skip  one line less
    start = np.array([1.0, 0.0])  # of an eigenvector, whose value is not the largest
    found = curvature.lanczos(np.diag([1.0, 5.0]), start, num_iters=2)
    np.testing.assert_allclose(found.values, [5.0], rtol=1e-14)


def test_sharpness_is_the_largest_eigenvalue_of_the_hessian():
    given = problem()
    largest = np.linalg.eigvalsh(hessian(*given))[-1]
    find = jax.jit(functools.partial(curvature.sharpness, loss))
    np.testing.assert_allclose(find(*given), largest, rtol=1e-7)  # differences
    assert find(*given) == find(*given)
    other = find(*given, key=jax.random.key(7))
    assert other != find(*given)
    np.testing.assert_allclose(other, largest, rtol=1e-7)
    narrow = jax.tree.map(lambda x: x.astype(jnp.float32), given)
    found = find(*narrow)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, largest, rtol=1e-5)


def test_outside_of_jit_it_compiles_once():
    given = problem()
    few = curvature.sharpness(loss, *given, num_iters=2)
    assert few < np.linalg.eigvalsh(hessian(*given))[-1]
    before = _compile.cache_info().misses
    curvature.sharpness(loss, *jax.tree.map(lambda x: 2 * x, given), num_iters=2)
    assert _compile.cache_info().misses == before


def test_power_iteration_finds_the_largest_size():
    matrix = symmetric(6, seed=3)
    values, vectors = np.linalg.eigh(matrix)
    at = np.argmax(np.abs(values))
    many = functools.partial(curvature.power_iteration, num_iters=5000)
    value, vector = jax.jit(functools.partial(many, error_tolerance=1e-10))(matrix)
    np.testing.assert_allclose(value, values[at], rtol=1e-12)
    np.testing.assert_allclose(np.abs(vector @ vectors[:, at]), 1, rtol=1e-12)
    value, vector = many(lambda v: {"v": matrix @ v["v"]}, v0={"v": np.ones(6)})
    np.testing.assert_allclose(value, values[at], rtol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(vector["v"]), 1, rtol=1e-12)
    theirs = optax.power_iteration(matrix.astype(np.float32), num_iters=50)
    found = curvature.power_iteration(matrix.astype(np.float32), num_iters=50)
    np.testing.assert_allclose(found[0], theirs[0], rtol=1e-5)  # float32
    np.testing.assert_allclose(found[1], theirs[1], atol=1e-4)
    value, vector = curvature.power_iteration(np.zeros((3, 3)))
    assert value == 0
    np.testing.assert_allclose(np.linalg.norm(vector), 1)
    each, _ = jax.vmap(many)(np.stack([matrix, 2 * matrix]))
    np.testing.assert_allclose(each, [values[at], 2 * values[at]], rtol=1e-9)


@pytest.mark.parametrize("p", [1, 2, 3, 4, 6, 8])
def test_an_inverse_root_is_the_one_of_eigenvalues(p):
    x = np.random.default_rng(4).normal(size=(7, 7))
    matrix = 1e-3 * x @ x.T
    values, vectors = np.linalg.eigh(matrix)
    ridge = 1e-6 * values[-1]
    expected = vectors * (values + ridge) ** (-1 / p) @ vectors.T
    root = jax.jit(functools.partial(curvature.matrix_inverse_pth_root, p=p))
    found, miss = root(matrix)
    assert miss < 1e-6
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())
    batch, _ = jax.vmap(root)(np.stack([matrix, 16.0 * matrix]))
    np.testing.assert_allclose(batch[1], batch[0] * 16 ** (-1 / p), rtol=1e-5)
    narrow, _ = root(matrix.astype(np.float32))
    assert narrow.dtype == jnp.float32
    if p in (2, 4):  # those that Optax has: 3 and 6 it takes for 4 and 8
        theirs, _ = optax.matrix_inverse_pth_root(matrix.astype(np.float32), p)
        largest = np.abs(expected).max()
        # A condition of 1e4 in float32.
        np.testing.assert_allclose(narrow, theirs, atol=1e-3 * largest)
        np.testing.assert_allclose(narrow, expected, atol=1e-3 * largest)


def test_inverse_roots_of_small_and_singular_matrices():
    for size in (1e-30, 1.0, 1e30):
        found, _ = curvature.matrix_inverse_pth_root(
            jnp.eye(3, dtype="float32") * size, 2
        )
        np.testing.assert_allclose(found, np.eye(3) * size**-0.5, rtol=1e-5)
    found, _ = curvature.matrix_inverse_pth_root(np.array([[16.0]]), 4)
    np.testing.assert_allclose(found, [[0.5]], rtol=1e-5)
    found, _ = curvature.matrix_inverse_pth_root(np.ones((2, 2)), 2)
    assert np.isfinite(found).all()


def test_nnls_is_scipys():
    rng = np.random.default_rng(5)
    solve = jax.jit(functools.partial(curvature.nnls, iters=3000))
    for m, n in ((8, 5), (5, 8), (20, 3)):
        a, b = rng.normal(size=(m, n)), rng.normal(size=m)
        found, (expected, miss) = solve(a, b), scipy.optimize.nnls(a, b)
        assert (found >= 0).all()
        np.testing.assert_allclose(np.linalg.norm(a @ found - b), miss, atol=1e-8)
        if m >= n:  # else there are several
            np.testing.assert_allclose(found, expected, atol=1e-8)
    a, b = rng.normal(size=(9, 4)), rng.normal(size=(9, 3))
    found = curvature.nnls(a, b, 2000, L=np.linalg.norm(a, 2) ** 2)
    expected = np.stack([scipy.optimize.nnls(a, column)[0] for column in b.T], 1)
    np.testing.assert_allclose(found, expected, atol=1e-10)
    each = jax.vmap(solve, (None, 1), 1)(a, b)
    np.testing.assert_allclose(each, expected, atol=1e-10)
    np.testing.assert_array_equal(curvature.nnls(0 * a, b, 5), 0)
    assert (
        curvature.nnls(a.astype("float16"), b.astype("float16"), 3).dtype == "float16"
    )


def test_nnls_begins_again_where_it_swings():
    rng = np.random.default_rng(6)
    u, _, v = np.linalg.svd(rng.normal(size=(30, 12)), full_matrices=False)
    a, b = u * np.logspace(0, -2, 12) @ v, rng.normal(size=30)
    expected = scipy.optimize.nnls(a, b)[0]
    found = curvature.nnls(a, b, 1500)
    plain = optax.nnls(jnp.asarray(a), jnp.asarray(b), 1500)
    missed, theirs = (np.abs(x - expected).max() for x in (found, plain))
    assert missed < 1e-8 < theirs


A, V = np.eye(3), np.ones(3)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: curvature.hvp(jnp.sum, np.ones(2), {"w": V}), "hvp: v must be a tree"),
        (lambda: curvature.hvp(jnp.sum, {"w": 1.0}, {"w": V}), r"v\['w'\] has shape"),
        (lambda: curvature.gnvp(jnp.sum, jnp.sum, V[:2], {"w": V}), "gnvp: v must be"),
        (lambda: curvature.hessian_diag(jnp.sum, V, batch_size=0), "batch_size must"),
        (lambda: curvature.lanczos(np.ones((2, 3))), "lanczos: matrix must be square"),
        (lambda: curvature.lanczos(lambda v: v), "lanczos: v0 must be given"),
        (lambda: curvature.lanczos(1j * A), "v0 must be real, got complex"),
        (lambda: curvature.lanczos(A, k=4), "k must be at most the dimension, 3"),
        (lambda: curvature.lanczos(A, k=2, num_iters=1), "num_iters must be"),
        (lambda: curvature.power_iteration(lambda v: v), "power_iteration: v0 must be"),
        (lambda: curvature.power_iteration(A, num_iters=-1), "num_iters must be"),
        (lambda: curvature.power_iteration(A[0]), "matrix must be square"),
        (lambda: curvature.sharpness(jnp.sum, V, num_iters=0), "num_iters must be"),
        (lambda: curvature.matrix_inverse_pth_root(A, 0), "p must be a whole number"),
        (lambda: curvature.matrix_inverse_pth_root(A, 1.5), "p must be a whole number"),
        (lambda: curvature.matrix_inverse_pth_root(A[0], 2), "matrix must be square"),
        (
            lambda: curvature.matrix_inverse_pth_root(A, 2, ridge_epsilon=-1.0),
            "ridge_epsilon must be",
        ),
        (lambda: curvature.nnls(A[0], V, 3), "nnls: A must be a matrix"),
        (lambda: curvature.nnls(A, V[:2], 3), "nnls: b must have a first dimension"),
        (lambda: curvature.nnls(A, V, -1), "iters must be"),
        (lambda: curvature.nnls(A, V, 3, L=0.0), "L must be above 0"),
    ],
)
def test_bad_input_is_named(call, text):
    with pytest.raises(ValueError, match=text):
        call()
