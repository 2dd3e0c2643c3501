"""Momentum: one method in several forms, and what it does on a quadratic."""

import numpy as np
import pytest

import gradtx

from .trajectories import HESSIAN, LINEAR, START, descend, transform

RATE, RHO, STEPS = 0.05, 0.9, 120

# float64 rounds at 1.1e-16 of numbers of order 10, and errors of a stable walk do not
# grow: both sides of an identity differ by some hundred roundings.
TOLERANCE = {"rtol": 0, "atol": 1e-13}


def gradient(x):
    return HESSIAN @ x - LINEAR


def walk(step, steps=STEPS):
    """The points of `x, v = step(x, v, t)` in NumPy, from rest, with the velocities."""
    x, v = START, np.zeros(4)
    points, velocities = [x], [v]
    for t in range(steps):
        x, v = step(x, v, t)
        points.append(x)
        velocities.append(v)
    return np.stack(points), np.stack(velocities)


def test_the_rate_may_stand_inside_of_the_velocity():  # v = rho v - a g; x = x + v
    def step(x, v, _):
        v = RHO * v - RATE * gradient(x)
        return x + v, v

    actual = descend(gradtx.sgd(RATE, momentum=RHO), STEPS)
    np.testing.assert_allclose(actual, walk(step)[0], **TOLERANCE)


def test_under_a_schedule_it_matters_where_the_rate_stands():
    def inside(x, v, t):
        v = RHO * v - RATE / (1 + t) * gradient(x)
        return x + v, v

    def outside(x, v, t):
        v = RHO * v + gradient(x)
        return x - RATE / (1 + t) * v, v

    def rate(count):
        return RATE / (1 + count)

    rate_last = descend(gradtx.sgd(rate, momentum=RHO), STEPS)
    rate_first = descend(gradtx.chain(gradtx.sgd(rate), gradtx.trace(RHO)), STEPS)
    np.testing.assert_allclose(rate_last, walk(outside)[0], **TOLERANCE)
    np.testing.assert_allclose(rate_first, walk(inside)[0], **TOLERANCE)
    assert np.abs(rate_first - rate_last).max() > 0.1


def test_nesterov_looks_ahead():  # in the variable x~ = x + rho v
    def step(x, v, _):
        v = RHO * v - RATE * gradient(x + RHO * v)
        return x + v, v

    x, v = walk(step)
    actual = descend(gradtx.sgd(RATE, momentum=RHO, nesterov=True), STEPS)
    np.testing.assert_allclose(actual, x + RHO * v, **TOLERANCE)


def test_nesterov_needs_the_gradient_at_its_own_point_only():
    def step(x, v, _):  # More Optimization: x += -rho * old_v + (1 + rho) * v
        new = RHO * v - RATE * gradient(x)
        return x - RHO * v + (1 + RHO) * new, new

    actual = descend(gradtx.sgd(RATE, momentum=RHO, nesterov=True), STEPS)
    np.testing.assert_allclose(actual, walk(step)[0], **TOLERANCE)


def test_rmsprop_with_nesterov_looks_ahead():  # R_t of the gradient at W + mu V
    r = np.zeros(4)

    def step(x, v, _):
        nonlocal r
        g = gradient(x + RHO * v)
        r = 0.95 * r + 0.05 * g**2
        v = RHO * v - RATE / np.sqrt(r) * g
        return x + v, v

    tx = gradtx.rmsprop(RATE, decay=0.95, eps=0.0, momentum=RHO, nesterov=True)
    # 50 steps: near the minimum g / sqrt(r) jumps about, and roundings grow with it.
    x, v = walk(step, 50)
    np.testing.assert_allclose(descend(tx, 50), x + RHO * v, **TOLERANCE)


def test_a_constant_gradient_reaches_its_terminal_velocity():  # g / (1 - rho)
    g = np.array([1.0, -3.0])
    t = np.arange(1, STEPS + 1)[:, None]
    velocity = transform(gradtx.trace(RHO), np.tile(g, (STEPS, 1)))
    # A sum of at most 120 terms of one sign.
    np.testing.assert_allclose(velocity, (1 - RHO**t) / (1 - RHO) * g, rtol=1e-14)


@pytest.mark.parametrize("dampening", [0.5, RHO])
def test_dampening_weakens_all_gradients_but_the_first(dampening):
    # v_t = rho^(t-1) g + (1 - dampening) (1 - rho^(t-1)) / (1 - rho) g: with dampening
    # = rho an average, which a constant gradient leaves where it is.
    n = np.arange(STEPS)[:, None]
    desired = RHO**n + (1 - dampening) * (1 - RHO**n) / (1 - RHO)
    actual = transform(gradtx.trace(RHO, dampening=dampening), np.ones((STEPS, 1)))
    np.testing.assert_allclose(actual, desired, rtol=1e-14)  # as above


def test_an_average_is_a_damped_sum():
    gradients = np.random.default_rng(0).normal(size=(STEPS, 5))
    average = transform(gradtx.ema(RHO, debias=False), gradients)
    total = transform(gradtx.trace(RHO), gradients)
    np.testing.assert_allclose(average, (1 - RHO) * total, rtol=0, atol=1e-15)


@pytest.mark.parametrize("nesterov", [False, True], ids=["heavy ball", "nesterov"])
@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("rate", [0.02, 0.15])
def test_on_a_parabola_a_step_is_a_matrix(rate, rho, nesterov):
    curvatures, steps = np.array([0.5, 2.0, 5.0]), 400
    tx = gradtx.sgd(rate, momentum=rho, nesterov=nesterov)
    path = descend(tx, steps, lambda x, _: curvatures * x, np.ones(3))
    for last, curvature in zip(path[-1], curvatures, strict=True):
        pull = rate * curvature
        keep = rho * (1 - pull) if nesterov else rho
        step = np.array([[1 - pull, keep], [-pull, keep]])  # of (x, v)
        x, v = np.linalg.matrix_power(step, steps) @ [1.0, 0.0]
        desired = x + rho * v if nesterov else x
        # Steps shrink by the spectral radius; each may be wrong by some roundings.
        size = np.abs(np.linalg.eigvals(step)).max() ** steps
        assert abs(last - desired) <= 1e-13 * steps * size


def test_momentum_pays_on_a_narrow_valley():
    # The best rates for eigenvalues in [m, L], k = L / m: plain descent shrinks the
    # error by (k - 1) / (k + 1) a step, the heavy ball by (sqrt k - 1) / (sqrt k + 1).
    low, high = np.linalg.eigvalsh(HESSIAN)[[0, -1]]
    root = np.sqrt(high / low)
    plain = gradtx.sgd(2 / (low + high))
    ball = gradtx.sgd(
        4 / (np.sqrt(low) + np.sqrt(high)) ** 2, momentum=((root - 1) / (root + 1)) ** 2
    )
    minimum = np.linalg.solve(HESSIAN, LINEAR)
    for tx, shrink in (
        (plain, (root**2 - 1) / (root**2 + 1)),
        (ball, (root - 1) / (root + 1)),
    ):
        error = np.linalg.norm(descend(tx, 60) - minimum, axis=1)
        rate = (error[60] / error[30]) ** (1 / 30)
        # The double root of the recurrence adds a factor of about t: 2^(1/30) = 1.023.
        assert abs(rate / shrink - 1) < 0.03
