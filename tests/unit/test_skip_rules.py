"""The rules that leave micro-batches out, and what MultiSteps makes of them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx
from gradtx.wrappers.accumulate import MultiSteps
from gradtx.wrappers.skip_rules import skip_large_updates, skip_not_finite

NAN = jnp.nan
PARAMS = {"w": jnp.array([[1.0, -2.0], [0.5, 4.0]]), "b": jnp.array([1.0, 2.0])}
SMALL = functools.partial(skip_large_updates, max_squared_norm=1e3)


def gradients(seed, value=None):
    rng = np.random.default_rng(seed)
    grads = jax.tree.map(
        lambda p: jnp.asarray(rng.normal(size=p.shape), p.dtype), PARAMS
    )
    if value is not None:
        grads["b"] = grads["b"].at[1].set(value)
    return grads


def same(actual, desired):
    assert jax.tree.structure(actual) == jax.tree.structure(desired)
    for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(desired), strict=True):
        np.testing.assert_array_equal(x, y)
        assert x.dtype == y.dtype


def close(actual, desired, rtol=1e-6):
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol),
        actual,
        desired,
    )


@pytest.mark.parametrize("ours", [skip_not_finite, SMALL])
def test_rules_say_what_optaxs_say(ours):
    theirs = {skip_not_finite: optax.skip_not_finite}.get(
        ours, functools.partial(optax.skip_large_updates, max_squared_norm=1e3)
    )
    for b in ([1.0, 2.0], [NAN, jnp.inf], [30.0, 20.0], [0.0, 1000.0**0.5]):
        tree = {"a": jnp.array([0.0]), "b": jnp.array(b), "n": jnp.array([2])}
        skip, state = ours(tree, 0, None)
        desired, desired_state = theirs(tree, 0, None)
        assert bool(skip) == bool(desired) == bool(state["should_skip"])
        close(state, desired_state)


def test_rejected_micro_batches_never_were():
    tx = MultiSteps(gradtx.adam(0.25), 3, should_skip_update_fn=skip_not_finite)
    clean = MultiSteps(gradtx.adam(0.25), 3)
    state, params = tx.init(PARAMS), PARAMS
    clean_state, desired = clean.init(PARAMS), PARAMS
    for i in range(9):
        params, state = tx.step(gradients(i, NAN), state, params)
        params, state = tx.step(gradients(i), state, params)
        params, state = tx.step(gradients(i, -jnp.inf), state, params)
        desired, clean_state = clean.step(gradients(i), clean_state, desired)
        same(params, desired)
        same(state[:4], clean_state[:4])


def test_has_updated_only_if_the_last_one_moved_something():
    tx = MultiSteps(gradtx.sgd(0.5), 2, should_skip_update_fn=skip_not_finite)
    state, seen = tx.init(PARAMS), [False]
    for i, value in enumerate((1.0, 1.0, NAN, 1.0, NAN, 1.0)):
        _, state = tx.update(gradients(i, value), state, PARAMS)
        seen.append(bool(tx.has_updated(state)))
    # The third is rejected right after a step; Optax says True there.
    assert seen == [False, False, True, False, False, False, True]


def test_a_rules_state_keeps_its_dtypes():
    def rule(updates, gradient_step, params):
        return False, {"first": updates[0], "step": gradient_step, "weak": 1.0}

    tx = MultiSteps(gradtx.sgd(1.0), 2, should_skip_update_fn=rule)
    state = tx.init(jnp.ones(2))
    _, after = tx.update(jnp.ones(2, jnp.bfloat16), state, jnp.ones(2))
    for x, y in zip(jax.tree.leaves(state), jax.tree.leaves(after), strict=True):
        assert (x.dtype, x.weak_type) == (y.dtype, y.weak_type)


def test_nan_let_in_spoils_its_own_step_only():
    tx = MultiSteps(gradtx.sgd(0.5), 2)
    state = tx.init(PARAMS)
    finite = []
    for i, value in enumerate((NAN, 1.0, 1.0, NAN, 1.0, 1.0)):
        updates, state = tx.update(gradients(i, value), state, PARAMS)
        finite.append(bool(jnp.isfinite(updates["b"]).all()))
    assert finite == [True, False, True, False, True, True]
    assert jnp.isfinite(state.acc_grads["b"]).all()


def test_each_lane_of_vmap_counts_for_itself():
    tx = MultiSteps(gradtx.sgd(1.0), 2, should_skip_update_fn=skip_not_finite)
    params = jnp.zeros((2, 3))
    state = jax.vmap(tx.init)(params)
    grads = jnp.ones((2, 3))
    for g in (grads, grads.at[1, 0].set(NAN)):
        params, state = jax.vmap(tx.step)(g, state, params)
    np.testing.assert_array_equal(params, [[-1.0] * 3, [0.0] * 3])
    np.testing.assert_array_equal(state.mini_step, [0, 1])
