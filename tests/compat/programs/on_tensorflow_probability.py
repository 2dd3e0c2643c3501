"""tensorflow_probability on JAX: minimize a loss."""

import jax
import jax.numpy as jnp
import optax
from tensorflow_probability.substrates import jax as tfp

result = tfp.math.minimize_stateless(
    lambda x, y, seed=None: (x - 1.0) ** 2 + (y + 2.0) ** 4,
    init=(jnp.array(0.0), jnp.array(0.0)),
    num_steps=60,
    optimizer=optax.adam(0.1),
    seed=jax.random.PRNGKey(0),
)
params, losses = result
print([*map(float, params), *losses[-4:].tolist()])
