"""Six optimizers on the six functions, one by one, side by side, and in motion."""

from collections.abc import Mapping

from matplotlib.animation import FuncAnimation
from matplotlib.figure import Figure

import gradtx
from examples.pictures import look
from gradtx.plot import surfaces
from gradtx.plot.surfaces import Surface

# Steps on each function, and the learning rate of each optimizer there: round numbers
# near the largest at which it does not swing across the valley for good.
STEPS = {
    "quadratic": 50,
    "saddle": 60,
    "Beale": 300,
    "Rosenbrock": 300,
    "plateau": 80,
    "two minima": 100,
}
RATES = {
    "quadratic": (0.08, 0.02, 0.02, 0.5, 0.1, 0.2),
    "saddle": (0.05, 0.01, 0.01, 0.1, 0.02, 0.04),
    "Beale": (0.01, 0.001, 0.001, 0.5, 0.03, 0.1),
    "Rosenbrock": (0.001, 0.0002, 0.0002, 0.5, 0.01, 0.05),
    "plateau": (0.5, 0.1, 0.1, 0.3, 0.05, 0.1),
    "two minima": (0.05, 0.01, 0.01, 0.3, 0.03, 0.2),
}


def optimizers(
    surface: Surface, rates: bool = True
) -> Mapping[str, gradtx.GradientTransformation]:
    """Return the six for a function, with their rates in their names if asked for."""
    sgd, momentum, nesterov, adagrad, rmsprop, adam = RATES[surface.name]
    six = {
        "SGD": gradtx.sgd(sgd),
        "momentum": gradtx.sgd(momentum, momentum=0.9),
        "Nesterov": gradtx.sgd(nesterov, momentum=0.9, nesterov=True),
        "AdaGrad": gradtx.adagrad(adagrad),
        "RMSProp": gradtx.rmsprop(rmsprop),
        "Adam": gradtx.adam(adam),
    }
    if not rates:
        return six
    return {
        f"{name}, rate {rate:g}": tx
        for (name, tx), rate in zip(six.items(), RATES[surface.name], strict=True)
    }


def paths(surface: Surface) -> Figure:
    """Draw the six paths on a function."""
    picture = look.figure(4.9)
    panel = picture.subplots()
    steps = STEPS[surface.name]
    gradtx.plot.plot_paths(surface, optimizers(surface), steps=steps, ax=panel)
    dots = look.legend_title(panel)
    panel.set_title(f"{surface.name}: {steps} steps, {dots}")
    look.share_legend(picture, [panel])
    return picture


def overview() -> Figure:
    """Draw the paths on all six functions, small, side by side."""
    picture = look.figure(4.9)
    panels = picture.subplots(2, 3).flatten()
    for panel, surface in zip(panels, surfaces.SURFACES, strict=True):
        gradtx.plot.plot_paths(
            surface,
            optimizers(surface, rates=False),
            steps=STEPS[surface.name],
            ax=panel,
            marks=0,
        )
        panel.set(title=surface.name, xlabel="", ylabel="", xticks=[], yticks=[])
    # The legend of a panel says what leaves its frame; one for all has names only.
    names = optimizers(surfaces.QUADRATIC, rates=False)
    for line, name in zip(panels[0].lines[2:], names, strict=True):  # ring, star, paths
        line.set_label(name)
    look.share_legend(picture, panels)
    return picture


def saddle() -> FuncAnimation:
    """Let the six leave the saddle, or not."""
    picture = look.figure(4.9)
    panel = picture.subplots()
    surface = surfaces.SADDLE
    movie = gradtx.plot.animate_paths(
        surface, optimizers(surface), steps=STEPS[surface.name], ax=panel
    )
    look.share_legend(picture, [panel])
    return movie
