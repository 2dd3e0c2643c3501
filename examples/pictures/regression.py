"""Least squares: the whole batch against minibatches."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import gradtx
from examples.pictures import look

POINTS = 64
EPOCHS = 8
BATCHES = 1, 8, 64  # the longest path is drawn first
RATE = 0.2
START = (-1.5, -1.0)


class Data(NamedTuple):
    x: jax.Array  # (POINTS,)
    y: jax.Array  # (POINTS,), 1.5 x + 0.5 and noise


def data(seed: int = 0) -> Data:
    """Draw points around a line."""
    random = np.random.default_rng(seed)
    x = random.normal(size=POINTS)
    y = 1.5 * x + 0.5 + random.normal(size=POINTS)
    return Data(jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32))


def loss(line: jax.Array, points: Data) -> jax.Array:
    """Half the mean squared error of y = line[0] x + line[1]."""
    return gradtx.l2_loss(line[0] * points.x + line[1], points.y).mean()


def descend(points: Data, batch_size: int, seed: int = 0) -> np.ndarray:
    """Return the lines on the way through all epochs, (steps + 1, 2), the start first.

    Each epoch takes the points in a new order.
    """
    tx = gradtx.sgd(RATE)
    random = np.random.default_rng(seed)
    order = np.concatenate([random.permutation(POINTS) for _ in range(EPOCHS)])
    start = jnp.asarray(START, jnp.float32)

    @jax.jit
    def run(batches):
        def step(carry, batch):
            line, state = carry
            some = jax.tree.map(lambda column: column[batch], points)
            line, state = tx.step(jax.grad(loss)(line, some), state, line)
            return (line, state), line

        return jax.lax.scan(step, (start, tx.init(start)), batches)[1]

    lines = run(order.reshape(-1, batch_size))
    return np.concatenate([start[None], lines])


def minibatch() -> Figure:
    """Draw the paths of batches, minibatches and single points, and their losses."""
    points = data()
    paths = {
        f"batches of {size}, {EPOCHS * POINTS // size} steps": descend(points, size)
        for size in BATCHES
    }
    best = np.polyfit(points.x, points.y, 1)
    picture = look.figure(3.8)
    panel, losses = picture.subplots(1, 2)

    def on_all(line):
        return loss(line, points)

    gradtx.plot.plot_paths(
        on_all,
        paths,
        xlim=(-2, 2.5),
        ylim=(-1.5, 1.5),
        minimum=tuple(best),
        ax=panel,
        marks=0,
    )
    panel.plot(*START, "o", markerfacecolor="white", color="black", zorder=4)
    panel.set(
        title=f"{EPOCHS} epochs at the rate {RATE}", xlabel="slope", ylabel="intercept"
    )
    lowest = float(on_all(jnp.asarray(best, jnp.float32)))
    for (size, (label, path)), color in zip(
        zip(BATCHES, paths.items(), strict=True), look.COLORS, strict=False
    ):
        values = jax.vmap(on_all)(path) - lowest
        losses.plot(
            np.arange(len(path)) * size / POINTS, values, color=color, label=label
        )
    losses.set(title="loss above its minimum", xlabel="epoch", yscale="log")
    look.curves(losses)
    look.share_legend(picture, [losses, panel])
    return picture
