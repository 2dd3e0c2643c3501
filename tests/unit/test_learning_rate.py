"""The current rate can be read from the state of every optimizer."""

import inspect

import jax.numpy as jnp
import pytest

import gradtx
from gradtx import ScalarOrSchedule
from gradtx.testing import EXTRA, discover
from gradtx.testing.values import UPDATES

OPTIMIZERS = {
    name: factory
    for name, factory in discover(gradtx).items()
    if name not in EXTRA  # their line search has a rate, too: below
    and name not in UPDATES  # of examples
    for first in [next(iter(inspect.signature(factory).parameters.values()), None)]
    # Some refuse a schedule, as rprop, which sets its own step sizes.
    if first is not None
    and (first.name, first.annotation) == ("learning_rate", ScalarOrSchedule)
}
PARAMS = {"w": jnp.ones(2)}


def falling(count):
    return 0.5 / (1 + count)


@pytest.mark.parametrize("make", [gradtx.madgrad, gradtx.prodigy, gradtx.dadapt_adamw])
def test_a_number_is_not_in_the_state_and_no_field_stands_for_it(make):
    state = make(0.5).init(PARAMS)
    with pytest.raises(KeyError, match="there is no 'learning_rate'"):
        gradtx.tree.get(state, "learning_rate")
    with pytest.raises(KeyError, match="there is no 'learning_rate'"):
        gradtx.tree.set(state, learning_rate=0.1)


def test_there_are_optimizers():
    assert {"sgd", "adam", "adamw", "lion", "adadelta"} <= set(OPTIMIZERS)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_of_a_schedule(name):
    tx = OPTIMIZERS[name](falling)
    state = tx.init(PARAMS)
    # Muon has a rate of its own for what is no matrix.
    where = {"group": "adam"} if name == "muon" else {}
    assert float(gradtx.tree.get(state, "learning_rate", **where)) == 0.5
    for _ in range(2):
        _, state = tx.update(PARAMS, state, PARAMS)
    # That of the last step.
    assert float(gradtx.tree.get(state, "learning_rate", **where)) == 0.25


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_of_an_injected_number(name):
    tx = gradtx.inject_hyperparams(OPTIMIZERS[name])(learning_rate=0.5)
    state = tx.init(PARAMS)
    state.hyperparams["learning_rate"] = 0.25
    _, state = tx.update(PARAMS, state, PARAMS)
    assert float(gradtx.tree.get(state, "learning_rate")) == 0.25


@pytest.mark.parametrize(
    "wrap",
    [
        lambda tx: gradtx.chain(gradtx.clip_by_global_norm(1.0), tx),
        lambda tx: gradtx.MultiSteps(tx, 2),
        lambda tx: gradtx.apply_if_finite(tx, 3),
        lambda tx: gradtx.masked(tx, {"w": True}),
        lambda tx: gradtx.flatten(tx),
        lambda tx: gradtx.partition({"all": tx}, "all"),
    ],
)
def test_inside_of_wrappers(wrap):
    state = wrap(gradtx.adamw(falling)).init(PARAMS)
    assert float(gradtx.tree.get(state, "learning_rate")) == 0.5


@pytest.mark.parametrize("make", [gradtx.lbfgs, gradtx.newton])
def test_with_a_line_search_it_is_that_of_the_search(make):
    state = make().init(PARAMS)
    assert float(gradtx.tree.get(state, "learning_rate")) == 1.0
    with pytest.raises(KeyError, match=r"several places: \[1\].*, \[2\]"):
        gradtx.tree.get(make(falling).init(PARAMS), "learning_rate")


def test_rprop_says_why_it_has_none():
    with pytest.raises(TypeError, match="learning_rate"):
        gradtx.rprop(falling)
