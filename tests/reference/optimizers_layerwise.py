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
