"""gpjax.fit: the hyperparameters of a Gaussian process."""

import gpjax as gpx
import jax
import jax.numpy as jnp
import optax
from jax import config

config.update("jax_enable_x64", True)
x = jnp.linspace(0, 3, 20).reshape(-1, 1)
data = gpx.Dataset(X=x, y=jnp.sin(2 * x))
prior = gpx.gps.Prior(mean_function=gpx.mean_functions.Zero(), kernel=gpx.kernels.RBF())
posterior = prior * gpx.likelihoods.Gaussian()
fitted, history = gpx.fit(
    model=posterior,
    objective=lambda p, d: -gpx.objectives.conjugate_mll(p, d),
    train_data=data,
    optim=optax.adamw(0.05),
    num_iters=50,
    key=jax.random.key(0),
    verbose=False,
)
print([float(v) for v in history[-5:]])
