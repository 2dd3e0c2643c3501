"""Optimizers of whole matrices, as their papers state them: see optimizers.py.

W is a leaf, G its gradient; those of two axes are matrices, inputs by outputs.
"""

import numpy as np

from .optimizers import schedule, square, trajectory
from .optimizers_adaptive import corrected

JORDAN = (3.4445, -4.7750, 2.0315)
TABLES = {  # as printed: Ahn et al. 2025; Jordan et al. 2024, and Newton's last steps
    "dion": [
        (4.0848, -6.8946, 2.9270),
        (3.9505, -6.3029, 2.6377),
        (3.7418, -5.5913, 2.3037),
        (2.8769, -3.1427, 1.2046),
        (2.8366, -3.0525, 1.2012),
    ],
    "ten_steps": [JORDAN] * 8 + [(2, -1.5, 0.5)] * 2,
}


def polynomial(x, rows):
    """On the singular values, not by products: s <- a s + b s^3 + c s^5."""
    u, s, v = np.linalg.svd(x, full_matrices=False)
    for a, b, c in rows:
        s = a * s + b * s**3 + c * s**5
    return (u * s) @ v


def scaled(x, eps, preconditioning):
    """A matrix of largest magnitude 1, over its norm."""
    if preconditioning == "frobenius":
        return x / (np.linalg.norm(x) + eps)
    if preconditioning == "spectral":
        return x / (np.linalg.norm(x, 2) + eps)
    if preconditioning == "schatten":
        s = np.linalg.svd(x, compute_uv=False)
        return x / np.sum(s**4) ** 0.25
    gram = x @ x.conj().T  # Boissin et al. 2025, eq. 5
    return x / np.sqrt(np.abs(gram).sum(axis=1, keepdims=True))


@trajectory
def muon(
    grads,
    w,
    learning_rate,
    ns_coeffs=JORDAN,
    ns_steps=5,
    beta=0.95,
    eps=1e-8,
    weight_decay=0.0,
    nesterov=True,
    adaptive=False,
    preconditioning="frobenius",
    consistent_rms=None,
    bias_correction=True,
    scale_rule="jordan",
):
    """Jordan et al. 2024 for matrices, Adam's defaults for the others."""
    rows = TABLES.get(ns_coeffs) or [ns_coeffs] * ns_steps
    matrix, decay = w.ndim == 2, schedule(weight_decay)
    b = beta if matrix else 0.9
    m, v = 0.0, 0.0
    for step, g in enumerate(grads):
        t, correct = step + 1, bias_correction or not matrix
        m, v = b * m + (1 - b) * g, 0.999 * v + 0.001 * square(g)
        now, ahead = (1 - b**t, 1 - b ** (t + 1)) if correct else (1, 1)
        n = b * m / ahead + (1 - b) * g / now if nesterov else m / now
        if not matrix:
            w = w - learning_rate(step) * n / (np.sqrt(corrected(v, 0.999, t)) + eps)
            yield w
            continue
        inputs, outputs = w.shape
        x = n.T if inputs > outputs else n
        x = x / max(np.abs(x.real).max(), np.abs(x.imag).max())
        o = polynomial(scaled(x, eps, preconditioning), rows)
        o = o.T if inputs > outputs else o
        if adaptive:
            o = np.sum(n.conj() * o).real * o
        k = {
            "jordan": max(1, outputs / inputs) ** 0.5,
            "spectral": (outputs / inputs) ** 0.5,
            "rms": 0.2 * max(outputs, inputs) ** 0.5,
        }[scale_rule]
        if consistent_rms is not None:
            k = consistent_rms * max(outputs, inputs) ** 0.5
        w = w - learning_rate(step) * (k * o + decay(step) * w)
        yield w
