"""Paths that grow: an animation."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax

from gradtx.core import check
from gradtx.plot import canvas, maps
from gradtx.plot.surfaces import Surface

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.axes import Axes


def animate_paths(
    fn: Callable[[jax.Array], Any] | Surface,
    optimizers: Mapping[str, Any],
    *,
    start: Sequence[float] | None = None,
    steps: int | None = None,
    xlim: maps.Limits | None = None,
    ylim: maps.Limits | None = None,
    ax: "Axes | None" = None,
    minimum: Sequence[float] | None = None,
    every: int = 1,
    interval: float = 60.0,
    hold: int = 20,
) -> "FuncAnimation":
    """Let the paths of optimizers grow over the contours, a dot at each head.

    Args:
      fn, optimizers, start, steps, xlim, ylim, ax, minimum: see `plot_paths`.
      every: steps between two frames, at least 1.
      interval: milliseconds between two frames, above 0.
      hold: how many frames the end stays for.

    Returns:
      The animation. Keep it in a variable, and save it as a GIF,
      `animation.save("paths.gif")`; matplotlib warns if it is neither saved nor shown.
      In a notebook show it by `IPython.display.HTML(animation.to_jshtml())`.

    Raises:
      ValueError, TypeError, ModuleNotFoundError: see `plot_paths`.

    Example:
      >>> import gradtx, tempfile
      >>> optimizers = {"sgd": gradtx.sgd(0.1), "adam": gradtx.adam(0.1)}
      >>> animation = gradtx.plot.animate_paths(
      ...     gradtx.plot.surfaces.SADDLE, optimizers, steps=4, every=2, hold=0
      ... )
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     animation.save(f"{folder}/saddle.gif")
    """
    check.count("every", every, 1)
    check.positive("interval", interval)
    check.count("hold", hold)
    surface = maps.framed("animate_paths", fn, start, xlim, ylim, minimum)
    points = maps.all_points("animate_paths", surface, optimizers, steps)
    own = ax is None
    ax = maps.draw_map(canvas.axis(ax), surface)
    lines = []
    for (name, path), style in zip(points.items(), canvas.styles(), strict=False):
        label = maps.label(name, path, surface)
        lines += ax.plot([], [], linewidth=1.4, marker="o", label=label, **style)
    canvas.legend(ax, below=own)
    last = max(map(len, points.values()), default=1) - 1

    def draw(step: int) -> list[Any]:
        for line, path in zip(lines, points.values(), strict=True):
            shown = path[: step + 1]
            line.set_data(*shown.T)
            line.set_markevery([len(shown) - 1])
        ax.set_title(f"step {step}", fontsize="medium")
        return lines

    # Here, for the reason in canvas.py.
    from matplotlib.animation import FuncAnimation

    return FuncAnimation(
        ax.figure.canvas.figure,
        draw,
        frames=[*range(0, last, every), *[last] * (hold + 1)],
        interval=interval,
    )
