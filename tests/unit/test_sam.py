"""sam: the paper's algorithm, both ways to run it, Optax's path where it is right."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx
from gradtx.wrappers.sam import SAMState, sam

START = {"w": jnp.array([[1.0, -2.0], [0.5, 4.0]]), "b": jnp.array([1.0, 2.0])}
RHO, RATE = 0.1, 0.05


def loss(p, scale=1.0):
    return scale * (
        jnp.sum(p["w"] ** 2 * jnp.arange(1.0, 3.0)) + jnp.sum(p["b"] ** 4) / 4
    )


def grads_at(p, scale=1.0):
    """The gradient in NumPy float64."""
    return {"w": 2 * scale * p["w"] * np.arange(1.0, 3.0), "b": scale * p["b"] ** 3}


ALONG = gradtx.chain(gradtx.normalize(), gradtx.sgd(RHO))


def close(actual, desired, tolerance=2e-6):
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance),
        actual,
        desired,
    )


def papers_path(steps, climbs=1, momentum=0.0):
    """Foret et al. 2021, algorithm 1, with more than one step up; each step down."""
    w = jax.tree.map(np.float64, START)
    v = jax.tree.map(np.zeros_like, w)
    for _ in range(steps):
        near = w
        for _ in range(climbs):
            g = grads_at(near)
            norm = np.sqrt(sum(np.sum(x**2) for x in g.values()))
            near = {k: near[k] + RHO * g[k] / norm for k in near}
        g = grads_at(near)
        v = {k: momentum * v[k] + g[k] for k in w}
        w = {k: w[k] - RATE * v[k] for k in w}
        yield w


def run(tx, steps, way, **extra):
    """The parameters after each call, with their states."""
    params, state = START, tx.init(START)

    @jax.jit
    def call(params, state):
        grads = jax.grad(loss)(params)
        if way == "step":
            return tx.step(grads, state, params, **extra)
        updates, state = tx.update(grads, state, params, **extra)
        return gradtx.apply_updates(params, updates), state

    for _ in range(steps):
        params, state = call(params, state)
        yield params, state


@pytest.mark.parametrize("way", ["update", "step"])
@pytest.mark.parametrize("period", [2, 4])
def test_path_is_the_papers(period, way):
    down = gradtx.sgd(RATE, momentum=0.9)
    seen = list(run(sam(down, ALONG, period), 4 * period, way))
    desired = list(papers_path(4, period - 1, 0.9))
    for i, w in enumerate(desired):
        close(seen[(i + 1) * period - 1][0], w)
    # In between it is off the path, and remembers where that was.
    params, state = seen[period]
    close(state.cache, desired[0])
    assert np.any(params["w"] != state.cache["w"])
    whole = sam(down, ALONG, period, opaque_mode=True)
    opaque = run(whole, 4, way, grad_fn=lambda p, i: jax.grad(loss)(p))
    for (params, state), w in zip(opaque, desired, strict=True):
        close(params, w)
        assert state.cache is None


@pytest.mark.parametrize("reset", [True, False])
def test_path_and_state_are_optaxs(reset):
    ours = sam(gradtx.adam(0.1), gradtx.sgd(RHO, 0.5), 3, reset)
    theirs = optax.contrib.sam(optax.adam(0.1), optax.sgd(RHO, 0.5), 3, reset)
    desired, their_state = START, theirs.init(START)
    update = jax.jit(theirs.update)
    for params, state in run(ours, 7, "update"):
        updates, their_state = update(jax.grad(loss)(desired), their_state, desired)
        desired = optax.apply_updates(desired, updates)
        # Adam's correction is exact here, in Optax to 5e-5 at first.
        close(params, desired, 1e-4)
        close(state.cache, their_state.cache, 1e-4)
        close(state.adv_state[0].trace, their_state.adv_state[0].trace, 1e-4)
        assert state.steps_since_sync == their_state.steps_since_sync


def test_opaque_path_is_optaxs_with_another_batch_at_each_step():
    def grad_fn(p, i):
        return jax.grad(loss)(p, (0.5, 2.0)[i])  # i is a Python number

    ours = sam(gradtx.sgd(RATE, 0.9), gradtx.sgd(RHO), 3, opaque_mode=True)
    theirs = optax.contrib.sam(
        optax.sgd(RATE, 0.9), optax.sgd(RHO), 3, opaque_mode=True
    )
    desired, their_state = START, theirs.init(START)
    for params, _ in run(ours, 3, "update", grad_fn=grad_fn):
        updates, their_state = theirs.update(
            jax.grad(loss)(desired), their_state, desired, grad_fn=grad_fn
        )
        desired = optax.apply_updates(desired, updates)
        close(params, desired)


@pytest.mark.parametrize("opaque", [True, False])
def test_a_period_of_one_is_the_optimizer(opaque):
    tx = sam(gradtx.sgd(RATE), ALONG, 1, opaque_mode=opaque)
    for (params, _), w in zip(run(tx, 3, "step"), plain_path(3), strict=True):
        close(params, w)


def plain_path(steps):
    w = jax.tree.map(np.float64, START)
    for _ in range(steps):
        w = {k: w[k] - RATE * g for k, g in grads_at(w).items()}
        yield w


def test_step_goes_back_to_the_last_bit():
    tx = sam(gradtx.sgd(0.0), gradtx.sgd(0.3))
    for i, (params, _) in enumerate(run(tx, 6, "step")):
        same = jax.tree.map(lambda x, y: bool((x == y).all()), params, START)
        assert all(same.values()) == (i % 2 == 1)


def test_a_nan_on_the_way_up_does_not_stay():
    tx = sam(gradtx.sgd(RATE), gradtx.sgd(RHO))
    state = tx.init(START)
    spoilt = jax.tree.map(lambda p: jnp.full_like(p, jnp.nan), START)
    params, state = tx.step(spoilt, state, START)
    params, state = tx.step(jax.grad(loss)(START), state, params)
    close(params, next(plain_path(1)))


def test_inside_of_a_mask_the_gradient_is_of_the_whole():
    seen = []

    def grad_fn(p, i):
        seen.append(jax.tree.structure(p))
        return jax.grad(loss)(p)

    mask = {"w": True, "b": False}
    inner = sam(gradtx.sgd(RATE), ALONG, opaque_mode=True)
    tx = gradtx.masked(inner, mask, otherwise="zero")
    [(params, state)] = run(tx, 1, "step", grad_fn=grad_fn)
    assert seen == [jax.tree.structure(START)]
    near = START["w"] + RHO * grads_at(START)["w"] / np.linalg.norm(
        grads_at(START)["w"]
    )
    close(params["w"], START["w"] - RATE * grads_at({"w": near, "b": 0.0})["w"])
    close(params["b"], START["b"])
    assert isinstance(state.inner_state, SAMState)


def test_names_are_those_of_both_optimizers():
    tx = sam(gradtx.adam(0.1), gradtx.sgd(0.1, 0.9))
    state = tx.init({"w": jnp.ones(2)})
    assert list(gradtx.tree.to_named(tx, state))[:-1] == [
        "sam/steps_since_sync",
        "adam/count",
        "adam/mu/w",
        "adam/nu/w",
        "sgd/trace/w",
        "sam/cache/w",
    ]


def test_what_is_missing_is_named():
    tx = sam(gradtx.sgd(RATE), ALONG, opaque_mode=True)
    state, grads = tx.init(START), START
    with pytest.raises(ValueError, match="sam needs grad_fn"):
        tx.update(grads, state, START)
    with pytest.raises(ValueError, match=r"grad_fn gives.*\['b'\].*shape"):
        tx.update(grads, state, START, grad_fn=lambda p, i: p | {"b": jnp.ones(3)})
    inside = gradtx.flatten(tx)
    with pytest.raises(TypeError, match="grad_fn would be called with vectors"):
        inside.update(grads, inside.init(START), START, grad_fn=lambda p, i: p)


def test_devices_average_what_grad_fn_gives():
    tx = sam(gradtx.sgd(RATE), gradtx.sgd(RHO), 2, True, True, "data")
    p, scales = jnp.array([2.0]), jnp.array([0.5, 1.5])

    def call(scale):
        mean = jnp.mean(scales) * p
        return tx.step(mean, tx.init(p), p, grad_fn=lambda q, i: scale * q)[0]

    found = jax.vmap(call, axis_name="data")(scales)
    near = 2.0 + RHO * 2.0
    np.testing.assert_allclose(found, np.full((2, 1), 2.0 - RATE * near), rtol=1e-6)
