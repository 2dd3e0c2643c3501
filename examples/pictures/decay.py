"""A penalty in the gradient against decay of the weights, under Adam."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import gradtx
from examples.pictures import look

STEPS = 1000
RUNS = 64  # half of them with the signs of the other half turned
RATE = 0.01
DECAY = 0.1
SHARES = {"frequent: every step": 1.0, "rare: one step in 20": 0.05}


def weights(tx: gradtx.GradientTransformation, seed: int = 0) -> np.ndarray:
    """Return the weights of a frequent and a rare feature, (STEPS + 1, 2), from 1 on.

    A feature's gradient is 1 or -1 by chance where it occurs and 0 where not: the data
    say nothing, so that the mean over RUNS does what the decay does.
    """
    shares = jnp.array([*SHARES.values()])

    def run(grads):
        def step(carry, grads):
            params, state = carry
            params, state = tx.step(grads, state, params)
            return (params, state), params

        start = jnp.ones(len(shares))
        return jax.lax.scan(step, (start, tx.init(start)), grads)[1]

    occur, sign = jax.random.split(jax.random.key(seed))
    shape = (RUNS // 2, STEPS, len(shares))
    grads = jnp.where(
        jax.random.uniform(occur, shape) < shares,
        jax.random.rademacher(sign, shape),
        0.0,
    )
    runs = jax.jit(jax.vmap(run))(jnp.concatenate([grads, -grads]))
    mean = runs.mean(0)
    return np.concatenate([np.ones((1, len(shares))), mean])


def optimizers() -> Mapping[str, gradtx.GradientTransformation]:
    """Return Adam with the penalty in the gradient, and with decoupled decay."""
    return {
        "L2: part of the gradient": gradtx.chain(
            gradtx.add_decayed_weights(DECAY), gradtx.adam(RATE)
        ),
        "decoupled: adamw": gradtx.adamw(RATE, weight_decay=DECAY),
    }


def decay() -> Figure:
    """Draw how the weights of a frequent and of a rare feature shrink."""
    picture = look.figure(3.4)
    panels = picture.subplots(1, 2, sharey=True)
    for panel, (title, tx) in zip(panels, optimizers().items(), strict=True):
        for label, values, color, dash in zip(
            SHARES, weights(tx).T, look.COLORS, ("-", "--"), strict=False
        ):
            panel.plot(values, dash, color=color, linewidth=2, label=label)
        alone = (1 - RATE * DECAY) ** np.arange(STEPS + 1)
        panel.plot(alone, ":", color="black", label=r"$(1 - \alpha\lambda)^t$")
        panel.set(title=title, xlabel="step", ylim=(0, None))
        look.curves(panel)
    panels[0].set_ylabel(f"weight, mean of {RUNS} runs")
    look.share_legend(picture, panels)
    return picture
