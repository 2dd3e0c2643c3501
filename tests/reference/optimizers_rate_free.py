"""Methods without a learning rate to find, in NumPy float64, from their papers.

As in optimizers.py. Those in WHOLE have norms and products over all leaves: the array
is then one vector of all of them.
"""

import numpy as np

from .optimizers import square, trajectory

WHOLE = {"dadapt_adamw", "dog", "dowg", "momo", "momo_adam", "prodigy"}


def schedule_free(grads, w, rate, step, b1=0.9, weight_lr_power=2.0):
    """Defazio et al. 2024, eq. 8-10: pairs (y, x). `step(g, y)` is of the base."""
    x, z, y, rates, weights = w, w, w, [], []
    for k, g in enumerate(grads):
        z = z + step(g, y)
        rates.append(rate(k))
        weights.append(max(rates) ** weight_lr_power)
        c = weights[-1] / sum(weights) if sum(weights) else 1 / (k + 1)
        x = (1 - c) * x + c * z
        y = (1 - b1) * z + b1 * x
        yield y, x


def warmed(learning_rate, warmup_steps):
    """Algorithm 1: gamma_t = gamma min(1, t / T_warmup), t from 1."""
    if warmup_steps is None:
        return learning_rate
    return lambda step: learning_rate(step) * min(1, (step + 1) / warmup_steps)


@trajectory
def schedule_free_sgd(
    grads,
    w,
    learning_rate,
    warmup_steps=None,
    b1=0.9,
    weight_decay=None,
    weight_lr_power=2.0,
):
    """Defazio et al. 2024, eq. 8-10, with decay at y."""
    rate, steps = warmed(learning_rate, warmup_steps), iter(range(len(grads)))

    def step(g, y):
        k = next(steps)
        return -rate(k) * (g + (weight_decay(k) or 0.0) * y)

    for y, _ in schedule_free(grads, w, rate, step, b1, weight_lr_power):
        yield y


@trajectory
def schedule_free_adamw(
    grads,
    w,
    learning_rate,
    warmup_steps=None,
    b1=0.9,
    b2=0.999,
    eps=1e-8,
    weight_decay=0.0,
    weight_lr_power=2.0,
):
    """Defazio et al. 2024, algorithm 1."""
    rate, steps = warmed(learning_rate, warmup_steps), iter(range(len(grads)))
    v = np.zeros(w.shape)

    def step(g, y):
        nonlocal v
        k = next(steps)
        v = b2 * v + (1 - b2) * square(g)
        adam = g / (np.sqrt(v / (1 - b2 ** (k + 1))) + eps)
        return -rate(k) * (adam + weight_decay(k) * y)

    for y, _ in schedule_free(grads, w, rate, step, b1, weight_lr_power):
        yield y


@trajectory
def dog(
    grads,
    w,
    learning_rate,
    init_step=("heuristic", 1e-6),
    eps=1e-8,
    weight_decay=None,
):
    """Ivgi et al. 2023, eq. 1-3."""
    start, total = w, 0.0
    kind, first = init_step
    dist = {"distance": first, "heuristic": first * (1 + np.linalg.norm(w))}
    dist = dist.get(kind, 0.0)
    for step, g in enumerate(grads):
        g = g + (weight_decay(step) or 0.0) * w
        dist = max(dist, np.linalg.norm(w - start))
        total = total + np.linalg.norm(g) ** 2
        eta = dist / np.sqrt(total + eps)
        if kind == "learning_rate" and step == 0:
            eta = first
        w = w - learning_rate(step) * eta * g
        yield w


@trajectory
def dowg(grads, w, learning_rate, init_estim_sq_dist=None, eps=1e-4, weight_decay=None):
    """Khaled et al. 2023, algorithm 1."""
    start, v = w, 0.0
    squared = eps if init_estim_sq_dist is None else init_estim_sq_dist
    for step, g in enumerate(grads):
        g = g + (weight_decay(step) or 0.0) * w
        squared = max(squared, np.linalg.norm(w - start) ** 2)
        v = v + squared * np.linalg.norm(g) ** 2
        w = w - learning_rate(step) * squared / (np.sqrt(v) + eps) * g
        yield w


def inner(x, y):
    return np.vdot(x, y).real


@trajectory
def prodigy(
    grads,
    w,
    learning_rate,
    betas=(0.9, 0.999),
    beta3=None,
    eps=1e-8,
    estim_lr0=1e-6,
    estim_lr_coef=1.0,
    weight_decay=0.0,
    safeguard_warmup=False,
):
    """Mishchenko & Defazio 2023, algorithm 4, in the scale 1 / d_0 of its program."""
    (b1, b2), start, d, r = betas, w, estim_lr0, 0.0
    b3 = np.sqrt(b2) if beta3 is None else beta3
    m, v, s = np.zeros_like(w), np.zeros(w.shape), np.zeros_like(w)
    for step, g in enumerate(grads):
        corrected = np.sqrt(1 - b2 ** (step + 1)) / (1 - b1 ** (step + 1))
        rate = d * learning_rate(step) * corrected
        m = b1 * m + (1 - b1) * d * g
        v = b2 * v + (1 - b2) * d**2 * square(g)
        r = b3 * r + rate * d / estim_lr0 * inner(g, start - w)
        s = b3 * s + (d if safeguard_warmup else rate) * d / estim_lr0 * g
        d = max(d, estim_lr_coef * r / np.abs(s).sum())
        w = w - rate * (m / (np.sqrt(v) + d * eps) + weight_decay(step) * w)
        yield w


@trajectory
def dadapt_adamw(
    grads,
    w,
    learning_rate,
    betas=(0.9, 0.999),
    eps=1e-8,
    estim_lr0=1e-6,
    weight_decay=0.0,
):
    """Defazio & Mishchenko 2023, algorithm 5."""
    (b1, b2), d, r = betas, estim_lr0, 0.0
    b3 = np.sqrt(b2)
    m, v, s = np.zeros_like(w), np.zeros(w.shape), np.zeros_like(w)
    for step, g in enumerate(grads):
        corrected = np.sqrt(1 - b2 ** (step + 1)) / (1 - b1 ** (step + 1))
        rate = d * learning_rate(step) * corrected
        r = b3 * r + (1 - b3) * rate * inner(g, s / (np.sqrt(v) + eps))
        m = b1 * m + (1 - b1) * rate * g
        v = b2 * v + (1 - b2) * square(g)
        s = b3 * s + (1 - b3) * rate * g
        d = max(d, r / ((1 - b3) * np.abs(s).sum()))
        w = w - m / (np.sqrt(v) + eps) - rate * weight_decay(step) * w
        yield w


@trajectory
def momo(
    grads,
    w,
    learning_rate,
    values,
    beta=0.9,
    lower_bound=0.0,
    weight_decay=0.0,
    adapt_lower_bound=False,
):
    """Schaipp et al. 2023, algorithm 1 and section 4."""
    lb, d, f, c = lower_bound, None, None, None
    for step, (g, value) in enumerate(zip(grads, values, strict=True)):
        rate, k = learning_rate(step), 1 + learning_rate(step) * weight_decay(step)
        old = 0.0 if d is None else beta
        d = old * (0 if d is None else d) + (1 - old) * g
        f = old * (f or 0) + (1 - old) * value
        c = old * (c or 0) + (1 - old) * inner(g, w)
        along, size = inner(d, w), inner(d, d)
        cap = k * (f - c) + along
        if adapt_lower_bound and cap < k * lb:
            lb = max(cap / (2 * k), lower_bound)
        tau = min(rate, max(k * (f - lb - c) + along, 0) / size)
        if adapt_lower_bound:
            lb = max(f + along - c - tau * size / 2, lower_bound)
        w = w - (1 - 1 / k) * w - tau * d
        yield w


@trajectory
def momo_adam(
    grads,
    w,
    learning_rate,
    values,
    b1=0.9,
    b2=0.999,
    eps=1e-8,
    lower_bound=0.0,
    weight_decay=0.0,
    adapt_lower_bound=False,
):
    """Schaipp et al. 2023, algorithm 2 and section 4."""
    lb, f, c = lower_bound, 0.0, 0.0
    d, nu = np.zeros_like(w), np.zeros(w.shape)
    for step, (g, value) in enumerate(zip(grads, values, strict=True)):
        rate, k = learning_rate(step), 1 + learning_rate(step) * weight_decay(step)
        d, f = b1 * d + (1 - b1) * g, b1 * f + (1 - b1) * value
        nu = b2 * nu + (1 - b2) * square(g)
        c = b1 * c + (1 - b1) * inner(g, w)
        seen = 1 - b1 ** (step + 1)
        over = d / (eps + np.sqrt(nu / (1 - b2 ** (step + 1))))
        along, size = inner(d, w), inner(d, over)
        cap = k * (f - c) + along
        if adapt_lower_bound and cap < k * seen * lb:
            lb = max(cap / (2 * seen * k), lower_bound)
        tau = min(rate / seen, max(k * (f - seen * lb - c) + along, 0) / size)
        if adapt_lower_bound:
            lb = max((f + along - c - tau * size / 2) / seen, lower_bound)
        w = w - (1 - 1 / k) * w - tau * over
        yield w


@trajectory
def madgrad(grads, w, learning_rate, momentum=0.9, weight_decay=0.0, eps=1e-6):
    """Defazio & Jelassi 2021, algorithm 1; eps beside the rate as in their program."""
    start, total, s = w, np.zeros(w.shape), np.zeros_like(w)
    for step, g in enumerate(grads):
        g = g + weight_decay(step) * w
        lam = (learning_rate(step) + eps) * np.sqrt(step + 1)
        total, s = total + lam * square(g), s + lam * g
        z = start - s / (np.cbrt(total) + eps)
        w = momentum * w + (1 - momentum) * z
        yield w


@trajectory
def cocob(grads, w, learning_rate, alpha=100.0, eps=1e-8, weight_decay=0.0):
    """Orabona & Tommasi 2017, algorithm 2."""
    start = w
    largest, size = np.full(w.shape, eps), np.zeros(w.shape)
    won, theta = np.zeros(w.shape), np.zeros(w.shape)
    for step, g in enumerate(grads):
        g = -learning_rate(step) * (g + weight_decay(step) * w)
        largest = np.maximum(largest, np.abs(g))
        size = size + np.abs(g)
        won = np.maximum(won + (w - start) * g, 0)
        theta = theta + g
        beta = theta / (largest * np.maximum(size + largest, alpha * largest))
        w = start + beta * (largest + won)
        yield w


def mechanize(
    grads,
    w,
    base,
    weight_decay=1e-2,
    eps=1e-8,
    s_init=1e-6,
    num_betas=6,
):
    """Cutkosky et al. 2023, algorithm 1; h clipped by m. `base` gives each update."""
    betas = np.array([1 - 10.0 ** -(i + 1) for i in range(num_betas)])
    start, delta, path = w, np.zeros_like(w), []
    r, m, v = np.zeros(num_betas), np.zeros(num_betas), np.zeros(num_betas)
    s = np.full(num_betas, s_init)
    for g, u in zip(grads, base, strict=True):
        pull = weight_decay * s.sum() * np.linalg.norm(g) / (np.linalg.norm(w) + eps)
        h = inner(g + pull * w, delta)
        delta = delta - u
        r = betas * r + np.clip(h, -m, m) * s
        m = np.maximum(betas * m, abs(h) + eps)
        v = betas**2 * v + h**2
        s = (s_init / num_betas * m + np.maximum(r, 0)) / (np.sqrt(v) + eps)
        w = start - s.sum() * delta
        path.append(w)
    return path
