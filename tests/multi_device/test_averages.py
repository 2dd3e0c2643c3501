"""Averages of weights on many devices: shared out with zero1, and read back whole."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh

import gradtx
from gradtx.distributed import explain, shard_specs, state_sharding, zero1

from .data_parallel import assert_close
from .meshes import N, P, batch, loss, mesh_of, model, own_gradients

SGD = gradtx.sgd(0.1, momentum=0.9)
AROUND = {
    "average inside": lambda: zero1(gradtx.average_weights(SGD, 0.5), "data"),
    "average outside": lambda: gradtx.average_weights(zero1(SGD, "data"), 0.5),
    "gpa inside": lambda: zero1(gradtx.gpa(SGD), "data"),
}
STEPS = 2


def trained(tx):
    """The parameters and the state after some steps on the mesh."""
    specs = shard_specs(tx, model(), mesh_of(N), "data")

    def run(params, batches):
        state = tx.init(params)
        for x, y in batches:
            params, state = tx.step(own_gradients(params, x, y), state, params)
        return params, state

    mapped = jax.shard_map(
        run, mesh=mesh_of(N), in_specs=(P(), P("data")), out_specs=(P(), specs)
    )
    return jax.jit(mapped)(model(), [batch(i) for i in range(STEPS)])


@jax.jit
def expected(params, batches):
    """By one device: the average over its path, and that of gpa."""
    txs = {
        "average": gradtx.average_weights(SGD, 0.5),
        "gpa": gradtx.gpa(SGD),
    }
    found = {}
    for name, tx in txs.items():
        p, state = params, tx.init(params)
        for x, y in batches:
            p, state = tx.step(jax.grad(loss)(p, x, y), state, p)
        found[name] = gradtx.eval_params(state, p)
    return found


@pytest.mark.parametrize("name", AROUND)
def test_the_average_of_shares_is_read_whole(name):
    params, state = trained(AROUND[name]())
    theirs = expected(model(), [batch(i) for i in range(STEPS)])[name.split()[0]]
    found = gradtx.eval_params(state, params)
    # Eight gradients are added in another order.
    assert_close(found, theirs, rtol=1e-6)
    if name == "average inside":  # a share each, none has it all
        shards = state.average["kernel"].addressable_shards
        assert {x.data.size for x in shards} == {-(-35 // N)}
        with pytest.raises(ValueError, match=r"are put together outside of shard_map"):
            gradtx.eval_params(
                state._replace(average={**state.average, "kernel": jnp.ones((5, 1))}),
                params,
            )


def test_an_average_lies_as_its_parameters_do():
    mesh = AbstractMesh((4, 2), ("data", "model"))
    params = {"w": jax.ShapeDtypeStruct((8, 6), jnp.bfloat16)}
    layout = {"w": P("data", "model")}
    for kind, shape, spec in (
        ({}, (8, 6), P("data", "model")),
        ({"window": 3}, (3, 8, 6), P(None, "data", "model")),
    ):
        tx = gradtx.average_weights(SGD, **kind)
        where = state_sharding(tx, params, layout, mesh=mesh)
        assert where.average["w"].spec == spec
        said = explain(tx, params, mesh, layout)
        row = {row.name: row for row in said.rows}["average_weights/average"]
        size = 2 if kind else 4  # a window holds bfloat16, as the parameters are
        assert (row.shape, row.bytes) == (shape, size * np.prod(shape))
        assert row.bytes_per_device == row.bytes // 8
