"""Rules of rows and columns: right under sharded jit, refused where parts are seen."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding

import gradtx
from gradtx.distributed import state_sharding

from .meshes import N, P, mesh_of

MAKES = {
    "scale_by_factored_rms": functools.partial(
        gradtx.scale_by_factored_rms, min_dim_size_to_factor=2
    ),
    "adafactor": functools.partial(gradtx.adafactor, 0.1, min_dim_size_to_factor=2),
    "scale_by_sm3": gradtx.scale_by_sm3,
    "scale_by_came": gradtx.scale_by_came,
    "scale_by_apollo": functools.partial(gradtx.scale_by_apollo, rank=4),
    "scale_by_galore": functools.partial(gradtx.scale_by_galore, rank=4),
    "muon": functools.partial(gradtx.muon, 0.1),
}
BLOCKS = {"scale_by_adam_mini": gradtx.scale_by_adam_mini}
SHAPE = (16, 24)


def wave(start, shape=SHAPE):
    return jnp.cos(0.7 * jnp.arange(float(np.prod(shape))) ** 1.5 + start).reshape(
        shape
    )


def three_steps(tx, params):
    start, state = params, tx.init(params)
    for i in range(3):
        grads = jax.tree.map(lambda p, i=i: jnp.sin(3 * p + i), start)
        params, state = tx.step(grads, state, params)
    return params, state


@pytest.mark.parametrize("spec", [P("data"), P(None, "model"), P("model", "data")])
@pytest.mark.parametrize("name", [*MAKES, *BLOCKS])
def test_split_leaves_step_as_whole_ones_under_jit(name, spec):
    tx = (MAKES | BLOCKS)[name]()
    run = functools.partial(three_steps, tx)
    mesh, params = mesh_of(2, 4), {"w": wave(0.0), "b": wave(1.0, (8,))}
    layout = {"w": NamedSharding(mesh, spec), "b": NamedSharding(mesh, P("data"))}
    where = state_sharding(tx, params, layout)
    split = jax.jit(run, in_shardings=(layout,), out_shardings=(layout, where))
    found, expected = split(params), jax.jit(run)(params)
    for a, b in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        # Sums over devices are added in another order, and singular vectors, which
        # GaLore projects to, move with them.
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", MAKES)
def test_a_matrix_that_differs_between_devices_is_refused_by_name(name):
    run = jax.shard_map(
        functools.partial(three_steps, MAKES[name]()),
        mesh=mesh_of(N),
        in_specs=P("data"),
        out_specs=P("data"),
    )
    with pytest.raises(ValueError, match=r"differs between devices along \['data'\]"):
        jax.eval_shape(run, wave(0.0))
    with pytest.raises(ValueError, match=r"None or \(\), got 'data': .* Use jit"):
        MAKES[name](axis_name="data")


@pytest.mark.parametrize("name", MAKES)
def test_devices_with_matrices_of_their_own_go_by_themselves(name):
    tx = MAKES[name](axis_name=())
    run = functools.partial(three_steps, tx)
    stacked = jnp.stack([wave(i) for i in range(N)])

    def here(params):
        return run(params[0])[0][None]

    found = jax.jit(
        jax.shard_map(here, mesh=mesh_of(N), in_specs=P("data"), out_specs=P("data"))
    )(stacked)
    expected = jax.jit(run)(stacked[5])[0]
    # Other programs, other fusions.
    np.testing.assert_allclose(found[5], expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", ["scale_by_factored_rms", *list(MAKES)[2:]])
def test_a_vector_is_no_matrix(name):
    options = {"clipping_threshold": None} if name == "scale_by_came" else {}
    run = functools.partial(three_steps, MAKES[name](**options))
    split = jax.shard_map(
        lambda p: run(p)[0], mesh=mesh_of(N), in_specs=P("data"), out_specs=P("data")
    )
    vector = wave(0.0, (16,))
    found, expected = jax.jit(split)(vector), jax.jit(run)(vector)[0]
    # Other programs, other fusions.
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)


def test_a_leaf_is_named_where_it_is_refused():
    tx = gradtx.galore(0.1)
    run = jax.shard_map(
        functools.partial(three_steps, tx),
        mesh=mesh_of(N),
        in_specs=P("data"),
        out_specs=P("data"),
    )
    with pytest.raises(ValueError, match=r"galore: .*updates\['w'\], of shape \(2, 24"):
        jax.eval_shape(run, {"w": wave(0.0)})


def test_a_matrix_that_all_devices_have_is_not_refused():
    run = functools.partial(three_steps, gradtx.adafactor(0.1))
    found = jax.jit(
        jax.shard_map(lambda p: run(p)[0], mesh=mesh_of(N), in_specs=P(), out_specs=P())
    )(wave(0.0))
    # Another program, other fusions.
    np.testing.assert_allclose(found, jax.jit(run)(wave(0.0))[0], rtol=1e-5, atol=1e-6)


EXAMPLES = {"w": P(None, "data"), "b": P()}


def examples():
    return {"w": wave(0.0, (6, 16)), "b": wave(1.0, (6, 3))}


@pytest.mark.parametrize(
    "clip",
    [
        functools.partial(gradtx.per_example_global_norm_clip, l2_norm_clip=1.0),
        functools.partial(gradtx.per_example_layer_norm_clip, global_l2_norm_clip=1.0),
        functools.partial(
            gradtx.per_example_layer_norm_clip, global_l2_norm_clip=1.0, uniform=False
        ),
    ],
)
def test_an_example_of_split_leaves_is_clipped_as_a_whole(clip):
    one_by_one = {"w": P("data"), "b": P()}
    run = functools.partial(
        jax.shard_map,
        mesh=mesh_of(N),
        in_specs=(EXAMPLES,),
        out_specs=(one_by_one, P()),
    )
    found = jax.jit(run(functools.partial(clip, axis_name="data")))(examples())
    jax.tree.map(
        # Sums over parts round otherwise.
        functools.partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-6),
        found,
        clip(examples()),
    )
    with pytest.raises(ValueError, match="Name the axis if the leaf is split"):
        jax.eval_shape(run(clip), examples())


def test_private_noise_of_parts_differs():
    tx = gradtx.differentially_private_aggregate(1.0, 1.0, key=0, axis_name="data")
    specs = {"w": P("data"), "b": P()}
    run = jax.shard_map(
        lambda g: tx.update(g, tx.init(None))[0],
        mesh=mesh_of(N),
        in_specs=(EXAMPLES,),
        out_specs=specs,
    )
    noise = jax.jit(run)(jax.tree.map(jnp.zeros_like, examples()))
    assert len(np.unique(noise["w"])) == 16


def test_signs_of_parts_differ():
    """Of a Hessian of ones every row has the sum of all signs."""

    def loss(p):
        return jax.lax.psum(jnp.sum(p), "data") ** 2 / 2

    def estimate(tx, p):
        return tx.update(p, tx.init(p), p, obj_fn=loss)[0]

    def over(**kwargs):
        tx = gradtx.hutchinson_estimator_diag_hessian(**kwargs)
        return jax.shard_map(
            functools.partial(estimate, tx),
            mesh=mesh_of(N),
            in_specs=P("data"),
            out_specs=P("data"),
        )

    found = jax.jit(over(axis_name="data"))(jnp.ones(64))
    # With the same signs on every device each row's sum is a multiple of 8.
    assert np.any(np.asarray(found) % 8)
    with pytest.raises(ValueError, match="Name the axis"):
        jax.eval_shape(over(), jnp.ones(64))
