"""Further relatives of Adam, as their papers state them: see optimizers.py.

Letters as in optimizers_adaptive.py; c is a corrected gradient, x a scaled one.
"""

import numpy as np

from .optimizers import schedule, square, trajectory
from .optimizers_adaptive import corrected


@trajectory
def adabelief(
    grads,
    w,
    learning_rate,
    b1=0.9,
    b2=0.999,
    eps=1e-16,
    eps_root=1e-16,
    nesterov=False,
):
    """Zhuang et al. 2020, algorithm 2; nesterov as in adamw."""
    m, s = np.zeros_like(w), np.zeros(w.shape)
    for step, g in enumerate(grads):
        t = step + 1
        m = b1 * m + (1 - b1) * g
        s = b2 * s + (1 - b2) * square(g - m) + eps_root
        m_hat = corrected(m, b1, t)
        if nesterov:
            m_hat = b1 * corrected(m, b1, t + 1) + (1 - b1) * corrected(g, b1, t)
        w = w - learning_rate(step) * m_hat / (np.sqrt(corrected(s, b2, t)) + eps)
        yield w


@trajectory
def yogi(grads, w, learning_rate, b1=0.9, b2=0.999, eps=1e-3):
    """Zaheer et al. 2018, algorithm 2, both moments from 1e-6."""
    for step, d in enumerate(yogi_directions(grads, w, b1, b2, eps)):
        w = w - learning_rate(step) * d
        yield w


def yogi_directions(grads, w, b1, b2, eps, eps_root=0.0, start=1e-6):
    """What is multiplied by the rate: the moments are corrected."""
    m, v = np.full_like(w, start), np.full(w.shape, start)
    for t, g in enumerate(grads, 1):
        m = b1 * m + (1 - b1) * g
        v = v - (1 - b2) * np.sign(v - square(g)) * square(g)
        yield corrected(m, b1, t) / (np.sqrt(corrected(v, b2, t) + eps_root) + eps)


@trajectory
def adan(
    grads,
    w,
    learning_rate,
    b1=0.98,
    b2=0.92,
    b3=0.99,
    eps=1e-8,
    eps_root=1e-8,
    weight_decay=0.0,
):
    """Xie et al. 2022, algorithm 1; its betas are these from 1, so 1 - beta_2 is b2."""
    m, v, n, last = np.zeros_like(w), np.zeros_like(w), np.zeros(w.shape), grads[0]
    for step, g in enumerate(grads):
        t, beta_2 = step + 1, 1 - b2
        m = b1 * m + (1 - b1) * g
        v = (1 - beta_2) * v + beta_2 * (g - last)
        n = b3 * n + (1 - b3) * square(g + (1 - beta_2) * (g - last))
        ahead = corrected(m, b1, t) + (1 - beta_2) * corrected(v, b2, t)
        d = ahead / (np.sqrt(corrected(n, b3, t) + eps_root) + eps)
        w = w - learning_rate(step) * (d + weight_decay(step) * w)
        last = g
        yield w


@trajectory
def acprop(
    grads,
    w,
    learning_rate,
    b1=0.9,
    b2=0.999,
    eps=1e-16,
    eps_root=1e-16,
    weight_decay=0.0,
):
    """Zhuang et al. 2021: the denominator is a step old, and 1 at first."""
    m, s, root = np.zeros_like(w), np.zeros(w.shape), np.ones(w.shape)
    for step, g in enumerate(grads):
        d = g / (root + eps)
        m = b1 * m + (1 - b1) * g
        s = b2 * s + (1 - b2) * square(g - m) + eps_root
        root = np.sqrt(corrected(s, b2, step + 1))
        w = w - learning_rate(step) * (d + weight_decay(step) * w)
        yield w


@trajectory
def adopt(
    grads,
    w,
    learning_rate,
    b1=0.9,
    b2=0.9999,
    eps=1e-6,
    nesterov=False,
    use_clipping=True,
):
    """Taniguchi et al. 2024, algorithm 2: the first gradient makes v alone."""
    m, v = np.zeros_like(w), square(grads[0])
    yield w
    for t, g in enumerate(grads[1:], 1):
        x = g / np.maximum(np.sqrt(v), eps)
        if use_clipping:
            x = x / np.maximum(1, np.abs(x) / t**0.25)
        m = b1 * m + (1 - b1) * x
        w = w - learning_rate(t) * (b1 * m + (1 - b1) * x if nesterov else m)
        v = b2 * v + (1 - b2) * square(g)
        yield w


@trajectory
def ademamix(
    grads,
    w,
    learning_rate,
    b1=0.9,
    b2=0.999,
    b3=0.9999,
    alpha=5.0,
    eps=1e-8,
    eps_root=0.0,
    weight_decay=0.0,
):
    """Pagliardini et al. 2024, algorithm 1."""
    m1, m2, v = np.zeros_like(w), np.zeros_like(w), np.zeros(w.shape)
    b3, alpha = schedule(b3), schedule(alpha)
    for step, g in enumerate(grads):
        t = step + 1
        m1 = b1 * m1 + (1 - b1) * g
        m2 = b3(step) * m2 + (1 - b3(step)) * g
        v = b2 * v + (1 - b2) * square(g)
        both = corrected(m1, b1, t) + alpha(step) * m2
        d = both / (np.sqrt(corrected(v, b2, t) + eps_root) + eps)
        w = w - learning_rate(step) * (d + weight_decay(step) * w)
        yield w


@trajectory
def simplified_ademamix(
    grads,
    w,
    learning_rate,
    b1=0.99,
    b2=0.95,
    alpha=0.0,
    eps=1e-8,
    eps_root=0.0,
    weight_decay=0.0,
):
    """Morwani et al. 2025: a sum in place of averages, not corrected."""
    m, v, alpha = np.zeros_like(w), np.zeros(w.shape), schedule(alpha)
    for step, g in enumerate(grads):
        m = b1 * m + g
        v = b2 * v + (1 - b2) * square(g)
        root = np.sqrt(corrected(v, b2, step + 1) + eps_root) + eps
        d = (m + alpha(step) * g) / root
        w = w - learning_rate(step) * (d + weight_decay(step) * w)
        yield w


@trajectory
def laprop(
    grads,
    w,
    learning_rate,
    b1=0.9,
    b2=0.999,
    eps=1e-15,
    eps_root=0.0,
    weight_decay=0.0,
):
    """Ziyin et al. 2020, algorithm 1."""
    m, v = np.zeros_like(w), np.zeros(w.shape)
    for step, g in enumerate(grads):
        t = step + 1
        v = b2 * v + (1 - b2) * square(g)
        x = g / (np.sqrt(corrected(v, b2, t) + eps_root) + eps)
        m = b1 * m + (1 - b1) * x
        d = corrected(m, b1, t)
        w = w - learning_rate(step) * (d + weight_decay(step) * w)
        yield w


@trajectory
def mars(
    grads,
    w,
    learning_rate,
    b1=0.95,
    b2=0.99,
    eps=1e-8,
    eps_root=0.0,
    weight_decay=0.0,
    gamma=0.025,
    max_norm=1.0,
):
    """Yuan et al. 2024, algorithm 2, with the gradient of the step before."""
    m, v, last = np.zeros_like(w), np.zeros(w.shape), grads[0]
    for step, g in enumerate(grads):
        t = step + 1
        c = g + gamma * b1 / (1 - b1) * (g - last)
        norm = np.sqrt(np.sum(square(c)))
        if max_norm is not None and norm > max_norm:
            c = c / norm * max_norm
        m = b1 * m + (1 - b1) * c
        v = b2 * v + (1 - b2) * square(c)
        d = corrected(m, b1, t) / (np.sqrt(corrected(v, b2, t) + eps_root) + eps)
        w = w - learning_rate(step) * (d + weight_decay(step) * w)
        last = g
        yield w
