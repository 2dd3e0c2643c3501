"""What the benchmark shows: a table, two pictures, and everything as JSON."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.console import Console as Console
from rich.table import Table

from examples.report import COLORS, progress_bar as progress_bar

from .compare import BY_HAND, LOOP, OPTAX, STEP

COLUMNS = (
    "workload",
    "as",
    "ms",
    "time to Optax's",
    "to by hand",
    "bytes",
    "temp",
    "state",
    "trace",
    "lower",
    "compile",
    "of copy",
)
CAPTION = (
    "ms a step; ratios are medians of pairs (and quartiles), below 1 is faster; bytes "
    "accessed, temporary and of state are per parameter; trace, lower and compile in "
    "seconds; the minimum is what must be moved, in the time a copy takes for it; of "
    "copy is the part of a copy's bandwidth that was reached."
)


def table(records: Sequence[dict[str, Any]], title: str) -> Table:
    """A row for each way of taking the step, under the name of the workload."""
    result = Table(title=title, caption=CAPTION, box=None, padding=(0, 1))
    for header in COLUMNS:
        left = header in COLUMNS[:2]
        result.add_column(header, justify="left" if left else "right", no_wrap=True)
    for record in records:
        for i, row in enumerate(_rows(record)):
            result.add_row(record["workload"] if i == 0 else "", *row)
        result.add_section()
    return result


def _rows(record: dict[str, Any]) -> Iterator[list[str]]:
    minimum = record.get("minimum", {})
    least = minimum.get("milliseconds")
    for name, numbers in record["ways"].items():
        if "error" in numbers:
            yield [name, "[red]failed[/]", *[""] * 9]
            continue
        each = numbers.get("per_parameter", {})
        yield [
            name,
            *_times(numbers),
            *(_number(each.get(k)) for k in ("bytes_accessed", "temp_bytes")),
            _number(each.get("state_bytes")),
            *(_number(numbers.get(f"{k}_seconds"), 2) for k in COLUMNS[8:11]),
            _part(least, numbers["milliseconds"]["median"]),
        ]
        for kind, single in numbers.get("kinds", {}).items():
            yield [f"  {kind}", *_times(single), *[""] * 7]
    if minimum and not _is_eager(record):
        bytes_ = _number(minimum["bytes_per_parameter"])
        yield ["minimum", _milliseconds(least), "", "", bytes_, *[""] * 6]


def failures(records: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each way of taking a step that failed, and why."""
    return [
        f"{record['workload']}, {name}: {numbers['error']}"
        for record in records
        for name, numbers in record["ways"].items()
        if "error" in numbers
    ]


def _is_eager(record: dict[str, Any]) -> bool:
    return not any("per_parameter" in way for way in record["ways"].values())


def _times(numbers: dict[str, Any]) -> list[str]:
    ratios = numbers["ratios"]
    milliseconds = _milliseconds(numbers["milliseconds"]["median"])
    return [milliseconds, _ratio(ratios.get(OPTAX)), _ratio(ratios.get(BY_HAND))]


def _number(value: float | None, digits: int = 1) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.{digits}f}"


def _milliseconds(value: float | None) -> str:
    """Three digits."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _ratio(found: dict[str, float] | None) -> str:
    if found is None:
        return ""
    return f"{found['median']:.2f} ({found['low']:.2f}-{found['high']:.2f})"


def _part(least: float | None, milliseconds: float) -> str:
    return "" if least is None else f"{100 * least / milliseconds:.0f}%"


def plot(records: Sequence[dict[str, Any]], path: Path, title: str) -> None:
    """Draw times relative to Optax, and the bytes moved beside the minimum."""
    shown = [record for record in records if STEP in record["ways"]]
    figure = Figure(figsize=(12, 2 + 0.32 * len(shown)), layout="constrained")
    figure.suptitle(title)
    left, right = figure.subplots(1, 2, sharey=True)
    left.axvline(1, color="0.5", linewidth=0.8)
    marks = ((LOOP, COLORS[0], "o", -0.15), (STEP, COLORS[5], "D", 0.15))
    for name, color, mark, shift in marks:
        for place, record in enumerate(shown):
            found = record["ways"].get(name, {}).get("ratios", {}).get(OPTAX)
            if found is not None:
                middle = found["median"]
                sides = [[middle - found["low"]], [found["high"] - middle]]
                left.errorbar(
                    middle, place + shift, xerr=sides, fmt=mark, color=color, ms=5
                )
        left.plot([], [], mark, color=color, label=name)
    # A ring, which shows behind the other where they coincide.
    for name, color, ms, fill in (
        (OPTAX, COLORS[1], 10, "none"),
        (STEP, COLORS[5], 5, "full"),
    ):
        points = [
            (record["ways"][name]["per_parameter"]["bytes_accessed"], place)
            for place, record in enumerate(shown)
            if "per_parameter" in record["ways"].get(name, {})
        ]
        across, down = zip(*points, strict=True) if points else ((), ())
        right.plot(across, down, "o", color=color, ms=ms, fillstyle=fill, label=name)
    least = [
        (record["minimum"]["bytes_per_parameter"], place)
        for place, record in enumerate(shown)
        if "minimum" in record and not _is_eager(record)
    ]
    across, down = zip(*least, strict=True) if least else ((), ())
    right.plot(across, down, "|k", ms=9, label="minimum")
    left.set_yticks(range(len(shown)), [record["workload"] for record in shown])
    left.invert_yaxis()
    left.set(title="time of a step to Optax's, and quartiles", xscale="log")
    left.set_xticks([0.1, 0.2, 0.5, 1, 2], ["0.1", "0.2", "0.5", "1", "2"])
    left.set_xticks([], minor=True)
    left.margins(y=0.02)
    right.set(title="bytes accessed per parameter")
    right.set_xlim(left=0)
    _finish(figure, (left, right), path)


def plot_scaling(found: dict[str, Any], path: Path, title: str) -> None:
    """Draw the seconds until a step is compiled, and the time of a step."""
    figure = Figure(figsize=(11, 6), layout="constrained")
    figure.suptitle(title)
    left, right = figure.subplots(1, 2)
    styles = {LOOP: (COLORS[0], "o"), STEP: (COLORS[5], "D"), OPTAX: (COLORS[1], "s")}
    for name, (color, mark) in styles.items():
        for stages, line in ((("trace",), ":"), (("trace", "lower", "compile"), "-")):
            left.plot(
                [record["leaves"] for record in found["leaves"]],
                [
                    sum(record["ways"][name][f"{stage}_seconds"] for stage in stages)
                    for record in found["leaves"]
                ],
                line,
                marker=mark,
                color=color,
                label=f"{name}, {' + '.join(stages)}",
            )
        right.plot(
            [record["parameters"] for record in found["parameters"]],
            [r["ways"][name]["milliseconds"]["median"] for r in found["parameters"]],
            marker=mark,
            color=color,
            label=name,
        )
    left.set(title="seconds until adamw is compiled", xlabel="leaves")
    right.set(title="milliseconds a step of adamw", xlabel="parameters, in one leaf")
    for axes in left, right:
        axes.set(xscale="log", yscale="log")
    below = (0.5, -0.15)  # the lines fill the frame
    _finish(figure, (left, right), path, loc="upper center", bbox_to_anchor=below)


def _finish(figure: Figure, subplots: Sequence[Any], path: Path, **legend) -> None:
    for axes in subplots:
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(**legend)
    figure.savefig(path, dpi=150)


def save(found: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n")
