"""Laws of the iteration on matrices, and of the optimizers that are built on it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.matrix import orthogonalize

TABLES = ["jordan", "dion", "polar_express", "ten_steps"]
# Where singular values of 2e-3 to 1 end, and above what those of 1e-4 do.
RANGES = {
    "jordan": (0.68, 1.21, 0.04),
    "dion": (0.68, 1.15, 0.04),
    "polar_express": (0.85, 1.15, 0.08),
    "ten_steps": (0.999, 1.003, 0.999),
}


def matrix(sizes, seed=0, shape=(12, 12)):
    """A matrix of these singular values, and its vectors."""
    rng = np.random.default_rng(seed)
    u, _, v = np.linalg.svd(rng.normal(size=shape), full_matrices=False)
    return np.float32((u * sizes) @ v), u, v


@pytest.mark.parametrize("table", TABLES)
def test_a_matrix_keeps_its_vectors_and_loses_its_singular_values(table):
    x, u, v = matrix(np.logspace(-4, 0, 12))
    found = u.T @ np.asarray(orthogonalize(x, table), float) @ v.T
    sizes = np.diag(found)
    low, high, least = RANGES[table]
    assert sizes[4:].min() > low
    assert sizes.min() > least  # where sign and vector of the smallest are right
    assert sizes.max() < high
    # The slope at 0 is up to 8e4 for ten steps, of entries rounded to 6e-8 of 1.
    tolerance = 5e-3 if table == "ten_steps" else 1e-4
    np.testing.assert_allclose(found, np.diag(sizes), atol=tolerance)


@pytest.mark.parametrize("table", TABLES)
def test_a_matrix_of_rank_one_becomes_its_vectors(table):
    rng = np.random.default_rng(1)
    u, v = rng.normal(size=5), rng.normal(size=7)
    u, v = u / np.linalg.norm(u), v / np.linalg.norm(v)
    found = u @ np.asarray(orthogonalize(np.float32(3 * np.outer(u, v)), table)) @ v
    low, high, _ = RANGES[table]
    assert low < found < high  # and not turned round, nor carried off


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("shape", [(6, 6), (4, 9), (9, 4)])
def test_an_orthogonal_matrix_stays_but_for_its_size(table, shape):
    _, u, v = matrix(1.0, shape=shape)
    q = u @ v
    found = np.asarray(orthogonalize(np.float32(q), table))
    size = np.sum(found * q) / min(shape)
    low, high, _ = RANGES[table]
    assert low < size < high
    # Ten steps of matrix products in float32.
    np.testing.assert_allclose(found, size * q, atol=1e-5)


@pytest.mark.parametrize("table", TABLES)
def test_the_scale_of_a_matrix_has_no_effect(table):
    x, _, _ = matrix(np.logspace(-2, 0, 12))
    expected = orthogonalize(x, table)
    np.testing.assert_array_equal(orthogonalize(x * 2.0**-90, table), expected)
    for scale in (1e-30, 1e30):  # which round entries by 6e-8, times the slope
        found = orthogonalize(x * np.float32(scale), table)
        np.testing.assert_allclose(found, expected, atol=2e-4)
    for dtype in (jnp.float16, jnp.bfloat16, jnp.float32):
        zero = jnp.zeros((2, 3, 4), dtype)
        found, back = jax.vjp(lambda x: orthogonalize(x, table), zero)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, 0)
        np.testing.assert_array_equal(back(jnp.ones_like(zero))[0], 0)


def test_rounding_up_a_singular_value_of_1_does_not_carry_it_off():
    # As a sum in bfloat16 does: 1.02 has the room that the table is made for.
    rng = np.random.default_rng(2)
    x = np.outer(rng.normal(size=40), rng.normal(size=50))
    found = orthogonalize(np.float32(x), "polar_express", dtype=jnp.bfloat16)
    assert 0.85 < np.linalg.norm(np.asarray(found, float), 2) < 1.15


def test_matrices_of_a_stack_go_each_by_itself():
    rng = np.random.default_rng(3)
    g = rng.normal(size=(3, 5, 4)).astype(np.float32)
    numbers = gradtx.MuonDimensionNumbers(1, 2)
    for adaptive in (False, True):
        tx = gradtx.scale_by_muon(adaptive=adaptive, weight_dimension_numbers=numbers)

        def run(g, tx=tx):
            return np.asarray(tx.update(g, tx.init(g))[0])

        whole = run(g)
        scaled = run(g * np.float32([1, 100, 1])[:, None, None])
        np.testing.assert_allclose(scaled[[0, 2]], whole[[0, 2]], rtol=1e-6)
        np.testing.assert_allclose(run(g[[2, 0, 1]]), whole[[2, 0, 1]], rtol=1e-6)
        alone = gradtx.scale_by_muon(adaptive=adaptive)
        for x, u in zip(g, whole, strict=True):
            found = alone.update(x, alone.init(x))[0]
            # A product of a batch adds up in another order.
            np.testing.assert_allclose(found, u, rtol=1e-4, atol=1e-5)


def test_the_steps_are_of_one_size_whatever_the_gradients_are():
    tx = gradtx.scale_by_muon("ten_steps", 10)
    g, u, v = matrix(np.logspace(-2, 0, 12), seed=4)
    update, _ = jax.jit(tx.update)(g * 1e-20, tx.init(g))
    # The last step of the table ends within 2e-3 of 1.
    np.testing.assert_allclose(update, u @ v, atol=3e-3)
