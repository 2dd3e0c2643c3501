"""Means under noise against closed forms, with bounds by the number of samples."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import softmax
from scipy.stats import gumbel_r, norm

import gradtx
from gradtx.perturbations import Gumbel, Normal, make_perturbed_fun

KEY = jax.random.key(0)
X = jnp.array([0.3, -0.5, 1.0])
SAMPLES = 40_000
# Five standard errors: of numbers that vary by at most 1 they are 1 / sqrt(SAMPLES).
BOUND = 5 / SAMPLES**0.5


def winner(x):
    return jax.nn.one_hot(jnp.argmax(x), x.shape[0])


@pytest.mark.parametrize("sigma", [1.0, 0.5])
def test_argmax_under_gumbel_noise_is_softmax(sigma):
    # Not compiled whole, where XLA's reverse mode is wrong: see the docstring.
    soft = make_perturbed_fun(winner, SAMPLES, sigma)
    p = softmax(np.float64(X) / sigma)
    np.testing.assert_allclose(soft(KEY, X), p, atol=BOUND / 2)
    # Scores of Gumbel noise have the variance 1; over sigma, times what f varies by.
    slope = jax.jacobian(soft, 1)(KEY, X)
    np.testing.assert_allclose(
        slope, (np.diag(p) - np.outer(p, p)) / sigma, atol=BOUND / sigma
    )


def test_a_maximum_is_log_sum_exp_whose_derivative_is_the_mean_of_argmax():
    soft = make_perturbed_fun(jnp.max, SAMPLES, 1.0)
    expected = np.log(np.exp(np.float64(X)).sum()) + np.euler_gamma
    # The largest of three varies by pi / sqrt(6), as each does.
    np.testing.assert_allclose(soft(KEY, X), expected, atol=1.3 * BOUND)
    by_score = jax.grad(soft, 1)(KEY, X)
    np.testing.assert_allclose(by_score, softmax(X), atol=3 * BOUND)
    # By the path: the derivative of the maximum at each sample.
    z = jax.random.gumbel(KEY, (SAMPLES, 3))
    by_path = jax.vmap(jax.grad(jnp.max))(X + z).mean(0)
    np.testing.assert_allclose(by_path, softmax(X), atol=BOUND / 2)


@pytest.mark.parametrize("baseline", [True, False])
def test_a_step_under_normal_noise_is_the_distribution_function(baseline):
    sigma, x = 0.5, jnp.float32(0.2)
    step = make_perturbed_fun(
        lambda x: jnp.where(x > 0, 1.0, 0.0), SAMPLES, sigma, Normal(), baseline
    )
    t = 0.2 / sigma
    close = functools.partial(np.testing.assert_allclose)
    close(step(KEY, x), norm.cdf(t), atol=BOUND / 2)
    close(jax.grad(step, 1)(KEY, x), norm.pdf(t) / sigma, atol=BOUND / sigma)
    second = jax.grad(jax.grad(step, 1), 1)(KEY, x)
    # The second score z^2 - 1 varies by sqrt(2).
    close(second, -t * norm.pdf(t) / sigma**2, atol=1.5 * BOUND / sigma**2)


def test_the_baseline_takes_variance_off():
    def slopes(baseline):
        f = make_perturbed_fun(lambda x: 10 + x, 10, 0.1, Normal(), baseline)
        keys = jax.random.split(KEY, 200)
        return np.asarray(jax.vmap(jax.grad(f, 1), (0, None))(keys, jnp.float32(0)))

    assert slopes(True).std() < slopes(False).std() / 20
    np.testing.assert_allclose(slopes(True).mean(), 1, atol=0.2)  # sqrt(2 / 2000) * 5


@pytest.mark.parametrize("noise", ["Normal", "Gumbel"])
def test_numbers_are_optaxs_of_trees_too(noise):
    def value_and_grad(lib):
        p = lib.perturbations
        f = p.make_perturbed_fun(
            lambda t: jnp.round(t["a"]).sum() * t["b"], 50, 0.5, getattr(p, noise)()
        )
        return jax.value_and_grad(f, 1)(KEY, {"a": X, "b": jnp.float32(2)})

    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5),
        value_and_grad(gradtx),
        value_and_grad(optax),
    )


@pytest.mark.parametrize(("noise", "peer"), [(Normal(), norm), (Gumbel(), gumbel_r)])
def test_densities_are_scipys(noise, peer):
    z = np.linspace(-2, 5, 7)
    np.testing.assert_allclose(noise.log_prob(z), peer.logpdf(z), rtol=1e-5)
    drawn = noise.sample(KEY, (SAMPLES,))
    spread = peer.std()
    np.testing.assert_allclose(drawn.mean(), peer.mean(), atol=spread * BOUND)
    np.testing.assert_allclose(drawn.std(), spread, rtol=2 * BOUND)
    assert noise.sample(KEY, (2,), jnp.float16).dtype == jnp.float16
    assert noise == type(noise)()


def test_dtypes_and_large_numbers():
    f = make_perturbed_fun(lambda x: (x, jnp.argmax(x)), 100, 0.5, Normal())
    same, index = f(KEY, X.astype(jnp.bfloat16))
    assert (same.dtype, index.dtype) == (jnp.bfloat16, jnp.float32)
    assert f(KEY, X)[0].dtype == jnp.float32
    assert make_perturbed_fun(lambda t: t, 3)(KEY, {"a": X, "b": None})["b"] is None
    # The score is of z as it was drawn: y - x is 0 here.
    far = make_perturbed_fun(lambda x: jnp.float32(1), 4, 1e-3, use_baseline=False)
    near = jax.grad(far, 1)(KEY, jnp.float32(0))
    np.testing.assert_array_equal(jax.grad(far, 1)(KEY, jnp.float32(1e6)), near)


def test_under_jit_and_vmap():
    f = make_perturbed_fun(jnp.max, 20)
    keys, rows = jax.random.split(KEY, 4), jnp.arange(12.0).reshape(4, 3)
    each = [f(k, x) for k, x in zip(keys, rows, strict=True)]
    np.testing.assert_allclose(jax.jit(jax.vmap(f))(keys, rows), each, rtol=1e-6)


def test_mistakes_are_told():
    with pytest.raises(ValueError, match="num_samples must be a whole number"):
        make_perturbed_fun(winner, 0)
    with pytest.raises(ValueError, match="sigma must be above 0"):
        make_perturbed_fun(winner, sigma=-0.5)
    with pytest.raises(TypeError, match="noise must have sample"):
        make_perturbed_fun(winner, noise=Normal)
    with pytest.raises(TypeError, match=r"x\['n'\] is int32"):
        make_perturbed_fun(lambda t: t, 2)(KEY, {"n": jnp.arange(3)})
