"""A function called once for every leaf: in order, traced once a shape."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.core.per_leaf import TOGETHER, PerLeaf
from gradtx.wrappers.inner import one_of
from tests.benchmarks.measure import equations

# More than one group of one shape, some left over, others between.
SHAPES = [(2,) if i % 3 else (3, 2) for i in range(4 * TOGETHER + 3)]


def leaves():
    return [(jnp.full(shape, float(i)),) for i, shape in enumerate(SHAPES)]


def test_results_come_in_the_order_of_the_leaves():
    call = PerLeaf(lambda leaf, shared: shared * leaf[0])
    for run in (call, jax.jit(call)):
        found = run(leaves(), 2.0)
        assert [x.shape for x in found] == SHAPES
        for i, x in enumerate(found):
            np.testing.assert_array_equal(x, 2.0 * i)


def test_the_function_is_traced_once_a_shape():
    seen = []

    def fn(leaf, shared):
        seen.append(leaf[0].shape)
        return leaf[0]

    jax.jit(PerLeaf(fn)).lower(leaves())
    assert sorted(seen) == sorted(set(SHAPES))


def test_calls_are_fewer_than_leaves():
    tx = gradtx.sgd(0.1)
    tree = [jnp.ones(2)] * 400
    step = jax.make_jaxpr(lambda g, p: tx.step(g, tx.init(p), p))(tree, tree)
    assert equations(step.jaxpr)[1] < 400 / TOGETHER + 50


def test_branches_of_different_structure_are_refused():
    @jax.jit
    def run(x):
        return one_of(x > 0, lambda x: {"a": x}, lambda x: {"b": x}, x)

    with pytest.raises(TypeError, match="a step that is not taken gives"):
        run(1.0)
