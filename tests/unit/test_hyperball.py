"""Hyperball: norms stay, steps turn by one angle, what has no norm is free."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.testing.values import falling

SHAPES = {"kernel": (7, 5), "tall": (33, 2), "bias": (5,), "zeros": (3, 2)}


def example(dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(0), len(SHAPES))
    params = {
        name: jax.random.normal(key, shape, dtype)
        for key, (name, shape) in zip(keys, SHAPES.items(), strict=True)
    }
    return {**params, "zeros": jnp.zeros_like(params["zeros"])}


def frobenius(tree):
    return {k: np.linalg.norm(np.asarray(x, np.float64)) for k, x in tree.items()}


def moved(tx, steps, dtype=jnp.float32, scale=1.0):
    """The parameters before and after, gradients like a wave."""
    params = example(dtype)

    @jax.jit
    def run(params):
        def step(carry, t):
            params, state = carry
            grads = jax.tree.map(lambda p: scale * jnp.sin(9 * p + t), params)
            params, state = tx.step(grads, state, params)
            return (params, state), params

        start = params, tx.init(params)
        return jax.lax.scan(step, start, jnp.arange(steps, dtype=jnp.float32))[1]

    return params, run(params)


@pytest.mark.parametrize(
    ("inner", "scale"),
    [
        (gradtx.adam(0.3), 1.0),
        (gradtx.lion(gradtx.cosine_decay_schedule(0.5, 60), weight_decay=0.0), 1.0),
        # Squares of both are out of float32's range.
        (gradtx.sgd(0.3, momentum=0.9), 1e25),
        (gradtx.sgd(0.3), 1e-25),
    ],
    ids=["adam", "lion", "large", "small"],
)
def test_the_norm_of_each_matrix_is_kept(inner, scale):
    before, path = moved(gradtx.hyperball(inner), 50, scale=scale)
    for key in ("kernel", "tall"):
        first = frobenius(before)[key]
        norms = np.linalg.norm(np.asarray(path[key], np.float64), axis=(1, 2))
        # Not step by step more: each norm is rounded on its own, in a few places.
        np.testing.assert_allclose(norms, first, rtol=5e-7)
        assert np.linalg.norm(path[key][-1] - before[key]) > 0.1  # it has moved


def test_vectors_are_free_and_zeros_take_the_steps_as_they_are():
    tx, params = gradtx.adam(0.3), example()
    state, grads = tx.init(params), jax.tree.map(jnp.ones_like, params)
    expected, _ = tx.step(grads, state, params)
    keeps = gradtx.hyperball(tx)
    found, _ = keeps.step(grads, keeps.init(params), params)
    for key in ("bias", "zeros"):
        np.testing.assert_array_equal(found[key], expected[key])


def test_the_length_of_the_step_is_the_rate_and_its_own_does_not_count():
    params = {"w": jnp.array([[3.0, 0.0], [0.0, 4.0]])}
    for size in (1e-3, 1.0, 1e3):
        tx = gradtx.hyperball(gradtx.sgd(size), 0.75)
        grads = {"w": size * jnp.array([[0.0, -8.0], [6.0, 0.0]])}
        new, _ = tx.step(grads, tx.init(params), params)
        # q = p + 0.75 * 5 * (0.8, -0.6), at right angles to p; |q| = 6.25.
        expected = np.array([[3.0, 3.0], [-2.25, 4.0]]) * 5 / 6.25
        np.testing.assert_allclose(new["w"], expected, rtol=1e-6)


def test_without_a_gradient_nothing_moves():
    tx, params = gradtx.hyperball(gradtx.adam(0.3)), example()
    grads = jax.tree.map(jnp.zeros_like, params)
    new, _ = tx.step(grads, tx.init(params), params)
    jax.tree.map(np.testing.assert_array_equal, new, params)


def test_in_bfloat16_the_norm_is_kept_to_its_rounding():
    before, path = moved(gradtx.hyperball(gradtx.adam(0.1)), 50, jnp.bfloat16)
    for key in ("kernel", "tall"):
        after = np.linalg.norm(np.asarray(path[key][-1], np.float64))
        # Entries are rounded by 2^-9 at most, each its own way.
        np.testing.assert_allclose(after, frobenius(before)[key], rtol=2**-9)


def test_what_is_refused():
    with pytest.raises(ValueError, match="hyperball: adamw decays the weights itself"):
        gradtx.hyperball(gradtx.adamw(falling))
    with pytest.raises(ValueError, match=r"hyperball: .*has no learning rate"):
        gradtx.hyperball(gradtx.trace(0.9))
    tx = gradtx.hyperball(gradtx.sgd(0.1))
    with pytest.raises(ValueError, match="keep_norms needs params"):
        tx.update({"w": jnp.ones((2, 2))}, tx.init({"w": jnp.ones((2, 2))}))
