"""Every call of torch.optim that the page for its users lists takes PyTorch's path."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

from .torch_trajectories import (
    FILE,
    KEPT,
    NUMBERS,
    RATES,
    START,
    STEPS,
    calls,
    gradient,
    losses,
    plateaus,
    rows_of,
    schedules,
    times,
)

DATA = json.loads(FILE.read_text())
CALLS, SCHEDULES, PLATEAUS = calls(), schedules(), plateaus()
# What is asked for. PyTorch adds and multiplies in another order: after 100 steps of
# float64 they differ by 1e-13, and the file has 13 digits.
TOLERANCE = {"rtol": 1e-9, "atol": 1e-9}


def path(call, tx, sets=("down",)):
    """Some sets of parameters, all from the same start, after every step."""

    def body(carry, t):
        params, state = carry
        grads = {
            name: rows_of(jnp, call, t, gradient(jnp, t, p))
            for name, p in params.items()
        }
        params, state = tx.step(grads, state, params)
        return (params, state), params

    def loop(params, at):
        return jax.lax.scan(body, (params, tx.init(params)), at)[1]

    params = {name: jnp.array(START) for name in sets}
    points = jax.jit(loop)(params, jnp.array(times(call)))
    return {name: np.asarray(x).reshape(STEPS, -1) for name, x in points.items()}


def test_the_file_is_of_the_page():
    assert list(DATA["rows"]) == list(CALLS)
    assert list(DATA["rates"]) == [*SCHEDULES, *PLATEAUS]
    assert DATA["numbers"] == NUMBERS
    assert DATA["torch"].startswith("2.13.")
    assert DATA["kept"] == KEPT


@pytest.mark.parametrize("call", CALLS)
def test_the_path_is_pytorchs(call):
    row, kept = DATA["rows"][call], np.array(KEPT) - 1
    with jax.enable_x64(True):
        tx = eval(CALLS[call], vars(gradtx) | NUMBERS)
        if "maximized" in row:  # uphill beside downhill, in one program
            tx = gradtx.partition(
                {"down": tx, "up": gradtx.maximize(tx)}, {"down": "down", "up": "up"}
            )
        points = path(call, tx, ("down", "up")[: len(row)])
    np.testing.assert_allclose(points["down"][kept], row["path"], **TOLERANCE)
    if "maximized" in row:
        np.testing.assert_allclose(points["up"][-1], row["maximized"], **TOLERANCE)


APART = {  # what the call is without the option that makes it PyTorch's
    "Adam(lr, betas=(m, a), amsgrad=True)": "amsgrad(lr, b1=m, b2=a)",
    "Adagrad(lr, initial_accumulator_value=a, eps=eps)": "adagrad(lr, a, eps)",
    "NAdam(lr)": "nadam(lr)",
    "RAdam(lr, betas=(m, a), eps=eps, weight_decay=w)": (
        "chain(add_decayed_weights(w), radam(lr, b1=m, b2=a, eps=eps))"
    ),
    "SparseAdam(lr, betas=(m, a), eps=eps)": (
        "adam(lr, b1=m, b2=a, eps=eps, eps_before_correction=True)"
    ),
    "LBFGS(lr, history_size=3)": "lbfgs(lr, 3, linesearch=None)",
}


@pytest.mark.parametrize("call", APART)
def test_without_the_option_it_is_another_path(call):
    with jax.enable_x64(True):
        tx = eval(APART[call], vars(gradtx) | NUMBERS)
        points = path(call, tx)["down"]
    apart = points[np.array(KEPT) - 1] - DATA["rows"][call]["path"]
    assert np.abs(apart).max() > 100 * TOLERANCE["atol"]


@pytest.mark.parametrize("call", SCHEDULES)
def test_the_rates_are_pytorchs(call):
    rates = DATA["rates"][call]
    with jax.enable_x64(True):
        schedule = eval(SCHEDULES[call], vars(gradtx) | RATES | {"jax": jax})
        found = jax.jit(jax.vmap(schedule))(jnp.arange(len(rates)))
    np.testing.assert_allclose(found, rates, **TOLERANCE)


@pytest.mark.parametrize("call", PLATEAUS)
def test_what_follows_the_loss_is_pytorchs(call):
    rates = np.array(DATA["rates"][call])
    with jax.enable_x64(True):
        tx = eval(PLATEAUS[call], vars(gradtx) | RATES)

        def body(state, value):
            scale, state = tx.update(1.0, state, value=value)
            return state, scale

        found = jax.jit(lambda x: jax.lax.scan(body, tx.init(1.0), x)[1])
        scales = np.asarray(found(jnp.array(losses())))
    assert len(set(rates)) > 3  # it was reduced several times
    np.testing.assert_allclose(RATES["lr"] * scales, rates, **TOLERANCE)
