"""The results of a sweep: which run is best, and a table."""

from collections.abc import Mapping
from typing import Any

import numpy as np

Column = tuple[str, np.ndarray]  # name, and a number for each run


def columns_of(results: Any, runs: int) -> list[Column]:
    """The results by name.

    Raises:
      ValueError: they are not one real number for each run.
    """
    named = results if isinstance(results, Mapping) else {"result": results}
    if not named:
        raise ValueError("sweep: there are no results.")
    columns = []
    for name, given in named.items():
        column = np.asarray(given)
        if column.shape != (runs,) or not np.isrealobj(column):
            raise ValueError(
                f"sweep: {name!r} must be {runs} real numbers, one for each run, got "
                f"{column.dtype} of shape {column.shape}."
            )
        columns.append((name, column.astype(float)))
    return columns


def best_of(column: np.ndarray, highest: bool) -> int:
    """The place of the best number, the first of several.

    Raises:
      ValueError: none is finite.
    """
    if not np.isfinite(column).any():
        raise ValueError("sweep: no run has a finite result.")
    return int(_order(column, highest)[0])


def _order(column: np.ndarray, highest: bool) -> np.ndarray:
    """The places from the best to the worst; what is not finite comes last."""
    cost = np.where(np.isfinite(column), -column if highest else column, np.inf)
    return np.argsort(cost, kind="stable")


def table_of(
    settings: list[dict[str, float]],
    values: Mapping[str, list[float]],
    columns: list[Column],
    highest: bool,
    shown: int,
) -> str:
    """The rows of the best runs, and what is said of the ends of the values."""
    first = columns[0][1]
    best = best_of(first, highest)
    rows = [["", "run", *settings[0], *(name for name, _ in columns)]]
    for i in _order(first, highest)[:shown]:
        mark = "*" if first[i] == first[best] else ""
        numbers = [f"{value:g}" for value in settings[i].values()]
        rows.append([mark, f"{i}", *numbers, *(f"{x[i]:.4g}" for _, x in columns)])
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.rjust, row, wide)) for row in rows]
    if shown < len(settings):
        lines.append(f"and {len(settings) - shown} more runs.")
    for name, tried in values.items():
        value = settings[best][name]
        ends = {min(tried): "smallest", max(tried): "largest"}
        if len(tried) > 2 and value in ends:
            lines.append(
                f"The best {name}, {value:g}, is the {ends[value]} tried: a better one "
                f"may lie beyond."
            )
    return "\n".join(line.rstrip() for line in lines)
