"""Kinds of weight decay and fixed norms, each in NumPy float64 from its definition.

Adam is written out here (Kingma & Ba 2015, algorithm 1): what decays does so between
its moments and its step.
"""

import numpy as np


def directions(b1=0.9, b2=0.999, eps=1e-8):
    """Adam's, one gradient after another."""
    m = v = 0.0
    t = 0
    g = yield
    while True:
        t += 1
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * np.abs(g) ** 2
        g = yield m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + eps)


def started():
    found = directions()
    next(found)
    return found


def coupled(grads, w, rate, decay, **_):
    """Loshchilov & Hutter 2019, algorithm 2, with the pink part."""
    adam = started()
    for t, g in enumerate(grads):
        w = w - rate(t) * adam.send(g + decay * w)
        yield w


def decoupled(grads, w, rate, decay, **_):
    """torch.optim.AdamW: the decay times the rate."""
    adam = started()
    for t, g in enumerate(grads):
        w = w - rate(t) * (adam.send(g) + decay * w)
        yield w


def independent(grads, w, rate, decay, peak, **_):
    """Loshchilov & Hutter 2019, algorithm 2, with the green part.

    There w -= eta_t (alpha adam + decay w): the rate is eta_t alpha, with alpha = peak.
    """
    adam = started()
    for t, g in enumerate(grads):
        eta = rate(t) / peak
        w = w - eta * (peak * adam.send(g) + decay * w)
        yield w


def corrected(grads, w, rate, decay, peak, normalized=True):
    """Defazio 2025, AdamC: lambda gamma_t / gamma_max on normalised layers."""
    adam = started()
    for t, g in enumerate(grads):
        here = decay * rate(t) / peak if normalized else decay
        w = w - rate(t) * adam.send(g) - rate(t) * here * w
        yield w


def cautious(grads, w, rate, decay, **_):
    """Chen et al. 2025, algorithm 1."""
    adam = started()
    for t, g in enumerate(grads):
        u = adam.send(g)
        w = w - rate(t) * (u + decay * (u * w >= 0) * w)
        yield w


def hyperball(grads, w, rate):
    """Wen et al. 2026: W = Norm(W - eta Norm(u) |W_0|) |W_0|, of Frobenius norms."""

    def norm(x):
        return np.sqrt(np.sum(np.abs(x) ** 2))

    adam, radius = started(), norm(w)
    for t, g in enumerate(grads):
        u = adam.send(g)
        if norm(u) > 0:
            w = w - rate(t) * radius * u / norm(u)
            w = radius * w / norm(w)
        yield w
