"""Sharpness over training: it rises to what the learning rate allows, and stays."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import gradtx
from examples.pictures import look
from gradtx.curvature import sharpness as largest

POINTS = 20
WIDTH = 20
DEGREE = 4  # of the Chebyshev polynomial that is learned
RATES = 0.3, 0.25, 0.2
STEPS = 3000
EVERY = 20  # steps from one measurement to the next


class Run(NamedTuple):
    loss: jax.Array  # before step 0, EVERY, 2 EVERY, ...
    sharpness: jax.Array


def start(seed: int = 0) -> dict[str, jax.Array]:
    """Return the weights of one hidden layer, uniform as PyTorch begins with."""
    keys = jax.random.split(jax.random.key(seed), 4)
    shapes = {"w": (WIDTH,), "b": (WIDTH,), "v": (WIDTH,), "c": ()}
    bounds = {"w": 1.0, "b": 1.0, "v": WIDTH**-0.5, "c": WIDTH**-0.5}
    return {
        name: jax.random.uniform(key, shapes[name], minval=-bound, maxval=bound)
        for key, (name, bound) in zip(keys, bounds.items(), strict=True)
    }


def loss(params: dict[str, jax.Array]) -> jax.Array:
    """Return half the mean squared error on all points."""
    x = jnp.linspace(-1, 1, POINTS)
    y = jnp.cos(DEGREE * jnp.arccos(x))
    hidden = jnp.tanh(x[:, None] * params["w"] + params["b"])
    return gradtx.l2_loss(hidden @ params["v"] + params["c"], y).mean()


@jax.jit
def train(rate: jax.Array) -> Run:
    """Train on the full batch with SGD, and measure on the way."""
    tx = gradtx.sgd(rate)

    def step(carry, _):
        params, state = carry
        return tx.step(jax.grad(loss)(params), state, params), None

    def measure(carry, _):
        params, _ = carry
        found = Run(loss(params), largest(loss, params, num_iters=12))
        return jax.lax.scan(step, carry, length=EVERY)[0], found

    carry = start(), tx.init(start())
    return jax.lax.scan(measure, carry, length=STEPS // EVERY)[1]


def sharpness() -> Figure:
    """Draw the sharpness and the loss for three learning rates."""
    picture = look.figure(3.4)
    above, below = picture.subplots(1, 2)
    steps = np.arange(0, STEPS, EVERY)
    runs = jax.vmap(train)(jnp.array(RATES))
    rows = zip(RATES, *runs, look.COLORS, strict=False)
    for rate, losses, found, color in rows:
        label = f"rate {rate}"
        above.plot(steps, found, color=color, linewidth=1.5, label=label)
        above.axhline(2 / rate, color=color, linestyle="--", linewidth=1)
        below.plot(steps, losses, color=color, linewidth=1.5, label=label)
    above.set(title="sharpness (dashed: 2 / rate)", xlabel="step", ylim=(0, None))
    below.set(title="loss", xlabel="step", yscale="log")
    for panel in above, below:
        look.curves(panel)
    look.share_legend(picture, [above, below])
    return picture
