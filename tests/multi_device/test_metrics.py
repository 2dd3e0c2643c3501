"""Metrics on many devices: of the whole, the same on each."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding

import gradtx
from gradtx.distributed import explain, shard_specs, state_sharding, zero1

from .meshes import N, P, mesh_of

# Sums over parts round otherwise than sums over the whole.
CLOSE = {"rtol": 2e-6, "atol": 1e-7}

SPECS = {"split": P("data"), "rows": P(None, "data"), "same": P()}
SHAPES = {"split": (16,), "rows": (3, 8), "same": (8,)}
PARAMS = {
    name: jnp.cos(0.7 * jnp.arange(np.prod(shape)) + i).reshape(shape)
    for i, (name, shape) in enumerate(SHAPES.items())
}
GRADS = jax.tree.map(lambda p: 3 * jnp.sin(p), PARAMS)


def wrapped(axis, clip=True, of="all"):
    groups = gradtx.groups(
        [("split", dict(learning_rate=0.2))], default=gradtx.sgd(0.1)
    )
    front = [gradtx.clip_by_global_norm(0.5, axis_name=axis)] if clip else []
    tx = gradtx.chain(*front, groups)
    return gradtx.with_metrics(tx, of, per_group=True, axis_name=None if clip else axis)


def after_a_step(tx, params, grads):
    _, state = tx.step(grads, tx.init(params), params)
    return gradtx.metrics(state)


def assert_alike(found, expected):
    assert found.keys() == expected.keys()
    for name, number in expected.items():
        np.testing.assert_allclose(found[name], number, **CLOSE, err_msg=name)


@pytest.mark.parametrize("clip", [True, False])
def test_split_leaves_have_the_norms_of_whole_ones(clip):
    expected = after_a_step(wrapped(None, clip), PARAMS, GRADS)
    run = jax.jit(
        jax.shard_map(
            functools.partial(after_a_step, wrapped("data", clip)),
            mesh=mesh_of(N),
            in_specs=(SPECS, SPECS),
            out_specs=P(),  # which types know to be the same everywhere
        )
    )
    assert_alike(jax.device_get(run(PARAMS, GRADS)), expected)


def test_inside_of_zero1_they_are_those_of_the_mean():
    mesh, inner = mesh_of(N), wrapped(None)
    expected = after_a_step(inner, PARAMS, GRADS)
    tx = zero1(inner, "data")
    specs = shard_specs(tx, PARAMS, mesh, "data")

    @jax.jit
    @functools.partial(jax.shard_map, mesh=mesh, in_specs=P(), out_specs=specs)
    def run(params, grads):
        place = 2 * jax.lax.axis_index("data") / (N - 1)  # 1 on average
        own = jax.tree.map(lambda g: place * g, grads)
        return tx.step(own, tx.init(params), params)[1]

    assert_alike(gradtx.metrics(run(PARAMS, GRADS)), expected)


def test_a_sharded_state_has_its_metrics_everywhere():
    mesh, tx = mesh_of(N), wrapped(None)
    layout = {name: NamedSharding(mesh, spec) for name, spec in SPECS.items()}
    where = state_sharding(tx, PARAMS, layout)
    params, grads = (jax.device_put(tree, layout) for tree in (PARAMS, GRADS))

    @functools.partial(jax.jit, out_shardings=(layout, where), donate_argnums=1)
    def step(params, state, grads):
        return tx.step(grads, state, params)

    state = jax.jit(tx.init, out_shardings=where)(params)
    _, state = step(params, state, grads)
    assert state.metrics["grad_norm"].sharding.is_fully_replicated
    assert_alike(gradtx.metrics(state), after_a_step(tx, PARAMS, GRADS))


def test_explain_lists_them():
    rows = explain(wrapped(None), PARAMS, zero1_axis="data", mesh=mesh_of(N)).rows
    assert "with_metrics/metrics/split%2Fgrad_norm" in {row.name for row in rows}


def test_gradients_that_differ_are_refused_by_name():
    tx = gradtx.with_metrics(gradtx.sgd(0.1))
    run = jax.shard_map(
        functools.partial(after_a_step, tx),
        mesh=mesh_of(N),
        in_specs=(P(), {"split": P("data"), "rows": P(), "same": P()}),
        out_specs=P(),
    )
    grads = GRADS | {"split": jnp.tile(GRADS["split"], N)}
    with pytest.raises(
        ValueError, match=r"with_metrics: updates\['split'\] differs between devices"
    ):
        jax.jit(run)(PARAMS, grads)
