"""Parameters of 16 bits over several devices: the same bits on every mesh."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec as P

import gradtx

from .wire import collectives

SHAPES = {"w": (64, 256), "b": (256,)}


def start():
    keys = jax.random.split(jax.random.key(0), 2)
    return {
        n: jax.random.normal(k, s).astype(jnp.bfloat16)
        for (n, s), k in zip(SHAPES.items(), keys, strict=True)
    }


def grads_of(params):
    # Of few bits, so that a mean over devices is exact.
    return jax.tree.map(jnp.cos, params)


def ran(tx):
    params = start()
    state, step = tx.init(params), jax.jit(tx.step)
    for _ in range(2):
        params, state = step(grads_of(params), state, params)
    return params


def assert_same(one, two):
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("policy", ["stochastic", "residual"])
def test_sharded_parameters_are_written_alike_and_nothing_is_sent(policy):
    tx = gradtx.write(gradtx.sgd(0.1), policy)
    mesh = jax.make_mesh((2, 4), ("a", "b"))
    where = {"w": NamedSharding(mesh, P("a", "b")), "b": NamedSharding(mesh, P("b"))}
    params = jax.device_put(start(), where)
    state, step = tx.init(params), jax.jit(tx.step)
    assert not collectives(step.lower(grads_of(params), state, params).compile())
    for _ in range(2):
        params, state = step(grads_of(params), state, params)
    assert_same(params, ran(tx))


@pytest.mark.parametrize("devices", [2, 8])
@pytest.mark.parametrize("policy", ["stochastic", "residual"])
def test_under_zero1_it_is_the_same_step(policy, devices):
    tx = gradtx.write(gradtx.sgd(0.1), policy)
    shared = gradtx.distributed.zero1(tx, "data")
    params = start()

    def two(grads):
        p = params
        state = shared.init(p)
        for _ in range(2):
            g = jax.tree.map(jnp.add, grads, grads_of(p))
            p, state = shared.step(g, state, p)
        return p

    nothing = jax.tree.map(lambda p: jnp.zeros((devices, *p.shape)), params)
    found = jax.vmap(two, axis_name="data")(nothing)
    assert_same(jax.tree.map(lambda x: x[0], found), ran(tx))
