"""numpyro: variational inference, with the clip and schedule of its users."""

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
import optax
from numpyro.infer import SVI, Trace_ELBO
from numpyro.infer.autoguide import AutoNormal


def model(x, y):
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    offset = numpyro.sample("offset", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Normal(slope * x + offset, 0.3), obs=y)


x = jnp.linspace(-1, 1, 40)
schedule = optax.warmup_cosine_decay_schedule(0.0, 0.05, 10, 200)
optimizer = optax.chain(optax.clip_by_global_norm(10.0), optax.adam(schedule))
svi = SVI(model, AutoNormal(model), optimizer, Trace_ELBO())
result = svi.run(jax.random.key(1), 200, x, 2 * x - 1, progress_bar=False)
print([float(v) for v in result.params.values()] + result.losses[-5:].tolist())
