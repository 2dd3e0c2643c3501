"""flax.training.TrainState and checkpoints of state: a perceptron in Linen."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import serialization
from flax.training.train_state import TrainState

x = jax.random.normal(jax.random.key(0), (32, 3))
y = jnp.argmax(x, axis=1)
model = nn.Sequential([nn.Dense(8), nn.relu, nn.Dense(3)])
labels = {"layers_0": "slow", "layers_2": "fast"}
tx = optax.multi_transform(
    {"slow": optax.sgd(0.05, momentum=0.9), "fast": optax.adam(0.02)}, labels
)
state = TrainState.create(
    apply_fn=model.apply, params=model.init(jax.random.key(1), x)["params"], tx=tx
)


@jax.jit
def step(state):
    def loss(params):
        logits = state.apply_fn({"params": params}, x)
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    value, grads = jax.value_and_grad(loss)(state.params)
    return state.apply_gradients(grads=grads), value


values = []
for i in range(30):
    state, value = step(state)
    values.append(float(value))
    if i == 10:  # leave, and come back
        state = serialization.from_bytes(state, serialization.to_bytes(state))
print(values[-5:])
