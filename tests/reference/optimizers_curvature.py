"""Second-order optimizers, in NumPy float64; see optimizers.py."""

import numpy as np

from .optimizers import trajectory


@trajectory
def sophia(
    grads,
    w,
    learning_rate,
    b1=0.965,
    b2=0.99,
    eps=1e-8,
    weight_decay=1e-4,
    gamma=0.01,
    clip_threshold=1.0,
    update_interval=10,
    bias_correction=True,
    fresh=False,
    **of_the_other_side,
):
    """Liu et al. 2023, algorithm 3, with |g| - 1 for the estimate of the diagonal.

    As printed it is fresh and has no bias correction: lines 6 to 12 are m, then h in
    every k-th step, then the step.
    """
    m, h = np.zeros_like(w), np.zeros_like(w)
    for step, g in enumerate(grads):
        m = b1 * m + (1 - b1) * g
        before = h
        if step % update_interval == 0:
            h = b2 * h + (1 - b2) * (np.abs(g) - 1)
        m_hat = m / (1 - b1 ** (step + 1)) if bias_correction else m
        u = m_hat / np.maximum(gamma * (h if fresh else before), eps)
        if clip_threshold is not None:
            u = np.clip(u, -clip_threshold, clip_threshold)
        w = w - learning_rate(step) * (u + weight_decay(step) * w)
        yield w
