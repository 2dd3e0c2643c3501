"""L-BFGS with parameters that lie on several devices: its memory lies as they do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding

import gradtx

from .meshes import N, P


def bowl(p):
    return jnp.sum((jnp.arange(1.0, 17.0) * (p - 1)) ** 2)


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit], ids=str)
def test_its_memory_lies_as_the_parameters_do(kind):
    mesh = jax.make_mesh((N,), ("data",), axis_types=(kind,))
    place = NamedSharding(mesh, P("data"))
    tx = gradtx.lbfgs(linesearch=None)

    @jax.jit
    def step(p, state):
        return tx.step(jax.grad(bowl)(p), state, p)

    def run(p):
        state = tx.init(p)
        memory = state[0].diff_params_memory
        for _ in range(4):
            p, state = step(p, state)
        return p, memory

    with jax.set_mesh(mesh):
        found, memory = run(jax.device_put(jnp.linspace(0.0, 0.9, 16), place))
    assert memory.sharding.is_equivalent_to(
        NamedSharding(mesh, P(None, "data")), memory.ndim
    )
    expected, _ = run(jnp.linspace(0.0, 0.9, 16))
    # Inner products are summed in another order.
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)
