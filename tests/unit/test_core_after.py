"""An order of computing that changes no number."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.core.numerics import after

NUMBERS = np.float32([-np.inf, -1e38, -1.0, -1e-37, 0.0, 1e-37, 1.0, 1e38, np.inf])


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_number_is_the_same_after_any_other(dtype):
    x, y = jnp.asarray(NUMBERS, dtype)[:, None], jnp.asarray(NUMBERS)[None]
    found = jax.jit(after)(x + 0 * jnp.ones_like(y, dtype), y + jnp.zeros_like(x))
    assert found.dtype == dtype
    for i in range(len(NUMBERS)):
        np.testing.assert_array_equal(found[:, i], x[:, 0])
    z = 1j * y[0, 1:-1] + 2
    np.testing.assert_array_equal(after(z, y[0, 1:-1] + 0j), z)


def test_only_the_first_has_a_derivative():
    x = jnp.array([1.0, 2.0, 3.0])
    slopes = jax.grad(lambda *args: after(*args).sum(), (0, 1))(x, x[::-1])
    np.testing.assert_array_equal(slopes, [[1.0] * 3, [0.0] * 3])


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.complex64])
@pytest.mark.parametrize("name", ["acprop", "optimistic_gradient_descent"])
def test_a_slot_that_is_written_last_is_the_same_by_step_and_by_update(name, dtype):
    tx = getattr(gradtx, name)(0.1)
    p, g = jnp.ones(3, dtype), jnp.array([1.0, -2.0, 1e30]).astype(dtype)
    state = tx.init(p)
    for _ in range(2):
        updates, other = tx.update(g, state, p)
        stepped, state = jax.jit(tx.step)(g, state, p)
        np.testing.assert_allclose(
            *(x.astype(np.complex64) for x in (stepped, p + updates)), rtol=1e-2
        )
        p = stepped
        jax.tree.map(np.testing.assert_array_equal, state, other)
