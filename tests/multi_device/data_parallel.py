"""Data parallel training on the mesh, and the same on one device."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding

import gradtx
from gradtx.distributed import shard_specs, state_sharding

from .meshes import N, P, batch, loss, mesh_of, model, own_gradients

STEPS = 3


def is_matrix(params):
    return jax.tree.map(lambda p: p.ndim > 1, params)


def as_it_is(array, sharding):
    return array


def trained(tx, step="step", steps=STEPS, check_vma=True, place=as_it_is):
    """Parameters after some steps on the mesh, gradients of each device's own data.

    With several processes `place` says what each has of an array.
    """

    def run(params, batches):
        state = tx.init(params)
        for x, y in batches:
            grads = own_gradients(params, x, y)
            if step == "step":
                params, state = tx.step(grads, state, params)
            else:
                updates, state = tx.update(grads, state, params)
                params = gradtx.apply_updates(params, updates)
        return params

    batches = [batch(i) for i in range(steps)]
    mesh, specs = mesh_of(N), (P(), P("data"))
    mapped = jax.shard_map(
        run, mesh=mesh, in_specs=specs, out_specs=P(), check_vma=check_vma
    )
    args = [
        jax.tree.map(functools.partial(place, sharding=NamedSharding(mesh, spec)), tree)
        for tree, spec in zip((model(), batches), specs, strict=True)
    ]
    return jax.jit(mapped)(*args)


def fully_sharded(tx, place=jax.device_put):
    """Parameters after some steps of a jit in which they and the state are split."""
    mesh = mesh_of(N)
    split = NamedSharding(mesh, P("data"))
    layout = {"kernel": split, "bias": split}
    params = {"kernel": jnp.cos(jnp.arange(128.0)).reshape(16, 8), "bias": jnp.ones(8)}
    where = state_sharding(tx, params, layout)
    params = jax.tree.map(place, params, layout)
    x = place(jnp.sin(jnp.arange(256.0)).reshape(16, 16), split)

    def value(params, x):
        return jnp.mean(jnp.tanh(x @ params["kernel"] + params["bias"]) ** 2)

    @functools.partial(jax.jit, out_shardings=(layout, where))
    def step(params, state, x):
        return tx.step(jax.grad(value)(params, x), state, params)

    state = jax.jit(tx.init, out_shardings=where)(params)
    for _ in range(STEPS):
        params, state = step(params, state, x)
    return jax.jit(lambda p: p, out_shardings=NamedSharding(mesh, P()))(params)


def on_one_device(tx, steps=STEPS):
    """The same on one device; its gradients are means over the parts of the batch."""

    @jax.jit
    def run(params, batches):
        state = tx.init(params)
        for x, y in batches:
            parts = x.reshape(N, -1, x.shape[-1]), y.reshape(N, -1, y.shape[-1])
            each = jax.vmap(jax.grad(loss), (None, 0, 0))(params, *parts)
            grads = jax.tree.map(lambda g: jnp.sum(g, 0) / N, each)
            params, state = tx.step(grads, state, params)
        return params

    return run(model(), [batch(i) for i in range(steps)])


def assert_close(found, expected, rtol):
    for key, value in expected.items():
        scale = float(jnp.max(jnp.abs(value)))
        np.testing.assert_allclose(found[key], value, rtol=0, atol=rtol * scale)


def program(tx, params, specs=None):
    """The compiled step of data parallel training, and the specs of the state."""
    mesh = mesh_of(N)
    specs = shard_specs(tx, params, mesh, "data") if specs is None else specs

    def step(params, state, grads):
        return tx.step(grads, state, params)

    # Gradients of a device stand under its own index.
    each = jax.tree.map(lambda p: jax.ShapeDtypeStruct((N, *p.shape), p.dtype), params)

    def alone(params, state, grads):
        return step(params, state, jax.tree.map(lambda g: g[0], grads))

    mapped = jax.shard_map(
        alone, mesh=mesh, in_specs=(P(), specs, P("data")), out_specs=(P(), specs)
    )
    init = jax.shard_map(tx.init, mesh=mesh, in_specs=P(), out_specs=specs)
    state = jax.eval_shape(init, params)
    compiled = jax.jit(mapped, donate_argnums=(0, 1)).lower(params, state, each)
    return compiled.compile(), state, specs


LARGE = {"kernel": (64, 96), "bias": (96,), "gain": ()}
