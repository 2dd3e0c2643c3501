"""The results of a sweep: a map of two hyperparameters, or a curve of one."""

from typing import TYPE_CHECKING, Any

import numpy as np

from gradtx.plot import canvas
from gradtx.sweeping.results import best_of, columns_of
from gradtx.sweeping.sweep import Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Numbers are written into the fields of a map with no more than this many.
FIELDS = 100
# Results that span more than this are coloured on a logarithmic scale.
DECADES = 2


def plot_sweep(
    grid: Sweep,
    results: Any,
    *,
    x: str | None = None,
    y: str | None = None,
    highest: bool = False,
    label: str = "result",
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw the results of a sweep over two of its arguments.

    For a product a map with a field for each pair of values, as far apart as they come;
    of more arguments the best run over the others. For a "zip" a point for each run. A
    star is the best; a run whose result is not finite is a cross. With one argument it
    is a curve, of the best over the others.

    Colours go from the best result to the worst; on a logarithmic scale where positive
    results span more than two decades.

    Args:
      grid: what `sweep` made.
      results: a number for each run, an array of one axis.
      x, y: names of swept arguments, by default the first two; with x alone it is a
        curve.
      highest: whether more is better, as of an accuracy.
      label: what the results are.
      ax: the axis to draw on; by default one in a new figure, `ax.figure`.

    Returns:
      The axis. As the last line of a cell, a new one shows its picture in a notebook;
      in a script `ax.figure.savefig("a.png")` writes it.

    Raises:
      ValueError: results of another shape or none that is finite, or a name that is not
        swept.
      ModuleNotFoundError: matplotlib is missing: `pip install "gradtx[plot]"`.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> grid = gradtx.sweep(gradtx.sgd, learning_rate=[0.1, 0.5], momentum=[0.0, 0.9])
      >>> loss = jnp.array([1.0, 0.5, 0.2, 3.0])
      >>> ax = gradtx.plot.plot_sweep(grid, loss, label="loss")
      >>> ax.get_xlabel(), ax.get_ylabel(), ax.get_title()
      ('learning_rate', 'momentum', 'best loss 0.2 at learning_rate=0.5, momentum=0')
    """
    [(_, column)] = columns_of({label: results}, len(grid))
    names = list(grid.values)
    if x is None:
        x = names[0]
        y = next((name for name in names if name != x), None) if y is None else y
    for name in x, y:
        if name is not None and name not in names:
            raise ValueError(
                f"plot_sweep: {name!r} is none of the swept arguments, {names}."
            )
    best = best_of(column, highest)
    ax = canvas.axis(ax)
    if y is None or y == x:
        _curve(ax, grid, column, x, highest)
        canvas.finish(ax, xlabel=x, ylabel=label)
    else:
        colors = _colors(column, highest)
        draw = _map if grid.how == "product" else _points
        drawn = draw(ax, grid, column, x, y, highest, colors)
        ax.figure.colorbar(drawn, ax=ax, label=label)
        ax.set(xlabel=x, ylabel=y)
    where = ", ".join(f"{name}={v:.3g}" for name, v in grid.settings[best].items())
    ax.set_title(f"best {label} {column[best]:.4g} at {where}", fontsize="medium")
    return ax


def _of_each(
    grid: Sweep, column: np.ndarray, names: list[str], highest: bool
) -> dict[tuple[float, ...], float]:
    """The best result at each combination of values; NaN where none is finite."""
    found: dict[tuple[float, ...], float] = {}
    better = np.fmax if highest else np.fmin
    finite = np.where(np.isfinite(column), column, np.nan)
    for setting, result in zip(grid.settings, finite, strict=True):
        key = tuple(setting[name] for name in names)
        found[key] = float(better(found.get(key, np.nan), result))
    return found


def _colors(column: np.ndarray, highest: bool) -> dict[str, Any]:
    """The best is bright; the scale is that of the finite results."""
    # Here, for the reason in canvas.py.
    from matplotlib.colors import LogNorm, Normalize

    finite = column[np.isfinite(column)]
    low, high = finite.min(), finite.max()
    wide = low > 0 and high > 10**DECADES * low
    norm = LogNorm(low, high) if wide else Normalize(low, high)
    return {"norm": norm, "cmap": "viridis" if highest else "viridis_r"}


def _map(
    ax: "Axes",
    grid: Sweep,
    column: np.ndarray,
    x: str,
    y: str,
    highest: bool,
    colors: dict[str, Any],
) -> Any:
    """A field for each pair of values, the smallest at the left and below."""
    across, up = sorted(grid.values[x]), sorted(grid.values[y])
    found = _of_each(grid, column, [x, y], highest)
    fields = np.array([[found[a, b] for a in across] for b in up])
    drawn = ax.imshow(
        np.ma.masked_invalid(fields), origin="lower", aspect="auto", **colors
    )
    ax.set_xticks(range(len(across)), [f"{a:.3g}" for a in across])
    ax.set_yticks(range(len(up)), [f"{b:.3g}" for b in up])
    pick = np.nanargmax if highest else np.nanargmin
    best = np.unravel_index(pick(fields), fields.shape)
    for (row, place), value in np.ndenumerate(fields):
        if np.isnan(value):
            ax.plot(place, row, "x", color="0.3")
        elif fields.size <= FIELDS:
            star = "★\n" if (row, place) == best else ""
            dark = sum(drawn.to_rgba(value)[:3]) < 1.5
            ax.text(
                place,
                row,
                f"{star}{value:.3g}",
                ha="center",
                va="center",
                fontsize="x-small",
                color="white" if dark else "black",
            )
    if fields.size > FIELDS:
        ax.plot(best[1], best[0], "*", markersize=12, color="black")
    return drawn


def _points(
    ax: "Axes",
    grid: Sweep,
    column: np.ndarray,
    x: str,
    y: str,
    highest: bool,
    colors: dict[str, Any],
) -> Any:
    """A point for each run."""
    at = np.array([[setting[x], setting[y]] for setting in grid.settings])
    finite = np.isfinite(column)
    drawn = ax.scatter(*at[finite].T, c=column[finite], edgecolors="0.5", **colors)
    ax.plot(*at[~finite].T, "x", color="0.3")
    best = at[best_of(column, highest)]
    ax.plot(*best, "*", markersize=14, markerfacecolor="none", color="black")
    for scale, values in (ax.set_xscale, at[:, 0]), (ax.set_yscale, at[:, 1]):
        if _is_spread(values):
            scale("log")
    return drawn


def _curve(ax: "Axes", grid: Sweep, column: np.ndarray, x: str, highest: bool) -> None:
    """The results over one argument."""
    found = _of_each(grid, column, [x], highest)
    at = np.array(sorted(value for (value,) in found))
    heights = np.array([found[value,] for value in at])
    if _is_spread(at):
        ax.set_xscale("log")
    finite = heights[np.isfinite(heights)]
    if _is_spread(finite):
        ax.set_yscale("log")
    style = next(canvas.styles()) | {"marker": "o"}
    canvas.curve(ax, at, heights, None, style)


def _is_spread(values: np.ndarray) -> bool:
    """Whether they are positive and span decades."""
    return bool((values > 0).all() and values.max() >= 10**DECADES * values.min())
