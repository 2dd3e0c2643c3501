"""Schedule-free: right from step 0, in bfloat16, with MultiSteps, with momentum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

from .loops import STEPS, double, example, steps_of
from .optimizers_rate_free import schedule_free
from .test_optimizers import TOLERANCE

RATE = 0.05


def warmup(step):
    """From 0, so that the first step stands still."""
    return 0.02 * jnp.minimum(step, 5)


def desired(grads, params, rate, momentum=0.0, **kwargs):
    """The pairs (y, x) of each leaf, in NumPy, with heavy-ball momentum inside."""
    found = {}
    for key, w in params.items():
        velocity, steps = np.zeros_like(w), iter(range(STEPS))

        def step(g, y, steps=steps):
            nonlocal velocity
            velocity = momentum * velocity + g
            return -rate(next(steps)) * velocity

        pairs = schedule_free(list(grads[key]), w, rate, step, **kwargs)
        found[key] = [np.stack(row) for row in zip(*pairs, strict=True)]
    return found


def followed(tx, params, grads):
    """The parameters and the average of them after every step."""

    def step(carry, g):
        params, state = tx.step(g, carry[1], carry[0])
        average = gradtx.schedule_free_eval_params(state, params)
        return (params, state), (params, average)

    start = params, tx.init(params)
    loop = jax.jit(lambda start, grads: jax.lax.scan(step, start, grads)[1])
    return jax.tree.map(np.asarray, loop(start, grads))


def as_arrays(tree, dtype=None):
    return {key: jnp.asarray(x, dtype) for key, x in tree.items()}


def assert_followed(tx, params, grads, expected, **tolerance):
    ys, xs = followed(tx, params, grads)
    for key, (y, x) in expected.items():
        np.testing.assert_allclose(ys[key], y, err_msg=key, **tolerance)
        np.testing.assert_allclose(xs[key], x, err_msg=key, **tolerance)


@pytest.mark.parametrize(
    ("rate", "momentum", "kwargs"),
    [
        (lambda step: RATE, 0.9, {}),
        (warmup, 0.0, {}),
        (warmup, 0.9, {"b1": 0.5, "weight_lr_power": 1.0}),
        (lambda step: 0.0 * step, 0.0, {}),
    ],
    ids=["momentum", "warmup", "both", "still"],
)
def test_parameters_and_average_from_step_0(rate, momentum, kwargs):
    params, grads = example()
    with jax.enable_x64(True):
        base = gradtx.sgd(rate, momentum=momentum)
        tx = gradtx.schedule_free(base, rate, **kwargs)
        expected = desired(grads, params, rate, momentum, **kwargs)
        assert_followed(tx, *map(as_arrays, (params, grads)), expected, rtol=TOLERANCE)


def test_the_average_begins_at_the_first_iterate_though_its_weight_is_0():
    tx = gradtx.schedule_free(gradtx.sgd(1.0), lambda step: 0.0 * step, b1=0.5)
    p, state = tx.step(jnp.ones(2), tx.init(jnp.zeros(2)), jnp.zeros(2))
    x = gradtx.schedule_free_eval_params(state, p)
    np.testing.assert_array_equal(x, [-1, -1])
    np.testing.assert_array_equal(state.z, [-1, -1])


@pytest.mark.parametrize("name", ["schedule_free_sgd", "schedule_free_adamw"])
def test_a_warm_up_moves_in_the_first_step(name):
    tx = getattr(gradtx, name)(0.5, warmup_steps=5)
    p, _ = tx.step(jnp.ones(2), tx.init(jnp.zeros(2)), jnp.zeros(2))
    np.testing.assert_allclose(p, -0.1, rtol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_the_average_of_narrow_parameters_is_that_of_float32(dtype):
    # Steps of 1e-3 of 1.5 are below the rounding of bfloat16, 2^-7: the parameters
    # stand still where they were rounded, z and x do not.
    params, grads = example()
    params = as_arrays(params, dtype)
    grads = {key: as_arrays({key: g + 1}, dtype)[key] for key, g in grads.items()}
    tx = gradtx.schedule_free_sgd(1e-3)
    wide = [
        {key: np.asarray(x, np.float64) for key, x in tree.items()}
        for tree in (params, grads)
    ]
    expected = desired(wide[1], wide[0], lambda step: 1e-3)
    step, state = jax.jit(tx.step), tx.init(params)
    assert all(z.dtype == x.dtype == jnp.float32 for z, x in _pairs(state))
    moved = params
    for t, g in enumerate(steps_of(grads)):
        moved, state = step(g, state, moved)
        for key, (y, x) in expected.items():
            half = float(jnp.finfo(dtype).eps) / 2
            np.testing.assert_allclose(state.x[key], x[t], rtol=2e-6)
            np.testing.assert_allclose(double_of(moved[key]), y[t], rtol=half * 1.01)
    average = gradtx.schedule_free_eval_params(state, moved)
    assert {x.dtype for x in jax.tree.leaves(average)} == {jnp.dtype(dtype)}


def _pairs(state):
    return zip(jax.tree.leaves(state.z), jax.tree.leaves(state.x), strict=True)


def double_of(x):
    return double({"x": np.asarray(x, np.float32)})["x"]


def test_no_average_is_stored_of_wide_parameters():
    params = {"wide": jnp.ones(2), "narrow": jnp.ones(2, jnp.bfloat16)}
    state = gradtx.schedule_free_sgd().init(params)
    assert state.x["wide"] is None
    assert state.x["narrow"].dtype == state.z["narrow"].dtype == jnp.float32


def test_micro_batches_give_the_path_of_their_mean():
    params, grads = example()
    halves = {key: np.repeat(g, 2, axis=0) for key, g in grads.items()}
    for x in halves.values():
        x[::2] += 0.5
        x[1::2] -= 0.5
    tx = gradtx.schedule_free(gradtx.sgd(RATE, momentum=0.9), RATE)
    expected = desired(grads, params, lambda step: RATE, 0.9)
    ys, xs = followed(gradtx.MultiSteps(tx, 2), as_arrays(params), as_arrays(halves))
    for key, (y, x) in expected.items():
        # float32, and means of two: as test_optimizers.py has it for 20 steps.
        np.testing.assert_allclose(ys[key][1::2], y, rtol=0, atol=3e-6)
        np.testing.assert_allclose(xs[key][1::2], x, rtol=0, atol=3e-6)


def around(tx):
    """States in which that of schedule_free lies deeper."""
    labels = {"w": "here", "b": "there"}
    return {
        "chain": gradtx.chain(gradtx.clip(10.0), tx),
        "masked": gradtx.masked(tx, {"w": True, "b": False}),
        "MultiSteps": gradtx.MultiSteps(gradtx.chain(gradtx.identity(), tx), 1),
        "partition": gradtx.partition({"here": tx, "there": tx}, labels),
        "inject_hyperparams": gradtx.inject_hyperparams(gradtx.schedule_free_sgd)(RATE),
    }


@pytest.mark.parametrize("name", around(gradtx.identity()))
def test_the_average_is_found_in_a_state(name):
    params, grads = map(as_arrays, example(steps=3))
    tx = gradtx.schedule_free_sgd(RATE)
    plain, wrapped = (followed(t, params, grads) for t in (tx, around(tx)[name]))
    np.testing.assert_allclose(wrapped[1]["w"], plain[1]["w"], rtol=1e-6)
    b = wrapped[0] if name == "masked" else plain[1]  # what is masked is as it is
    np.testing.assert_allclose(wrapped[1]["b"], b["b"], rtol=1e-6)


def test_a_state_without_an_average_is_refused():
    p = jnp.ones(2)
    with pytest.raises(
        ValueError, match="needs a state with a ScheduleFreeState in it"
    ):
        gradtx.schedule_free_eval_params(gradtx.adam(0.1).init(p), p)
    tx = gradtx.schedule_free_sgd()
    twice = gradtx.chain(tx, tx).init(p)
    with pytest.raises(
        ValueError, match=r"the states at \[0\] and \[1\] are both about"
    ):
        gradtx.schedule_free_eval_params(twice, p)


def test_an_iterate_may_be_stored_narrow():
    params, grads = map(as_arrays, example())
    tx = gradtx.schedule_free_sgd(RATE, state_dtype=jnp.bfloat16)
    _, xs = followed(tx, params, grads)
    state = tx.init(params)
    assert {z.dtype for z in jax.tree.leaves(state.z)} == {jnp.dtype(jnp.bfloat16)}
    expected = desired(*(example()[::-1]), lambda step: RATE)
    for key, (_, x) in expected.items():
        # Each iterate is rounded, by up to 2^-9 of 2; the average of them less.
        np.testing.assert_allclose(xs[key], x, rtol=0, atol=2**-7)
