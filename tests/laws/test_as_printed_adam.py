"""What is false as printed about averages, Adam and decay: docs/as_printed.md."""

import numpy as np
import pytest

import gradtx

from .trajectories import START, descend, transform

B1, B2 = 0.9, 0.999


# Averages.


def test_a_weight_of_095_looks_back_over_twenty_days():
    for b, days in ((0.9, 10), (0.95, 20), (0.98, 50), (0.5, 2)):
        assert 1 / (1 - b) == pytest.approx(days)  # printed: 0.95 is 50
        impulse = np.eye(400)[:, ::-1]  # column k: one day, k days before the last
        weights = transform(gradtx.ema(b, debias=False), impulse)[-1]
        np.testing.assert_allclose(weights, (1 - b) * b ** np.arange(400), atol=1e-15)
        # It is no mean of those days: they have two thirds of the weight, not all.
        assert 0.62 < weights[:days].sum() < 0.76


@pytest.mark.parametrize(("b", "half"), [(0.9, 6), (0.999, 692)])
def test_half_of_a_long_average_is_older_than_692_steps(b, half):
    # What has come before these steps still has half of the weight.
    weight = transform(gradtx.ema(b, debias=False), np.ones((800, 1)))[:, 0]
    assert weight[half - 1] < 0.5 < weight[half]


def test_the_correction_does_not_remove_the_lag():
    # Rising by 1 a step, a corrected average is behind by
    # b / (1 - b) - t b^t / (1 - b^t), which tends to b / (1 - b), not to 0.
    t = np.arange(1, 401)[:, None]
    rising = 1.0 * t
    behind = rising - transform(gradtx.ema(0.9), rising)
    desired = 0.9 / 0.1 - t * 0.9**t / (1 - 0.9**t)
    np.testing.assert_allclose(behind, desired, atol=1e-9)  # of numbers up to 400
    assert behind[-1, 0] == pytest.approx(9)


# Adam.


def test_epsilon_counts_for_more_inside_of_the_root():
    # Constant gradients: mu^ = g, nu^ = g^2.
    g = np.full((20, 1), 1e-4)
    outside = transform(gradtx.scale_by_adam(eps=1e-8), g)
    inside = transform(gradtx.scale_by_adam(eps=0.0, eps_root=1e-8), g)
    np.testing.assert_allclose(outside, 1 / (1 + 1e-4), rtol=1e-12)
    np.testing.assert_allclose(inside, 1 / np.sqrt(2), rtol=1e-12)


def test_the_papers_epsilon_is_1e_8():
    g = np.full((5, 1), 1e-8)
    np.testing.assert_allclose(transform(gradtx.scale_by_adam(), g), 1 / 2, rtol=1e-12)
    printed = transform(gradtx.scale_by_adam(eps=1e-9), g)
    np.testing.assert_allclose(printed, 10 / 11, rtol=1e-12)


def test_the_second_moment_corrected_is_not_the_first():
    # Eq. 11 as printed puts v, which is the momentum there, under the root.
    v = (1 - B1) * -0.5
    with np.errstate(invalid="ignore"):
        assert np.isnan(np.sqrt(v / (1 - B2)))
    first = transform(gradtx.scale_by_adam(eps=0.0), np.array([[-0.5]]))
    np.testing.assert_allclose(first, -1, rtol=1e-14)


def test_adamw_without_a_hat_begins_with_32_rates():
    g = np.array([[-0.5]])
    mu_only = gradtx.scale_by_amsgrad(eps=0.0, bias_correction_nu=False)
    printed = -1 / np.sqrt(1 - B2)  # mu^ = g over sqrt((1 - b2) g^2)
    np.testing.assert_allclose(transform(mu_only, g), printed, rtol=1e-12)
    assert printed < -31
    right = transform(gradtx.adamw(1.0, eps=0.0, weight_decay=0.0), g)
    np.testing.assert_allclose(right, 1, rtol=1e-12)


def test_a_minus_in_both_branches_climbs():
    up = descend(gradtx.maximize(gradtx.adam(0.1)), 50, lambda x, _: x)
    down = descend(gradtx.adam(0.1), 50, lambda x, _: x)
    assert np.all(np.abs(up[-1]) > np.abs(START) + 1)
    assert np.all(np.abs(down[-1]) < np.abs(START))


@pytest.mark.parametrize("name", ["b1", "b2"])
def test_a_decay_of_one_is_none(name):
    # 1 - 1^t = 0 divides the first moment; the printed interval includes it.
    with pytest.raises(ValueError, match=rf"{name} must be in \[0, 1\)"):
        gradtx.adam(0.1, **{name: 1.0})


def test_amsgrads_maximum_is_another_before_the_correction():
    # The boxes take it of the corrected squares; PyTorch's program and, without any
    # correction, the paper of the others. One large gradient, then small ones.
    g = np.array([[1.0], *[[0.1]] * 30])
    mu = nu = top = top_hat = 0.0
    printed, before = [], []
    for t, x in enumerate(g[:, 0], start=1):
        mu, nu = B1 * mu + (1 - B1) * x, B2 * nu + (1 - B2) * x**2
        top, top_hat = max(top, nu), max(top_hat, nu / (1 - B2**t))
        printed.append(mu / (1 - B1**t) / np.sqrt(top_hat))
        before.append(mu / (1 - B1**t) / np.sqrt(top / (1 - B2**t)))
    found = transform(gradtx.scale_by_amsgrad(eps=0.0), g)[:, 0]
    np.testing.assert_allclose(found, printed, rtol=1e-12)
    assert before[-1] > 4 * printed[-1]
    tx = gradtx.scale_by_amsgrad(eps=0.0, maximum_of="uncorrected")
    np.testing.assert_allclose(transform(tx, g)[:, 0], before, rtol=1e-12)


def test_a_negative_loss_turns_the_step_round():
    # The step does not change for c > 0; for c < 0 its sign does.
    g = np.random.default_rng(0).normal(size=(20, 3))
    tx = gradtx.scale_by_adam(eps=0.0)
    np.testing.assert_array_equal(transform(tx, -4 * g), -transform(tx, g))


def test_the_power_of_a_gradient_is_one_of_its_size():
    with np.errstate(invalid="ignore"):
        assert np.isnan(np.power(-0.5, 2.5))
        assert np.isnan(np.power(np.power(-0.5, 3.0), 1 / 3))
    for p in (2.5, 3.0):
        step = transform(gradtx.scale_by_adam_lp(eps=0.0, p=p), np.array([[-0.5]]))
        np.testing.assert_allclose(step, -1, rtol=1e-12)


def test_with_an_epsilon_the_limit_is_not_adamax():
    # (R + eps)^(1/p) >= eps^(1/p), which tends to 1 whatever eps is: gradients below 1
    # are not scaled at all.
    g, epsilon = 0.01, 1e-8
    divisors = [(g**p + epsilon) ** (1 / p) for p in (2.0, 10.0, 100.0, 1000.0)]
    assert divisors == sorted(divisors)
    assert divisors[-1] > 0.98
    # AdaMax takes a whole step; so does a norm whose epsilon has the gradient's unit.
    for tx in (
        gradtx.scale_by_adamax(eps=0.0),
        gradtx.scale_by_adam_lp(eps=epsilon, p=1000.0),
    ):
        np.testing.assert_allclose(transform(tx, np.array([[g]])), 1, rtol=1e-5)


# AdamW's algorithm and the snippets.


def test_the_moments_start_from_zero_not_from_the_parameters():
    # nu_0 = theta < 0 has no root.
    theta, g = -1.0, 0.5
    nu = B2 * theta + (1 - B2) * g**2
    with np.errstate(invalid="ignore"):
        assert np.isnan(np.sqrt(nu / (1 - B2)))


def test_lines_6_and_12_are_two_methods_not_one():
    rate, decay = 0.01, 0.1
    l2 = gradtx.add_decayed_weights(decay)
    line_6 = descend(gradtx.chain(l2, gradtx.adam(rate)), 400)
    line_12 = descend(gradtx.adamw(rate, weight_decay=decay), 400)
    both = descend(gradtx.chain(l2, gradtx.adamw(rate, weight_decay=decay)), 400)
    for one in (line_6, line_12):
        assert np.abs(both - one).max() > 1e-2
    assert np.abs(line_6 - line_12).max() > 1e-3


def test_a_decay_times_the_rate_is_weaker_than_one_without():
    # The slide before has w - alpha (s + 2 lambda w), algorithm 2 - lambda w.
    rate, decay, still = 0.01, 0.1, lambda x, _: 0 * x
    times_rate = descend(gradtx.adamw(rate, weight_decay=decay), 1, still)[-1]
    without = descend(gradtx.adamw(rate, weight_decay=decay / rate), 1, still)[-1]
    np.testing.assert_allclose(times_rate, (1 - rate * decay) * START, rtol=1e-14)
    np.testing.assert_allclose(without, (1 - decay) * START, rtol=1e-14)


def test_two_snippets_have_a_bracket_too_many():
    line = "x -= learning_rate * first_moment / (np.sqrt(second_moment) + 1e-7))"
    with pytest.raises(SyntaxError, match="unmatched"):
        compile(line, "slide", "exec")
    compile(line[:-1], "slide", "exec")


def test_the_loop_of_adam_makes_one_step_less_than_it_says():
    num_iterations = 100
    assert len(range(1, num_iterations)) == num_iterations - 1
    assert len(range(1, num_iterations + 1)) == num_iterations
