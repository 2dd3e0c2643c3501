"""What examples show: a progress bar, a table, a picture, and the curves as a file."""

import json
import math
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

try:
    from matplotlib.figure import Figure
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Table
except ModuleNotFoundError as error:
    package = (error.name or "").partition(".")[0]
    if package not in ("matplotlib", "rich"):
        raise  # one of their own requirements
    raise ModuleNotFoundError(
        f"the examples need {package}: run `pip install matplotlib mlxtend rich`.",
        name=package,
    ) from None

# Told apart by people with any kind of colour vision.
COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")


class Metrics(NamedTuple):
    loss: jax.Array  # () float32, mean cross-entropy of the batch, before the step
    learning_rate: jax.Array  # () float32, the one this step used
    gradient_norm: jax.Array  # () float32, before clipping

    def __str__(self):
        return (
            f"loss {self.loss:.4f}  rate {self.learning_rate:.1e}  "
            f"norm {self.gradient_norm:.1e}"
        )


class Run(NamedTuple):
    name: str
    chain: str  # the optimizer's repr
    loss: list[float]  # one value per step, as are the next two
    learning_rate: list[float]
    gradient_norm: list[float]
    test_step: list[int]  # the steps after which the test accuracy was taken
    test_accuracy: list[float]
    epoch_loss: float  # mean over the last epoch
    compile_seconds: float
    seconds: float  # training and testing, without compilation


def progress_bar(console: Console) -> Progress:
    """Return a bar that vanishes when full, and shows only where a person watches."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[status]}"),
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def table(runs: Sequence[Run]) -> Table:
    """Compare the runs; the best test accuracy is in bold."""
    result = Table("optimizer", title="after the last epoch")
    for header in "test accuracy", "final loss", "seconds":
        result.add_column(header, justify="right")
    best = max(run.test_accuracy[-1] for run in runs)
    for run in runs:
        accuracy = f"{run.test_accuracy[-1]:.4f}"
        result.add_row(
            run.name,
            f"[bold]{accuracy}[/]" if run.test_accuracy[-1] == best else accuracy,
            f"{run.epoch_loss:.4f}",
            f"{run.seconds:.1f}",
        )
    return result


def running_mean(values: Sequence[float], window: int) -> np.ndarray:
    """Average the last values at each place, fewer at the start; NaN from a NaN on."""
    finite = np.where(np.isfinite(values), values, np.nan)
    total = np.concatenate([[0.0], np.cumsum(finite)])
    end = np.arange(1, len(total))
    start = np.maximum(end - window, 0)
    return (total[end] - total[start]) / (end - start)


def plot(runs: Sequence[Run], path: Path, title: str) -> None:
    """Draw the training loss and the test accuracy over steps, a line for each run."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    figure.suptitle(title)
    left, right = figure.subplots(1, 2, sharex=True)
    # Single losses jump from batch to batch: the line is their running mean.
    window = max(1, max(len(run.loss) for run in runs) // 25)
    # Dashes let a line show through where two coincide, as adam and adamw may.
    for run, color, dash in zip(runs, cycle(COLORS), cycle(("-", "--")), strict=False):
        steps = np.arange(1, len(run.loss) + 1)
        if len(runs) == 1:
            left.plot(steps, run.loss, color=color, alpha=0.2, linewidth=0.8)
        left.plot(steps, running_mean(run.loss, window), dash, color=color)
        right.plot(
            run.test_step,
            run.test_accuracy,
            dash,
            marker="o",
            markersize=4,
            color=color,
            label=f"{run.name}  {run.test_accuracy[-1]:.3f}",
        )
    left.set(
        title="Training loss",
        ylabel=f"cross-entropy, mean of {window} steps",
        xlabel="step",
        yscale="log",
    )
    right.set(title="Test accuracy", ylabel="share of digits recognized", xlabel="step")
    right.legend(title="after the last epoch", loc="lower right")
    for axes in left, right:
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def save(runs: Sequence[Run], path: Path, settings: dict[str, Any]) -> None:
    """Write settings and curves as JSON, which has no NaN: null stands for it."""

    def plain(value):
        if isinstance(value, float) and not math.isfinite(value):
            return None
        return [plain(item) for item in value] if isinstance(value, list) else value

    records = [
        {key: plain(value) for key, value in run._asdict().items()} for run in runs
    ]
    path.write_text(json.dumps(settings | {"runs": records}, allow_nan=False) + "\n")
