"""Schedules with a state: in Optax's order, and for plain ones the count."""

import pickle
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx

LINE = gradtx.linear_schedule(1.0, 0.0, 10)
LESS = gradtx.linear_schedule(0.9, 0.0, 10)
BOTH = [gradtx.inject_hyperparams, gradtx.inject_stateful_hyperparams]


class Seen(NamedTuple):
    total: jax.Array  # of the losses


class Summed:
    """The sum of the losses of the steps before; adds `more` in the step at hand."""

    def init(self):
        return Seen(jnp.zeros([]))

    def update(self, state, *, value, **extra):
        return Seen(state.total + value)

    def __call__(self, state, *, more=0.0, **extra):
        return state.total + more


def run(tx, lib, **extra):
    """Updates, rates and states of four steps."""
    params, seen = {"w": jnp.ones(2)}, []
    state = tx.init(params)
    for i in range(4):
        value = jnp.float32(i + 1)
        updates, state = tx.update(params, state, params, value=value, **extra)
        params = lib.apply_updates(params, updates)
        rate = state.hyperparams["learning_rate"]
        seen.append((updates, rate, state.hyperparams_states))
    return seen


@pytest.mark.parametrize("inject", BOTH)
def test_values_and_states_are_optaxs(inject):
    extra = {"more": jnp.float32(0.5)}
    ours = run(inject(gradtx.sgd)(Summed(), 0.9), gradtx, **extra)
    theirs = run(optax.inject_hyperparams(optax.sgd)(Summed(), 0.9), optax, **extra)
    assert [float(rate) for _, rate, _ in ours] == [0.5, 1.5, 3.5, 6.5]
    jax.tree.map(np.testing.assert_allclose, ours, theirs)


def test_plain_schedules_have_their_count():
    ours = run(gradtx.inject_stateful_hyperparams(gradtx.sgd)(LINE), gradtx)
    plain = optax.linear_schedule(1.0, 0.0, 10)
    theirs = run(optax.inject_hyperparams(optax.sgd)(plain), optax)
    for (_, rate, states), (_, their_rate, their_states) in zip(
        ours, theirs, strict=True
    ):
        np.testing.assert_allclose(rate, their_rate)
        [(name, state)] = states.items()
        assert name == "learning_rate"
        assert state.count == their_states[name].count


def test_without_a_state_of_its_own_the_state_is_as_ever():
    tx = gradtx.inject_hyperparams(gradtx.sgd)(LINE)
    assert type(tx.init(1.0)) is gradtx.schedules.InjectHyperparamsState
    tx = gradtx.inject_hyperparams(gradtx.sgd)(Summed())
    assert type(tx.init(1.0)) is gradtx.schedules.InjectStatefulHyperparamsState


def test_steps_compile_once_and_scan():
    traces = []
    tx = gradtx.inject_hyperparams(gradtx.adam)(Summed(), b1=LESS)

    def step(carry, value):
        traces.append(1)
        params, state = carry
        params, state = tx.step(params, state, params, value=value)
        return (params, state), state.hyperparams["learning_rate"]

    params = jnp.ones(2)
    _, rates = jax.lax.scan(step, (params, tx.init(params)), jnp.arange(4.0))
    assert rates.tolist() == [0, 0, 1, 3]
    assert len(traces) == 1


def test_its_call_prints_compares_and_pickles():
    def make():
        wrapped = gradtx.WrappedSchedule(LINE)
        return gradtx.inject_stateful_hyperparams(gradtx.adam)(wrapped)

    tx = make()
    text = "inject_stateful_hyperparams(adam)(WrappedSchedule(linear_schedule("
    assert repr(tx).startswith(text)
    assert tx == make()
    assert pickle.loads(pickle.dumps(tx)) == tx
    names = list(gradtx.tree.to_named(tx, tx.init(1.0)))
    path = "inject_stateful_hyperparams/hyperparams_states/learning_rate/count"
    assert path in names
    assert "adam/mu" in names


def test_other_states_and_functions_are_refused():
    tx = gradtx.inject_stateful_hyperparams(gradtx.sgd)(LINE)
    plain = gradtx.inject_hyperparams(gradtx.sgd)(LINE)
    with pytest.raises(TypeError, match="not a InjectStatefulHyperparamsState"):
        tx.update(1.0, plain.init(1.0))
    with pytest.raises(TypeError, match=r"learning_rate\(0\) is .* not a number"):
        gradtx.inject_hyperparams(gradtx.sgd)(Shaped())
    # A class is no schedule, but what it makes is one.
    assert isinstance(Summed(), gradtx.StatefulSchedule)


class Shaped(Summed):
    def __call__(self, state, **extra):
        return jnp.ones(2)
