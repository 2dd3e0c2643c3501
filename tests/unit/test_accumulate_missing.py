"""`MultiSteps` where a leaf has a gradient in some micro-batches and None in others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import MultiSteps, adamw, sgd

SKIPS = {"no rule": None, "finite": gradtx.skip_not_finite}


def run(tx, gradients, *, step, jit=False):
    """The parameter "a" after gradients for it; "b" has one in each micro-batch."""
    params = {"a": jnp.zeros(2), "b": jnp.zeros(2)}
    state = tx.init(params)

    def one(grads, state, params):
        if step:
            return tx.step(grads, state, params)
        updates, state = tx.update(grads, state, params)
        return gradtx.apply_updates(params, updates), state

    one = jax.jit(one) if jit else one
    for g in gradients:
        grads = {"a": None if g is None else jnp.full(2, g), "b": jnp.ones(2)}
        params, state = one(grads, state, params)
    return params, state


def reference(gradients, k, momentum=0.0, skip=False):
    """What SGD with momentum makes of the means, in which a missing one is zero.

    A cycle without any leaves the parameter and its velocity alone.
    """
    p = v = 0.0
    # A micro-batch that is left out does not count towards the k.
    kept = [g for g in gradients if not (skip and g is not None and np.isnan(g))]
    for i in range(0, len(kept) - len(kept) % k, k):
        there = [g for g in kept[i : i + k] if g is not None]
        if there:
            v = momentum * v + sum(there) / k
            p -= v
    return p


CASES = {
    "at its start": [None, 6.0, None, 2.0],
    "at its end": [6.0, None, 2.0, None],
    "in the whole first cycle": [None, None, 4.0, 2.0],
    "in a whole later cycle": [4.0, 2.0, None, None, 6.0, None],
    "in the middle of three": [3.0, None, 6.0, None, None, 3.0],
    "gradients that are zero": [0.0, None, 6.0, None, 0.0, None],
}


@pytest.mark.parametrize("step", [False, True], ids=["update", "step"])
@pytest.mark.parametrize("skip", SKIPS)
@pytest.mark.parametrize("case", CASES)
def test_a_missing_gradient_is_zero(case, skip, step):
    k = 3 if "three" in case else 2
    inner = sgd(1.0, momentum=0.5)
    tx = MultiSteps(inner, k, should_skip_update_fn=SKIPS[skip])
    params, _ = run(tx, CASES[case], step=step, jit=True)
    expected = reference(CASES[case], k, momentum=0.5)
    np.testing.assert_allclose(params["a"], expected, rtol=1e-6)


@pytest.mark.parametrize("step", [False, True], ids=["update", "step"])
def test_minus_four(step):
    params, _ = run(MultiSteps(sgd(1.0), 2), [None, 6.0, None, 2.0], step=step)
    np.testing.assert_array_equal(params["a"], -4.0)


@pytest.mark.parametrize("step", [False, True], ids=["update", "step"])
def test_a_rejected_micro_batch_leaves_the_others_sum_alone(step):
    gradients = [6.0, jnp.nan, None, jnp.nan, None, 2.0]
    tx = MultiSteps(sgd(1.0), 2, should_skip_update_fn=gradtx.skip_not_finite)
    params, _ = run(tx, gradients, step=step, jit=True)
    assert reference(gradients, 2, skip=True) == -4.0
    np.testing.assert_array_equal(params["a"], -4.0)


@pytest.mark.parametrize("step", [False, True], ids=["update", "step"])
def test_what_never_has_a_gradient_neither_decays_nor_moves(step):
    tx = MultiSteps(adamw(0.1, weight_decay=0.5), 2)
    params = {"a": jnp.ones(2), "b": jnp.ones(2), "n": jnp.arange(2)}
    state = tx.init(params)
    assert state.acc_grads["n"] is None  # of integers nothing can be gathered
    for _ in range(4):
        grads = {"a": None, "b": jnp.ones(2), "n": None}
        if step:
            params, state = tx.step(grads, state, params)
        else:
            updates, state = tx.update(grads, state, params)
            params = gradtx.apply_updates(params, updates)
    np.testing.assert_array_equal(params["a"], 1.0)
    np.testing.assert_array_equal(params["n"], [0, 1])
    assert not jnp.any(state.inner_opt_state[0].mu["a"])
    assert jnp.all(params["b"] < 0.9)


def test_a_gradient_of_zero_is_one():
    # Momentum goes on for a leaf whose gradients were zero, not for one without any.
    tx = MultiSteps(sgd(1.0, momentum=0.5), 2)
    moved, _ = run(tx, [4.0, 4.0, 0.0, None], step=True)
    still, _ = run(tx, [4.0, 4.0, None, None], step=True)
    np.testing.assert_array_equal(moved["a"], -6.0)
    np.testing.assert_array_equal(still["a"], -4.0)


def test_complex_leaves_and_extra_arguments():
    @gradtx.transformation
    def times_value():
        def update(updates, state, params=None, *, value):
            return jax.tree.map(lambda g: g * value, updates), state

        return lambda params: gradtx.EmptyState(), update

    tx = MultiSteps(gradtx.chain(times_value(), sgd(1.0)), 2)
    params = {"z": jnp.zeros(2, jnp.complex64), "b": jnp.zeros(2)}
    state = tx.init(params)
    for z in (2 + 4j, None):
        grads = {"z": None if z is None else jnp.full(2, z), "b": jnp.ones(2)}
        params, state = tx.step(grads, state, params, value=3.0)
    np.testing.assert_allclose(params["z"], -3 - 6j)
