"""Optimizers of matrices: how fast they learn one, next to Adam."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import gradtx
from examples.pictures import look

SHAPE = 32, 16
EXAMPLES = 128
STEPS = 300
RATE = 0.02


class Line(NamedTuple):
    """A curve of an optimizer."""

    label: str
    options: dict[str, Any]


# On a vector all of these are Adam. The scales make up for the few rows: they are the
# root of how many times fewer there are.
LINES: Mapping[str, tuple[Line, ...]] = MappingProxyType(
    {
        "apollo": (
            Line("apollo, rank 1, scale 4", {"rank": 1, "scale": 4.0}),
            Line("apollo, rank 4, scale 2", {"rank": 4, "scale": 2.0}),
        ),
        "apollo_mini": (Line("apollo_mini, scale 4", {"scale": 4.0}),),
        "galore": (
            Line("galore, rank 1", {"rank": 1, "update_proj_gap": 20}),
            Line("galore, rank 4", {"rank": 4, "update_proj_gap": 20}),
        ),
    }
)


def losses(tx: gradtx.GradientTransformation, seed: int = 0) -> np.ndarray:
    """Return the losses of a linear regression to a random matrix, from step 0 on.

    Inputs are of very different sizes, so that the gradient has a few large singular
    values.
    """
    inputs, answer = jax.random.split(jax.random.key(seed))
    x = jax.random.normal(inputs, (EXAMPLES, SHAPE[0])) * jnp.logspace(0, -1, SHAPE[0])
    y = x @ jax.random.normal(answer, SHAPE)

    def loss(w):
        return jnp.mean((x @ w - y) ** 2)

    def step(carry, _):
        params, state = carry
        value, grads = jax.value_and_grad(loss)(params)
        return tx.step(grads, state, params), value

    start = jnp.zeros(SHAPE)
    return np.asarray(jax.lax.scan(step, (start, tx.init(start)), length=STEPS + 1)[1])


def matrix(name: str, factory: Callable[..., Any]) -> Figure:
    """Draw how the loss falls by an optimizer of LINES, and by Adam."""
    picture = look.figure(3.0)
    panel = picture.subplots()
    curves = {f"adam, rate {RATE:g}": gradtx.adam(RATE)}
    for line in LINES[name]:
        curves[f"{line.label}, rate {RATE:g}"] = factory(RATE, **line.options)
    for i, (label, tx) in enumerate(curves.items()):
        color = "black" if i == 0 else look.COLORS[i - 1]
        panel.semilogy(losses(tx), label=label, color=color)
    panel.set_title(f"Linear regression, weights of {SHAPE[0]} by {SHAPE[1]}")
    panel.set_xlabel("step")
    panel.set_ylabel("loss")
    look.curves(panel)
    look.share_legend(picture, [panel])
    return picture
