"""Every call of Keras that the page for its users lists takes Keras' path."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

from .keras_trajectories import FILE, NUMBERS, calls, start
from .loops import run

DATA = json.loads(FILE.read_text())
CALLS, SCHEDULES = calls("Optimizers"), calls("Schedules")
TOLERANCE = {"rtol": 1e-9, "atol": 1e-9}  # float64, and sums in another order


def test_the_file_is_of_the_page():
    assert list(DATA["paths"]) == list(CALLS)
    assert list(DATA["rates"]) == list(SCHEDULES)
    assert DATA["numbers"] == NUMBERS
    assert DATA["keras"].startswith("3.15.")


@pytest.mark.parametrize("call", CALLS)
def test_the_path_is_keras(call):
    grads = {"p": np.array(DATA["grads"])}
    with jax.enable_x64(True):
        tx = eval(CALLS[call], vars(gradtx) | NUMBERS | {"jnp": jnp})
        path = run(tx, {"p": start(call)}, grads, gradtx.apply_updates)["p"]
    path = np.asarray(path).reshape(len(path), -1)
    np.testing.assert_allclose(path, DATA["paths"][call], **TOLERANCE)


@pytest.mark.parametrize("call", SCHEDULES)
def test_the_rates_are_keras(call):
    rates = DATA["rates"][call]
    with jax.enable_x64(True):
        schedule = eval(SCHEDULES[call], vars(gradtx) | NUMBERS)
        found = jax.jit(jax.vmap(schedule))(jnp.arange(len(rates)))
    # Keras computes them in float32, whatever else is set.
    np.testing.assert_allclose(found, rates, rtol=1e-6)
