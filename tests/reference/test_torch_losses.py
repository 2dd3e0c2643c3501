"""The losses that PyTorch has, too: its own numbers and gradients, recorded."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradtx import losses

from .torch_losses import inputs, recorded

RECORDED = recorded()


def ctc(logits, rows, frames, labels):
    silent = jnp.arange(logits.shape[1]) >= frames[:, None]
    absent = jnp.arange(rows.shape[1]) >= labels[:, None]
    return losses.ctc_loss(logits, silent, rows, absent, log_epsilon=-jnp.inf)


def triplet(k):
    return lambda *x: losses.triplet_margin_loss(*x, norm_degree=k, eps=0.0)


FUNCTIONS = {
    "ctc": ctc,
    "triplet_1": triplet(1),
    "triplet_2": triplet(2),
    "triplet_3": triplet(3),
    "kl": losses.kl_divergence,
    "kl_log": losses.kl_divergence_with_log_targets,
    "cosine": losses.cosine_similarity,
    "cross_entropy": losses.softmax_cross_entropy_with_integer_labels,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_losses_and_gradients_are_those_of_torch(name):
    with jax.enable_x64(True):
        first, *rest = map(jnp.asarray, inputs()[name])

        @jax.jit
        def both(x):
            out, pull = jax.vjp(lambda x: FUNCTIONS[name](x, *rest), x)
            return out, *pull(jnp.where(jnp.isfinite(out), 1.0, 0.0))

        loss, gradient = both(first)
    want = RECORDED[name]
    # Twelve digits are written down.
    np.testing.assert_allclose(loss, want["loss"], rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(
        gradient.ravel(), want["gradient"], rtol=1e-10, atol=1e-11
    )
