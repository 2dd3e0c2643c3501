"""blackjax.meanfield_vi: a normal distribution fitted to another."""

import blackjax
import jax
import jax.numpy as jnp
import optax


def logdensity(x):
    return -0.5 * jnp.sum(((x["z"] - 1.0) / jnp.array([1.0, 0.5, 2.0])) ** 2)


vi = blackjax.meanfield_vi(logdensity, optax.adamw(0.05), num_samples=8)
state = vi.init({"z": jnp.zeros(3)})
step = jax.jit(vi.step)
for key in jax.random.split(jax.random.key(0), 100):
    state, info = step(key, state)
print([*state.mu["z"].tolist(), *state.rho["z"].tolist(), float(info.elbo)])
