"""`MultiSteps.flush`: the last cycle, which the data has ended before its time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import MultiSteps, adamw, sgd


def gathered(tx, batches, params, state=None):
    """After some micro-batches, each a gradient and extra arguments."""
    state = tx.init(params) if state is None else state
    for g, extra in batches:
        grads = jax.tree.map(lambda p, g=g: jnp.full_like(p, g), params)
        params, state = tx.step(grads, state, params, **extra)
    return params, state


@pytest.mark.parametrize("jit", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("weighted", [False, True])
def test_it_takes_the_step_with_the_mean_of_what_there_is(weighted, jit):
    tx = MultiSteps(adamw(0.25), 4, weighted=weighted)
    params = {"w": jnp.array([1.0, -2.0])}
    weights = [{"weight": w} if weighted else {} for w in (1, 6)]
    start, state = gathered(tx, zip((3.0, -4.0), weights, strict=True), params)
    np.testing.assert_array_equal(start["w"], params["w"])
    flush = jax.jit(tx.flush) if jit else tx.flush
    found, state = flush(state, start)
    mean = (1 * 3.0 - 6 * 4.0) / 7 if weighted else -0.5
    inner = adamw(0.25)
    grads = {"w": jnp.full(2, mean, jnp.float32)}
    expected, inner_state = inner.step(grads, inner.init(params), params)
    # Compiled otherwise: a mean and its root, rounded once more.
    np.testing.assert_allclose(found["w"], expected["w"], rtol=1e-6)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6),
        (state.mini_step, state.gradient_step, state.inner_opt_state),
        (0, 1, inner_state),
    )
    assert tx.has_updated(state)
    # The next cycle begins anew.
    new, state = gathered(tx, [(2.0, weights[0])] * 3, found, state)
    np.testing.assert_array_equal(new["w"], found["w"])
    assert state.mini_step == 3


def test_a_sum_is_not_divided():
    tx = MultiSteps(sgd(1.0), 4, use_grad_mean=False)
    params, state = gathered(tx, [(1.0, {}), (2.0, {}), (4.0, {})], jnp.zeros(2))
    np.testing.assert_array_equal(tx.flush(state, params)[0], -7.0)


@pytest.mark.parametrize("batches", [[], [1.0, 2.0]], ids=["no batch", "whole cycles"])
def test_where_nothing_is_left_nothing_moves(batches):
    tx = MultiSteps(adamw(0.1), 2)
    params, state = gathered(tx, [(g, {}) for g in batches], jnp.ones(2))
    for x, y in zip(
        jax.tree.leaves(tx.flush(state, params)),
        jax.tree.leaves((params, state)),
        strict=True,
    ):
        np.testing.assert_array_equal(x, y)
        assert x.dtype == y.dtype


def test_a_rest_without_weight_is_no_step():
    tx = MultiSteps(adamw(0.1), 3, weighted=True)
    params, state = gathered(tx, [(np.nan, {"weight": 0})], jnp.ones(2))
    params, state = tx.flush(state, params)
    np.testing.assert_array_equal(params, 1.0)
    assert (state.mini_step, state.gradient_step) == (0, 0)
    assert not tx.has_updated(state)


def test_a_rejected_micro_batch_is_not_in_it():
    tx = MultiSteps(sgd(1.0), 4, should_skip_update_fn=gradtx.skip_not_finite)
    params, state = gathered(tx, [(3.0, {}), (np.nan, {})], jnp.zeros(2))
    params, state = tx.flush(state, params)
    np.testing.assert_array_equal(params, -3.0)
    assert tx.has_updated(state)
    only = gathered(tx, [(np.nan, {})], jnp.zeros(2))[1]
    assert not tx.has_updated(tx.flush(only, params)[1])


def test_a_leaf_that_had_no_gradient_stays():
    tx = MultiSteps(adamw(0.1, weight_decay=0.5), 3)
    params = {"a": jnp.ones(2), "b": jnp.ones(2), "n": jnp.arange(2), "z": None}
    state = tx.init(params)
    grads = {"a": None, "b": jnp.ones(2), "n": None, "z": None}
    _, state = tx.step(grads, state, params)
    new, _ = tx.flush(state, params)
    np.testing.assert_array_equal(new["a"], 1.0)
    np.testing.assert_array_equal(new["n"], [0, 1])
    assert jnp.all(new["b"] < 0.9)
    assert new["z"] is None


def test_extra_arguments_reach_the_inner_one_and_a_chain_goes_on():
    tx = MultiSteps(gradtx.chain(gradtx.scale(2.0), sgd(1.0)), 3)
    whole = gradtx.chain(gradtx.clip(1.0), tx)
    params, state = jnp.zeros(2), whole.init(jnp.zeros(2))
    params, state = whole.step(jnp.full(2, 5.0), state, params)
    params, last = tx.flush(state[1], params, value=1.0)
    np.testing.assert_array_equal(params, -2.0)
    params, state = whole.step(jnp.full(2, 5.0), (state[0], last), params)
    assert state[1].mini_step == 1


def test_bfloat16_is_rounded_once():
    tx = MultiSteps(sgd(1.0), 3)
    params = jnp.ones(1, jnp.bfloat16)
    _, state = tx.step(jnp.full(1, 2**-8, jnp.bfloat16), tx.init(params), params)
    _, state = tx.step(jnp.full(1, 2**-8, jnp.bfloat16), state, params)
    found, _ = tx.flush(state, params)
    assert found.dtype == jnp.bfloat16
    np.testing.assert_array_equal(found, 1 - 2**-8)


def test_what_is_wrong_is_named():
    tx = MultiSteps(sgd(1.0), 2)
    chained = gradtx.chain(gradtx.clip(1.0), tx)
    with pytest.raises(TypeError, match=r"MultiSteps.flush: the state is a tuple"):
        tx.flush(chained.init(1.0), 1.0)
    with pytest.raises(ValueError, match=r"MultiSteps.flush needs params"):
        tx.flush(tx.init(1.0), None)
