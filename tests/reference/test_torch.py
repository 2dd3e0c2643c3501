"""Every call of torch.optim that the page for its users lists takes PyTorch's path."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

from .loops import run
from .torch_trajectories import FILE, NUMBERS, calls

DATA = json.loads(FILE.read_text())
CALLS = calls()
# What is asked for. PyTorch adds and multiplies in another order: 10 steps of float64
# differ by 1e-15, L-BFGS, which divides by differences, by 1e-12.
TOLERANCE = 1e-9


def test_the_file_is_of_the_page():
    assert list(DATA["rows"]) == list(CALLS)
    assert DATA["numbers"] == NUMBERS
    assert DATA["torch"].startswith("2.13.")


@pytest.mark.parametrize("call", CALLS)
def test_the_path_is_pytorchs(call):
    row = DATA["rows"][call]
    tx = eval(CALLS[call], vars(gradtx) | NUMBERS)
    grads = np.array(DATA["grads"])
    if "maximized" in row:  # uphill beside downhill, in one program
        tx = gradtx.partition(
            {"down": tx, "up": gradtx.maximize(tx)}, {"down": "down", "up": "up"}
        )

    def both(x):
        return {"down": x, "up": x} if "maximized" in row else {"down": x}

    with jax.enable_x64(True):
        start = both(jnp.array(DATA["start"]))
        path = run(tx, start, both(grads), gradtx.apply_updates)
    close = {"rtol": TOLERANCE, "atol": TOLERANCE}
    np.testing.assert_allclose(path["down"], row["path"], **close)
    if "maximized" in row:
        np.testing.assert_allclose(path["up"][-1], row["maximized"], **close)


APART = {  # what the call is without the option that makes it PyTorch's
    "Adam(lr, betas=(m, a), amsgrad=True)": "amsgrad(lr, b1=m, b2=a)",
    "Adagrad(lr, initial_accumulator_value=a, eps=eps)": "adagrad(lr, a, eps)",
    "NAdam(lr)": "nadam(lr)",
    "RAdam(lr, betas=(m, a), eps=eps, weight_decay=w)": (
        "chain(add_decayed_weights(w), radam(lr, b1=m, b2=a, eps=eps))"
    ),
    "LBFGS(lr, history_size=3)": "lbfgs(lr, 3, linesearch=None)",
}


@pytest.mark.parametrize("call", APART)
def test_without_the_option_it_is_another_path(call):
    start, grads = {"p": np.array(DATA["start"])}, {"p": np.array(DATA["grads"])}
    with jax.enable_x64(True):
        tx = eval(APART[call], vars(gradtx) | NUMBERS)
        path = run(tx, start, grads, gradtx.apply_updates)
    assert np.abs(path["p"] - DATA["rows"][call]["path"]).max() > 100 * TOLERANCE
