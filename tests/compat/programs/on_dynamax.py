"""dynamax: a hidden Markov model, trained by gradients."""

import jax
import jax.numpy as jnp
import optax
from dynamax.hidden_markov_model import GaussianHMM

hmm = GaussianHMM(2, 1)
emissions = jnp.where(jnp.arange(60) % 20 < 10, 0.0, 3.0)[:, None]
emissions += 0.3 * jax.random.normal(jax.random.key(0), (60, 1))
params, props = hmm.initialize(jax.random.key(1))
params, losses = hmm.fit_sgd(
    params, props, emissions, optimizer=optax.adam(0.05), num_epochs=30
)
print([float(v) for v in losses[-5:]] + params.emissions.means.ravel().tolist())
