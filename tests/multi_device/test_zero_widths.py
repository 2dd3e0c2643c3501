"""bfloat16 gradients of float32 parameters, shared out over devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import gradtx
from gradtx.distributed import zero1

from .meshes import N, P, mesh_of, model


@pytest.mark.parametrize("whole_leaves", [False, True])
@pytest.mark.parametrize("step", [True, False], ids=["step", "update"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_nothing_is_rounded_on_the_way(step, whole_leaves, dtype):
    inner = gradtx.adamw(1e-2, weight_decay=1e-3)
    params = jax.tree.map(lambda p: p.astype(dtype), model())
    # Small whole numbers: their sum over devices is exact in bfloat16.
    grads = jax.tree.map(lambda p: jnp.round(4 * jnp.sin(p)).astype("bfloat16"), params)
    tx = zero1(inner, "data", whole_leaves=whole_leaves)

    def run(params, grads):
        mine = jax.tree.map(lambda g: lax.pcast(g, "data", to="varying"), grads)
        return (tx.step if step else tx.update)(mine, tx.init(params), params)[0]

    mapped = jax.shard_map(run, mesh=mesh_of(N), in_specs=P(), out_specs=P())
    found = jax.jit(mapped)(params, grads)
    one = jax.jit(inner.step if step else inner.update)
    expected = one(grads, inner.init(params), params)[0]
    for key, value in expected.items():
        assert found[key].dtype == value.dtype == dtype
        # Another program, other fusions: a last digit of float32, or of a bfloat16
        # that lay between two.
        rtol = 3e-7 if dtype == "float32" else 4e-3
        np.testing.assert_allclose(
            *(np.asarray(x, np.float32) for x in (found[key], value)), rtol=rtol
        )
