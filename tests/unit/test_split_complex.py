"""split_real_and_imaginary: as if the parts were parameters of their own."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx
from gradtx.wrappers.split_complex import (
    SplitRealAndImaginaryArrays,
    split_real_and_imaginary,
)

PARAMS = {"c": jnp.array([1 + 2j, -0.5j]), "r": jnp.array([[1.0, 2.0]]), "none": None}


def gradients(i):
    rng = np.random.default_rng(i)
    c = rng.normal(size=2) + 1j * rng.normal(size=2)
    return {
        "c": jnp.asarray(c, jnp.complex64),
        "r": jnp.asarray(rng.normal(size=(1, 2)), jnp.float32),
        "none": None,
    }


def apart(tree):
    return {"x": tree["c"].real, "y": tree["c"].imag, "r": tree["r"]}


def close(actual, desired, **tolerance):
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6, **tolerance),
        actual,
        desired,
    )


@pytest.mark.parametrize("way", ["update", "step"])
def test_parts_are_parameters_of_their_own(way):
    inner = gradtx.adamw(0.1)
    tx, params, desired = split_real_and_imaginary(inner), PARAMS, apart(PARAMS)
    state, apart_state = tx.init(params), inner.init(desired)
    for i in range(3):
        if way == "step":
            params, state = tx.step(gradients(i), state, params)
        else:
            updates, state = tx.update(gradients(i), state, params)
            params = gradtx.apply_updates(params, updates)
        desired, apart_state = inner.step(apart(gradients(i)), apart_state, desired)
        close(apart(params), desired)
    mu = state.inner_state[0].mu["c"]
    assert isinstance(mu, SplitRealAndImaginaryArrays)
    close(mu.imaginary, apart_state[0].mu["y"])


def test_updates_are_optaxs():
    ours = split_real_and_imaginary(gradtx.sgd(0.1, 0.9))
    theirs = optax.contrib.split_real_and_imaginary(optax.sgd(0.1, 0.9))
    params = {k: PARAMS[k] for k in ("c", "r")}
    state, their_state = ours.init(params), theirs.init(params)
    for i in range(3):
        grads = {k: gradients(i)[k] for k in ("c", "r")}
        found, state = ours.update(grads, state)
        desired, their_state = theirs.update(grads, their_state)
        close(found, desired)


def test_an_infinite_part_spoils_the_other_not():
    tx = split_real_and_imaginary(gradtx.scale(2.0))
    found, _ = tx.update(jnp.array([complex(1, np.inf)]), tx.init(jnp.ones(1) * 1j))
    assert found[0] == complex(2, np.inf)


def test_a_real_or_missing_gradient_of_a_complex_parameter():
    tx = split_real_and_imaginary(gradtx.adam(0.1))
    p = {"c": jnp.array([1 + 2j])}
    moved, state = tx.step({"c": jnp.ones(1)}, tx.init(p), p)
    close(moved["c"], [0.9 + 2j])
    updates, after = tx.update({"c": None}, state, p)
    assert updates["c"] is None
    close(after.inner_state[0].mu, state.inner_state[0].mu)


def bowl(p):
    """Least at p = 1 + 2j; the Hessian by the parts is 2 and 6."""
    return jnp.sum((p["c"].real - 1) ** 2 + 3 * (p["c"].imag - 2) ** 2)


def test_functions_are_called_with_complex_parameters():
    p = {"c": jnp.array([3 - 1j, 0.5 + 0j])}
    for tx in (gradtx.newton(), gradtx.lbfgs()):
        tx = split_real_and_imaginary(tx)
        state, at = tx.init(p), p
        for _ in range(10):
            value, grad = jax.value_and_grad(bowl)(at)
            up = jax.tree.map(jnp.conj, grad)
            extra = {"value": value, "grad": grad, "value_fn": bowl}
            at, state = tx.step(up, state, at, **extra)
        close(at["c"], np.full(2, 1 + 2j), atol=1e-4)
    tx = split_real_and_imaginary(gradtx.hutchinson_estimator_diag_hessian())
    found, _ = tx.update(p, tx.init(p), p, obj_fn=bowl)
    close(found["c"], np.full(2, 2 + 6j))


def test_inside_of_other_wrappers():
    inner = split_real_and_imaginary(gradtx.adam(0.1))
    tx = gradtx.MultiSteps(gradtx.masked(inner, {"c": True, "r": False}), 2)
    params = {k: PARAMS[k] for k in ("c", "r")}
    state = tx.init(params)
    names = list(gradtx.tree.to_named(tx, state))
    assert "adam/mu/c/imaginary" in names
    for i in range(2):
        grads = {k: gradients(i)[k] for k in ("c", "r")}
        params, state = tx.step(grads, state, params)
    moved = params["c"] - PARAMS["c"]
    close(np.abs(moved.real), np.full(2, 0.1), atol=1e-6)
    close(np.abs(moved.imag), np.full(2, 0.1), atol=1e-6)
