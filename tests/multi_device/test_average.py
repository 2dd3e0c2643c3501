"""Averages over devices: replicas agree, and what is wrong is refused."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import gradtx
from gradtx.distributed import average_across, shard_specs, zero1

from .meshes import N, P, batch, loss, mesh_of, model

NOISY = gradtx.chain(
    average_across("data"),
    gradtx.add_noise(0.01, 0.55, key=0),
    gradtx.clip_by_global_norm(1.0),
    gradtx.adamw(1e-2),
)


@pytest.mark.parametrize("name", ["averaged", "zero1"])
def test_replicas_are_the_same_to_the_bit_after_1000_steps(name):
    tx = {"averaged": NOISY, "zero1": zero1(gradtx.chain(*NOISY.call.args[1:]), "data")}
    tx = tx[name]

    @functools.partial(jax.pmap, axis_name="data")
    def run(params, x, y):
        def step(carry, _):
            params, state = carry
            grads = jax.grad(loss)(params, x, y)
            return tx.step(grads, state, params), None

        return lax.scan(step, (params, tx.init(params)), None, length=1000)[0][0]

    everywhere = jax.tree.map(lambda p: jnp.stack([p] * N), model())
    x, y = (v.reshape(N, -1, v.shape[-1]) for v in batch(0))
    found = run(everywhere, x, y)
    for key, value in found.items():
        assert np.isfinite(value).all()
        assert not np.array_equal(value[0], model()[key])
        for replica in value[1:]:
            np.testing.assert_array_equal(replica, value[0])


def test_the_average_is_the_mean_and_passes_missing_leaves_by():
    tx = average_across(("data",))
    updates = {"a": jnp.arange(8.0), "b": None}

    def run(updates):
        return tx.update(updates, tx.init(updates))[0]

    found = jax.jit(
        jax.shard_map(run, mesh=mesh_of(N), in_specs=P("data"), out_specs=P())
    )(updates)
    np.testing.assert_array_equal(found["a"], [3.5])
    assert found["b"] is None


@pytest.mark.parametrize("tx", [average_across("data"), zero1(gradtx.sgd(0.1), "data")])
def test_gradients_that_are_summed_already_are_refused(tx):
    def run(params, x, y):
        grads = jax.grad(loss)(params, x, y)
        return tx.update(grads, tx.init(params), params)[0]

    mapped = jax.shard_map(
        run, mesh=mesh_of(N), in_specs=(P(), P("data"), P("data")), out_specs=P()
    )
    with pytest.raises(ValueError, match=r"updates\['bias'\] is the same .*pcast"):
        jax.jit(mapped)(model(), *batch(0))


def test_refusals_of_arguments():
    with pytest.raises(ValueError, match="zero1: axis_name names no axis"):
        zero1(gradtx.sgd(0.1), ())
    with pytest.raises(ValueError, match="average_across: axis_name names no axis"):
        average_across(None)
    with pytest.raises(TypeError, match="zero1: inner: expected a gradient"):
        zero1(3, "data")
    shared = zero1(gradtx.sgd(0.1), "data")
    with pytest.raises(ValueError, match="zero1: there is no axis 'data'"):
        shared.init(model())
    mesh, every = mesh_of(N), gradtx.MultiSteps(shared, 2)
    with pytest.raises(ValueError, match=r"shard_specs: .*no axis 'modell'"):
        shard_specs(shared, model(), mesh, "modell")
    with pytest.raises(ValueError, match=r"acc_grads\['gain'\] is a number that"):
        shard_specs(every, model(), mesh, "data")
