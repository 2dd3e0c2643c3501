"""flowMC: a normalizing flow trained by its own optimizer."""

import jax
from flowMC.resource.model.nf_model.rqSpline import MaskedCouplingRQSpline
from flowMC.resource.optimizer import Optimizer

data = jax.random.normal(jax.random.key(0), (200, 2)) * 0.5 + 1.0
model = MaskedCouplingRQSpline(2, 2, [8, 8], 4, jax.random.key(1))
optimizer = Optimizer(model, learning_rate=1e-2)
_, model, state, losses = model.train(
    jax.random.key(2), data, optimizer.optim, optimizer.optim_state, 5, 100, False
)
print([float(v) for v in losses] + model.log_prob(data[:3]).tolist())
