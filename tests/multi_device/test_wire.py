"""The counter of bytes on the wire, on programs whose traffic is known."""

import functools

import jax
import jax.numpy as jnp
import pytest
from jax import lax
from jax.sharding import NamedSharding

from .meshes import N, P, mesh_of
from .wire import collectives, wire_bytes

ENTRIES = 64  # float32, on each device
SENT = {
    "all-reduce": (lambda x: lax.psum(x, "data"), P(), 2 * (N - 1) / N * 4 * ENTRIES),
    "reduce-scatter": (
        lambda x: lax.psum_scatter(x, "data", tiled=True),
        P("data"),
        (N - 1) / N * 4 * ENTRIES,
    ),
    "all-gather": (
        lambda x: lax.all_gather(x, "data", tiled=True, to="invarying"),
        P(),
        (N - 1) * 4 * ENTRIES,
    ),
    "collective-permute": (
        lambda x: lax.ppermute(x, "data", [(i, (i + 1) % N) for i in range(N)]),
        P("data"),
        4 * ENTRIES,
    ),
}


def compiled(fn, out_specs, *args):
    mapped = jax.shard_map(fn, mesh=mesh_of(N), in_specs=P("data"), out_specs=out_specs)
    return jax.jit(mapped).lower(*args).compile()


@pytest.mark.parametrize("kind", SENT)
def test_what_each_operation_sends(kind):
    fn, out_specs, sent = SENT[kind]
    program = compiled(fn, out_specs, jnp.ones(N * ENTRIES))
    assert wire_bytes(program) == {kind: sent}
    assert [c.devices for c in collectives(program)] == [N]


def test_many_arrays_in_one_operation_are_all_counted():
    trees = [jnp.ones(N * (i + 1)) for i in range(12)]  # of i + 1 on a device
    program = compiled(functools.partial(lax.psum, axis_name="data"), P(), trees)
    assert sum(c.entries for c in collectives(program)) == sum(range(1, 13))


def test_groups_along_one_of_two_axes():
    mesh = mesh_of(4, 2)
    split, kept = NamedSharding(mesh, P("data", "model")), NamedSharding(mesh, P())
    total = jax.jit(lambda x: x.sum(), in_shardings=split, out_shardings=kept)
    rows = jax.jit(
        lambda x: x.sum(0),
        in_shardings=split,
        out_shardings=NamedSharding(mesh, P("model")),
    )
    x = jnp.ones((16, 64))
    assert [c.devices for c in collectives(rows.lower(x).compile())] == [4]
    assert {c.devices for c in collectives(total.lower(x).compile())} <= {2, 4, N}
