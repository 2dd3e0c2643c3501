"""Weight decay: L2 regularisation and decoupled decay, where they agree and where not.

L2 stands before the optimizer in a chain, decoupled decay between it and the rate.
"""

import numpy as np
import pytest

import gradtx

from .trajectories import HESSIAN, LINEAR, START, descend, run

RATE, DECAY, RHO = 0.05, 0.3, 0.9

L2 = gradtx.add_decayed_weights(DECAY)
STEP = gradtx.scale_by_learning_rate(RATE)


def minimum(penalty):
    """Where the gradient of f(x) + penalty |x|^2 / 2 is zero."""
    return np.linalg.solve(HESSIAN + penalty * np.eye(4), LINEAR)


def l2(scaling):
    return gradtx.chain(L2, scaling, STEP)


def decoupled(scaling):
    return gradtx.chain(scaling, L2, STEP)


def test_for_sgd_decay_is_the_gradient_of_a_penalty():
    # Plain NumPy: the penalised gradient; and the shrunk weights, x (1 - rate decay).
    penalised, shrunk = [START], [START]
    for _ in range(100):
        x, y = penalised[-1], shrunk[-1]
        penalised.append(x - RATE * (HESSIAN @ x - LINEAR + DECAY * x))
        shrunk.append((1 - RATE * DECAY) * y - RATE * (HESSIAN @ y - LINEAR))
    for tx in (l2(gradtx.identity()), decoupled(gradtx.identity())):
        # float64 of order 1, and errors shrink with the steps.
        np.testing.assert_allclose(descend(tx, 100), penalised, rtol=0, atol=1e-14)
        np.testing.assert_allclose(descend(tx, 100), shrunk, rtol=0, atol=1e-14)
    np.testing.assert_allclose(descend(tx, 2000)[-1], minimum(DECAY), rtol=1e-13)


@pytest.mark.parametrize("nesterov", [False, True], ids=["heavy ball", "nesterov"])
def test_with_momentum_the_decoupled_decay_is_weaker(nesterov):
    # More Optimization calls them equivalent for momentum too. At rest
    # v = g / (1 - rho), so that decoupled decay ends where g + (1 - rho) decay x = 0:
    # the penalty is (1 - rho) times that of L2, which momentum magnifies with the
    # gradient.
    trace = gradtx.trace(RHO, nesterov)
    coupled, apart = (descend(form(trace), 2000) for form in (l2, decoupled))
    np.testing.assert_allclose(coupled[-1], minimum(DECAY), rtol=1e-13)
    np.testing.assert_allclose(apart[-1], minimum((1 - RHO) * DECAY), rtol=1e-13)


def test_with_an_average_for_momentum_both_end_alike_on_different_paths():
    # v = g at rest: the equivalence holds for where it ends, not for how it gets there.
    coupled, apart = (
        descend(form(gradtx.ema(RHO, debias=False)), 2000) for form in (l2, decoupled)
    )
    np.testing.assert_allclose(coupled[-1], minimum(DECAY), rtol=1e-13)
    np.testing.assert_allclose(apart[-1], minimum(DECAY), rtol=1e-13)
    assert np.abs(coupled - apart).max() > 0.1


def noise(steps, sizes):
    """The same noise for every parameter, in another size for each."""
    series = np.random.default_rng(3).normal(size=(steps, 1))
    return (series - series.mean()) * sizes


ADAPTIVE = {
    "adam": gradtx.scale_by_adam(eps=0.0),
    "rmsprop": gradtx.scale_by_rms(0.99, eps=0.0),
    "adagrad": gradtx.scale_by_rss(0.0, eps=0.0),
    "amsgrad": gradtx.scale_by_amsgrad(eps=0.0),
    "adamax": gradtx.scale_by_adamax(eps=0.0),
}


@pytest.mark.parametrize("name", ADAPTIVE)
def test_l2_spares_the_parameters_with_large_gradients(name):
    sizes = 10.0 ** np.arange(1, 7)  # above the decay's own part of the gradient
    gradients, start = noise(400, sizes), np.ones(6)
    small = gradtx.scale_by_learning_rate(1e-3)

    def lost(*members):
        """What decay takes off the weights, over what the noise does to them."""
        free = run(gradtx.chain(ADAPTIVE[name], small), start, gradients).params[-1]
        return free - run(gradtx.chain(*members, small), start, gradients).params[-1]

    by_l2 = lost(L2, ADAPTIVE[name])
    by_decay = lost(ADAPTIVE[name], L2)
    # L2 divides the decay by the size of the gradients, but for what it adds to them
    # itself, a part of 0.3 / 10 where they are smallest ...
    assert np.all(by_l2 > 0)
    np.testing.assert_allclose(by_l2 * sizes, by_l2[-1] * sizes[-1], rtol=0.03)
    # ... decoupled, all weights shrink alike: only the roundings differ.
    np.testing.assert_allclose(by_decay, by_decay[0], rtol=1e-12)
    assert by_decay[0] > 0.05


@pytest.mark.parametrize(
    "tx",
    [
        gradtx.adamw(RATE, weight_decay=DECAY),
        gradtx.nadamw(RATE, weight_decay=DECAY),
        gradtx.adamaxw(RATE, weight_decay=DECAY),
        gradtx.lion(RATE, weight_decay=DECAY),
    ],
    ids=repr,
)
def test_without_gradients_weights_shrink_geometrically(tx):
    path = run(tx, START, np.zeros((50, 4))).params
    shrunk = (1 - RATE * DECAY) ** np.arange(51)[:, None] * START
    np.testing.assert_allclose(path, shrunk, rtol=1e-13)  # 50 products


def test_a_scheduled_decay_shrinks_by_a_product():
    def rate(count):
        return RATE / (1 + count)

    def decay(count):
        return DECAY * (1 + count) ** 0.5

    path = run(gradtx.adamw(rate, weight_decay=decay), START, np.zeros((50, 4))).params
    t = np.arange(50)
    factors = np.cumprod(1 - rate(t) * decay(t))
    np.testing.assert_allclose(path[1:], factors[:, None] * START, rtol=1e-13)


def test_decay_behind_the_rate_grows_the_weights():
    tx = gradtx.chain(gradtx.sgd(RATE), L2)
    path = run(tx, START, np.zeros((20, 4))).params
    grown = (1 + DECAY) ** np.arange(21)[:, None] * START
    np.testing.assert_allclose(path, grown, rtol=1e-13)


@pytest.mark.parametrize("mask", [None, False], ids=["all", "none"])
def test_no_decay_changes_nothing(mask):
    tx = gradtx.add_decayed_weights(0.0 if mask is None else DECAY, mask)
    gradients = noise(20, np.ones(4))
    np.testing.assert_array_equal(run(tx, START, gradients).updates, gradients)


@pytest.mark.parametrize(
    ("tx", "plain"),
    [
        (gradtx.adamw(RATE, weight_decay=0.0), gradtx.adam(RATE)),
        (gradtx.nadamw(RATE, weight_decay=0.0), gradtx.nadam(RATE)),
        (gradtx.adamaxw(RATE, weight_decay=0.0), gradtx.adamax(RATE)),
        (gradtx.adamw(RATE, weight_decay=DECAY, mask=False), gradtx.adam(RATE)),
    ],
    ids=repr,
)
def test_without_decay_the_optimizer_is_the_plain_one(tx, plain):
    # XLA fuses the last product and sum in one and not in the other: a rounding a step.
    actual, desired = descend(tx, 40), descend(plain, 40)
    np.testing.assert_allclose(actual, desired, rtol=0, atol=1e-14)
