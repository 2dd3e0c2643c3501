"""Parts of leaves on many devices: all of them find what one device would."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import gradtx

from .meshes import N, P, mesh_of

# Sums over parts round otherwise than sums over the whole.
CLOSE = {"rtol": 2e-6, "atol": 1e-7}

SPECS = {"split": P("data"), "rows": P(None, "data"), "same": P()}


def tree(scale=1.0):
    def wave(i, shape):
        return scale * jnp.cos(0.7 * jnp.arange(np.prod(shape)) + i).reshape(shape)

    return {"split": wave(0, (16,)), "rows": wave(1, (3, 8)), "same": wave(2, (5,))}


WHOLE_TREE = {
    "clip_by_global_norm": lambda axis: gradtx.clip_by_global_norm(0.5, axis_name=axis),
    "apply_if_finite": lambda axis: gradtx.apply_if_finite(
        gradtx.scale(0.5), 3, axis_name=axis
    ),
    "MultiSteps": lambda axis: gradtx.MultiSteps(
        gradtx.scale(0.5),
        1,
        should_skip_update_fn=functools.partial(
            gradtx.skip_large_updates, max_squared_norm=20.0, axis_name=axis
        ),
    ),
    "clip_by_block_rms": lambda axis: gradtx.clip_by_block_rms(0.1, axis_name=axis),
    "scale_by_param_block_norm": lambda axis: gradtx.scale_by_param_block_norm(
        axis_name=axis
    ),
    "scale_by_param_block_rms": lambda axis: gradtx.scale_by_param_block_rms(
        0.0, axis_name=axis
    ),
    "scale_by_adam_mini": lambda axis: gradtx.scale_by_adam_mini(
        blocks="leaf", axis_name=axis
    ),
    "scale_by_novograd": lambda axis: gradtx.scale_by_novograd(axis_name=axis),
    "scale_by_stable_adamw": lambda axis: gradtx.scale_by_stable_adamw(axis_name=axis),
}


def first(tx, updates):
    return tx.update(updates, tx.init(updates), updates)[0]


@pytest.mark.parametrize("scale", [1.0, 10.0])
@pytest.mark.parametrize("name", WHOLE_TREE)
def test_a_leaf_that_types_know_to_be_the_same_counts_once(name, scale):
    make = WHOLE_TREE[name]
    expected = first(make(None), tree(scale))
    found = jax.jit(
        jax.shard_map(
            functools.partial(first, make("data")),
            mesh=mesh_of(N),
            in_specs=(SPECS,),
            out_specs=SPECS,
        )
    )(tree(scale))
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, **CLOSE)


@pytest.mark.parametrize("name", ["clip_by_global_norm", "apply_if_finite"])
@pytest.mark.parametrize("check_vma", [True, False])
def test_a_function_says_which_leaves_are_split(name, check_vma):
    tx = WHOLE_TREE[name](lambda updates: SPECS)
    found = jax.jit(
        jax.shard_map(
            functools.partial(first, tx),
            mesh=mesh_of(N),
            in_specs=(SPECS,),
            out_specs=SPECS,
            check_vma=check_vma,
        )
    )(tree())
    for key, value in first(WHOLE_TREE[name](None), tree()).items():
        np.testing.assert_allclose(found[key], value, **CLOSE)


def test_under_pmap_every_leaf_counts_as_split():
    updates = {"a": jnp.arange(16.0).reshape(N, 2), "b": jnp.ones((N, 3))}
    tx = gradtx.clip_by_global_norm(1.0, axis_name="i")
    found = jax.pmap(functools.partial(first, tx), axis_name="i")(updates)
    for key, value in first(gradtx.clip_by_global_norm(1.0), updates).items():
        np.testing.assert_allclose(found[key], value, **CLOSE)


@pytest.mark.parametrize("ord", [1, 2, "inf"])
def test_norms_of_every_order(ord):
    norm = functools.partial(gradtx.tree.norm, ord=ord, axis_name="data")
    mesh = mesh_of(N)
    found = jax.jit(jax.shard_map(norm, mesh=mesh, in_specs=(SPECS,), out_specs=P()))(
        tree()
    )
    np.testing.assert_allclose(found, gradtx.tree.norm(tree(), ord), **CLOSE)


def test_one_bad_entry_on_one_device_stops_all():
    tx = gradtx.apply_if_finite(gradtx.sgd(1.0), 5, axis_name="data")
    bad = jnp.ones(N).at[3].set(jnp.nan)

    def step(params, grads):
        params, state = tx.step(grads, tx.init(params), params)
        return params, state.notfinite_count

    split = P("data")
    params, count = jax.jit(
        jax.shard_map(
            step, mesh=mesh_of(N), in_specs=(split, split), out_specs=(split, P())
        )
    )(jnp.ones(N), bad)
    np.testing.assert_array_equal(params, jnp.ones(N))
    assert count == 1


def test_the_count_of_bad_entries_is_of_all_devices():
    def judge(g):
        skip, said = gradtx.skip_not_finite(g, 0, None, axis_name="data")
        return skip, said["num_not_finite"]

    mesh = mesh_of(N)
    bad = jnp.ones(16).at[jnp.array([0, 1, 9])].set(jnp.inf)
    run = jax.shard_map(judge, mesh=mesh, in_specs=P("data"), out_specs=P())
    skip, count = jax.jit(run)(bad)
    assert bool(skip)
    assert count == 3


def test_units_that_are_split_are_clipped_as_wholes():
    grads, params = jnp.ones((16, 3)), 0.1 * jnp.ones((16, 3))
    rows = P("data")

    def clip(tx, g, p):
        return tx.update(g, tx.init(p), p)[0]

    for make in (
        lambda axis: gradtx.adaptive_grad_clip(0.01, axis_name=axis),
        lambda axis: gradtx.centralize(-1, axis_name=axis),
        lambda axis: gradtx.scale_by_adam_mini(axis_name=axis),
    ):
        run = jax.shard_map(
            functools.partial(clip, make("data")),
            mesh=mesh_of(N),
            in_specs=(rows, rows),
            out_specs=rows,
        )
        expected = clip(make(None), grads, params)
        np.testing.assert_allclose(jax.jit(run)(grads, params), expected, **CLOSE)


def test_noise_of_parts_differs_and_of_what_is_common_does_not():
    tx = gradtx.add_noise(1.0, 0.0, key=0, axis_name="data")
    specs = {"split": P("data"), "same": P()}
    zeros = {"split": jnp.zeros(2 * N), "same": jnp.zeros(3)}
    # With check_vma the output P() is proof that the devices agree.
    run = jax.shard_map(
        functools.partial(first, tx),
        mesh=mesh_of(N),
        in_specs=(specs,),
        out_specs=specs,
    )
    noise = jax.jit(run)(zeros)
    assert len(np.unique(noise["split"])) == 2 * N
    assert len(np.unique(noise["same"])) == 3


SPLIT = P("data")


def run_on(mesh, tx, spec=SPLIT, **kwargs):
    return jax.jit(
        jax.shard_map(
            functools.partial(first, tx),
            mesh=mesh,
            in_specs=(spec,),
            out_specs=spec,
            **kwargs,
        )
    )(jnp.ones(16))


@pytest.mark.parametrize("name", [*WHOLE_TREE, "add_noise"])
def test_devices_that_would_not_agree_are_refused(name):
    tx = (
        gradtx.add_noise(1.0, 0.0, key=0)
        if name == "add_noise"
        else WHOLE_TREE[name](None)
    )
    with pytest.raises(ValueError, match=r"differs between devices along \['data'\]"):
        run_on(mesh_of(N), tx)


def test_each_device_by_itself_is_said_in_so_many_words():
    tx = gradtx.clip_by_global_norm(1.0, axis_name=())
    found = run_on(mesh_of(N), tx)
    # Two ones on each device: a norm of sqrt(2) there.
    np.testing.assert_allclose(found, np.full(16, 0.5**0.5), **CLOSE)


def test_another_axis_that_is_not_named_is_refused():
    tx = gradtx.clip_by_global_norm(1.0, axis_name="data")
    with pytest.raises(ValueError, match=r"along \['model'\], which axis_name='data'"):
        run_on(mesh_of(4, 2), tx, P(("data", "model")))


@pytest.mark.parametrize("check_vma", [True, False])
def test_an_axis_that_is_not_there_is_named(check_vma):
    tx = gradtx.clip_by_global_norm(1.0, axis_name="modell")
    with pytest.raises(
        ValueError, match=r"clip_by_global_norm: .*no axis 'modell': the mesh has"
    ):
        run_on(mesh_of(N), tx, P(), check_vma=check_vma)
    with pytest.raises(ValueError, match="there is no axis 'modell': there is no mesh"):
        first(tx, jnp.ones(2))


def test_a_name_that_is_none_is_refused():
    with pytest.raises(TypeError, match="axis_name must be the name of a mesh axis"):
        gradtx.clip_by_global_norm(1.0, axis_name=3)


def test_branches_keep_the_types_of_both():
    """A step that is left out gives what varies where a step that is taken does."""
    tx = gradtx.apply_if_finite(gradtx.trace(0.9), 5, axis_name="data")

    def run(g):
        state = tx.init(jnp.zeros(2))  # the same everywhere, until the first step
        return tx.update(g, state)[0], lax.psum(jnp.ones([]), "data")

    mesh = mesh_of(N)
    specs = P("data"), P()
    found, _ = jax.jit(
        jax.shard_map(run, mesh=mesh, in_specs=P("data"), out_specs=specs)
    )(jnp.arange(16.0))
    np.testing.assert_array_equal(found, jnp.arange(16.0))
