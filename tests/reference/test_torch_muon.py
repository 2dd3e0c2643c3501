"""Every option of torch.optim.Muon takes PyTorch's path."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

from .torch_muon import CALLS, FILE, STEPS, gradient, starts

DATA = json.loads(FILE.read_text())
OUT_BY_IN = {"OUT_BY_IN": gradtx.MuonDimensionNumbers(1, 0)}


def path(tx):
    def body(carry, t):
        params, state = carry
        grads = [gradient(jnp, t, p) for p in params]
        params, state = tx.step(grads, state, params)
        return (params, state), params

    params = [jnp.array(x) for x in starts()]
    run = jax.jit(lambda p, at: jax.lax.scan(body, (p, tx.init(p)), at)[1])
    points = run(params, jnp.arange(1.0 * STEPS))
    return np.concatenate([x.reshape(STEPS, -1) for x in points], axis=1)


@pytest.mark.parametrize("call", CALLS)
def test_the_path_is_pytorchs(call):
    with jax.enable_x64(True):
        points = path(eval(CALLS[call], vars(gradtx) | OUT_BY_IN))
    # The file has 13 digits; what PyTorch rounds otherwise the polynomial makes larger
    # by up to its slope at 0, 485.
    np.testing.assert_allclose(points, DATA["rows"][call], rtol=1e-9, atol=1e-9)
