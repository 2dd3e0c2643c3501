"""Norms and clips: numbers whose squares are out of range, limits of 0, derivatives."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.tree.norms import norm, norm_above

from ..multi_device.meshes import N, P, mesh_of

CLOSE = {"rtol": 3e-7}
CLIPS = {
    "clip": gradtx.clip,
    "clip_by_global_norm": gradtx.clip_by_global_norm,
    "clip_by_block_rms": gradtx.clip_by_block_rms,
    "adaptive_grad_clip": gradtx.adaptive_grad_clip,
}


def clipped(make, limit, g):
    """Clipped, with weights whose norm is 1."""
    tx = make(limit)
    g = jnp.asarray(g)
    return tx.update(g, tx.init(g), jnp.full_like(g, g.size**-0.5))[0]


WAYS = {
    "plain": norm,
    "jit": jax.jit(norm),
    "vmap": lambda g: jax.vmap(norm)(jnp.stack([g, jnp.ones(2)]))[0],
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scale", [1e-30, 1e-24, 1e-15, 1.0, 1e19, 1e20, 5e37])
def test_a_norm_is_right_over_the_whole_range(way, scale):
    g = jnp.array([3.0, 4.0]) * scale
    np.testing.assert_allclose(WAYS[way](g), 5 * scale, **CLOSE)


def test_small_squares_beside_a_larger_one_count():
    # 1e6 squares of 1e-46 are lost in float32, whose sum is 1e-40 and not 1e-44.
    g = jnp.full([10**6], 1e-23).at[0].set(1e-22)
    expected = np.linalg.norm(np.asarray(g, np.float64))
    np.testing.assert_allclose(norm(g), expected, rtol=1e-5)  # a sum of 1e6 terms


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.complex64])
def test_a_norm_of_leaves_of_several_dtypes(dtype):
    tree = {"a": jnp.array([3.0, 0.0], dtype) / 1024, "b": jnp.array([4e20])}
    np.testing.assert_allclose(norm(tree), 4e20, **CLOSE)
    assert norm(tree).dtype == jnp.float32
    assert float(norm({"a": tree["a"]})) == 3 / 1024


def test_a_norm_in_float64():
    with jax.enable_x64(True):
        for scale in (1e-250, 1.0, 1e250):
            g = jnp.array([3.0, 4.0], jnp.float64) * scale
            np.testing.assert_allclose(norm(g), 5 * scale, rtol=1e-15)


def test_what_is_not_finite_stays_so():
    assert float(norm(jnp.array([jnp.inf, 1.0]))) == np.inf
    assert np.isnan(norm(jnp.array([jnp.nan, 1e30])))
    assert np.isnan(clipped(gradtx.clip_by_global_norm, 1.0, [jnp.nan, 1.0])).all()


@pytest.mark.parametrize("times", [1.5, 1e3, 1e20, 1e30])
@pytest.mark.parametrize("limit", [1e-20, 1e-3, 1.0, 1e6, np.float32(1e-3)])
def test_one_look_finds_by_how_much_a_norm_is_above_a_limit(limit, times):
    if limit * times > 1e38:
        pytest.skip(reason="no float32 is that large")
    x = jnp.asarray(limit * times, jnp.float32) * jnp.array([0.6, 0.8])
    # And a million entries that are below the limit.
    tree = [x, jnp.full(10**6, 1e-6 * limit, jnp.float32)]
    for given in (limit, jnp.float32(limit)):
        found = norm_above(tree, given, ())
        np.testing.assert_allclose(found, limit * (times**2 + 1e-6) ** 0.5, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e20])
@pytest.mark.parametrize("specs", [P("data"), {"a": P("data"), "b": P()}])
def test_devices_look_again_together(scale, specs):
    tree = {"a": scale * jnp.arange(16.0), "b": scale * jnp.arange(16.0)}
    found = jax.jit(
        jax.shard_map(
            functools.partial(norm, axis_name=("data",)),
            mesh=mesh_of(N),
            in_specs=(specs,),
            out_specs=P(),
        )
    )(tree)
    np.testing.assert_allclose(found, scale * (2 * 1240) ** 0.5, **CLOSE)


@pytest.mark.parametrize("name", CLIPS)
def test_a_limit_of_0_gives_0(name):
    for g in ([0.0, 0.0], [3.0, 4.0], [3e20, 4e20], [3e-30, 4e-30]):
        found = clipped(CLIPS[name], jnp.float32(0), g)
        np.testing.assert_array_equal(found, [0.0, 0.0])


# Root mean squares are norms over the root of 2.
EXPECTED = {
    "clip": [1.0, 1.0],
    "clip_by_global_norm": [0.6, 0.8],
    "clip_by_block_rms": [0.6 * 2**0.5, 0.8 * 2**0.5],
    "adaptive_grad_clip": [0.6, 0.8],
}


@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize("scale", [1.0, 1e20, 1e30])
def test_large_gradients_are_clipped_to_the_limit(name, scale):
    found = clipped(CLIPS[name], 1.0, [3 * scale, 4 * scale])
    np.testing.assert_allclose(found, EXPECTED[name], **CLOSE)


@pytest.mark.parametrize("name", CLIPS)
def test_tiny_gradients_stay_within_a_tiny_limit(name):
    found = clipped(CLIPS[name], 1e-30, [3e-28, 4e-28])
    np.testing.assert_allclose(found, np.array(EXPECTED[name]) * 1e-30, **CLOSE)


@pytest.mark.parametrize("way", [jax.jacfwd, jax.jacrev])
@pytest.mark.parametrize("name", CLIPS)
def test_a_clip_is_the_identity_around_zero(name, way):
    fn = functools.partial(clipped, CLIPS[name], 1.0)
    zero = jnp.zeros(2)
    np.testing.assert_array_equal(way(fn)(zero), np.eye(2))
    np.testing.assert_array_equal(way(jax.vmap(fn))(zero[None])[0, :, 0], np.eye(2))
    np.testing.assert_array_equal(way(way(fn))(zero), np.zeros((2, 2, 2)))


@pytest.mark.parametrize("way", [jax.jacfwd, jax.jacrev])
@pytest.mark.parametrize("ord", [1, 2, jnp.inf])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.complex64])
def test_a_norm_has_the_derivative_0_at_0(ord, dtype, way):
    zero = jnp.zeros(3, dtype)
    if way is jax.jacfwd:
        found = jax.jvp(lambda x: norm(x, ord), (zero,), (jnp.ones_like(zero),))[1]
    else:
        found = jax.grad(lambda x: norm(x, ord))(zero)
    np.testing.assert_array_equal(found, np.zeros(jnp.shape(found)))


def test_the_derivative_of_a_norm_is_the_direction():
    for scale in (1e-30, 1.0, 1e20):
        found = jax.grad(norm)(jnp.array([3.0, 4.0]) * scale)
        np.testing.assert_allclose(found, [0.6, 0.8], **CLOSE)
    hessian = jax.hessian(norm)(jnp.array([3.0, 4.0]))  # (I - d d') / |x|
    direction = np.array([0.6, 0.8])
    expected = (np.eye(2) - np.outer(direction, direction)) / 5
    np.testing.assert_allclose(hessian, expected, atol=1e-7)


def test_adadelta_lives_through_a_square_out_of_range():
    tx = gradtx.scale_by_adadelta()
    update, state = tx.update(jnp.array([3e20, 1.0]), tx.init(jnp.ones(2)))
    assert not any(np.isnan(x).any() for x in jax.tree.leaves((update, state)))
    slope = jax.grad(lambda g: tx.update(g, tx.init(g))[0])(0.0)
    np.testing.assert_allclose(slope, 1.0, **CLOSE)  # sqrt(eps) / sqrt(eps)


@pytest.mark.parametrize("eager", [True, False])
def test_lookups_under_scan_with_donation(eager):
    tx = gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.sgd(1.0))

    def run(params, grads):
        def body(p, g):
            return tx.step(g, tx.init(p), p)[0], None

        return jax.lax.scan(body, params, grads)[0]

    run = run if eager else jax.jit(run, donate_argnums=0)
    grads = jnp.array([[3e20, 4e20], [0.0, 0.0], [3e-30, 4e-30]])
    np.testing.assert_allclose(run(jnp.zeros(2), grads), [-0.6, -0.8], **CLOSE)
