"""Effective step sizes on a gradient that dies out."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

import gradtx
from examples.pictures import look

STEPS = 400
DIES_AT = 100
REMAINS = 1e-2
B2 = 0.98


def gradients(seed: int = 0) -> np.ndarray:
    """Return gradients around 1 for DIES_AT steps, then REMAINS times as large."""
    around = 1 + 0.1 * np.random.default_rng(seed).normal(size=STEPS)
    return around * np.where(np.arange(STEPS) < DIES_AT, 1, REMAINS)


def optimizers() -> Mapping[str, gradtx.GradientTransformation]:
    """Return four that divide by past gradients, with the same rate and memory."""
    return {
        "AdaGrad": gradtx.adagrad(0.1),
        "RMSProp": gradtx.rmsprop(0.1, decay=B2),
        "Adam": gradtx.adam(0.1, b2=B2),
        "AMSGrad": gradtx.amsgrad(0.1, b2=B2),
    }


def step_sizes() -> Figure:
    """Draw the gradient, and how long a step each takes for it."""
    series = gradients()
    picture = look.figure(4.4)
    upper, lower = picture.subplots(2, 1, sharex=True, height_ratios=(1, 2.4))
    upper.plot(series, color="0.4")
    upper.set(ylabel="gradient", yscale="log")
    look.curves(upper)
    gradtx.plot.plot_step_sizes(optimizers(), series, ax=lower)
    lower.set_title(f"effective step size, rate 0.1, b2 = {B2}", fontsize="medium")
    look.share_legend(picture, [lower])
    return picture
