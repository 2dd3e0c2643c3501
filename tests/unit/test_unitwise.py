"""Norms of units and of updates: shapes, range, zeros, derivatives."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax.transforms
import pytest

import gradtx

from ..multi_device.meshes import N, P, mesh_of

CLOSE = {"rtol": 3e-7}
SHAPES = [(), (4,), (1, 4), (3, 4), (2, 3, 4), (2, 2, 3, 2), (2, 1, 2, 3, 2)]


def wave(shape, start=1.0):
    return jnp.cos(1.7 * (jnp.arange(float(np.prod(shape))) + start)).reshape(shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_units_are_optaxs(shape):
    x = wave(shape)
    ours, theirs = (m.unitwise_norm(x) for m in (gradtx, optax.transforms))
    np.testing.assert_allclose(ours, theirs, **CLOSE)
    limit = 0.5 + 0.4 * jnp.broadcast_to(wave(shape[-1:], 2.0), shape)
    ours, theirs = (
        m.unitwise_clip(m.unitwise_norm(x), limit, x)
        for m in (gradtx, optax.transforms)
    )
    np.testing.assert_allclose(ours, theirs, rtol=3e-7, atol=1e-7)


@pytest.mark.parametrize("scale", [1e-37, 1e-30, 1e20, 5e37])
def test_norms_of_units_are_right_over_the_whole_range(scale):
    x = scale * jnp.array([[3.0, 0.0], [4.0, 1.0]]) / 5
    found = gradtx.unitwise_norm(x, axis=0)
    np.testing.assert_allclose(found, scale * np.array([[1, 0.2]] * 2), **CLOSE)


def test_of_narrow_and_complex_arrays():
    assert gradtx.unitwise_norm(jnp.full(300, 6e4, jnp.float16)).dtype == jnp.float32
    found = gradtx.unitwise_norm(jnp.array([3j, 4.0]))
    np.testing.assert_allclose(found, [5.0, 5.0], **CLOSE)
    g = jnp.array([3.0, 4.0], jnp.bfloat16)
    clipped = gradtx.unitwise_clip(gradtx.unitwise_norm(g), jnp.ones(2), g)
    assert clipped.dtype == jnp.bfloat16


def test_the_derivative_of_a_units_norm_is_its_direction_and_0_at_0():
    x = jnp.array([[3.0, 0.0], [4.0, 0.0]])
    found = jax.grad(lambda x: gradtx.unitwise_norm(x)[0].sum())(x)
    np.testing.assert_allclose(found, [[0.6, 0.0], [0.8, 0.0]], **CLOSE)


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match=r"unitwise_norm: x has shape \(2, 2, 2"):
        gradtx.unitwise_norm(jnp.ones((2,) * 6))
    with pytest.raises(ValueError, match=r"max_norm has shape \(\), grad has \(2,\)"):
        gradtx.unitwise_clip(jnp.ones(2), 1.0, jnp.ones(2))
    with pytest.raises(ValueError, match="div_eps must be at least 0"):
        gradtx.unitwise_clip(jnp.ones(2), jnp.ones(2), jnp.ones(2), -1.0)


@pytest.mark.parametrize("eps", [0.0, 1e-6])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.complex64])
def test_updates_have_the_given_length(dtype, eps):
    tree = {"a": wave((3, 2)).astype(dtype), "b": wave(())}
    made = gradtx.normalize_by_update_norm(-2.0, eps).update(tree, ())[0]
    theirs = optax.normalize_by_update_norm(-2.0, eps).update(tree, ())[0]
    for key, update in made.items():
        np.testing.assert_allclose(update, theirs[key], **CLOSE)
    once = gradtx.normalize().update(tree, ())[0]
    np.testing.assert_allclose(gradtx.global_norm(once), 1.0, **CLOSE)


@pytest.mark.parametrize("scale", [1e-37, 1e-30, 1e20, 5e37])
def test_lengths_are_right_over_the_whole_range(scale):
    g = scale * jnp.array([0.6, 0.8])
    found = gradtx.normalize().update(g, ())[0]
    np.testing.assert_allclose(found, [0.6, 0.8], **CLOSE)
    tx = gradtx.normalize_by_update_norm(100.0, eps=0.0)
    np.testing.assert_allclose(tx.update(g, ())[0], [60.0, 80.0], **CLOSE)


def test_zero_updates_stay_zero():  # NaN in Optax
    for tx in (gradtx.normalize(), gradtx.normalize_by_update_norm(eps=0.0)):
        np.testing.assert_array_equal(tx.update(jnp.zeros(2), ())[0], [0.0, 0.0])
        found = jax.jacrev(lambda g, tx=tx: tx.update(g, ())[0])(jnp.zeros(2))
        assert np.isfinite(found).all()


def test_devices_normalize_together():
    def update(tx, g):
        return tx.update(g, ())[0]

    g = wave((16,))
    run = jax.shard_map(
        functools.partial(update, gradtx.normalize(axis_name="data")),
        mesh=mesh_of(N),
        in_specs=P("data"),
        out_specs=P("data"),
    )
    # Sums over parts round otherwise than sums over the whole.
    np.testing.assert_allclose(
        jax.jit(run)(g), update(gradtx.normalize(), g), rtol=2e-6
    )
