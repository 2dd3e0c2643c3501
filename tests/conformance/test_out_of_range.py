"""Where a step is not finite, its exact value is out of the dtype's range."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.testing.extremes import EXTREMES, SERIES
from tests.conformance.exceptions import EXCEPTIONS, PRODUCT, QUOTIENT

MADE = {
    "acprop": (gradtx.acprop(0.1), "float16", "rising"),
    "scale_by_acprop": (gradtx.scale_by_acprop(), "float16", "mixed"),
    "scale_by_param_block_norm": (
        gradtx.scale_by_param_block_norm(),
        "float32",
        "large",
    ),
    "scale_by_param_block_rms": (gradtx.scale_by_param_block_rms(), "float32", "large"),
}


def test_all_that_are_not_finite_are_here():
    found = {
        name
        for (name, check), why in EXCEPTIONS.items()
        if check == "is_finite_on_extreme_gradients" and why in (PRODUCT, QUOTIENT)
    }
    assert found == set(MADE)


@pytest.mark.parametrize("name", MADE)
def test_the_exact_step_is_out_of_range(name):
    tx, dtype, series = MADE[name]
    largest = []
    with jax.enable_x64(True):
        params = jnp.array([0.5, -1.0, 1.5, 0.3, 0.2, 1.0])
        state = tx.init(params)
        for entries in SERIES[series](*EXTREMES[dtype]):
            grads = jnp.array(np.resize(np.array(entries, float), params.shape))
            updates, state = tx.update(grads, state, params)
            params = gradtx.apply_updates(params, updates)
            largest.append(float(jnp.max(jnp.abs(updates))))
    assert np.all(np.isfinite(largest))
    assert max(largest) > float(jnp.finfo(dtype).max)
