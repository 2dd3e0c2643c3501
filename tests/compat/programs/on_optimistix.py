"""optimistix.OptaxMinimiser: a least-squares fit until it has converged."""

import jax.numpy as jnp
import optax
import optimistix


def loss(y, x):
    return jnp.sum((jnp.tanh(y["a"] * x) + y["b"] - jnp.cos(x)) ** 2)


solver = optimistix.OptaxMinimiser(optax.adam(0.05), rtol=1e-5, atol=1e-5)
start = {"a": jnp.array(0.5), "b": jnp.array(0.0)}
found = optimistix.minimise(
    loss, solver, start, jnp.linspace(-1, 1, 32), max_steps=2000, throw=False
)
print([float(found.value["a"]), float(found.value["b"])])
