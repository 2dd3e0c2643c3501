"""Adam and its relatives, as their papers state them: see optimizers.py.

m is the first moment, v the second, t the number of gradients seen, hats are bias
corrected. Decay is decoupled: it joins the step after the division, before the rate.
"""

import numpy as np

from .optimizers import square, trajectory


def corrected(moment, b, t, bias_correction=True):
    """An average from zero weighs 1 - b^t: Kingma & Ba 2015, section 3."""
    return moment / (1 - b**t) if bias_correction else moment


@trajectory
def adamw(
    grads,
    w,
    learning_rate,
    b1=0.9,
    b2=0.999,
    eps=1e-8,
    eps_root=0.0,
    weight_decay=1e-4,
    nesterov=False,
    bias_correction=True,
    amsgrad=False,
    eps_before_correction=False,
):
    """Loshchilov & Hutter 2019, algorithm 2; nesterov: Dozat 2016 with constant mu."""
    m, v, v_max = np.zeros_like(w), np.zeros(w.shape), np.zeros(w.shape)
    for step, g in enumerate(grads):
        t = step + 1
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * square(g)
        m_hat = corrected(m, b1, t, bias_correction)
        v_hat = corrected(v, b2, t, bias_correction)
        if amsgrad == "uncorrected":
            v_max = np.maximum(v_max, v)
            v_hat = corrected(v_max, b2, t, bias_correction)
        elif amsgrad:  # Boyd-Graber, the boxes
            v_hat = v_max = np.maximum(v_max, v_hat)
        if nesterov:
            m_next = corrected(m, b1, t + 1, bias_correction)
            g_hat = corrected(g, b1, t, bias_correction)
            m_hat = b1 * m_next + (1 - b1) * g_hat
        scale = np.sqrt(v_hat + eps_root) + eps
        if eps_before_correction:  # Kingma & Ba 2015, section 2, the last paragraph
            scale = np.sqrt((v_max if amsgrad else v) + eps_root) + eps
            scale = scale / np.sqrt(1 - b2**t)
        d = m_hat / scale
        w = w - learning_rate(step) * (d + weight_decay(step) * w)
        yield w


def adam(grads, params, learning_rate, **hyper):
    """Kingma & Ba 2015, algorithm 1."""
    return adamw(grads, params, learning_rate, weight_decay=0.0, **hyper)


def nadam(grads, params, learning_rate, **hyper):
    """Dozat 2016."""
    return nadamw(grads, params, learning_rate, weight_decay=0.0, **hyper)


def nadamw(grads, params, learning_rate, nesterov=True, momentum_decay=None, **hyper):
    """Dozat 2016, with constant mu or the one that grows, and decoupled decay."""
    if momentum_decay is None:
        return adamw(grads, params, learning_rate, nesterov=nesterov, **hyper)
    return growing(grads, params, learning_rate, momentum_decay, **hyper)


@trajectory
def growing(
    grads,
    w,
    learning_rate,
    momentum_decay,
    b1=0.9,
    b2=0.999,
    eps=1e-8,
    eps_root=0.0,
    weight_decay=1e-4,
):
    """Dozat 2016, algorithm 2, with mu_t = b1 (1 - 0.96^(t psi) / 2)."""
    m, v = np.zeros_like(w), np.zeros(w.shape)
    mu = b1 * (1 - 0.96 ** (momentum_decay * np.arange(len(grads) + 2)) / 2)
    for step, g in enumerate(grads):
        t = step + 1
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * square(g)
        m_hat = mu[t + 1] * m / (1 - np.prod(mu[1 : t + 2]))
        m_hat = m_hat + (1 - mu[t]) * g / (1 - np.prod(mu[1 : t + 1]))
        d = m_hat / (np.sqrt(corrected(v, b2, t) + eps_root) + eps)
        w = w - learning_rate(step) * (d + weight_decay(step) * w)
        yield w


@trajectory
def adam_lp(grads, w, learning_rate, b1=0.9, b2=0.999, eps=1e-8, p=2.0):
    """Kingma & Ba 2015, section 7.1, before the limit; Cohen, L^p generalization."""
    m, r = np.zeros_like(w), np.zeros(w.shape)
    for step, g in enumerate(grads):
        t = step + 1
        m = b1 * m + (1 - b1) * g
        r = b2**p * r + (1 - b2**p) * np.abs(g) ** p
        m_hat, r_hat = corrected(m, b1, t), corrected(r, b2**p, t)
        w = w - learning_rate(step) * m_hat / (r_hat + eps**p) ** (1 / p)
        yield w


@trajectory
def adamaxw(
    grads,
    w,
    learning_rate,
    b1=0.9,
    b2=0.999,
    eps=1e-8,
    weight_decay=1e-4,
):
    """Kingma & Ba 2015, algorithm 2, with decoupled decay; eps keeps u above 0."""
    m, u = np.zeros_like(w), np.zeros(w.shape)
    for step, g in enumerate(grads):
        m = b1 * m + (1 - b1) * g
        u = np.maximum(b2 * u, np.abs(g) + eps)
        d = corrected(m, b1, step + 1) / u
        w = w - learning_rate(step) * (d + weight_decay(step) * w)
        yield w


def adamax(grads, params, learning_rate, **hyper):
    """Kingma & Ba 2015, algorithm 2."""
    return adamaxw(grads, params, learning_rate, weight_decay=0.0, **hyper)


@trajectory
def amsgrad(
    grads,
    w,
    learning_rate,
    b1=0.9,
    b2=0.999,
    eps=1e-8,
    eps_root=0.0,
    bias_correction_mu=True,
    bias_correction_nu=True,
    maximum_of="corrected",
):
    """Reddi et al. 2018, algorithm 2 (which corrects no bias and has no epsilon)."""
    m, v, v_max = np.zeros_like(w), np.zeros(w.shape), np.zeros(w.shape)
    for step, g in enumerate(grads):
        t = step + 1
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * square(g)
        m_hat = corrected(m, b1, t, bias_correction_mu)
        if maximum_of == "corrected":
            v_max = np.maximum(v_max, corrected(v, b2, t, bias_correction_nu))
            v_hat = v_max
        else:  # PyTorch
            v_max = np.maximum(v_max, v)
            v_hat = corrected(v_max, b2, t, bias_correction_nu)
        w = w - learning_rate(step) * m_hat / (np.sqrt(v_hat + eps_root) + eps)
        yield w


@trajectory
def radam(
    grads,
    w,
    learning_rate,
    b1=0.9,
    b2=0.999,
    eps=1e-8,
    eps_root=0.0,
    threshold=5.0,
    nesterov=False,
    eps_before_correction=False,
):
    """Liu et al. 2020, algorithm 2 (where the threshold is 4, exclusive)."""
    m, v = np.zeros_like(w), np.zeros(w.shape)
    rho_inf = 2 / (1 - b2) - 1
    for step, g in enumerate(grads):
        t = step + 1
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * square(g)
        m_hat = corrected(m, b1, t)
        if nesterov:
            m_hat = b1 * corrected(m, b1, t + 1) + (1 - b1) * corrected(g, b1, t)
        rho = rho_inf - 2 * t * b2**t / (1 - b2**t)
        d = m_hat
        if rho >= threshold:
            r = np.sqrt(
                ((rho - 4) * (rho - 2) * rho_inf)
                / ((rho_inf - 4) * (rho_inf - 2) * rho)
            )
            if eps_before_correction:  # PyTorch
                root = (np.sqrt(v + eps_root) + eps) / np.sqrt(1 - b2**t)
            else:
                root = np.sqrt(corrected(v, b2, t) + eps_root) + eps
            d = r * m_hat / root
        w = w - learning_rate(step) * d
        yield w
