"""Optimizers by layers, signs and past gradients, as their papers state them."""

import numpy as np

from .optimizers import square, trajectory


def size(x):
    """The norm of a whole array."""
    return np.sqrt(np.sum(square(x)))


def ratio(p, g, coefficient=1.0, eps=0.0, min_norm=0.0):
    """You et al. 2017, eq. 6; 1 where a norm is 0."""
    mine, its = max(size(p), min_norm), max(size(g), min_norm)
    return 1.0 if mine == 0 or its == 0 else coefficient * mine / (its + eps)


@trajectory
def lamb(
    grads,
    w,
    learning_rate,
    b1=0.9,
    b2=0.999,
    eps=1e-6,
    eps_root=0.0,
    weight_decay=0.0,
):
    """You et al. 2020, algorithm 2, phi(x) = x."""
    m, v = np.zeros_like(w), np.zeros(w.shape)
    for step, g in enumerate(grads):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * square(g)
        m_hat, v_hat = m / (1 - b1 ** (step + 1)), v / (1 - b2 ** (step + 1))
        r = m_hat / (np.sqrt(v_hat + eps_root) + eps) + weight_decay(step) * w
        w = w - learning_rate(step) * ratio(w, r) * r
        yield w


@trajectory
def lars(
    grads,
    w,
    learning_rate,
    weight_decay=0.0,
    trust_coefficient=0.001,
    eps=0.0,
    momentum=0.9,
    nesterov=False,
):
    """You et al. 2017, algorithm 1, with the norm of the decayed gradient."""
    v = np.zeros_like(w)
    for step, g in enumerate(grads):
        d = g + weight_decay(step) * w
        d = learning_rate(step) * ratio(w, d, trust_coefficient, eps) * d
        v = momentum * v + d
        w = w - (d + momentum * v if nesterov else v)
        yield w


@trajectory
def fromage(grads, w, learning_rate, min_norm=1e-6):
    """Bernstein et al. 2020, algorithm 1."""
    for step, g in enumerate(grads):
        rate = learning_rate(step)
        w = (w - rate * ratio(w, g, min_norm=min_norm) * g) / np.sqrt(1 + rate**2)
        yield w


@trajectory
def sign_sgd(grads, w, learning_rate):
    """Bernstein et al. 2018, algorithm 1."""
    for step, g in enumerate(grads):
        w = w - learning_rate(step) * np.sign(g)
        yield w


@trajectory
def signum(grads, w, learning_rate, beta=0.9):
    """Bernstein et al. 2018, algorithm 2."""
    m = np.zeros_like(w)
    for step, g in enumerate(grads):
        m = beta * m + (1 - beta) * g
        w = w - learning_rate(step) * np.sign(m)
        yield w


@trajectory
def optimistic_gradient_descent(grads, w, learning_rate, alpha=1.0, beta=1.0):
    """Mokhtari et al. 2020, eq. 18."""
    before = None
    for step, g in enumerate(grads):
        before = g if before is None else before
        w = w - learning_rate(step) * (alpha * g + beta * (g - before))
        before = g
        yield w


def adam_directions(grads, w, b1, b2, eps, eps_root, nesterov):
    """Kingma & Ba 2015, algorithm 1; Nesterov's momentum: Dozat 2016, algorithm 2."""
    m, v = np.zeros_like(w), np.zeros(w.shape)
    for t, g in enumerate(grads, 1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * square(g)
        m_hat = m / (1 - b1**t)
        if nesterov:
            m_hat = b1 * m / (1 - b1 ** (t + 1)) + (1 - b1) * g / (1 - b1**t)
        yield m_hat / (np.sqrt(v / (1 - b2**t) + eps_root) + eps)


@trajectory
def optimistic_adam(
    grads,
    w,
    learning_rate,
    optimism=None,
    b1=0.9,
    b2=0.999,
    eps=1e-8,
    eps_root=0.0,
    nesterov=True,
):
    """Daskalakis et al. 2018, algorithm 1, with u_0 = u_1."""
    rate = learning_rate(0)
    optimism = rate if optimism is None else optimism
    before = None
    for u in adam_directions(grads, w, b1, b2, eps, eps_root, nesterov):
        before = u if before is None else before
        w = w - rate * u - optimism * (u - before)
        before = u
        yield w


@trajectory
def optimistic_adam_v2(
    grads,
    w,
    learning_rate,
    alpha=1.0,
    beta=1.0,
    b1=0.9,
    b2=0.999,
    eps=1e-8,
    eps_root=0.0,
    nesterov=True,
):
    """The same with a common rate, which may be a schedule."""
    before = None
    directions = adam_directions(grads, w, b1, b2, eps, eps_root, nesterov)
    for step, u in enumerate(directions):
        before = u if before is None else before
        w = w - learning_rate(step) * (alpha * u + beta * (u - before))
        before = u
        yield w


@trajectory
def asgd(grads, w, learning_rate, lambd=1e-4, alpha=0.75, t0=1e6, weight_decay=0.0):
    """Polyak & Juditsky 1992, with the rates of torch.optim.ASGD; the iterates."""
    for new, _ in averaged(grads, w, learning_rate, lambd, alpha, t0, weight_decay):
        yield new


def averaged(grads, w, learning_rate, lambd, alpha, t0, weight_decay):
    """The iterates with their averages."""
    a = np.zeros_like(w)
    for step, g in enumerate(grads):
        rate = learning_rate(step)
        rate = rate / (1 + lambd * rate * step) ** alpha
        g = g + weight_decay(step) * w
        w = (1 - lambd * rate) * w - rate * g
        a = a + (w - a) / max(1, step - t0)
        yield w, a


@trajectory
def ftrl(grads, w, learning_rate, beta=1.0, l1=0.0, l2=0.0):
    """McMahan et al. 2013, algorithm 1, from z = -beta / alpha w."""
    alpha = learning_rate(0)
    z, n = -beta / alpha * w, np.zeros(w.shape)
    for g in grads:
        sigma = (np.sqrt(n + square(g)) - np.sqrt(n)) / alpha
        z = z + g - sigma * w
        n = n + square(g)
        scale = (beta + np.sqrt(n)) / alpha + l2
        w = np.where(np.abs(z) <= l1, 0, -(z - np.sign(z) * l1) / scale)
        yield w
