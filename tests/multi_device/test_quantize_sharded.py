"""State as codes over several devices: the same bits, and nothing on the wire."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P

import gradtx

from .wire import collectives

SHAPES = {"w": (1024, 128), "b": (4096,)}  # w is cut into chunks
TX = gradtx.quantize_state(gradtx.adamw(1e-2))


def step(params, state, grads):
    return TX.step(grads, state, params)


def start():
    keys = jax.random.split(jax.random.key(0), 2)
    params = {
        n: jax.random.normal(k, s)
        for (n, s), k in zip(SHAPES.items(), keys, strict=True)
    }
    return params, TX.init(params)


def run(step, params, state, place=lambda x: x):
    for i in range(3):
        grads = {
            n: jnp.cos(i + jnp.arange(x.size)).reshape(x.shape)
            for n, x in params.items()
        }
        params, state = step(params, state, place(grads))
    return params, state


@pytest.mark.parametrize(
    ("sizes", "specs"),
    [
        ((8, 1), {"w": P("a"), "b": P("a")}),
        ((2, 4), {"w": P("a", "b"), "b": P(("a", "b"))}),
        ((1, 4), {"w": P(None, "b"), "b": P("b")}),
    ],
)
@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_sharded_codes_are_the_same_and_nothing_is_sent(sizes, specs, kind):
    devices = jax.devices()[: int(np.prod(sizes))]
    mesh = jax.make_mesh(sizes, ("a", "b"), axis_types=(kind,) * 2, devices=devices)
    where = {n: NamedSharding(mesh, s) for n, s in specs.items()}
    params, state = start()
    alone = run(jax.jit(step), params, state)

    sharded = jax.device_put(params, where)
    layout = gradtx.distributed.state_sharding(TX, sharded)
    moments = layout.inner_state[0].nu
    for name, spec in specs.items():
        assert moments[name].codes.spec == moments[name].scales.spec == spec
    state = jax.jit(TX.init, out_shardings=layout)(sharded)
    program = jax.jit(step)
    grads = jax.device_put(params, where)
    assert not collectives(program.lower(sharded, state, grads).compile())
    found = run(program, sharded, state, lambda g: jax.device_put(g, where))
    for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(found), strict=True):
        assert np.array_equal(a, b)
