"""Steps measured by norms of whole leaves: their range, zeros, masks and devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

from ..multi_device.meshes import N, P, mesh_of

CLOSE = {"rtol": 3e-7}


def first(tx, g, p):
    """The first update, of arrays or trees."""
    return tx.update(g, tx.init(p), p)[0]


@pytest.mark.parametrize("size", [1e-30, 1e-20, 1.0, 1e20, 1e30])
@pytest.mark.parametrize("length", [1e-37, 1e-30, 1.0, 1e20, 1e37])
def test_a_trust_ratio_is_right_over_the_whole_range(size, length):
    tx = gradtx.scale_by_trust_ratio(trust_coefficient=0.5)
    update = first(tx, length * jnp.array([0.6, 0.8]), size * jnp.array([1.0, 0.0]))
    np.testing.assert_allclose(update, 0.5 * size * np.array([0.6, 0.8]), **CLOSE)


def test_a_leaf_of_zeros_moves_and_a_zero_gradient_does_not():
    tx = gradtx.scale_by_trust_ratio()
    np.testing.assert_array_equal(first(tx, jnp.ones(2), jnp.zeros(2)), [1.0, 1.0])
    np.testing.assert_array_equal(first(tx, jnp.zeros(2), jnp.ones(2)), [0.0, 0.0])


@pytest.mark.parametrize("way", [jax.jacfwd, jax.jacrev])
def test_a_trust_ratio_has_derivatives_at_zero(way):
    tx = gradtx.scale_by_trust_ratio()
    found = way(lambda g: first(tx, g, jnp.ones(2)))(jnp.zeros(2))
    np.testing.assert_array_equal(found, np.eye(2))


def test_lars_masks_choose_what_decays_and_what_has_a_ratio():
    params = {"w": jnp.array([3.0, 4.0]), "b": jnp.array([3.0, 4.0])}
    grads = {"w": jnp.array([0.0, 1.0]), "b": jnp.array([0.0, 1.0])}
    w, b = {"w": True, "b": False}, {"w": False, "b": True}
    tx = gradtx.lars(1.0, 0.5, w, trust_coefficient=0.1, trust_ratio_mask=b)
    updates = first(tx, grads, params)
    np.testing.assert_allclose(updates["w"], [-1.5, -3.0], **CLOSE)  # g + 0.5 p
    np.testing.assert_allclose(updates["b"], [0.0, -0.5], **CLOSE)  # 0.1 |p| g / |g|
    with pytest.raises(ValueError, match="mask does not fit"):
        gradtx.lars(1.0, trust_ratio_mask={"v": True}).update(
            grads, tx.init(params), params
        )


def test_fromage_keeps_the_norm_at_right_angles():
    # Its rate is a schedule: float32 has 1 - 1 / sqrt(1 + 1e-8) as 0.
    tx = gradtx.fromage(lambda count: 1e-4)
    p = jnp.array([1.0, 0.0])
    update = first(tx, jnp.array([0.0, 7.0]), p)
    np.testing.assert_allclose(update, [-5e-9, -1e-4], rtol=1e-6)


SPECS = {"split": P("data"), "rows": P(None, "data"), "same": P()}


@pytest.mark.parametrize("make", [gradtx.lamb, gradtx.lars, gradtx.fromage])
def test_parts_of_leaves_move_as_the_whole_would(make):
    shapes = {"split": (16,), "rows": (3, 8), "same": (5,)}
    params = {
        key: jnp.cos(0.7 * jnp.arange(float(np.prod(shape)))).reshape(shape)
        for key, shape in shapes.items()
    }
    grads = {key: 1e20 * jnp.sin(2 * p) for key, p in params.items()}
    expected = first(make(0.1), grads, params)
    # Leaves that the type knows to be the same on all devices count once.
    run = jax.shard_map(
        functools.partial(first, make(0.1, axis_name="data")),
        mesh=mesh_of(N),
        in_specs=(SPECS, SPECS),
        out_specs=SPECS,
    )
    for key, update in jax.jit(run)(grads, params).items():
        # Sums over parts round otherwise than sums over the whole.
        np.testing.assert_allclose(update, expected[key], rtol=2e-6, atol=1e-7)
    with pytest.raises(ValueError, match="Name the axis"):
        jax.eval_shape(
            jax.shard_map(
                functools.partial(first, make(0.1)),
                mesh=mesh_of(N),
                in_specs=(SPECS, SPECS),
                out_specs=SPECS,
            ),
            *(grads, params),
        )
