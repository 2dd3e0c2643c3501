"""What is false as printed in the lectures, and what is true: docs/as_printed.md.

Each test has both sides. What other files here prove is not repeated.
"""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import gradtx
from gradtx.plot import surfaces

from .trajectories import HESSIAN, LINEAR, START, descend, run, transform

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "as_printed.md").read_text()
STEEPEST = 9.0  # the largest eigenvalue of HESSIAN
MINIMUM = np.linalg.solve(HESSIAN, LINEAR)


def test_every_entry_of_the_page_has_its_test():
    entries = re.findall(r"^- (.*?)(?=^- |^#|\Z)", PAGE, flags=re.M | re.S)
    assert len(entries) > 30
    code = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    defined = set(re.findall(r"^def (test_\w+)", code, flags=re.M))
    for entry in entries:
        named = re.findall(r"`(test_\w+)`", entry)
        assert named, f"no test: {entry}"
        assert set(named) <= defined, entry


# Gradients.


def test_the_saddle_falls_along_y():
    slope = jax.grad(surfaces.saddle)(jnp.array([1.0, 1.0]))
    assert slope.tolist() == [2.0, -2.0]  # printed: 2 x and 2 y


def test_the_gradient_of_a_mean_is_a_mean_and_the_penalty_has_its_strength():
    rng = np.random.default_rng(0)
    x, w, strength = rng.normal(size=(5, 3)), rng.normal(size=3), 0.1

    def loss(w):
        return jnp.mean((x @ w - 1) ** 2) + strength * jnp.sum(w**2)

    each = 2 * x * (x @ w - 1)[:, None]
    right = each.mean(axis=0) + strength * 2 * w
    printed = each.sum(axis=0) + 2 * w
    with jax.enable_x64(True):
        found = jax.grad(loss)(jnp.array(w))
    np.testing.assert_allclose(found, right, rtol=1e-12)
    assert np.abs(printed - right).max() > 1


def test_the_gradient_is_the_steepest_direction_not_the_best():
    # Along the gradient even the best length leaves most of the way to go; H^-1 g
    # leads to the minimum.
    g = HESSIAN @ START - LINEAR
    length = g @ g / (g @ HESSIAN @ g)
    left = np.linalg.norm(START - length * g - MINIMUM)
    assert left > 0.5 * np.linalg.norm(START - MINIMUM)
    newton = START - np.linalg.solve(HESSIAN, g)
    np.testing.assert_allclose(newton, MINIMUM, rtol=1e-12)


def test_descent_is_stuck_only_where_the_gradient_is_exactly_zero():
    def slope(p, noise):
        return np.array([2.0, -2.0]) * p + noise

    still = np.zeros((400, 2))
    noisy = np.random.default_rng(0).normal(size=(400, 2))

    def end(y, noise):
        return abs(run(gradtx.sgd(0.05), np.array([1.0, y]), noise, slope).params[-1])

    assert end(0.0, still)[1] == 0
    assert end(1e-12, still)[1] > 1  # 12 orders in some hundred steps
    assert end(0.0, noisy)[1] > 1  # of minibatches, say


def test_newtons_step_leads_to_a_saddle_and_to_a_top():
    for hessian in ([2.0, -2.0], [-1.0, -3.0]):
        point = np.array([1.5, 0.5])
        gradient = np.array(hessian) * point
        np.testing.assert_array_equal(point - gradient / np.array(hessian), 0)
    # A step of gradtx leads down, or stops.
    start = jnp.array([1.5, 0.5])
    found = surfaces.saddle(start)
    tx = gradtx.newton()
    value, grad = jax.value_and_grad(surfaces.saddle)(start)
    point, _ = tx.step(
        grad, tx.init(start), start, value=value, grad=grad, value_fn=surfaces.saddle
    )
    assert surfaces.saddle(point) < found - 1


def test_bfgs_changes_the_inverse_by_rank_two():
    inverse = np.diag([1.0, 2.0, 3.0, 4.0])
    s = np.array([1.0, -1.0, 0.5, 0.0])
    y = HESSIAN @ s
    v = np.eye(4) - np.outer(y, s) / (y @ s)
    changed = v.T @ inverse @ v + np.outer(s, s) / (y @ s)
    np.testing.assert_allclose(changed @ y, s, atol=1e-14)  # the secant equation
    assert np.linalg.matrix_rank(changed - inverse) == 2


def test_the_softmax_as_printed_overflows():
    scores = np.array([[1000.0, 0.0]], np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        printed = -np.log(np.exp(scores[0, 0]) / np.exp(scores[0]).sum())
    assert np.isnan(printed)
    found = gradtx.softmax_cross_entropy_with_integer_labels(scores, np.array([0]))
    assert found.tolist() == [0.0]


# Momentum.


def test_tau_cannot_be_both_the_momentum_and_the_rate():
    both = descend(gradtx.sgd(0.9, momentum=0.9), 50)
    assert np.abs(both[-1]).max() > 1e9  # above 2 (1 + 0.9) / 9, it grows for ever
    apart = descend(gradtx.sgd(0.05, momentum=0.9), 300)
    np.testing.assert_allclose(apart[-1], MINIMUM, atol=1e-4)


def test_the_larger_the_momentum_the_smaller_the_friction():
    push = np.zeros((51, 1))
    push[0] = 1.0  # one gradient, then none
    for kept in (0.5, 0.9, 0.99):
        velocity = transform(gradtx.trace(kept), push)[:, 0]
        np.testing.assert_allclose(velocity, kept ** np.arange(51), rtol=1e-13)


def test_nesterov_bears_smaller_rates_than_plain_descent():
    # On a curvature L: below 2 / L plain, 2 (1 + m) / L with momentum, and
    # 2 (1 + m) / (1 + 2 m) / L with Nesterov's.
    m = 0.9
    limits = {
        (None, False): 2 / STEEPEST,
        (m, False): 2 * (1 + m) / STEEPEST,
        (m, True): 2 * (1 + m) / (1 + 2 * m) / STEEPEST,
    }
    assert limits[m, True] < limits[None, False] < limits[m, False]
    for (momentum, nesterov), limit in limits.items():
        for part, stays in ((0.98, True), (1.02, False)):
            tx = gradtx.sgd(part * limit, momentum=momentum, nesterov=nesterov)
            assert (np.abs(descend(tx, 800)[-1]).max() < 100) == stays


# AdaGrad and RMSProp.


def test_adagrads_sum_has_no_factor_j():
    t = np.arange(1, 41)[:, None]
    steps = transform(gradtx.scale_by_rss(0.0, eps=0.0), np.ones((40, 1)))
    np.testing.assert_allclose(steps, 1 / np.sqrt(t), rtol=1e-13)
    printed = 1 / np.sqrt(np.cumsum(t))[:, None]  # sum of j: it falls like 1 / t
    assert printed[-1, 0] < steps[-1, 0] / 4


def test_scaling_entries_does_not_straighten_a_valley_across_them():
    # Curvatures of 1 and 100; then the same valley, turned by 45 degrees.
    turn = np.array([[1.0, 1.0], [1.0, -1.0]]) / np.sqrt(2)
    for along, bound in ((np.eye(2), (0.0, 1e-20)), (turn, (1e-3, 1.0))):
        hessian = along @ np.diag([1.0, 100.0]) @ along
        path = descend(
            gradtx.rmsprop(0.03),
            100,
            lambda x, _, hessian=hessian: hessian @ x,
            along @ np.ones(2),
        )
        low, high = bound
        assert low <= path[-1] @ hessian @ path[-1] / 2 <= high


def test_the_first_step_of_adagrad_is_as_long_for_all():
    g = np.array([[100.0, -1.0, 1e-6]])
    steps = transform(gradtx.scale_by_rss(0.0, eps=0.0), g)
    np.testing.assert_allclose(steps, [[1, -1, 1]], rtol=1e-14)


def test_adagrad_suppresses_what_is_large_not_what_varies():
    constant, varying = np.full(40, 5.0), 5.0 * (-1.0) ** np.arange(40)
    small = 0.01 * varying
    g = np.stack([constant, varying, small], axis=1)
    factors = transform(gradtx.scale_by_rss(0.0, eps=0.0), g) / g
    np.testing.assert_allclose(factors[:, 0], factors[:, 1], rtol=1e-13)
    np.testing.assert_allclose(factors[:, 2], 100 * factors[:, 1], rtol=1e-13)


def test_without_an_epsilon_an_entry_without_gradients_is_nan():
    with np.errstate(invalid="ignore"):
        assert np.isnan(np.float64(0.0) / np.sqrt(0.0))
    for tx in (
        gradtx.scale_by_rss(0.0, eps=0.0),
        gradtx.scale_by_rms(eps=0.0),
        gradtx.scale_by_adamax(eps=0.0),
    ):
        np.testing.assert_array_equal(transform(tx, np.zeros((3, 1))), 0)


def test_adagrad_also_slows_what_is_flat():
    # Gradients of 0.1 against 10: the flat entry is ahead of the steep one by 100 in
    # proportion, but behind plain descent as soon as the sum exceeds 1.
    g = np.tile([10.0, 0.1], (400, 1))
    steep, flat = transform(gradtx.scale_by_rss(0.0, eps=0.0), g).T / g.T
    np.testing.assert_allclose(flat / steep, 100, rtol=1e-12)
    assert flat[0] > 9  # the factor of sgd is 1
    assert flat[-1] < 1


def test_adagrads_factor_need_not_decay_to_zero():
    # On the way into a minimum gradients fall geometrically; their squares have a sum.
    path = descend(gradtx.adagrad(1.0, 0.0, eps=0.0), 4000)
    total = np.cumsum((path @ HESSIAN - LINEAR) ** 2, axis=0)
    np.testing.assert_allclose(total[2000], total[4000], rtol=1e-12)
    np.testing.assert_allclose(path[-1], MINIMUM, rtol=1e-9)


def test_a_step_of_adagrad_grows_with_its_gradient():
    g = np.array([[1.0], [1.0], [100.0]])
    steps = transform(gradtx.scale_by_rss(0.0, eps=0.0), g)[:, 0]
    assert steps[1] < steps[0]
    assert steps[2] > steps[1]


def test_the_order_at_a_saddle_is_one_of_rates():
    def order(six):
        found = gradtx.plot.paths(
            surfaces.saddle, six, start=surfaces.SADDLE.start, steps=100
        )
        left = {n: int(np.argmax(abs(p[:, 1]) > 1.4)) for n, p in found.items()}
        assert min(left.values()) > 0  # all of them leave
        return left

    one = order(
        {
            "sgd": gradtx.sgd(0.1),
            "momentum": gradtx.sgd(0.1, momentum=0.9),
            "adagrad": gradtx.adagrad(0.1),
            "rmsprop": gradtx.rmsprop(0.1),
        }
    )
    assert sorted(one, key=one.__getitem__) == ["rmsprop", "momentum", "sgd", "adagrad"]
    suited = order(
        {
            "sgd": gradtx.sgd(0.05),
            "momentum": gradtx.sgd(0.01, momentum=0.9),
            "adagrad": gradtx.adagrad(0.1),
            "rmsprop": gradtx.rmsprop(0.02),
        }
    )
    assert sorted(suited, key=suited.__getitem__) == [
        "adagrad",
        "rmsprop",
        "sgd",
        "momentum",
    ]


# Regret.


def test_regret_counts_the_loss_before_the_step():
    # L_t(w) = (w - x_t)^2 / 2, x_t = 1, -1, 1, ...; a rate of 1 puts w on x_t. What is
    # printed, L_t(W_t), is then 0 in each round, less than the best fixed point has,
    # though the player is wrong by 2 in each. Theorems are about L_t(W_{t-1}).
    x = (-1.0) ** np.arange(100)[:, None]
    points = run(gradtx.sgd(1.0), np.zeros(1), x, lambda w, x: w - x).params
    best = 0.5 * len(x)  # of the fixed point 0
    assert np.sum((points[1:] - x) ** 2) / 2 - best == -50
    assert np.sum((points[:-1] - x) ** 2) / 2 - best == 148.5
