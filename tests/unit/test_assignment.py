"""Assignments cost what scipy's cost, and all that is tried by hand."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.optimize import linear_sum_assignment

import gradtx.optax
from gradtx.assignment import hungarian_algorithm

RNG = np.random.default_rng(0)
SHAPES = [(1, 1), (1, 6), (6, 1), (5, 5), (4, 9), (9, 4), (20, 20), (13, 31)]


def costs(kind, shape):
    n, m = shape
    return {
        "random": lambda: RNG.normal(size=shape),
        "large": lambda: 1e6 * RNG.normal(size=shape),
        "ties": lambda: RNG.integers(3, size=shape),
        "all the same": lambda: np.zeros(shape),
        "rows alike": lambda: np.tile(RNG.normal(size=(1, m)), (n, 1)),
        "columns alike": lambda: np.tile(RNG.normal(size=(n, 1)), (1, m)),
        "products": lambda: np.outer(np.arange(n), np.arange(m)),
        "signed bytes": lambda: RNG.integers(-128, 128, size=shape).astype(np.int8),
    }[kind]()


KINDS = [
    *("random", "large", "ties", "all the same", "rows alike", "columns alike"),
    *("products", "signed bytes"),
]


def is_assignment(i, j, shape):
    size = min(shape)
    assert i.shape == j.shape == (size,)
    assert i.dtype == j.dtype == jnp.int32
    assert (np.diff(i) > 0).all()
    assert len(set(j.tolist())) == size
    assert (i >= 0).all()
    assert (j >= 0).all()
    assert (i < shape[0]).all()
    assert (j < shape[1]).all()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_it_costs_what_scipys_costs(shape):
    for kind in KINDS:
        c = costs(kind, shape)
        c = c if kind == "signed bytes" else c.astype(np.float32)
        i, j = map(np.asarray, hungarian_algorithm(c))
        is_assignment(i, j, shape)
        rows, columns = linear_sum_assignment(c)
        exact = np.float64(c)
        # Rounding in float32, of up to twenty numbers as large as the largest.
        near = 1e-6 * min(shape) * max(1, np.abs(exact).max())
        cost = exact[i, j].sum()
        np.testing.assert_allclose(cost, exact[rows, columns].sum(), atol=near, rtol=0)
        if kind == "random":  # there is one best
            np.testing.assert_array_equal((i, j), (rows, columns))


def test_nothing_is_cheaper_by_brute_force():
    for c in RNG.integers(10, size=(20, 4, 5)):
        i, j = hungarian_algorithm(c)
        orders = itertools.permutations(range(5), 4)
        best = min(sum(c[k, order[k]] for k in range(4)) for order in orders)
        assert c[np.asarray(i), np.asarray(j)].sum() == best


def test_under_jit_and_vmap():
    many = jnp.asarray(RNG.normal(size=(6, 7, 5)), jnp.float32)
    found = jax.jit(jax.vmap(hungarian_algorithm))(many)
    for c, i, j in zip(many, *found, strict=True):
        np.testing.assert_array_equal((i, j), linear_sum_assignment(c))


def test_pairs_may_be_forbidden():
    c = RNG.normal(size=(6, 8)).astype(np.float32)
    c[RNG.random(size=c.shape) < 0.5] = np.inf
    c[np.arange(6), np.arange(6)] = 3.0  # so that there is one
    i, j = hungarian_algorithm(c)
    np.testing.assert_array_equal((i, j), linear_sum_assignment(c))


def test_the_cost_has_a_derivative():
    c = jnp.asarray(RNG.normal(size=(4, 4)), jnp.float32)

    def cost(c):
        return c[hungarian_algorithm(c)].sum()

    expected = np.zeros((4, 4))
    expected[linear_sum_assignment(c)] = 1
    np.testing.assert_array_equal(jax.grad(cost)(c), expected)
    np.testing.assert_array_equal(jax.jit(jax.grad(cost))(c), expected)


def test_it_costs_what_optaxs_costs():
    c = jnp.asarray(RNG.normal(size=(9, 6)), jnp.float32)
    there = optax.assignment
    for name in ("hungarian_algorithm", "base_hungarian_algorithm"):
        ours = getattr(gradtx.optax.assignment, name)
        assert ours is hungarian_algorithm
        np.testing.assert_allclose(
            c[ours(c)].sum(), c[getattr(there, name)(c)].sum(), rtol=1e-6
        )


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_without_rows_or_columns_there_are_no_pairs(shape):
    i, j = hungarian_algorithm(jnp.zeros(shape))
    assert i.shape == j.shape == (0,)


def test_double_precision_is_kept():
    c = np.array([[1.0, 1.0 + 1e-12], [1.0, 1.0]])
    with jax.enable_x64(True):
        np.testing.assert_array_equal(hungarian_algorithm(c)[1], [0, 1])
        whole = np.array([[2**40, 2**40 + 1], [0, 0]])
        np.testing.assert_array_equal(hungarian_algorithm(whole)[1], [0, 1])


def test_mistakes_are_told():
    good = np.ones((2, 3), np.float32)
    for value, said in ((np.nan, "nan"), (-np.inf, "-inf")):
        c = good.copy()
        c[1, 2] = value
        with pytest.raises(ValueError, match=rf"cost_matrix\[1, 2\] is {said};"):
            hungarian_algorithm(c)
        for x in jax.jit(hungarian_algorithm)(c):
            np.testing.assert_array_equal(x, -1)
    lost = np.array([[np.inf, np.inf], [1, 2]], np.float32)
    with pytest.raises(ValueError, match="no assignment of finite cost"):
        hungarian_algorithm(lost)
    for x in jax.jit(hungarian_algorithm)(lost.T):
        np.testing.assert_array_equal(x, -1)
    with pytest.raises(ValueError, match=r"two axes, .* the shape \(3,\)"):
        hungarian_algorithm(jnp.ones(3))
    with pytest.raises(TypeError, match="must be real, got complex64"):
        hungarian_algorithm(good * 1j)
