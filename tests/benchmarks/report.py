"""What the benchmark shows: a table, two pictures, and everything as JSON."""

import json
import statistics
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


# What is plotted is named as the page about it does.
NAMES = {
    "clipped_adamw": "clip_by_global_norm + adamw",
    "joined_adamw": "the same, small leaves joined",
    "finite_adamw": "apply_if_finite(adamw)",
    "accumulated_adamw": "MultiSteps(adamw, 4)",
    "masked_adamw": "masked(adamw)",
    "partitioned_adamw": "partition, two adamw",
    "injected_adamw": "inject_hyperparams(adamw)",
    "adamw_ema": "adamw + ema",
    "agc_adamw": "adaptive_grad_clip + adamw",
    "lookahead_adamw": "lookahead(adamw)",
    "zero_nans_adamw": "zero_nans + adamw",
    "momentum": "sgd with momentum",
    "eager_adamw": "adamw without jit",
}
TREES = {
    "gpt2": "GPT-2 small",
    "deep": "A deep, narrow network",
    "resnet50": "ResNet-50",
}
# Bytes beyond this many medians are drawn on the edge.
FAR = 4


def plot(records: Sequence[dict[str, Any]], path: Path, device: str) -> None:
    """Draw times relative to Optax, and the bytes moved beside the minimum.

    A point so far out that it would flatten the others stands on the edge, with an
    arrow and its number.
    """
    shown = [record for record in records if STEP in record["ways"]]
    if not shown:
        return
    figure = Figure(figsize=(10, 2.2 + 0.32 * len(shown)), layout="constrained")
    figure.suptitle(_title(shown[0], device))
    left, right = figure.subplots(1, 2, sharey=True)
    _plot_times(left, shown)
    _plot_bytes(right, shown)
    names = [_plain(record["workload"]) for record in shown]
    left.set_yticks(range(len(shown)), names)
    left.set_ylim(len(shown) - 0.5, -0.5)
    below = {"bbox_to_anchor": (0.5, 0), "borderaxespad": 2.2, "ncols": 3}
    _finish(figure, (left, right), path, loc="upper center", **below)


def _plain(workload: str) -> str:
    return NAMES.get(workload, workload)


def _title(record: dict[str, Any], device: str) -> str:
    tree = TREES.get(record["tree"], record["tree"])
    size = record["parameters"] / 1e6
    return (
        f"{tree}: {size:.3g} million parameters in {record['leaves']:,} arrays, "
        f"{record['dtype']}, {device.upper()}"
    )


def _plot_times(axes: Any, shown: Sequence[dict[str, Any]]) -> None:
    axes.axvline(1, color="0.5", linewidth=0.8)
    marks = ((LOOP, COLORS[0], "o", -0.15), (STEP, COLORS[5], "D", 0.15))
    for name, color, mark, shift in marks:
        for place, record in enumerate(shown):
            found = record["ways"].get(name, {}).get("ratios", {}).get(OPTAX)
            if found is not None:
                middle = found["median"]
                sides = [[middle - found["low"]], [found["high"] - middle]]
                axes.errorbar(
                    middle, place + shift, xerr=sides, fmt=mark, color=color, ms=5
                )
        axes.plot([], [], mark, color=color, label=name)
    axes.set(title="time of a step / time of Optax's (less is faster)", xscale="log")
    axes.set_xticks([0.1, 0.2, 0.5, 1, 2], ["0.1", "0.2", "0.5", "1", "2"])
    axes.set_xticks([], minor=True)
    axes.set_xlim(0.08, 2.5)


def _plot_bytes(axes: Any, shown: Sequence[dict[str, Any]]) -> None:
    found: dict[str, list[tuple[float, int]]] = {OPTAX: [], STEP: [], "minimum": []}
    for place, record in enumerate(shown):
        for name in (OPTAX, STEP):
            each = record["ways"].get(name, {}).get("per_parameter")
            if each:
                found[name].append((each["bytes_accessed"], place))
        if "minimum" in record and not _is_eager(record):
            found["minimum"].append((record["minimum"]["bytes_per_parameter"], place))
    values = [value for points in found.values() for value, _ in points]
    edge = FAR * statistics.median(values) if values else 1
    # A ring, which shows behind the other where they coincide.
    looks = {
        OPTAX: {"marker": "o", "color": COLORS[1], "ms": 10, "fillstyle": "none"},
        STEP: {"marker": "o", "color": COLORS[5], "ms": 5},
        "minimum": {"marker": "|", "color": "k", "ms": 9},
    }
    for name, points in found.items():
        near = [(min(value, edge), place) for value, place in points]
        across, down = zip(*near, strict=True) if near else ((), ())
        axes.plot(across, down, linestyle="", label=name, **looks[name])
        for value, place in points:
            if value > edge:
                at = {"xytext": (-8, 0), "textcoords": "offset points", "ha": "right"}
                axes.annotate(f"{value:,.0f} →", (edge, place), va="center", **at)
    axes.set(title="bytes moved for each parameter")
    axes.set_xlim(0, 1.05 * min(edge, max(values, default=1)))


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
    left.set(title="seconds until adamw is compiled", xlabel="arrays")
    right.set(title="milliseconds a step of adamw", xlabel="parameters, in one array")
    for axes in left, right:
        axes.set(xscale="log", yscale="log")
    # The lines fill the frame.
    below = {"bbox_to_anchor": (0.5, 0), "borderaxespad": 3.5}
    _finish(figure, (left, right), path, loc="upper center", **below)


def _finish(figure: Figure, subplots: Sequence[Any], path: Path, **legend) -> None:
    for axes in subplots:
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(**legend)
    figure.savefig(path, dpi=150)


def redraw(path: Path) -> None:
    """Draw the picture that belongs to a JSON that was saved, without measuring."""
    found = json.loads(path.read_text())
    picture, device = path.with_suffix(".png"), found["device"]["kind"]
    if "scaling" in found:
        title = f"adamw in {found['options']['dtype']} on {device}"
        plot_scaling(found["scaling"], picture, title)
    else:
        plot(found["results"], picture, device)


def save(found: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n")
