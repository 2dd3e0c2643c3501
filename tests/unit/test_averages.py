"""Averages of weights, and tree arithmetic, in low precision: rounded once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import tree


@pytest.mark.parametrize("low", [jnp.bfloat16, jnp.float16])
def test_an_average_of_low_precision_weights_converges_to_them(low):
    @jax.jit
    def run(average):
        def body(_, a):
            return gradtx.incremental_update(jnp.ones([], low), a, 0.003)

        return jax.lax.fori_loop(0, 6000, body, average)

    # (1 - 0.003)^6000 is 1e-8; float32 adds less than half a digit from 1 - 1e-5 on.
    np.testing.assert_allclose(run(jnp.zeros([])), 1.0, rtol=2e-5)


def test_an_average_is_rounded_once():
    new, old = jnp.bfloat16(1.0078125), jnp.bfloat16(3.0)
    # In float64: 1/3 of the one and 2/3 of the other, then the nearest bfloat16.
    exact = np.float64(new) / 3 + np.float64(old) * 2 / 3
    found = gradtx.incremental_update(new, old, 1 / 3)
    assert found.dtype == jnp.bfloat16
    assert found == jnp.asarray(exact, jnp.bfloat16)
    wide = gradtx.incremental_update(jnp.float32(1 / 3), jnp.bfloat16(0), 0.5)
    assert wide == jnp.asarray(1 / 6, jnp.bfloat16)


def test_a_step_of_low_precision_does_not_narrow_the_average():
    found = gradtx.incremental_update(jnp.float32(1), jnp.float32(0), np.float16(0.5))
    assert found.dtype == jnp.float32


def test_periodic_update_takes_the_new_as_they_are():
    found = gradtx.periodic_update(jnp.bfloat16(1.0078125), jnp.float32(0), 4, 2)
    assert found.dtype == jnp.float32
    assert float(found) == 1.0078125


def test_three_trees_are_added_and_rounded_once():
    # In bfloat16 256 + 1 is 256.
    total = tree.add(jnp.bfloat16(256), jnp.bfloat16(1), jnp.bfloat16(1))
    assert total.dtype == jnp.bfloat16
    assert float(total) == 258
    mixed = tree.add(jnp.bfloat16(256), jnp.bfloat16(1), jnp.float32(1))
    assert mixed.dtype == jnp.float32
    assert float(mixed) == 258


ONE = jnp.ones(1)
NOT_SCALAR = {
    "step_size": lambda: gradtx.incremental_update(1.0, 0.0, ONE),
    "steps": lambda: gradtx.periodic_update(1.0, 0.0, ONE, 2),
    "scalar": lambda: tree.scale(ONE, 1.0),
    "learning_rate": lambda: gradtx.inject_hyperparams(gradtx.sgd)(ONE),
    r"learning_rate\(count\)": lambda: gradtx.sgd(lambda count: ONE).init(1.0),
    r"weight_decay\(count\)": lambda: gradtx.add_decayed_weights(lambda c: ONE).init(1),
    r"step_size_fn\(count\)": lambda: gradtx.scale_by_schedule(lambda c: ONE).update(
        1.0, gradtx.scale_by_schedule(lambda c: ONE).init(1.0)
    ),
    r"schedules\[1\]\(count\)": lambda: gradtx.join_schedules(
        [gradtx.constant_schedule(1.0), lambda count: ONE], [2]
    )(0),
    "value": lambda: gradtx.constant_schedule(ONE),
}


@pytest.mark.parametrize("name", NOT_SCALAR)
def test_an_array_of_shape_1_is_no_scalar(name):
    with pytest.raises(ValueError, match=rf"{name} must be a scalar.*\(1,\)"):
        NOT_SCALAR[name]()
