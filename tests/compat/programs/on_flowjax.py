"""flowjax.train.fit_to_data: a normalizing flow, with its own choice of optimizer."""

import jax.numpy as jnp
import jax.random as jr
from flowjax.distributions import Normal
from flowjax.flows import coupling_flow
from flowjax.train import fit_to_data

x = jr.normal(jr.key(0), (200, 2)) * jnp.array([1.0, 2.0]) + 1.0
flow = coupling_flow(
    jr.key(1), base_dist=Normal(jnp.zeros(2)), flow_layers=2, nn_width=8
)
flow, losses = fit_to_data(
    jr.key(2), flow, x, max_epochs=5, batch_size=50, show_progress=False
)
print([float(v) for v in losses["train"]] + flow.log_prob(x[:3]).tolist())
