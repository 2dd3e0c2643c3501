"""Averages of powers, and what else optax.tree has: the formulas, dtypes, None."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx
from gradtx import tree

RNG = np.random.default_rng(3)
REAL = RNG.normal(size=(2, 3))
COMPLEX = REAL + 1j * RNG.normal(size=(2, 3))
AVERAGE = RNG.uniform(size=(2, 3))


def same(actual, desired):
    assert actual["b"] is None
    np.testing.assert_allclose(actual["w"], desired, rtol=1e-12)
    assert actual["w"].dtype == desired.dtype


@pytest.mark.parametrize("g", [REAL, COMPLEX], ids=["real", "complex"])
@pytest.mark.parametrize("order", [1, 2, 3, 2.0])
def test_moments_are_their_formulas(g, order):
    updates, moments = {"w": g, "b": None}, {"w": AVERAGE, "b": AVERAGE}
    with jax.enable_x64(True):
        power = 0.1 * g**order + 0.9 * AVERAGE
        same(tree.update_moment(updates, moments, 0.9, order), power)
        size = g if g is REAL else np.abs(g)
        power = 0.1 * size**order + 0.9 * AVERAGE
        same(tree.update_moment_per_elem_norm(updates, moments, 0.9, order), power)


@pytest.mark.parametrize("g", [REAL, COMPLEX], ids=["real", "complex"])
def test_the_infinity_moment_is_its_formula(g):
    updates, moments = {"w": g, "b": None}, {"w": AVERAGE, "b": AVERAGE}
    with jax.enable_x64(True):
        found = tree.update_infinity_moment(updates, moments, 0.9, 0.1)
        same(found, np.maximum(np.abs(g) + 0.1, 0.9 * AVERAGE))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("update_moment", (0.9, 2)),
        ("update_moment_per_elem_norm", (0.9, 2)),
        ("update_infinity_moment", (0.9, 1e-8)),
    ],
)
@pytest.mark.parametrize("narrow", [(), ("g",), ("m",), ("g", "m")], ids=str)
def test_moments_have_optaxs_numbers_and_dtypes(name, arguments, narrow):
    g, m = (
        {"w": jnp.asarray(x, jnp.bfloat16 if key in narrow else jnp.float32)}
        for key, x in (("g", REAL), ("m", AVERAGE))
    )
    ours = getattr(tree, name)(g, m, *arguments)["w"]
    theirs = getattr(optax.tree, name)(g, m, *arguments)["w"]
    assert ours.dtype == theirs.dtype
    # Optax takes powers and products of bfloat16 numbers in bfloat16.
    rtol = 0.02 if narrow else 1e-6
    np.testing.assert_allclose(
        ours.astype(float), theirs.astype(float), rtol=rtol, atol=1e-9
    )


def test_moments_round_once():
    g, m = {"w": jnp.full(1, 1.0078125, jnp.bfloat16)}, {"w": jnp.zeros(1)}
    found = tree.update_moment(g, m, 0.0, 2)["w"]
    np.testing.assert_array_equal(found, np.float32(1.0078125) ** 2)  # no bfloat16


def test_bias_correction_is_exact_and_has_no_nan():
    moment = {"w": jnp.array([1e-3, 0.0]), "b": None}
    found = tree.bias_correction(moment, 0.999, 1)
    np.testing.assert_allclose(found["w"], [1.0, 0.0], rtol=1e-6)
    assert found["b"] is None
    np.testing.assert_array_equal(tree.bias_correction(moment, 0.999, 0)["w"], 0.0)
    theirs = optax.tree.bias_correction({"w": moment["w"]}, 0.9, jnp.int32(3))["w"]
    ours = tree.bias_correction(moment, 0.9, jnp.int32(3))["w"]
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_moments_name_a_leaf_that_does_not_fit():
    with pytest.raises(ValueError, match=r"updates\['w'\] has shape \(2,\), moments"):
        tree.update_moment({"w": jnp.ones(2)}, {"w": jnp.ones(3)}, 0.9, 1)
    with pytest.raises(ValueError, match="decay must be a scalar"):
        tree.update_moment(jnp.ones(2), jnp.ones(2), jnp.ones(2), 1)


def test_batch_shape_repeats_along_new_axes():
    given = {"w": jnp.arange(3), "n": 2.0, "b": None}
    found = tree.batch_shape(given, (2, 4))
    assert found["b"] is None
    assert found["w"].shape == (2, 4, 3)
    assert found["n"].shape == (2, 4)
    np.testing.assert_array_equal(found["w"][1, 3], given["w"])


def test_keys_are_unwrapped_wherever_they_are():
    state = gradtx.add_noise(0.1, 0.5, key=1).init(jnp.ones(2))
    found = tree.unwrap_random_key_data(state)
    np.testing.assert_array_equal(found.rng_key, jax.random.key_data(state.rng_key))
    assert found.count is state.count
    same_key = tree.unwrap_random_key_data({"key": jax.random.PRNGKey(1), "text": "x"})
    assert same_key["text"] == "x"
    assert same_key["key"].dtype == jnp.uint32
