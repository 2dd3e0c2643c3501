"""`project`: an optimizer whose parameters stay in a set."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.projections import projection_l2_ball, projection_simplex

BALL = functools.partial(projection_l2_ball, scale=2.0)


def test_steps_are_those_of_the_formula():
    rng = np.random.default_rng(0)
    p, tx = np.array([1.0, -1.0, 0.5]), gradtx.project(gradtx.sgd(0.5), BALL)
    with jax.enable_x64(True):
        state, by_step = tx.init(p), p
        by_update = p
        for _ in range(5):
            g = 3 * rng.normal(size=3)
            p = p - 0.5 * g
            p = p * min(1, 2 / np.linalg.norm(p))
            by_step, _ = tx.step(g, state, by_step)
            updates, _ = tx.update(g, state, by_update)
            by_update = gradtx.apply_updates(by_update, updates)
            np.testing.assert_allclose(by_step, p, rtol=1e-14)
            np.testing.assert_allclose(by_update, p, rtol=1e-13)


def test_it_finds_the_constrained_minimum():
    target = jnp.array([0.9, 0.6, -2.0])  # nearest on the simplex: 0.65, 0.35, 0

    def loss(p):
        return jnp.sum((p - target) ** 2)

    for inner in (gradtx.sgd(0.1), gradtx.sgd(0.05, momentum=0.8), gradtx.adam(0.05)):
        tx = gradtx.project(inner, projection_simplex)

        def step(carry, _, tx=tx):
            p, state = carry
            return tx.step(jax.grad(loss)(p), state, p), None

        start = jnp.full(3, 1 / 3)
        (p, _), _ = jax.lax.scan(step, (start, tx.init(start)), length=300)
        np.testing.assert_allclose(p.sum(), 1.0, rtol=1e-6)
        assert (p >= 0).all()
        if inner != gradtx.adam(0.05):  # which stays in the set, and stops beside
            np.testing.assert_allclose(p, [0.65, 0.35, 0.0], atol=1e-5)


def test_each_subtree_has_its_set_and_none_has_none():
    params = {"a": {"x": jnp.ones(2), "y": jnp.ones(2)}, "b": jnp.ones(2), "c": None}
    tx = gradtx.project(gradtx.sgd(1.0), {"a": BALL, "b": None, "c": None})
    grads = {"a": {"x": -jnp.ones(2), "y": -jnp.ones(2)}, "b": -jnp.ones(2), "c": None}
    new, _ = jax.jit(tx.step)(grads, tx.init(params), params)
    np.testing.assert_allclose(new["a"]["x"], 1.0, rtol=1e-6)  # 2 of norm 4, halved
    np.testing.assert_array_equal(new["b"], 2.0)
    inside = gradtx.masked(
        gradtx.project(gradtx.sgd(1.0), BALL), {"a": True, "b": False, "c": False}
    )
    masked, _ = inside.step(grads, inside.init(params), params)
    np.testing.assert_allclose(masked["a"]["y"], 1.0, rtol=1e-6)


def test_a_leaf_without_a_gradient_is_held_still():
    params = {"a": jnp.array([3.0, 4.0]), "b": jnp.array([5.0])}
    tx = gradtx.project(gradtx.sgd(1.0), BALL)
    grads = {"a": jnp.zeros(2), "b": None}
    new, _ = tx.step(grads, tx.init(params), params)
    np.testing.assert_allclose(new["a"], [1.2, 1.6], rtol=1e-6)
    np.testing.assert_array_equal(new["b"], params["b"])
    assert tx.update(grads, tx.init(params), params)[0]["b"] is None


def test_bfloat16_is_rounded_once():
    p = jnp.array([1.0, -1.5, 0.3], jnp.bfloat16)
    g = jnp.array([0.301, 0.77, -1.9], jnp.bfloat16)
    tx = gradtx.project(gradtx.sgd(0.1), functools.partial(BALL, scale=1.0))
    new, _ = tx.step(g, tx.init(p), p)
    exact = np.asarray(p, np.float64) - 0.1 * np.asarray(g, np.float64)
    exact /= np.linalg.norm(exact)
    np.testing.assert_array_equal(new, jnp.asarray(exact, jnp.bfloat16))


def test_it_knows_its_call():
    tx = gradtx.project(gradtx.sgd(0.5), BALL)
    assert repr(tx) == "project(sgd(0.5), partial(projection_l2_ball, scale=2.0))"
    again = gradtx.project(gradtx.sgd(0.5), functools.partial(BALL))
    assert tx == again
    assert hash(tx) == hash(again)


def test_mistakes_are_told():
    params = {"w": jnp.ones(2)}
    with pytest.raises(TypeError, match=r"projection\['w'\] must be a function"):
        gradtx.project(gradtx.sgd(0.1), {"w": 1.0})
    with pytest.raises(TypeError, match="project: inner"):
        gradtx.project(0.1, BALL)
    tx = gradtx.project(gradtx.sgd(0.1), BALL)
    with pytest.raises(ValueError, match="project needs params"):
        tx.update(params, tx.init(params))
    tx = gradtx.project(gradtx.sgd(0.1), {"v": BALL})
    with pytest.raises(ValueError, match="project: projection does not fit"):
        tx.step(params, tx.init(params), params)
    tx = gradtx.project(gradtx.sgd(0.1), lambda tree: {"w": tree["w"][:1]})
    with pytest.raises(ValueError, match="must keep structure and shapes"):
        tx.step(params, tx.init(params), params)
