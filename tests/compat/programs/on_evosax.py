"""evosax: an evolution strategy whose mean moves by an optimizer."""

import jax
import jax.numpy as jnp
import optax
from evosax.algorithms import Open_ES

es = Open_ES(population_size=16, solution=jnp.zeros(4), optimizer=optax.adam(0.05))
params = es.default_params
state = es.init(jax.random.key(0), jnp.zeros(4), params)
for key in jax.random.split(jax.random.key(1), 40):
    ask, tell = jax.random.split(key)
    population, state = es.ask(ask, state, params)
    fitness = jnp.sum((population - 1.0) ** 2, axis=-1)
    state, metrics = es.tell(tell, population, fitness, state, params)
print([*state.mean.tolist(), float(metrics["best_fitness"])])
