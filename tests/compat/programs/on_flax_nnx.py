"""flax.nnx.Optimizer: a perceptron."""

import jax
import jax.numpy as jnp
import optax
from flax import nnx


class MLP(nnx.Module):
    def __init__(self, rngs):
        self.one = nnx.Linear(3, 8, rngs=rngs)
        self.two = nnx.Linear(8, 1, rngs=rngs)

    def __call__(self, x):
        return self.two(nnx.relu(self.one(x)))


model = MLP(nnx.Rngs(0))
tx = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-2))
optimizer = nnx.Optimizer(model, optax.MultiSteps(tx, 2), wrt=nnx.Param)
x = jax.random.normal(jax.random.key(0), (32, 3))
y = jnp.sin(x.sum(axis=1, keepdims=True))


@nnx.jit
def step(model, optimizer):
    value, grads = nnx.value_and_grad(lambda m: jnp.mean((m(x) - y) ** 2))(model)
    optimizer.update(model, grads)
    return value


print([float(step(model, optimizer)) for _ in range(40)][-5:])
