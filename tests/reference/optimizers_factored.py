"""Optimizers with few second moments, as their papers state them: see optimizers.py.

X is a leaf, G its gradient, R and C are the row and the column sums of the moments of a
matrix (of two axes; others have a full moment), t counts from 1.
"""

import jax
import numpy as np

from .optimizers import schedule, square, trajectory
from .optimizers_adaptive import corrected


def rms(x):
    return np.sqrt(np.mean(square(x)))


def clipped(u, d):
    """Shazeer & Stern 2018, section 6: U / max(1, RMS(U) / d)."""
    return u if d is None else u / max(1, rms(u) / d)


@trajectory
def adafactor(
    grads,
    w,
    learning_rate,
    min_dim_size_to_factor=128,
    decay_rate=0.8,
    decay_offset=0,
    multiply_by_parameter_scale=True,
    clipping_threshold=1.0,
    momentum=None,
    weight_decay_rate=None,
    eps=1e-30,
    factored=True,
    min_scale=1e-3,
    decay_rate_fn=None,
):
    """Shazeer & Stern 2018, algorithms 4 and 5, beta2_t of section 7.2."""
    decay = schedule(weight_decay_rate or 0.0)
    factored = factored and w.ndim == 2 and min(w.shape) >= min_dim_size_to_factor
    r, c, v, m = 0.0, 0.0, 0.0, 0.0
    for step, g in enumerate(grads):
        n = max(step - decay_offset, 0)  # steps of this phase before
        b = 1 - (n + 1.0) ** -decay_rate
        b = decay_rate_fn(n, decay_rate) if decay_rate_fn else b
        if factored:
            squared = square(g) + eps
            r = b * r + (1 - b) * squared @ np.ones(w.shape[1])
            c = b * c + (1 - b) * np.ones(w.shape[0]) @ squared
            v = np.outer(r, c) / np.sum(r)
        else:
            v = b * v + (1 - b) * (square(g) + eps)
        u = clipped(g / np.sqrt(v), clipping_threshold)
        size = max(min_scale, rms(w)) if multiply_by_parameter_scale else 1.0
        u = size * learning_rate(step) * u
        if momentum is not None:
            u = m = momentum * m + (1 - momentum) * u
        w = w - u - decay(step) * w
        yield w


@trajectory
def sm3(grads, w, learning_rate, momentum=0.9, b2=1.0, eps=1e-8):
    """Anil et al. 2019, SM3-II: the sets are the slices along each axis."""
    fresh = 1.0 if b2 == 1 else 1 - b2
    mu = [np.zeros(n) for n in w.shape] or [np.zeros(())]
    m = np.zeros_like(w)
    for step, g in enumerate(grads):
        nu = np.empty(w.shape)
        for i in np.ndindex(w.shape):  # the sets that hold i: one for each axis
            least = min(mu[r][i[r : r + 1]] for r in range(len(mu)))
            nu[i] = b2 * least + fresh * square(g[i])
        mu = [np.zeros_like(bounds) for bounds in mu]
        for i in np.ndindex(w.shape):
            for r, bounds in enumerate(mu):
                bounds[i[r : r + 1]] = max(bounds[i[r : r + 1]], nu[i])
        d = np.divide(g, np.sqrt(nu + eps), out=np.zeros_like(g), where=nu > 0)
        m = momentum * m + (1 - momentum) * d
        w = w - learning_rate(step) * m
        yield w


@trajectory
def novograd(
    grads, w, learning_rate, b1=0.9, b2=0.25, eps=1e-6, eps_root=0.0, weight_decay=0.0
):
    """Ginsburg et al. 2019, algorithm 1, of one layer."""
    v, m = None, 0.0
    for step, g in enumerate(grads):
        squared = np.sum(square(g))
        v = squared if v is None else b2 * v + (1 - b2) * squared
        m = b1 * m + (g / (np.sqrt(v + eps_root) + eps) + weight_decay(step) * w)
        w = w - learning_rate(step) * m
        yield w


@trajectory
def stable_adamw(grads, w, learning_rate, b1=0.9, b2=0.99, eps=1e-6, weight_decay=1e-4):
    """Wortsman et al. 2023, algorithm 2, with its beta-hats."""
    v, u = np.zeros_like(w), np.zeros(w.shape)
    for step, g in enumerate(grads):
        t = step + 1
        b1_hat = b1 * (1 - b1 ** (t - 1)) / (1 - b1**t)
        b2_hat = b2 * (1 - b2 ** (t - 1)) / (1 - b2**t)
        v = b1_hat * v + (1 - b1_hat) * g
        u = b2_hat * u + (1 - b2_hat) * square(g)
        surprise = np.sqrt(np.mean(square(g) / np.maximum(u, eps**2)))
        rate = learning_rate(step) / max(1, surprise)
        w = w - rate * weight_decay(step) * w - rate * v / (np.sqrt(u) + eps)
        yield w


@trajectory
def adam_mini(
    grads,
    w,
    learning_rate,
    b1=0.9,
    b2=0.999,
    eps=1e-8,
    weight_decay=0.0,
    blocks="output",
):
    """Zhang et al. 2024, algorithm 1, block by block: the columns of a matrix."""
    whole, each = [np.ones(w.shape, bool)], [w.shape]
    if blocks == "output" and w.ndim == 2:
        each = [np.arange(w.shape[1]) == j for j in range(w.shape[1])]
        whole = [np.broadcast_to(block, w.shape) for block in each]
    elif blocks == "entry":
        whole = [np.arange(w.size).reshape(w.shape) == i for i in range(w.size)]
    m, v = np.zeros_like(w), np.zeros(len(whole))
    for step, g in enumerate(grads):
        t = step + 1
        m = b1 * m + (1 - b1) * g
        d = np.empty_like(w)
        for i, block in enumerate(whole):
            v[i] = b2 * v[i] + (1 - b2) * np.mean(square(g[block]))
            root = np.sqrt(corrected(v[i], b2, t)) + eps
            d[block] = corrected(m[block], b1, t) / root
        w = w - learning_rate(step) * (d + weight_decay(step) * w)
        yield w


@trajectory
def came(
    grads,
    w,
    learning_rate,
    b1=0.9,
    b2=0.999,
    b3=0.9999,
    eps=1e-30,
    eps_confidence=1e-16,
    clipping_threshold=1.0,
    weight_decay=0.0,
):
    """Luo et al. 2023, algorithm 2; a leaf that is no matrix: the authors' code."""
    v, m = 0.0, np.zeros_like(w)
    moments = {"v": (0.0, 0.0), "s": (0.0, 0.0)}

    def factored(name, b, x):
        rows, columns = (np.sum(x, axis=1), np.sum(x, axis=0))
        r, c = moments[name]
        r, c = b * r + (1 - b) * rows, b * c + (1 - b) * columns
        moments[name] = r, c
        return np.outer(r, c) / np.sum(r)

    for step, g in enumerate(grads):
        if w.ndim == 2:
            v = factored("v", b2, square(g) + eps)
        else:
            v = b2 * v + (1 - b2) * (square(g) + eps)
        u = clipped(g / np.sqrt(v), clipping_threshold)
        m = b1 * m + (1 - b1) * u
        d = m
        if w.ndim == 2:
            d = m / np.sqrt(factored("s", b3, square(u - m) + eps_confidence))
        w = w - learning_rate(step) * (d + weight_decay(step) * w)
        yield w


@trajectory
def apollo(
    grads,
    w,
    learning_rate,
    rank=128,
    update_proj_gap=200,
    scale=1.0,
    b1=0.9,
    b2=0.999,
    eps=1e-8,
    weight_decay=0.0,
    scaling="channel",
    max_growth=1.01,
):
    """Zhu et al. 2024, algorithm 1; the projections are drawn as documented."""
    matrix = w.ndim == 2 and min(w.shape) > rank
    tall = matrix and w.shape[0] > w.shape[1]
    m, v, before = 0.0, 0.0, None
    for step, g in enumerate(grads):
        t, r = step + 1, g
        if matrix:
            g = g.T if tall else g
            key = jax.random.fold_in(jax.random.key(0), step // update_proj_gap)
            key = jax.random.fold_in(key, 1)  # the matrix is the second leaf
            p = jax.random.normal(key, (rank, len(g)), np.float32)
            r = np.float64(p) / np.sqrt(rank) @ g
        m, v = b1 * m + (1 - b1) * r, b2 * v + (1 - b2) * square(r)
        d = corrected(m, b1, t) / (np.sqrt(corrected(v, b2, t)) + eps)
        if matrix:
            axis = 0 if scaling == "channel" else (0, 1)
            above, below = np.sum(square(d), axis), np.sum(square(r), axis)
            seen = below > 0  # no gradient: there is nothing to be scaled
            s = np.sqrt(np.divide(above, below, out=np.zeros_like(below), where=seen))
            d = g * s
            size = np.linalg.norm(d)
            if before is not None and max_growth and size > max_growth * before:
                d = d / size * max_growth * before
            before = np.linalg.norm(d)
            d = scale * (d.T if tall else d)
        w = w - learning_rate(step) * (d + weight_decay(step) * w)
        yield w


def apollo_mini(
    grads,
    params,
    learning_rate,
    rank=1,
    update_proj_gap=200,
    scale=128**0.5,
    weight_decay=0.0,
):
    """Zhu et al. 2024, algorithm 1, APOLLO-Mini."""
    return apollo(
        grads,
        params,
        learning_rate,
        rank,
        update_proj_gap,
        scale,
        weight_decay=weight_decay,
        scaling="tensor",
    )


@trajectory
def galore(
    grads, w, learning_rate, rank=128, update_proj_gap=200, scale=1.0, weight_decay=0.0
):
    """Zhao et al. 2024, algorithm 2, with Adam's defaults."""
    matrix = w.ndim == 2
    tall = matrix and w.shape[0] >= w.shape[1]
    m, v, p = 0.0, 0.0, None
    for step, g in enumerate(grads):
        t, r = step + 1, g
        if matrix:
            if step % update_proj_gap == 0:  # signs, which matter here, are LAPACK's
                left, _, right = np.linalg.svd(g, full_matrices=False)
                p = (left if tall else right.conj().T)[:, :rank]
            r = p.conj().T @ (g if tall else g.conj().T)
        m, v = 0.9 * m + 0.1 * r, 0.999 * v + 0.001 * square(r)
        d = corrected(m, 0.9, t) / (np.sqrt(corrected(v, 0.999, t)) + 1e-8)
        if matrix:
            d = scale * (p @ d)
            d = d if tall else d.conj().T
        w = w - learning_rate(step) * (d + weight_decay(step) * w)
        yield w
