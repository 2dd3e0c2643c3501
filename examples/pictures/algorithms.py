"""A picture for every optimizer: its path on a long valley and on Beale's function.

Those of matrices stand in matrices.py.
"""

import inspect
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, NamedTuple

from matplotlib.figure import Figure

import gradtx
from examples.pictures import look, matrices
from gradtx.plot import surfaces


class Line(NamedTuple):
    """A path of an optimizer on both functions."""

    label: str
    quadratic: float | None  # learning rate; None: a line search finds the length
    beale: float | None
    options: dict[str, Any] = {}  # noqa: RUF012 - read only, as the table below


SGD = Line("sgd", 0.09, 0.01)
PRIVATE = {"l2_norm_clip": 1.0, "seed": 0}
# The rates are round ones at which the typical path of an optimizer shows.
LINES = MappingProxyType(
    {
        "acprop": (Line("acprop", 0.1, 0.01),),
        "adabelief": (Line("adabelief", 0.1, 0.1),),
        "adadelta": (Line("adadelta, eps 0.001", 1.0, 1.0, {"eps": 1e-3}),),
        "adafactor": (Line("adafactor", 0.1, 0.05),),
        "adagrad": (Line("adagrad", 0.5, 0.5),),
        "adam": (Line("adam", 0.2, 0.1),),
        "adam_lp": (
            Line("adam_lp, p = 2", 0.2, 0.1),
            Line("p = 6", 0.2, 0.1, {"p": 6.0}),
        ),
        "adam_mini": (Line("adam_mini", 0.2, 0.1),),
        "adamax": (Line("adamax", 0.2, 0.1),),
        "adamaxw": (Line("adamaxw, decay 0.1", 0.2, 0.1, {"weight_decay": 0.1}),),
        "adamw": (Line("adamw, decay 0.1", 0.2, 0.1, {"weight_decay": 0.1}),),
        "adan": (Line("adan", 0.2, 0.1),),
        "ademamix": (
            Line("ademamix, b3 0.99, alpha 2", 0.2, 0.1, {"b3": 0.99, "alpha": 2.0}),
        ),
        "adopt": (Line("adopt", 0.2, 0.2),),
        "amsgrad": (Line("amsgrad", 0.2, 0.1),),
        "asgd": (Line("asgd", 0.09, 0.01),),
        "came": (Line("came", 0.2, 0.1),),
        "cocob": (
            Line("cocob", 1.0, 1.0),
            Line("alpha = 10", 1.0, 1.0, {"alpha": 10.0}),
        ),
        "dadapt_adamw": (Line("dadapt_adamw", 1.0, 1.0),),
        "dog": (
            Line("dog, from 0.01", 1.0, 1.0, {"init_step": ("heuristic", 1e-2)}),
            Line("dog, from 0.1", 1.0, 1.0, {"init_step": ("heuristic", 1e-1)}),
        ),
        "dowg": (Line("dowg", 1.0, 1.0),),
        "dpsgd": (
            Line("dpsgd, clipped at 1", 0.09, 0.1, {**PRIVATE, "noise_multiplier": 0}),
            Line("noise 0.5", 0.09, 0.1, {**PRIVATE, "noise_multiplier": 0.5}),
        ),
        "fromage": (Line("fromage", 0.1, 0.03),),
        "ftrl": (Line("ftrl", 0.5, 0.5), Line("l1 = 1", 0.5, 0.5, {"l1": 1.0})),
        "lamb": (Line("lamb", 0.1, 0.03),),
        "laprop": (Line("laprop", 0.2, 0.1),),
        "lars": (Line("lars, coefficient 1", 0.02, 0.01, {"trust_coefficient": 1.0}),),
        "lbfgs": (Line("lbfgs", None, None),),
        "lion": (Line("lion", 0.05, 0.02),),
        "madgrad": (Line("madgrad", 0.1, 0.1),),
        "mars": (Line("mars", 0.2, 0.05),),
        "momo": (Line("momo, at most", 1.0, 1.0),),
        "momo_adam": (Line("momo_adam, at most", 1.0, 1.0),),
        "nadam": (Line("nadam", 0.2, 0.1),),
        "nadamw": (Line("nadamw, decay 0.1", 0.2, 0.1, {"weight_decay": 0.1}),),
        "newton": (Line("newton", None, None),),
        "noisy_sgd": (Line("noisy_sgd, eta 1", 0.05, 0.005, {"eta": 1.0, "key": 0}),),
        "novograd": (Line("novograd", 0.02, 0.01),),
        "optimistic_adam": (Line("optimistic_adam", 0.1, 0.05),),
        "optimistic_adam_v2": (Line("optimistic_adam_v2", 0.1, 0.05),),
        "optimistic_gradient_descent": (
            Line("optimistic_gradient_descent", 0.03, 0.005),
        ),
        "polyak_sgd": (Line("polyak_sgd, at most", 1.0, 0.1),),
        "prodigy": (Line("prodigy", 1.0, 1.0),),
        "radam": (Line("radam", 0.05, 0.005),),
        "rmsprop": (
            Line("rmsprop", 0.1, 0.03),
            Line("momentum 0.9", 0.02, 0.003, {"momentum": 0.9}),
        ),
        "rprop": (Line("rprop", 0.1, 0.1),),
        "schedule_free_adamw": (Line("schedule_free_adamw", 0.5, 0.2),),
        "schedule_free_sgd": (Line("schedule_free_sgd", 0.09, 0.01),),
        "sgd": (
            SGD,
            Line("momentum 0.9", 0.02, 0.001, {"momentum": 0.9}),
            Line("Nesterov 0.9", 0.02, 0.001, {"momentum": 0.9, "nesterov": True}),
        ),
        "sign_sgd": (Line("sign_sgd", 0.05, 0.02),),
        "signum": (Line("signum", 0.05, 0.02),),
        "simplified_ademamix": (
            Line("simplified_ademamix, b1 0.9", 0.02, 0.01, {"b1": 0.9}),
        ),
        "sm3": (Line("sm3", 0.5, 0.5),),
        "sophia": (
            Line("sophia, gamma 1", 0.1, 0.05, {"gamma": 1.0, "update_interval": 1}),
            Line("gamma 0.01", 0.1, 0.05),
        ),
        "stable_adamw": (
            Line("stable_adamw, decay 0.1", 0.2, 0.1, {"weight_decay": 0.1}),
        ),
        "yogi": (Line("yogi", 0.2, 0.1),),
    }
)
STEPS = 60, 200
STEPS_WITH_LINE_SEARCH = 10, 20


def aliases() -> dict[str, Callable[..., Any]]:
    """Return every optimizer that is complete: what has a rate, and steps down."""

    def rated(factory: Any) -> bool:
        names = inspect.signature(factory).parameters
        return any(name.endswith("learning_rate") for name in names)

    return {
        name: factory
        for name, factory in gradtx.testing.discover(gradtx).items()
        if factory.__module__.startswith("gradtx.optimizers.")
        and not name.startswith("scale_by_")
        and rated(factory)
    }


def algorithm(name: str) -> Figure:
    """Draw the paths of an optimizer, with one of gradient descent to compare.

    For an optimizer of matrices: how the loss falls, and by Adam.

    Args:
        name: of an optimizer, "adam".

    Raises:
        LookupError: no such optimizer, or one without a rate in LINES.
    """
    if name not in aliases():
        raise LookupError(f"no optimizer {name!r}; there are {', '.join(aliases())}.")
    if name in matrices.LINES:
        return matrices.matrix(name, aliases()[name])
    if name not in LINES:
        raise LookupError(f"{name} has no rates: add them to LINES in {__name__}.")
    lines = [(aliases()[name], line) for line in LINES[name]]
    if name != "sgd":
        lines.append((gradtx.sgd, SGD))
    search = lines[0][1].quadratic is None
    picture = look.figure(3.8)
    for panel, surface, field, steps in zip(
        picture.subplots(1, 2),
        (surfaces.QUADRATIC, surfaces.BEALE),
        ("quadratic", "beale"),
        STEPS_WITH_LINE_SEARCH if search else STEPS,
        strict=True,
    ):
        optimizers = {}
        for factory, line in lines:
            rate = getattr(line, field)
            label = line.label if rate is None else f"{line.label}, rate {rate:g}"
            optimizers[label] = factory(rate, **line.options)
        gradtx.plot.plot_paths(
            surface, optimizers, steps=steps, ax=panel, marks=1 if search else None
        )
        panel.set_title(f"{surface.name}, {steps} steps")
        look.legend_below(panel)
    return picture
