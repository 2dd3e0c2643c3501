"""A rule that asks for the formula of its update gets the same update, made again."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.core.leafwise import stateless_init
from gradtx.core.plan import Inputs, planned
from gradtx.core.transformation import transformation


@transformation
def difference():
    """Hands on the update, less itself as its formula gives it in two ways."""

    def rule(g, formula):
        if formula is None:
            return jnp.full_like(g, jnp.nan)
        entrywise, summed = formula.again(), formula.of(*formula.apart())
        return jnp.abs(g - entrywise) + jnp.abs(g - summed)

    def prepare(updates, state, params):
        return Inputs(), lambda: state

    return planned(stateless_init, rule, prepare, twice=True)


def seen(tx, dtype=jnp.float32):
    params = {"w": jnp.array([[1.0, -2.0], [3.0, 0.0]], dtype)}
    grads = {"w": jnp.array([[0.5, 1e-3], [0.0, -4.0]], dtype)}
    return tx.update(grads, tx.init(params), params)[0]["w"]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.complex64])
@pytest.mark.parametrize("nesterov", [False, True])
def test_a_formula_gives_the_update_through_rules_without_state(nesterov, dtype):
    tx = gradtx.chain(
        gradtx.scale_by_adam(nesterov=nesterov, eps_root=1e-3),
        gradtx.add_decayed_weights(0.1),
        gradtx.add_decayed_weights(0.1, mask=False),
        gradtx.scale(-0.5),
        difference(),
    )
    np.testing.assert_array_equal(seen(tx, dtype), np.zeros((2, 2)))


def test_behind_a_state_or_in_front_there_is_no_formula():
    for before in (gradtx.trace(0.9), gradtx.clip_by_global_norm(1.0)):
        tx = gradtx.chain(gradtx.scale_by_adam(), before, difference())
        assert np.isnan(seen(tx)).all()
    assert np.isnan(seen(difference())).all()


def test_what_looks_twice_is_the_same_behind_a_formula_and_behind_an_array():
    direct = gradtx.cautious(gradtx.adamw(0.1, weight_decay=0.1))
    stored = gradtx.cautious(gradtx.chain(gradtx.adamw(0.1, weight_decay=0.1)))
    tx = gradtx.adamw(0.1, weight_decay=0.1)
    # A function that says nothing of its rules.
    pair = tx.init, lambda grads, state, params: tx.update(grads, state, params)
    around = gradtx.cautious(gradtx.GradientTransformation(*pair))
    rng = np.random.default_rng(0)
    params = p = q = {"w": jnp.asarray(rng.normal(size=(5, 3)), jnp.float32)}
    states = [tx.init(params) for tx in (direct, stored, around)]
    steps = [jax.jit(tx.step) for tx in (direct, stored, around)]
    moved = [p, q, params]
    for _ in range(5):
        grads = {"w": jnp.asarray(rng.normal(size=(5, 3)), jnp.float32)}
        for i, step in enumerate(steps):
            moved[i], states[i] = step(grads, states[i], moved[i])
    for other in moved[1:]:
        # XLA rounds sums of products otherwise where it fuses them otherwise.
        np.testing.assert_allclose(moved[0]["w"], other["w"], rtol=1e-5)
