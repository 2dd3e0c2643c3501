"""Averages of weights: the definition over the path, however it is wrapped."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

from .loops import example, steps_of
from .test_optimizers import TOLERANCE

STEPS = 12
SGD = gradtx.sgd(0.05, momentum=0.9)


def growing(n):
    """A decay that warms up: 1/10, 2/11, ... up to 0.9."""
    n = jnp.asarray(n, float)  # whole numbers of 4 bytes divide in float32
    return jnp.minimum(0.9, (1 + n) / (10 + n))


def weights_of(n, decay=0.999, window=None):
    """How much each of n entries counts, the oldest first, by what an average is."""
    if window is not None:
        return np.where(np.arange(n) < n - window, 0, 1 / min(n, window))
    if decay == "polyak":
        return np.full(n, 1 / n)
    decays = [float(decay(i)) if callable(decay) else decay for i in range(n)]
    # The i-th comes in with 1 - d_i, and each later one leaves d_j of it.
    raw = [(1 - decays[i]) * np.prod(decays[i + 1 :]) for i in range(n)]
    return np.array(raw) / np.sum(raw)


def desired(path, start=0, every=1, **kind):
    """What is evaluated after each step of a path, which begins at the first step's."""
    found = []
    for t in range(1, len(path) + 1):
        entries = path[start + every - 1 : t : every]
        n = len(entries)
        mean = np.tensordot(weights_of(n, **kind), entries, 1) if n else path[t - 1]
        found.append(mean)
    return np.stack(found)


def followed(tx, params, grads, way="step"):
    """The parameters and what is evaluated, after every step."""

    def body(carry, g):
        params, state = carry
        if way == "step":
            params, state = tx.step(g, state, params)
        else:
            updates, state = tx.update(g, state, params)
            params = gradtx.apply_updates(params, updates)
        return (params, state), (params, gradtx.eval_params(state, params))

    run = jax.jit(lambda p, g: jax.lax.scan(body, (p, tx.init(p)), g)[1])
    return jax.tree.map(np.asarray, run(params, grads))


def as_arrays(tree, dtype=None):
    return {key: jnp.asarray(x, dtype) for key, x in tree.items()}


KINDS = {
    "default": {},
    "short": {"decay": 0.5},
    "none": {"decay": 0.0},
    "warmed up": {"decay": growing},
    "as PyTorch": {"decay": lambda n: jnp.where(n == 0, 0.0, 0.8)},
    "polyak": {"decay": "polyak"},
    "window": {"window": 4},
    "tail": {"decay": 0.8, "start": 7},
    "snapshots": {"window": 3, "every": 2, "start": 3},
}


@pytest.mark.parametrize("name", KINDS)
def test_the_average_is_that_of_its_definition(name):
    params, grads = example(steps=STEPS)
    with jax.enable_x64(True):
        tx = gradtx.average_weights(SGD, **KINDS[name])
        path, averages = followed(tx, *map(as_arrays, (params, grads)))
        for key in params:
            expected = desired(path[key], **KINDS[name])
            np.testing.assert_allclose(averages[key], expected, rtol=TOLERANCE)


# By update it may see parameters before their last rounding: XLA leaves a rounding to
# bfloat16 out where it goes on in float32. By step float32 is all that is lost.
@pytest.mark.parametrize(("way", "rtol"), [("step", 5e-7), ("update", 2**-9)])
def test_of_narrow_parameters_it_is_the_mean_of_what_was_held(way, rtol):
    # 1e-3 of 1.5 is below the rounding of bfloat16, 2^-7: most steps move nothing.
    params, grads = example(steps=STEPS)
    params, grads = (as_arrays(x, jnp.bfloat16) for x in (params, grads))
    tx = gradtx.average_weights(gradtx.sgd(1e-2), "polyak")

    def body(carry, g):
        params, state = carry
        if way == "step":
            params, state = tx.step(g, state, params)
        else:
            updates, state = tx.update(g, state, params)
            params = gradtx.apply_updates(params, updates)
        return (params, state), params

    start = params, tx.init(params)
    (params, state), path = jax.lax.scan(body, start, grads)
    for key, held in path.items():
        mean = np.mean(np.asarray(held, np.float64), axis=0)
        np.testing.assert_allclose(state.average[key], mean, rtol=rtol)
        assert gradtx.eval_params(state, params)[key].dtype == jnp.bfloat16


AROUND = {
    "inside": lambda tx: gradtx.MultiSteps(gradtx.average_weights(tx, 0.5), 3),
    "outside": lambda tx: gradtx.average_weights(gradtx.MultiSteps(tx, 3), 0.5),
    "deep": lambda tx: gradtx.average_weights(
        gradtx.chain(gradtx.identity(), gradtx.MultiSteps(gradtx.chain(tx), 3)), 0.5
    ),
}


@pytest.mark.parametrize("way", ["step", "update"])
@pytest.mark.parametrize("name", AROUND)
def test_micro_batches_are_no_entries(name, way):
    params, grads = map(as_arrays, example(steps=STEPS))
    path, averages = followed(AROUND[name](SGD), params, grads, way)
    for key in params:
        expected = desired(path[key][2::3], decay=0.5)
        # float32: means of three, and averages of four.
        np.testing.assert_allclose(averages[key][2::3], expected, rtol=2e-6)
        np.testing.assert_array_equal(averages[key][3:6], averages[key][[2, 2, 5]])


def test_a_step_that_is_left_out_is_no_entry():
    params, grads = map(as_arrays, example(steps=3))
    grads["b"] = grads["b"].at[1].set(jnp.nan)
    for tx in (
        gradtx.average_weights(gradtx.apply_if_finite(SGD, 5), "polyak"),
        gradtx.average_weights(
            gradtx.MultiSteps(gradtx.apply_if_finite(SGD, 5), 1), "polyak"
        ),
        gradtx.apply_if_finite(gradtx.average_weights(SGD, "polyak"), 5),
    ):
        path, averages = followed(tx, params, grads)
        expected = (path["w"][0] + path["w"][2]) / 2
        np.testing.assert_allclose(averages["w"][2], expected, rtol=1e-6)


class CountedState(NamedTuple):
    total_skipped: jax.Array  # steps left out so far
    inner_state: Any


@gradtx.transformation
def on_even_steps(tx):
    """A wrapper that says in its state which steps it has left out."""

    def init(params):
        return {"t": 0}, CountedState(0, tx.init(params))

    def update(updates, state, params=None):
        t, counted = state[0]["t"], state[1]
        zeros = jax.tree.map(jnp.zeros_like, updates)
        new, inner = tx.update(updates, counted.inner_state, params)
        even = t % 2 == 0
        new, inner = jax.tree.map(
            lambda x, y: jnp.where(even, x, y),
            (new, inner),
            (zeros, counted.inner_state),
        )
        skipped = jnp.where(even, counted.total_skipped, counted.total_skipped + 1)
        return new, ({"t": t + 1}, CountedState(skipped, inner))

    return init, update


def test_a_wrapper_of_another_may_count_what_it_leaves_out():
    params, grads = map(as_arrays, example(steps=4))
    tx = gradtx.average_weights(on_even_steps(SGD), "polyak")
    path, averages = followed(tx, params, grads)
    for key in params:
        expected = (path[key][0] + path[key][2]) / 2
        np.testing.assert_allclose(averages[key][3], expected, rtol=1e-6)


def around(tx):
    """States in which that of an average lies deeper."""
    labels = {"w": "here", "b": "there"}
    return {
        "chain": gradtx.chain(gradtx.clip(10.0), tx),
        "masked": gradtx.masked(tx, {"w": True, "b": False}, otherwise="zero"),
        "MultiSteps": gradtx.MultiSteps(gradtx.chain(gradtx.identity(), tx), 1),
        "partition": gradtx.partition({"here": tx, "there": tx}, labels),
        "inject_hyperparams": gradtx.inject_hyperparams(gradtx.average_weights)(
            SGD, 0.5
        ),
    }


@pytest.mark.parametrize("name", around(gradtx.identity()))
def test_the_average_is_found_in_a_state(name):
    params, grads = map(as_arrays, example(steps=3))
    path, averages = followed(
        around(gradtx.average_weights(SGD, 0.5))[name], params, grads
    )
    for key in params:
        expected = desired(path[key], decay=0.5)
        if name == "masked" and key == "b":  # what is masked is as it is
            expected = path[key]
        np.testing.assert_allclose(averages[key], expected, rtol=1e-6)


def test_a_state_without_an_average_or_with_two_is_refused():
    p = jnp.ones(2)
    with pytest.raises(
        ValueError, match="eval_params needs a state with one of AverageWeightsState"
    ):
        gradtx.eval_params(SGD.init(p), p)
    two = gradtx.average_weights(gradtx.schedule_free_sgd())
    with pytest.raises(
        ValueError, match=r"at \(the whole\) and \.inner_state are both"
    ):
        gradtx.eval_params(two.init(p), p)
    with pytest.raises(ValueError, match=r"part must be in \[0, 1\], got 1\.5"):
        gradtx.eval_params(two.init(p), p, part=1.5)


@pytest.mark.parametrize(
    ("tx", "own"),
    [
        (gradtx.schedule_free_sgd(0.5), gradtx.schedule_free_eval_params),
        (gradtx.asgd(0.5, t0=0.0), gradtx.asgd_eval_params),
    ],
    ids=["schedule_free", "asgd"],
)
def test_one_name_answers_for_others(tx, own):
    tx, p = gradtx.chain(tx), jnp.array([1.0, 2.0])
    state = tx.init(p)
    for _ in range(4):
        p, state = tx.step(jnp.ones(2), state, p)
    found = gradtx.eval_params(state, p)
    np.testing.assert_array_equal(found, own(state, p))
    assert np.all(found > p)


def test_a_part_of_the_average_and_the_rest_of_the_parameters():
    params, grads = map(as_arrays, example(steps=4))
    tx = gradtx.average_weights(SGD, 0.5)
    state = tx.init(params)
    for g in steps_of(grads):
        params, state = tx.step(g, state, params)
    mixed = gradtx.eval_params(state, params, part=0.6)
    for key, p in params.items():
        expected = 0.4 * np.asarray(p) + 0.6 * np.asarray(state.average[key])
        np.testing.assert_allclose(mixed[key], expected, rtol=1e-6)


def test_the_decay_can_be_learned():
    p, g = jnp.array([1.0, -2.0]), jnp.array([0.5, 1.5])

    def score(decay):
        tx = gradtx.average_weights(gradtx.sgd(0.3), decay)
        params, state = p, tx.init(p)
        for t in range(3):
            params, state = tx.step(g / (t + 1), state, params)
        return jnp.sum(gradtx.eval_params(state, params) ** 2)

    with jax.enable_x64(True):
        p, g = (jnp.asarray(x, jnp.float64) for x in (p, g))
        for at in (0.0, 0.9):  # a difference from one side at 0
            move = 1e-6
            low = max(at - move, 0.0)
            slope = (score(jnp.asarray(at + move)) - score(jnp.asarray(low))) / (
                at + move - low
            )
            # The difference from one side is off by the move times the second slope.
            found = jax.grad(score)(jnp.asarray(at))
            np.testing.assert_allclose(found, slope, rtol=1e-5)
        assert np.isfinite(jax.grad(score)(jnp.asarray(1.0)))
