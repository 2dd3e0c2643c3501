"""Maps: the contours of a function of two numbers, and the paths on it."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core import check
from gradtx.plot import canvas
from gradtx.plot.surfaces import Surface
from gradtx.plot.trajectories import paths

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Limits = tuple[float, float]
GRID = 161  # values of the function along each side
LEVELS = 16


def plot_paths(
    fn: Callable[[jax.Array], Any] | Surface,
    optimizers: Mapping[str, Any],
    *,
    start: Sequence[float] | None = None,
    steps: int | None = None,
    xlim: Limits | None = None,
    ylim: Limits | None = None,
    ax: "Axes | None" = None,
    marks: int | None = None,
    minimum: Sequence[float] | None = None,
) -> "Axes":
    """Draw the contours of a function and the path of each optimizer on it.

    A ring is the start, a star the minimum; higher is darker. A path that leaves the
    frame ends in an arrow, one that stops being finite in a cross, and the legend says
    at which step. In a new figure the legend is below the map, where it hides nothing.

    Args:
      fn: from an array of shape (2,) to a scalar; or one of `gradtx.plot.surfaces`,
        which brings a start, a frame and a minimum.
      optimizers: from name to transformation (see `paths`), or to points that are
        known already, an array of shape (n, 2).
      start: the first point of all transformations.
      steps: the updates of all transformations, at least 1.
      xlim, ylim: the frame, (left, right) and (bottom, top).
      ax: the axis to draw on; by default one in a new figure, `ax.figure`.
      marks: steps between two dots on a path, 0 for none; by default about a tenth of
        the steps, which the legend's title says.
      minimum: where the star is.

    Returns:
      The axis. As the last line of a cell, a new one shows its picture in a notebook,
      with or without `%matplotlib inline`; in a script `ax.figure.savefig("a.png")`
      writes it.

    Raises:
      ValueError: no frame or start for a plain function, a frame without width, points
        of another shape, a number out of range.
      TypeError: what is neither a transformation nor an array.
      ModuleNotFoundError: matplotlib is missing: `pip install "gradtx[plot]"`.

    Example:
      >>> import gradtx
      >>> optimizers = {"sgd": gradtx.sgd(0.12), "adam": gradtx.adam(0.3)}
      >>> ax = gradtx.plot.plot_paths(
      ...     gradtx.plot.surfaces.QUADRATIC, optimizers, steps=30
      ... )
      >>> ax.get_legend_handles_labels()[1]
      ['sgd (leaves at step 2)', 'adam']
    """
    surface = framed("plot_paths", fn, start, xlim, ylim, minimum)
    points = all_points("plot_paths", surface, optimizers, steps)
    if marks is None:
        longest = max((len(path) - 1 for path in points.values()), default=0)
        marks = round_number(longest / 10)
    check.count("marks", marks)
    own = ax is None
    ax = draw_map(canvas.axis(ax), surface)
    for (name, path), style in zip(points.items(), canvas.styles(), strict=False):
        draw_path(ax, surface, path, label(name, path, surface), style, marks)
    every = f"{marks} steps" if marks > 1 else "step"
    canvas.legend(ax, below=own, title=f"a dot every {every}" if marks else None)
    return ax


def framed(
    caller: str,
    fn: Callable[[jax.Array], Any] | Surface,
    start: Sequence[float] | None,
    xlim: Limits | None,
    ylim: Limits | None,
    minimum: Sequence[float] | None,
) -> Surface:
    """The function as a surface, with what was given in place of its own."""
    if isinstance(fn, Surface):
        surface = fn
    elif xlim is None or ylim is None:
        raise ValueError(
            f"{caller}: a function of its own needs a frame: give xlim= and ylim=, or "
            f"one of gradtx.plot.surfaces."
        )
    else:
        surface = Surface("", fn, (np.nan, np.nan), xlim, ylim, None)
    given = {"start": start, "xlim": xlim, "ylim": ylim, "minimum": minimum}
    surface = surface._replace(
        **{
            name: _two_numbers(caller, name, value)
            for name, value in given.items()
            if value is not None
        }
    )
    for name in "xlim", "ylim":
        low, high = getattr(surface, name)
        if not low < high:
            raise ValueError(
                f"{caller}: {name} must have the lower number first, got {low, high}."
            )
    return surface


def _two_numbers(caller: str, name: str, value: Any) -> tuple[float, float]:
    numbers = np.asarray(value, float)
    if numbers.shape != (2,) or not np.isfinite(numbers).all():
        raise ValueError(f"{caller}: {name} must be two finite numbers, got {value}.")
    return float(numbers[0]), float(numbers[1])


def all_points(
    caller: str,
    surface: Surface,
    optimizers: Mapping[str, Any],
    steps: int | None,
) -> dict[str, np.ndarray]:
    """The points of each path, computed or given."""
    arrays = {
        name: np.asarray(value)
        for name, value in optimizers.items()
        if isinstance(value, np.ndarray | jax.Array)
    }
    for name, array in arrays.items():
        if array.ndim != 2 or array.shape[1] != 2 or not len(array):
            raise ValueError(
                f"{caller}: the points {name!r} must have the shape (n, 2), have "
                f"{array.shape}."
            )
    others = {name: tx for name, tx in optimizers.items() if name not in arrays}
    if not others:
        return arrays
    if steps is None or np.isnan(surface.start).any():
        missing = "steps=" if steps is None else "start="
        raise ValueError(f"{caller}: {', '.join(others)}: {missing} is missing.")
    found = paths(surface.fn, others, start=surface.start, steps=steps)
    return {name: (arrays | found)[name] for name in optimizers}


def round_number(x: float) -> int:
    """The largest of 1, 2, 5, 10, 20, ... that is at most x, at least 1."""
    power = 10 ** int(np.log10(max(x, 1)))
    return int(max(n * power for n in (1, 2, 5) if n * power <= max(x, 1)))


class Fate(NamedTuple):
    leaves: int | None  # the step from which on a path is outside of the frame
    outside: int  # how many of its finite points are
    lost: int | None  # the first step that is not finite


def fate(path: np.ndarray, surface: Surface) -> Fate:
    """What becomes of a path."""
    finite = np.isfinite(path).all(axis=1)
    lost = None if finite.all() else int(np.argmin(finite))
    low, high = np.transpose([surface.xlim, surface.ylim])
    inside = ((path >= low) & (path <= high)).all(axis=1)[:lost]
    last = np.flatnonzero(inside)[-1] + 1 if inside.any() else 0
    leaves = int(last) if last < len(inside) else None
    return Fate(leaves, int((~inside).sum()), lost)


def label(name: str, path: np.ndarray, surface: Surface) -> str:
    """The name, and what a reader of the map would miss."""
    leaves, outside, lost = fate(path, surface)
    notes = []
    if leaves is not None:
        notes.append(f"leaves at step {leaves}")
    elif outside:
        notes.append(f"{outside} of {len(path)} points outside")
    if lost is not None:
        notes.append(f"not finite from step {lost}")
    return canvas.noted(name, ", ".join(notes)) if notes else name


@partial(jax.jit, static_argnames="fn")
def _values(fn: Callable, x: jax.Array, y: jax.Array) -> jax.Array:
    return jax.vmap(lambda y: jax.vmap(lambda x: fn(jnp.stack([x, y])))(x))(y)


def _levels(values: np.ndarray) -> np.ndarray:
    """Heights of contours: close together near the bottom if much of the map is low.

    They grow as the power of their number for which half of the map is below the
    middle one: evenly on a plain or a saddle, as squares in a bowl.
    """
    low, middle, high = np.quantile(values, [0, 0.5, 1])
    power = np.log2((high - low) / max(middle - low, 1e-30 * (high - low)))
    return low + (high - low) * np.linspace(0, 1, LEVELS) ** np.clip(power, 1, 8)


def draw_map(ax: "Axes", surface: Surface) -> "Axes":
    """Draw contours, start and minimum."""
    x, y = (np.linspace(*limits, GRID) for limits in (surface.xlim, surface.ylim))
    values = np.asarray(_values(surface.fn, x, y), float)
    finite = values[np.isfinite(values)]
    if len(finite) and finite.min() < finite.max():
        levels = _levels(finite)
        greys = [str(grey) for grey in np.linspace(1, 0.78, LEVELS - 1)]
        masked = np.ma.masked_invalid(values)
        ax.contourf(x, y, masked, levels, colors=greys)
        lines = {"colors": "0.65", "linewidths": 0.5, "linestyles": "solid"}
        ax.contour(x, y, masked, levels, **lines)
    ax.set(xlim=surface.xlim, ylim=surface.ylim, xlabel="x", ylabel="y")
    ring = {"marker": "o", "markerfacecolor": "white", "markersize": 7, "zorder": 4}
    star = {"marker": "*", "markersize": 12, "zorder": 4}
    for point, marker in (surface.start, ring), (surface.minimum, star):
        if point is not None:
            ax.plot(*point, color="black", **marker)
    return ax


def draw_path(
    ax: "Axes",
    surface: Surface,
    path: np.ndarray,
    name: str,
    style: dict[str, Any],
    marks: int,
) -> None:
    """Draw a path with its dots, and an arrow or a cross where it is lost."""
    dots = {"marker": "o", "markersize": 3.5, "markevery": marks} if marks else {}
    ax.plot(*path.T, linewidth=1.4, label=name, **style, **dots)
    leaves, _, lost = fate(path, surface)
    if leaves:
        inside, outside = path[leaves - 1].astype(float), path[leaves].astype(float)
        ax.annotate(
            "",
            tuple(_exit(inside, outside, surface)),
            tuple(inside),
            arrowprops={"arrowstyle": "-|>", "color": style["color"], "shrinkA": 0},
        )
    elif lost:
        ax.plot(*path[lost - 1], "X", markersize=9, color=style["color"], zorder=5)


def _exit(inside: np.ndarray, outside: np.ndarray, surface: Surface) -> np.ndarray:
    """Where the line between the two points crosses the frame."""
    move = outside - inside
    walls = np.where(move > 0, *np.transpose([surface.xlim, surface.ylim])[::-1])
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.nanmin(np.where(move == 0, np.nan, (walls - inside) / move))
    return inside + share * move
