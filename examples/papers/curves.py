"""What an experiment found: thinned curves, the best rate, a table, a picture."""

import json
import math
from collections.abc import Sequence
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from examples.report import COLORS, Figure, Table  # before matplotlib: says if missing

# isort: split
from matplotlib.ticker import LogLocator, NullFormatter

POINTS = 60  # of a curve
MARKERS = "os^Dvp"


class Result(NamedTuple):
    name: str  # of the optimizer
    rates: list[float]  # the grid
    start: float  # cost of the first minibatch, before anything is learned
    epoch: list[float]  # where the curves' points are, in passes over the data
    cost: list[list[float]]  # a curve for each rate: mean cost since the point before
    final: list[float]  # for each rate, mean cost over the last epoch; NaN: diverged
    best: (
        int | None
    )  # number of the rate with the lowest final cost; None: all diverged
    seconds: float  # of the whole grid, with compilation


def result(
    name: str, rates: Sequence[float], costs: np.ndarray, epochs: int, seconds: float
) -> Result:
    """Make a result of the costs of all steps, (rates, steps)."""
    epoch, cost = thin(costs, epochs)
    final = costs[:, -(costs.shape[1] // epochs) :].mean(1, dtype=np.float64)
    number = best(final)[0]
    grid = [float(rate) for rate in rates]
    start = float(costs[0, 0])
    return Result(name, grid, start, epoch, cost, final.tolist(), number, seconds)


def thin(
    costs: np.ndarray, epochs: int, points: int = POINTS
) -> tuple[list[float], list[list[float]]]:
    """Return the ends of up to that many stretches, in epochs, and the mean costs."""
    steps = costs.shape[1]
    ends = np.unique(np.linspace(0, steps, min(points, steps) + 1).astype(int))
    means = np.stack(
        [
            costs[:, start:end].mean(1, dtype=np.float64)
            for start, end in pairwise(ends)
        ],
        axis=1,
    )
    return (ends[1:] * (epochs / steps)).tolist(), means.tolist()


def best(costs: Sequence[float] | np.ndarray) -> tuple[int | None, float]:
    """Return the number of the lowest cost, and the cost; None if none is finite."""
    finite = np.where(np.isfinite(costs), costs, np.inf)
    number = int(finite.argmin())
    if not math.isfinite(finite[number]):
        return None, math.nan
    return number, float(finite[number])


def diverged(result: Result) -> list[float]:
    """Return the rates that ended in NaN or infinity."""
    pairs = zip(result.rates, result.final, strict=True)
    return [rate for rate, final in pairs if not math.isfinite(final)]


def remark(result: Result) -> str:
    """Say what a reader should know of the grid, "" if nothing."""
    said = []
    if result.best in (0, len(result.rates) - 1) and len(result.rates) > 1:
        said.append("the best rate is at the edge of the grid")
    if gone := diverged(result):
        said.append(f"diverged at {', '.join(f'{rate:g}' for rate in gone)}")
    return "; ".join(said)


def table(results: Sequence[Result]) -> Table:
    """List the optimizers, the one with the lowest final cost first."""
    shown = Table("optimizer", title="mean cost over the last epoch")
    for header in "best rate", "final cost", "seconds":
        shown.add_column(header, justify="right")
    shown.add_column("remarks")
    for entry in ranking(results):
        rate = "-" if entry.best is None else f"{entry.rates[entry.best]:g}"
        cost = best(entry.final)[1]
        shown.add_row(
            entry.name, rate, f"{cost:.4f}", f"{entry.seconds:.0f}", remark(entry)
        )
    return shown


def ranking(results: Sequence[Result]) -> list[Result]:
    """Sort by the final cost at the best rate; the diverged come last."""

    def cost(entry):
        return math.inf if entry.best is None else entry.final[entry.best]

    return sorted(results, key=cost)


def plot(
    results: Sequence[Result],
    path: Path,
    title: str,
    *,
    cost: str = "training cost",
) -> None:
    """Draw each optimizer's curve at its best rate, and what every rate came to."""
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    figure.suptitle(title)
    left, right = figure.subplots(1, 2)
    # What ends higher than it starts learned nothing: it is marked at the upper edge.
    top = max([entry.start for entry in results if math.isfinite(entry.start)] or [1.0])
    styles = zip(cycle(COLORS), cycle(MARKERS), cycle(("-", "--")), strict=False)
    for row, (entry, (color, marker, dash)) in enumerate(
        zip(results, styles, strict=False)
    ):
        label, epoch, curve = f"{entry.name} (all diverged)", [], []
        if entry.best is not None:
            label = f"{entry.name} ({entry.rates[entry.best]:g})"
            epoch, curve = entry.epoch, entry.cost[entry.best]
        left.plot(epoch, curve, dash, color=color, label=label)
        rates, final = np.array(entry.rates), np.array(entry.final)
        inside = np.isfinite(final) & (final <= top)
        within = np.where(inside, final, np.nan)
        right.plot(rates, within, dash, marker=marker, ms=5, color=color)
        height = np.full(len(rates), top * 1.08 ** (row + 1))[~inside]
        right.plot(rates[~inside], height, "x", ms=6, color=color)
    left.set(
        title="at the best rate of each",
        xlabel="passes over the training data",
        ylabel=cost,
    )
    right.set(
        title="all rates (×: diverged, or no better than at the start)",
        xlabel="learning rate",
        ylabel=f"{cost}, mean over the last pass",
        xscale="log",
    )
    left.legend(title="optimizer (best rate)")
    for axes in left, right:
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())
        # 0.2, 0.3, 0.4, 0.6, 1: readable in print, where 3 x 10^-1 is not.
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 4, 6), numticks=20))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def save(results: Sequence[Result], path: Path, settings: dict[str, Any]) -> None:
    """Write settings and curves as JSON, to five digits; null stands for NaN."""
    records = [entry._asdict() for entry in results]
    content = json.dumps(plain(settings | {"results": records}), allow_nan=False)
    path.write_text(content + "\n")


def plain(value: Any) -> Any:
    """Round floats to what a picture can show, and replace NaN, which JSON lacks."""
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
