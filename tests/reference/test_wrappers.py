"""Steps that are left out for a reason: their formula in float64, and their peers."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx

from . import test_peers, torch_scales, transforms_wrappers
from .loops import example, run, single
from .test_transforms import ADAM, MOMENTUM, assert_same, both_inner, both_ways, each


def late(step):
    return step % 3 == 2


def always(step):
    return step >= 0


NAMES = ["conditionally_transform", "conditionally_mask"]


@both_ways
@both_inner
@pytest.mark.parametrize("condition", [late, always])
@pytest.mark.parametrize("name", NAMES)
def test_a_step_on_a_condition_is_the_formula(name, condition, inner, loop):
    params, grads = example()
    ours, theirs = inner
    with jax.enable_x64(True):
        actual = loop(getattr(gradtx, name)(ours, condition), params, grads)
    rule = getattr(transforms_wrappers, name)
    assert_same(actual, each(rule, params, grads, theirs, condition))


@pytest.mark.parametrize("name", NAMES)
def test_a_step_on_a_condition_is_optaxs(name):
    params, grads = map(single, example())

    def path(lib):
        tx = getattr(lib, name)(lib.sgd(0.1, momentum=0.9), late)
        return run(tx, params, grads, lib.apply_updates)

    test_peers.assert_same(path(gradtx), path(optax))


def told(step, tx, params, grads, values):
    """The parameters and the state after every step, each with a number of its own."""

    def body(carry, given):
        params, state = step(tx, *given, *carry)
        return (params, state), (params, state)

    def loop(params, given):
        return jax.lax.scan(body, (params, tx.init(params)), given)[1]

    params, given = jax.tree.map(jnp.asarray, (params, (grads, values)))
    return jax.tree.map(np.asarray, jax.jit(loop)(params, given))


def by_step(tx, g, value, params, state):
    return tx.step(g, state, params, value=value)


def by_update(tx, g, value, params, state):
    updates, state = tx.update(g, state, params, value=value)
    return gradtx.apply_updates(params, updates), state


# What it is of, the losses from the fifth on: a spike; NaN; a new level, with infinity.
LOSSES = np.r_[3.0, 2.0, 2.5, 2.2, 90.0, 2.1, np.nan, 2.4, [50.0, 51.0, np.inf, 49.0]]
LOSSES = np.r_[LOSSES, 52.0, 50.0, 51.0, 49.5, 300.0, 50.5, 50.0, 51.0]


@pytest.mark.parametrize(
    ("of", "inner", "step"),
    [
        (("loss", "grad_norm"), MOMENTUM, by_step),
        (("grad_norm",), ADAM, by_update),
        ("loss", MOMENTUM, by_update),
    ],
    ids=["both", "gradients", "loss"],
)
def test_a_spike_is_left_out(of, inner, step):
    params, grads = example()
    grads["w"][[6, 15]] *= 1e3
    grads["w"][9, 0, 0] = np.nan
    options = {"window": 6, "sigmas": 3.0, "warmup": 3, "max_consecutive": 3}
    ours, theirs = inner
    with jax.enable_x64(True):
        tx = gradtx.skip_spikes(ours, of=of, **options)
        path, state = told(step, tx, params, grads, LOSSES)
    norms = np.sqrt(sum(np.sum(g**2, (*range(1, g.ndim),)) for g in grads.values()))
    columns = {"loss": LOSSES, "grad_norm": norms}
    asked = (of,) if isinstance(of, str) else of
    skipped = transforms_wrappers.spikes([columns[name] for name in asked], **options)
    assert 3 <= sum(skipped) <= 10  # some of each kind
    np.testing.assert_array_equal(state.total_skipped, np.cumsum(skipped))
    assert_same(
        path, each(transforms_wrappers.left_out, params, grads, theirs, skipped)
    )


FINITE = np.array([1, 1, 1, 0, 1, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], bool)


@pytest.mark.parametrize("step", [by_step, by_update])
def test_a_loss_finds_its_scale(step):
    params, grads = example()
    options = {"growth_interval": 2, "factor": 3.0, "backoff": 0.25}
    options |= {"init_scale": 80.0, "min_scale": 2.0, "max_scale": 400.0}
    scale = np.array(transforms_wrappers.scales(FINITE, **options))
    assert {2.0, 400.0} < set(scale)
    scaled = {key: (scale * g.T).T for key, g in grads.items()}
    scaled["w"][~FINITE, 1, 0] = np.inf
    ours, theirs = MOMENTUM
    with jax.enable_x64(True):
        tx = gradtx.loss_scaling(ours, **options)
        path, state = told(step, tx, params, scaled, np.zeros(len(scale)))
    np.testing.assert_allclose(state.scale[:-1], scale[1:], rtol=1e-15)
    rule = transforms_wrappers.left_out
    assert_same(path, each(rule, params, grads, theirs, ~FINITE))


def test_scales_are_those_of_pytorch():
    there = json.loads(torch_scales.FILE.read_text())
    gradients = {"p": np.array([torch_scales.gradient(t) for t in torch_scales.TIMES])}
    params = {"p": np.array(torch_scales.START)}
    tx = gradtx.loss_scaling(
        gradtx.sgd(0.125, momentum=0.5), **torch_scales.SCALER, max_scale=2.0**40
    )

    def step(tx, g, _, params, state):
        scaled = gradtx.loss_scale(state) * g["p"]
        return tx.step({"p": scaled}, state, params)

    with jax.enable_x64(True):
        path, state = told(step, tx, params, gradients, np.zeros(len(there["scale"])))
    np.testing.assert_array_equal(state.scale, there["scale"])
    np.testing.assert_allclose(path["p"], there["p"], rtol=1e-15)
