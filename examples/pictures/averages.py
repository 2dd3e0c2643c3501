"""Averages over the past: how they begin, and how far back momentum looks."""

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import gradtx
from examples.pictures import look
from gradtx.plot import surfaces

DAYS = 180
DECAYS = 0.9, 0.98


def temperatures(seed: int = 0) -> np.ndarray:
    """Return a temperature for each day from midwinter on, in degrees Fahrenheit.

    A wave of a year from 40 to 80, and normal noise of 4 degrees from day to day.
    """
    days = np.arange(DAYS)
    noise = np.random.default_rng(seed).normal(scale=4.0, size=DAYS)
    return 60 - 20 * np.cos(2 * np.pi * days / 365) + noise


def average(series: np.ndarray, decay: float, debias: bool) -> np.ndarray:
    """Average exponentially: V_t = decay V_{t-1} + (1 - decay) x_t, from V_0 = 0."""
    tx = gradtx.ema(decay, debias=debias)
    values = jnp.asarray(series, jnp.float32)

    def step(state, value):
        mean, state = tx.update(value, state)
        return state, mean

    return np.asarray(jax.lax.scan(step, tx.init(values[0]), values)[1])


def bias_correction() -> Figure:
    """Draw averages of the temperature with and without the correction."""
    series = temperatures()
    days = np.arange(1, DAYS + 1)
    picture = look.figure(3.4)
    panels = picture.subplots(1, 2, sharey=True)
    for panel, decay in zip(panels, DECAYS, strict=True):
        panel.plot(days, series, ".", color="0.7", markersize=3, label="a day")
        for debias, label in (False, "from zero"), (True, "divided by $1 - b^t$"):
            panel.plot(
                days,
                average(series, decay, debias),
                color=look.COLORS[5 if debias else 0],
                linewidth=1.8,
                label=label,
            )
        panel.set(
            title=f"b = {decay}: about {1 / (1 - decay):.0f} days",
            xlabel="day",
            ylim=(0, None),
        )
        look.curves(panel)
    panels[0].set_ylabel("temperature, °F")
    look.share_legend(picture, panels)
    return picture


STEPS = 150
RATE = 0.02
MOMENTUM = 0.9


def velocity(momentum: float, steps: int = STEPS) -> np.ndarray:
    """Return the velocities under a constant gradient of 1."""
    tx = gradtx.trace(momentum)

    def step(state, _):
        speed, state = tx.update(jnp.ones(()), state)
        return state, speed

    return np.asarray(jax.lax.scan(step, tx.init(jnp.zeros(())), length=steps)[1])


def time_scales() -> Figure:
    """Draw how momentum gathers speed, and what it does to slow and fast directions."""
    picture = look.figure(3.6)
    speed, distance = picture.subplots(1, 2)
    for momentum, color in zip((0.0, 0.9, 0.98), look.COLORS, strict=False):
        label = f"b = {momentum:g}: 1 / (1 - b) = {1 / (1 - momentum):.0f}"
        values = velocity(momentum)
        memory = round(1 / (1 - momentum))
        speed.plot(values, color=color, label=label)
        speed.plot(memory - 1, values[memory - 1], "o", color=color)
    speed.set(
        title="a constant gradient of 1",
        xlabel="step (dot: 1 / (1 - b) steps)",
        ylabel="velocity",
        yscale="log",
    )
    paths = gradtx.plot.paths(
        surfaces.quadratic,
        {
            "without": gradtx.sgd(RATE),
            "b = 0.9": gradtx.sgd(RATE, momentum=MOMENTUM),
        },
        start=(1.0, 1.0),
        steps=STEPS,
    )
    for (name, path), color in zip(paths.items(), look.COLORS, strict=False):
        for axis, (direction, dash) in enumerate((("flat", "-"), ("steep", ":"))):
            label = f"{direction}, {name}"
            size = abs(path[:, axis])
            distance.plot(size, dash, color=color, label=label)
    fall = MOMENTUM ** (np.arange(STEPS + 1) / 2)
    distance.plot(fall, "--", color="0.5", label="$b^{t/2}$")
    distance.set(
        title=f"quadratic, rate {RATE}",
        xlabel="step",
        ylabel="distance: |x| (flat), |y| (steep)",
        yscale="log",
        ylim=(1e-4, 2),
    )
    for panel in speed, distance:
        look.curves(panel)
        look.legend_below(panel, columns=1 if panel is speed else 2)
    return picture
