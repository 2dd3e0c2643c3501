"""Formulas rearranged for the compiler are not less exact than the papers' order.

Each is run in float32 beside the textbook's order in float32; the error of both is
taken against the textbook's order in float64.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

STEPS = 300


def gradients():
    """Normal, tiny, huge, sparse and constant series side by side."""
    rng = np.random.default_rng(0)
    normal = rng.normal(size=(STEPS, 400))
    kinds = (
        normal,
        1e-6 * normal,
        1e3 * normal,
        np.where(rng.random((STEPS, 400)) < 0.05, normal, 0),
        np.full((STEPS, 1), 0.3),
    )
    return np.concatenate(kinds, axis=1).astype(np.float32)


def adadelta(grads, dtype, rho=0.9, eps=1e-6):
    rho, eps, one = dtype(rho), dtype(eps), dtype(1)
    e_g = e_x = np.zeros(grads.shape[1], dtype)
    updates = []
    for g in grads.astype(dtype):
        e_g = rho * e_g + (one - rho) * g * g
        u = np.sqrt(e_x + eps) / np.sqrt(e_g + eps) * g
        e_x = rho * e_x + (one - rho) * u * u
        updates.append(u)
    return np.array(updates)


def lion(grads, dtype, b1=0.9, b2=0.99):
    b1, b2, one = dtype(b1), dtype(b2), dtype(1)
    mu = np.zeros(grads.shape[1], dtype)
    updates = []
    for g in grads.astype(dtype):
        updates.append(np.sign(b1 * mu + (one - b1) * g))
        mu = b2 * mu + (one - b2) * g
    return np.array(updates)


def clip(grads, dtype, max_norm=0.1):
    updates = []
    for g in grads.astype(dtype):
        updates.append(g / np.sqrt(np.sum(g * g)) * dtype(max_norm))
    return np.array(updates)


def adam(grads, dtype, b1=0.9, b2=0.999, eps=1e-8):
    b1, b2, eps, one = dtype(b1), dtype(b2), dtype(eps), dtype(1)
    mu = nu = np.zeros(grads.shape[1], dtype)
    updates = []
    for t, g in enumerate(grads.astype(dtype), start=1):
        mu = b1 * mu + (one - b1) * g
        nu = b2 * nu + (one - b2) * g * g
        mu_hat = mu / (one - b1 ** dtype(t))
        updates.append(mu_hat / (np.sqrt(nu / (one - b2 ** dtype(t))) + eps))
    return np.array(updates)


def run(tx, grads):
    def step(state, g):
        updates, state = tx.update(g, state)
        return state, updates

    start = tx.init(jnp.zeros(grads.shape[1]))
    return np.asarray(jax.lax.scan(step, start, jnp.asarray(grads))[1])


def error(updates, exact):
    """Root mean square, relative to that of the exact updates of each entry."""
    size = np.sqrt(np.mean(exact**2, axis=0))
    worst = np.sqrt(np.mean((updates - exact) ** 2, axis=0))
    return np.mean(worst / np.where(size > 0, size, 1))


# Measured, ours / textbook: adadelta 0.69, clip_by_global_norm 1.29, adam 0.84.
@pytest.mark.parametrize(
    ("tx", "textbook"),
    [
        (gradtx.scale_by_adadelta(), adadelta),
        (gradtx.clip_by_global_norm(0.1), clip),
        (gradtx.scale_by_adam(), adam),
    ],
    ids=["adadelta", "clip_by_global_norm", "adam"],
)
def test_is_as_exact_as_the_textbook(tx, textbook):
    grads = gradients()
    exact = textbook(grads, np.float64)
    ours, theirs = (
        error(run(tx, grads), exact),
        error(textbook(grads, np.float32), exact),
    )
    assert ours <= 2 * theirs  # rounding errors add up by chance: a factor of two


def test_lions_sign_differs_only_where_it_is_rounding():
    grads = gradients()
    exact = lion(grads, np.float64)
    ours = np.mean(run(gradtx.scale_by_lion(), grads) != exact)
    theirs = np.mean(lion(grads, np.float32) != exact)
    # Measured: none of 480,300, either way; room for five sums that round to zero.
    assert ours <= 2 * theirs + 1e-5
