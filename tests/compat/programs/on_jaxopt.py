"""jaxopt.OptaxSolver: logistic regression by stochastic steps."""

import jax
import jax.numpy as jnp
import jaxopt
import optax

x = jax.random.normal(jax.random.key(0), (64, 5))
y = (x @ jnp.arange(5.0) > 0).astype(int)
fun = jaxopt.objective.binary_logreg
solver = jaxopt.OptaxSolver(opt=optax.rmsprop(0.02, momentum=0.9), fun=fun, maxiter=100)
params, state = solver.run(jnp.zeros(5), data=(x, y))
print([*params.tolist(), float(state.value)])
