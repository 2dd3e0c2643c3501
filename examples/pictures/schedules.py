"""Every schedule, a panel each."""

import math
from types import MappingProxyType

from matplotlib.figure import Figure

import gradtx
from examples.pictures import look

STEPS = 200
# Typical arguments.
EXAMPLES = MappingProxyType(
    {
        "constant_schedule": gradtx.constant_schedule(0.1),
        "linear_schedule": gradtx.linear_schedule(0.1, 0.01, 150, 25),
        "polynomial_schedule": gradtx.polynomial_schedule(0.1, 0.0, 2, 200),
        "exponential_decay": gradtx.exponential_decay(0.1, 40, 0.5, staircase=True),
        "piecewise_constant_schedule": gradtx.piecewise_constant_schedule(
            0.1, {80: 0.3, 140: 0.3}
        ),
        "piecewise_interpolate_schedule": gradtx.piecewise_interpolate_schedule(
            "cosine", 0.1, {80: 0.3, 140: 0.3}
        ),
        "inverse_sqrt_schedule": gradtx.inverse_sqrt_schedule(0.1, 10),
        "cosine_decay_schedule": gradtx.cosine_decay_schedule(0.1, 200),
        "sgdr_schedule": gradtx.sgdr_schedule(
            [
                {
                    "init_value": 0.0,
                    "peak_value": peak,
                    "warmup_steps": 5,
                    "decay_steps": steps,
                }
                for peak, steps in ((0.1, 50), (0.08, 60), (0.06, 90))
            ]
        ),
        "warmup_stable_decay_schedule": gradtx.warmup_stable_decay_schedule(
            0.0, 0.1, 20, 60, 200
        ),
        "warmup_constant_schedule": gradtx.warmup_constant_schedule(0.0, 0.1, 40),
        "warmup_cosine_decay_schedule": gradtx.warmup_cosine_decay_schedule(
            0.0, 0.1, 40, 200
        ),
        "warmup_exponential_decay_schedule": gradtx.warmup_exponential_decay_schedule(
            0.0, 0.1, 40, 40, 0.5
        ),
        "linear_onecycle_schedule": gradtx.linear_onecycle_schedule(200, 0.1),
        "cosine_onecycle_schedule": gradtx.cosine_onecycle_schedule(200, 0.1),
        "onecycle_schedule": gradtx.onecycle_schedule(200, 0.1, three_phase=True),
        "cyclic_schedule": gradtx.cyclic_schedule(0.0, 0.1, 25, mode="triangular2"),
        "cosine_restarts_schedule": gradtx.cosine_restarts_schedule(0.1, 30, 2.0),
        "join_schedules": gradtx.join_schedules(
            [gradtx.constant_schedule(0.1), gradtx.cosine_decay_schedule(0.1, 100)],
            [100],
        ),
    }
)


def public() -> list[str]:
    """Return the names of all factories of schedules."""
    return [
        name for name, value in vars(gradtx).items() if hasattr(value, "is_schedule")
    ]


def schedules() -> Figure:
    """Draw the schedules in EXAMPLES."""
    columns = 3
    rows = math.ceil(len(EXAMPLES) / columns)
    picture = look.figure(1.35 * rows + 0.3)
    grid = picture.subplots(rows, columns, sharex=True, sharey=True)
    for panel, (name, schedule) in zip(grid.flat, EXAMPLES.items(), strict=False):
        gradtx.plot.plot_schedule(schedule, STEPS, ax=panel)
        panel.set_title(name, fontsize=8)
        panel.set(xlabel="", ylabel="", ylim=(0, 0.11), yticks=[0, 0.05, 0.1])
        panel.tick_params(labelsize="small")
    for panel in grid.flat[len(EXAMPLES) :]:
        panel.axis("off")
    for panel in grid[-2, len(EXAMPLES) % columns or columns :]:
        panel.tick_params(labelbottom=True)  # the lowest of its column
    picture.supxlabel("step", fontsize="small")
    return picture
