"""Norms with a derivative at 0, and gradients scaled on their way back."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx

CLOSE = {"rtol": 3e-7}
MATRIX = np.float32([[3.0, -1.0, 0.5], [4.0, 2.0, -2.0]])
ORDERS = [
    (None, None),
    (None, 0),
    (None, (0, 1)),
    (2, 1),
    (1, 0),
    (np.inf, 1),
    ("fro", (0, 1)),
    ("nuc", None),
    (2, None),
    (np.inf, None),
]


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize(("ord", "axis"), ORDERS)
def test_norms_are_optaxs_with_their_derivatives(ord, axis, keepdims):
    for least in (0.0, 4.2):  # in between of the norms of the columns
        found, slopes = zip(
            *(
                (m.safe_norm(MATRIX, *args), jax.grad(total)(MATRIX))
                for m in (gradtx, optax)
                for args in [(least, ord, axis, keepdims)]
                for total in [lambda x, m=m, a=args: m.safe_norm(x, *a).sum()]
            ),
            strict=True,
        )
        assert found[0].shape == found[1].shape
        np.testing.assert_allclose(*found, **CLOSE)
        np.testing.assert_allclose(*slopes, rtol=3e-6, atol=1e-6)  # through an SVD


@pytest.mark.parametrize("ord", [None, 1, 2, np.inf, "nuc"])
@pytest.mark.parametrize("least", [0.0, 1.0])
def test_the_derivative_at_0_is_0(ord, least):
    zero = jnp.zeros((2, 3))
    found = jax.grad(lambda x: gradtx.safe_norm(x, least, ord))(zero)
    np.testing.assert_array_equal(found, zero)
    assert float(gradtx.safe_norm(zero, least, ord)) == least
    found = jax.jvp(lambda x: gradtx.safe_norm(x, least, ord), (zero,), (zero + 1,))
    np.testing.assert_array_equal(found[1], 0)
    rms = jax.grad(lambda x: gradtx.safe_root_mean_squares(x, least))(zero)
    np.testing.assert_array_equal(rms, zero)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e20, 1e36])
def test_sizes_are_right_over_the_whole_range(scale):
    x = scale * jnp.array([3.0, 4.0])
    np.testing.assert_allclose(gradtx.safe_norm(x, 0.0), 5 * scale, **CLOSE)
    rms = gradtx.safe_root_mean_squares(x, 0.0)
    np.testing.assert_allclose(rms, 5 * scale / 2**0.5, **CLOSE)
    found = jax.grad(gradtx.safe_norm)(x, 0.0)
    np.testing.assert_allclose(found, [0.6, 0.8], **CLOSE)


def test_root_mean_squares_are_optaxs():
    for x in (MATRIX, MATRIX[0] + 1j * MATRIX[1]):
        for least in (0.0, 10.0):
            ours, theirs = (m.safe_root_mean_squares(x, least) for m in (gradtx, optax))
            np.testing.assert_allclose(ours, theirs, **CLOSE)
    assert float(gradtx.safe_root_mean_squares(jnp.zeros(0), 0.5)) == 0.5


def test_of_narrow_arrays():
    x = jnp.full(300, 6e4, jnp.float16)
    for found in (gradtx.safe_norm(x, 0.0), gradtx.safe_root_mean_squares(x, 0.0)):
        assert found.dtype == jnp.float32
        assert jnp.isfinite(found)


def test_what_is_out_of_range_is_named():
    with pytest.raises(ValueError, match="min_norm must be at least 0"):
        gradtx.safe_norm(MATRIX, -1.0)
    with pytest.raises(ValueError, match="min_rms must be at least 0"):
        gradtx.safe_root_mean_squares(MATRIX, np.nan)
    with pytest.raises(ValueError, match="norm of matrices"):
        gradtx.safe_norm(MATRIX[0], 0.0, "fro")
    with pytest.raises(ValueError, match="scale must be finite"):
        gradtx.scale_gradient(1.0, np.nan)


def scaled(x, scale):
    return (gradtx.scale_gradient(x, scale)["a"] ** 3).sum()


@pytest.mark.parametrize("scale", [1.0, 0.0, -0.5, np.float32(0.25)])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_gradient_is_scaled_and_its_value_is_not(scale, dtype):
    x = {"a": jnp.array([1.0, -2.0], dtype), "n": 3, "none": None}
    value, found = jax.value_and_grad(scaled, allow_int=True)(x, scale)
    assert float(value) == -7
    assert found["a"].dtype == dtype
    np.testing.assert_array_equal(
        found["a"].astype(np.float32), scale * np.array([3.0, 12.0])
    )
    # Forwards, and with a scale that is traced, which Optax cannot.
    ahead = jax.jit(lambda x, s: jax.jvp(lambda a: scaled({"a": a}, s), (x,), (x,)))
    change = ahead(x["a"].astype(jnp.float32), scale)[1]
    np.testing.assert_allclose(change, scale * -21.0, **CLOSE)
    assert jax.grad(scaled, argnums=1)({"a": jnp.ones(2)}, 0.7) == 0


def test_a_scale_of_0_stops_what_is_not_finite():
    found = jax.grad(lambda x: jnp.sqrt(gradtx.scale_gradient(x, 0.0)))(0.0)
    assert float(found) == 0
