"""Adam and its relatives: what the paper and the lectures prove about them.

The paper's bound on the step does not hold as printed; what holds is derived below.
"""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

from .trajectories import HESSIAN, LINEAR, START, descend, transform

RATE = 0.1

SCALE_FREE = {
    "adam": gradtx.scale_by_adam(eps=0.0),
    "adam, uncorrected": gradtx.scale_by_adam(eps=0.0, bias_correction=False),
    "nadam": gradtx.scale_by_adam(eps=0.0, nesterov=True),
    "amsgrad": gradtx.scale_by_amsgrad(eps=0.0),
    "adamax": gradtx.scale_by_adamax(eps=0.0),
    "adam_lp": gradtx.scale_by_adam_lp(eps=0.0, p=3.5),
    "rmsprop": gradtx.scale_by_rms(eps=0.0),
    "rmsprop, centered": gradtx.scale_by_stddev(eps=0.0),
    "adagrad": gradtx.scale_by_rss(0.0, eps=0.0),
    "lion": gradtx.scale_by_lion(),
    "rprop": gradtx.scale_by_rprop(RATE),
}


def gradients(steps, entries=200, seed=0):
    """Series of many kinds side by side, among them the hard ones.

    Normal; heavy-tailed; sparse; nothing and then a burst; growing or falling by a
    factor a step. Two zero entries lead.
    """
    rng = np.random.default_rng(seed)
    normal = rng.normal(size=(steps, entries))
    time = np.arange(steps)[:, None]
    start = rng.integers(0, steps, entries)
    kinds = (
        np.zeros((steps, 2)),
        normal,
        rng.standard_cauchy((steps, entries)),
        np.where(rng.random((steps, entries)) < 0.03, normal, 0),
        np.where(time >= start, 1.0, 0.0),
        rng.uniform(0.9, 1.1, entries) ** time,
    )
    return np.concatenate(kinds, axis=1)


@pytest.mark.parametrize("name", SCALE_FREE)
def test_the_scale_of_the_loss_does_not_matter(name):  # c L(W): M^ c, R^ c^2
    g = gradients(60)
    scales = np.random.default_rng(1).uniform(-9, 9, g.shape[1]).round()
    expected = transform(SCALE_FREE[name], g)
    # Powers of two, another for each entry: nothing is rounded differently.
    np.testing.assert_array_equal(
        transform(SCALE_FREE[name], 2.0**scales * g), expected
    )


def test_with_an_epsilon_the_scale_does_matter():
    small = transform(gradtx.scale_by_adam(), 1e-8 * gradients(60))
    large = transform(gradtx.scale_by_adam(), gradients(60))
    assert np.abs(small - large).max() > 0.1


def weights(b, t):
    """What a corrected average gives the gradients of t steps, the last one first."""
    return (1 - b) * b ** np.arange(t) / (1 - b**t)


def largest_step(b1, b2, t):
    """The largest step of Adam at a rate of 1, over all gradients of t steps.

    By Cauchy and Schwarz, with the weights w of the two averages,
    |sum w1 g| / sqrt(sum w2 g^2) <= sqrt(sum w1^2 / w2), attained by g = w1 / w2.
    """
    return np.sqrt(np.sum(weights(b1, t) ** 2 / weights(b2, t)))


def largest_step_of_adamax(b1, b2, t):
    """As b2^k |g_k| <= nu, |sum w1 g| <= nu sum w1 b2^-k, attained by g_k = b2^-k."""
    return np.sum(weights(b1, t) / b2 ** np.arange(t))


PAIRS = [(0.9, 0.99), (0.9, 0.9), (0.5, 0.99), (0.0, 0.9), (0.9, 0.85)]
SLACK = 1 + 1e-12  # roundings of two averages in float64, each of positive terms


def assert_bounded_and_attained(tx, g, bounds):
    """The worst gradients are the last column, and reach the bound at the last step."""
    updates = np.abs(transform(tx, g)) / RATE
    assert np.all(updates <= SLACK * np.array(bounds)[:, None])
    assert updates[-1, -1] >= bounds[-1] / SLACK
    # Nor is it that column alone which comes near, nor the first step (a sign).
    assert np.any(updates[50:, :-1] >= 0.95 * np.array(bounds)[50:, None])


@pytest.mark.parametrize(("b1", "b2"), PAIRS)
def test_the_step_of_adam_is_bounded(b1, b2):
    steps = 250
    worst = (weights(b1, steps) / weights(b2, steps))[::-1, None]
    bounds = [largest_step(b1, b2, t + 1) for t in range(steps)]
    g = np.concatenate([gradients(steps), worst], axis=1)
    assert_bounded_and_attained(gradtx.adam(RATE, b1, b2, eps=0.0), g, bounds)


@pytest.mark.parametrize(("b1", "b2"), [(0.9, 0.999), (0.9, 0.95), (0.5, 0.9)])
def test_the_step_of_adamax_is_bounded(b1, b2):
    steps = 250
    worst = b2 ** np.arange(steps)[:, None]
    bounds = [largest_step_of_adamax(b1, b2, t + 1) for t in range(steps)]
    g = np.concatenate([gradients(steps), worst], axis=1)
    assert_bounded_and_attained(gradtx.adamax(RATE, b1, b2, eps=0.0), g, bounds)


def test_the_bound_on_adamax_exceeds_the_rate():
    # The paper (section 7.1) has |u| <= 1. For b1 < b2 the bound above tends to
    # (1 - b1) / (1 - b1 / b2): 1.009 by default, 1.9 for b2 = 0.95.
    for b1, b2 in [(0.9, 0.999), (0.9, 0.95)]:
        limit = (1 - b1) / (1 - b1 / b2)
        assert limit > 1.009
        np.testing.assert_allclose(
            largest_step_of_adamax(b1, b2, 250), limit, rtol=2e-6
        )


def test_the_papers_bound_on_adam_is_that_of_one_gradient_after_silence():
    # The paper (section 2.1) has max(1, (1 - b1) / sqrt(1 - b2)), 3.16 by default, as
    # the worst case. But k gradients of 1 after silence, not one, give
    # (1 - b1^k) / sqrt(1 - b2^k): 3.16 for k = 1, 6.5 for k = 10. The worst ones give
    # (1 - b1) / sqrt((1 - b2) (1 - b1^2 / b2)) = 7.27; and 2.3 for b1 = 0.9, b2 = 0.99,
    # where the paper has 1. Only for b1 = b2 it is 1.
    b1, b2, steps = 0.9, 0.999, 10_000  # b2^10000 = 5e-5: the silence is complete
    printed = (1 - b1) / np.sqrt(1 - b2)
    limit = printed / np.sqrt(1 - b1**2 / b2)
    g = np.zeros((steps, 2))
    g[-10:, 0] = 1
    g[:, 1] = (weights(b1, steps) / weights(b2, steps))[::-1]
    updates = np.abs(transform(gradtx.adam(RATE, b1, b2, eps=0.0), g)) / RATE
    k = np.arange(1, 11)
    desired = (1 - b1**k) / np.sqrt(1 - b2**k)
    np.testing.assert_allclose(updates[-10:, 0], desired, rtol=1e-4)  # the silence
    assert 0.999 * printed < updates[-10, 0] <= printed
    np.testing.assert_allclose(updates[-1, 1], limit, rtol=1e-4)


def test_amsgrad_steps_like_adam_or_shorter():
    g = gradients(60)
    adam = transform(gradtx.scale_by_adam(eps=0.0), g)
    amsgrad = transform(gradtx.scale_by_amsgrad(eps=0.0), g)
    np.testing.assert_array_equal(np.sign(amsgrad), np.sign(adam))
    assert np.all(np.abs(amsgrad) <= SLACK * np.abs(adam))
    assert np.any(np.abs(amsgrad) < 0.5 * np.abs(adam))


def test_amsgrad_is_adam_while_the_second_moment_grows():
    growing = 1.01 ** np.arange(60)[:, None] * np.array([1.0, -0.01])
    adam = transform(gradtx.scale_by_adam(), growing)
    np.testing.assert_array_equal(transform(gradtx.scale_by_amsgrad(), growing), adam)


# The limits: a quadratic, whose gradients depend on the path.


def momentum_of_adam(rate, b1, epsilon, steps):
    """Adam without its second moment: SGD whose momentum and rate vary (Cohen).

    M_t = mu_t M_{t-1} - eta_t g_t,   mu_t = b1 (1 - b1^(t-1)) / (1 - b1^t),
    W_t = W_{t-1} + M_t,              eta_t = rate (1 - b1) / ((1 - b1^t) sqrt(epsilon))
    """
    x, m = START, np.zeros(4)
    points = [x]
    for t in range(1, steps + 1):
        mu = b1 * (1 - b1 ** (t - 1)) / (1 - b1**t)
        eta = rate * (1 - b1) / ((1 - b1**t) * np.sqrt(epsilon))
        m = mu * m - eta * (HESSIAN @ x - LINEAR)
        x = x + m
        points.append(x)
    return np.stack(points)


def test_adam_under_a_large_epsilon_is_sgd_with_momentum():
    # Corrected, nu^ is a mean of squares for every b2; what leaves sqrt(epsilon) alone
    # in the root is epsilon >> g^2: g^2 / (2 epsilon) < 1e-13 is the relative error.
    epsilon = 1e16
    rate = 0.05 * np.sqrt(epsilon)
    tx = gradtx.adam(rate, b1=0.9, eps=0.0, eps_root=epsilon)
    desired = momentum_of_adam(rate, 0.9, epsilon, 100)
    np.testing.assert_allclose(descend(tx, 100), desired, rtol=0, atol=1e-12)


def test_adam_with_a_second_moment_that_stays_zero_is_sgd_with_momentum():
    # Cohen's b2 = 1. Uncorrected, nu <= t (1 - b2) max g^2 = 4e-11 stays at zero
    # beside epsilon = 0.01; amsgrad can correct mu alone, as the formula does.
    epsilon, b2 = 0.01, 1 - 2.0**-50
    tx = gradtx.amsgrad(
        0.005, b1=0.9, b2=b2, eps=0.0, eps_root=epsilon, bias_correction_nu=False
    )
    desired = momentum_of_adam(0.005, 0.9, epsilon, 100)
    np.testing.assert_allclose(descend(tx, 100), desired, rtol=0, atol=1e-9)


def test_adam_without_corrections_tends_to_sgd_with_constant_momentum():
    # mu_t and eta_t at t = infinity; nu as in the test before.
    epsilon, b2 = 0.01, 1 - 2.0**-50
    adam = gradtx.adam(0.005, 0.9, b2, eps=0.0, eps_root=epsilon, bias_correction=False)
    sgd = gradtx.sgd(0.005 * (1 - 0.9) / np.sqrt(epsilon), momentum=0.9)
    np.testing.assert_allclose(descend(adam, 100), descend(sgd, 100), rtol=0, atol=1e-9)


@pytest.mark.parametrize("b2", [1 - 1e-3, 1 - 1e-6, 1 - 1e-9])
def test_adam_with_a_long_memory_is_adagrad(b2):
    # b1 = 0, b2 -> 1: nu^_t -> (1/t) sum g^2, so that Adam at the rate a / sqrt(t) is
    # AdaGrad at the rate a (Cohen's formula has the root of t upside down). The
    # weights b2^k of nu^ are within T (1 - b2) of 1, and so is their mean.
    steps = 50

    def rate(count):
        return RATE / jnp.sqrt(1.0 + count)

    g = gradients(steps)
    adam = transform(gradtx.adam(rate, b1=0.0, b2=b2, eps=0.0), g)
    adagrad = transform(gradtx.adagrad(RATE, 0.0, eps=0.0), g)
    np.testing.assert_allclose(adam, adagrad, rtol=steps * (1 - b2))


def test_adam_without_momentum_is_rmsprop_with_the_correction():
    g = gradients(60)
    adam = transform(gradtx.adam(RATE, b1=0.0, b2=0.9), g)
    tx = gradtx.rmsprop(RATE, decay=0.9, eps_in_sqrt=False, bias_correction=True)
    np.testing.assert_allclose(transform(tx, g), adam, rtol=1e-14)  # a few roundings


@pytest.mark.parametrize(
    "tx",
    [
        gradtx.scale_by_adam(0.0, 0.0, eps=0.0),
        gradtx.scale_by_adam(0.0, 0.0, eps=0.0, nesterov=True),
        gradtx.scale_by_adamax(0.0, 0.0, eps=0.0),
        gradtx.scale_by_adam_lp(0.0, 0.0, eps=0.0, p=3.0),
        gradtx.scale_by_rms(0.0, eps=0.0),
        gradtx.scale_by_lion(0.0, 0.5),
        gradtx.scale_by_lion(0.0, 0.0),
    ],
    ids=repr,
)
def test_without_memory_the_step_is_the_sign(tx):
    g = gradients(5)
    np.testing.assert_allclose(transform(tx, g), np.sign(g), rtol=1e-15)  # sqrt(g^2)


def test_the_norm_of_2_is_adam():  # b2 of Adam is b2^p; eps_root is eps^p
    g = gradients(60)
    lp = transform(gradtx.adam_lp(RATE, b2=0.99, eps=1e-4, p=2.0), g)
    adam = transform(gradtx.adam(RATE, b2=0.99**2, eps=0.0, eps_root=1e-4**2), g)
    np.testing.assert_allclose(lp, adam, rtol=1e-12)  # powers and roots for squares


def test_large_norms_tend_to_adamax():
    # nu_p^ = (sum w_k |b2^k g_k|^p)^(1/p), the w_k equal and in [1 - b2^p, 1], lies in
    # [(1 - b2^p)^(1/p), T^(1/p)] times the largest |b2^k g_k|, which is nu of AdaMax.
    b2, steps = 0.999, 60
    g = gradients(steps)
    adamax = transform(gradtx.adamax(RATE, b2=b2, eps=0.0), g)
    errors = []
    for p in (10.0, 100.0, 1000.0):
        lp = transform(gradtx.adam_lp(RATE, b2=b2, eps=0.0, p=p), g)
        np.testing.assert_array_equal(lp == 0, adamax == 0)
        ratio = adamax[lp != 0] / lp[lp != 0]
        assert (1 - b2**p) ** (1 / p) <= SLACK * ratio.min()
        assert ratio.max() <= SLACK * steps ** (1 / p)
        errors.append(np.abs(adamax - lp).max() / RATE)
    assert errors[0] > 10 * errors[1] > 100 * errors[2]


# The start from zero.


@pytest.mark.parametrize("mu", [True, False], ids=["mu corrected", "mu"])
@pytest.mark.parametrize("nu", [True, False], ids=["nu corrected", "nu"])
def test_each_correction_undoes_its_factor(mu, nu):
    # A constant gradient g: mu_t = (1 - b1^t) g and nu_t = (1 - b2^t) g^2.
    b1, b2, t = 0.9, 0.999, np.arange(1, 41)[:, None]
    g = np.tile([3.0, -0.01], (40, 1))
    tx = gradtx.scale_by_amsgrad(
        b1, b2, eps=0.0, bias_correction_mu=mu, bias_correction_nu=nu
    )
    desired = np.sign(g) * (1 if mu else 1 - b1**t) / (1 if nu else np.sqrt(1 - b2**t))
    np.testing.assert_allclose(transform(tx, g), desired, rtol=1e-12)  # 1 - b2^t
    if mu == nu:
        adam = gradtx.scale_by_adam(b1, b2, eps=0.0, bias_correction=mu)
        np.testing.assert_allclose(transform(adam, g), desired, rtol=1e-12)


def test_rmsprop_starts_with_long_steps():  # 1 / sqrt(1 - decay^t)
    t = np.arange(1, 41)[:, None]
    g = np.tile([3.0, -0.01], (40, 1))
    plain = transform(gradtx.scale_by_rms(0.99, eps=0.0), g)
    corrected = transform(gradtx.scale_by_rms(0.99, eps=0.0, bias_correction=True), g)
    np.testing.assert_allclose(plain, np.sign(g) / np.sqrt(1 - 0.99**t), rtol=1e-12)
    np.testing.assert_allclose(corrected, np.sign(g), rtol=1e-12)
    assert plain[0, 0] > 9.9


def test_the_corrected_average_is_a_weighted_mean():
    # Fed one gradient at a time it shows its weights: 0.9^k, of sum 1 from the start.
    steps = 30
    actual = transform(gradtx.ema(0.9), np.eye(steps))
    for t in range(steps):
        np.testing.assert_allclose(actual[t, t::-1], weights(0.9, t + 1), rtol=1e-13)
        assert not actual[t, t + 1 :].any()


def test_the_corrected_average_of_a_constant_is_the_constant():
    g = np.tile([3.0, -1e-300, 0.0], (100, 1))
    np.testing.assert_allclose(
        transform(gradtx.ema(0.999), g), g, rtol=1e-13
    )  # as above
