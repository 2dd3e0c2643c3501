"""Timescales: of weight decay, of averages."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx


def test_timescales():
    # An average of steps of 1 with decay is 1 - 1/e of its limit after the timescale.
    steps = round(gradtx.decay_timescale(1e-2, 0.1))
    assert steps == 1000
    np.testing.assert_allclose(1 - (1 - 1e-3) ** steps, 1 - math.exp(-1), rtol=1e-3)
    # As many examples: half of it is of the same ones.
    b2 = gradtx.rescaled_decay(0.95, 1 / 8)
    np.testing.assert_allclose(b2**8, 0.95, rtol=1e-15)
    np.testing.assert_allclose(gradtx.rescaled_decay(jnp.float32(0.5), 2), 0.25)
    for wrong in ((1.0, 2), (0.9, 0.0)):
        with pytest.raises(ValueError, match=r"decay must be|factor must be"):
            gradtx.rescaled_decay(*wrong)
