"""Normal distributions against scipy's density and the moments of samples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from gradtx.perturbations import multi_normal

LOC, LOG_SCALE = jnp.array([[1.0], [-2.0]]), jnp.array([0.5, -1.0, 0.0])


def test_its_density_is_scipys():
    x = np.linspace(-3, 3, 24).reshape(4, 2, 3)
    found = multi_normal(LOC, LOG_SCALE).log_prob(x)
    expected = norm.logpdf(x, np.asarray(LOC), np.exp(np.float64(LOG_SCALE)))
    np.testing.assert_allclose(found, expected.sum((1, 2)), rtol=1e-5)  # float32


def test_samples_have_its_moments_and_derivatives():
    n, key = 20_000, jax.random.key(0)
    x = multi_normal(LOC, LOG_SCALE).sample((n,), key)
    scale = np.broadcast_to(np.exp(LOG_SCALE), (2, 3))
    # Five standard errors of a mean and of a deviation.
    bound = 5 * scale / n**0.5
    assert (np.abs(x.mean(0) - LOC) < bound).all()
    assert (np.abs(x.std(0) - scale) < bound).all()
    slope = jax.jacobian(lambda s: multi_normal(LOC, s).sample((), key))(LOG_SCALE)
    one = multi_normal(LOC, LOG_SCALE).sample((), key)
    each = np.einsum("ijj->ij", slope)
    np.testing.assert_allclose(each, one - LOC, rtol=1e-5, atol=1e-6)  # d x = x - loc


def test_what_does_not_fit_is_said():
    with pytest.raises(ValueError, match=r"loc has shape \(2,\), log_scale has \(3,\)"):
        multi_normal(jnp.ones(2), jnp.ones(3))
    with pytest.raises(ValueError, match="log_scale must be floating, is int32"):
        multi_normal(jnp.ones(2), jnp.ones(2, jnp.int32))
    assert multi_normal(0, 0).log_prob(0.0).shape == ()
