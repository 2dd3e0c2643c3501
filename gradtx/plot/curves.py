"""Curves over steps: schedules, and what a training loop has kept."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core import check
from gradtx.core.types import ScalarOrSchedule
from gradtx.plot import canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# A metric that spans more than this is drawn on a logarithmic scale.
DECADES = 2
# Without a window, the running mean is over this share of the steps.
SHARE = 25


def plot_schedule(
    schedule: ScalarOrSchedule | Mapping[str, ScalarOrSchedule],
    steps: int,
    *,
    ax: "Axes | None" = None,
    label: str | None = None,
) -> "Axes":
    """Draw the values of one or more schedules over the steps 0, ..., steps - 1.

    A schedule that holds each value for a while is drawn as a staircase, with upright
    jumps, any other as a curve.

    Args:
      schedule: a function of the step count, a number (a flat line), or a dict from
        name to either, a line for each. It is called once, in a jitted `vmap`.
      steps: how many steps, at least 1.
      ax: the axis to draw on; by default one in a new figure, `ax.figure`.
      label: name in the legend, for a single schedule.

    Returns:
      The axis. As the last line of a cell, a new one shows its picture in a notebook,
      with or without `%matplotlib inline`; in a script `ax.figure.savefig("a.png")`
      writes it. Change it by its own methods: `ax.set_yscale("log")`.

    Raises:
      ValueError: steps below 1; a schedule whose value is no real scalar; a label for
        a dict.
      ModuleNotFoundError: matplotlib is missing: `pip install "gradtx[plot]"`.

    Example:
      >>> import gradtx
      >>> warmup = gradtx.warmup_constant_schedule(0.0, 0.1, warmup_steps=10)
      >>> ax = gradtx.plot.plot_schedule({"warm-up": warmup, "constant": 0.1}, 50)
      >>> [line.get_label() for line in ax.lines]
      ['warm-up', 'constant']
    """
    check.count("steps", steps, 1)
    if not isinstance(schedule, Mapping):
        schedules = {label: schedule}
    elif label is None:
        schedules = schedule
    else:
        raise ValueError(
            f"plot_schedule: label={label!r} is for a single schedule, got a dict, "
            f"whose names are the labels: leave it out."
        )
    values = {
        name: _values(
            repr(value) if name is None else f"schedule {name!r}", value, steps
        )
        for name, value in schedules.items()
    }
    ax = canvas.axis(ax)
    for (name, value), style in zip(values.items(), canvas.styles(), strict=False):
        drawn = "steps-post" if _is_staircase(value) else "default"
        style = style | {"drawstyle": drawn}
        canvas.curve(ax, np.arange(steps), value, name, style)
    canvas.legend(ax)
    return canvas.finish(ax, xlabel="step", ylabel="value")


def _is_staircase(values: np.ndarray) -> bool:
    """Whether it changes, and never at two steps in a row."""
    changes = np.diff(values) != 0
    return bool(changes.any() and not (changes[1:] & changes[:-1]).any())


def _values(name: str, schedule: ScalarOrSchedule, steps: int) -> np.ndarray:
    """The schedule at every step."""
    fn = schedule if callable(schedule) else lambda count: schedule
    out = jax.eval_shape(fn, jax.ShapeDtypeStruct((), jnp.int32))
    if not (
        isinstance(out, jax.ShapeDtypeStruct)
        and out.shape == ()
        and not jnp.issubdtype(out.dtype, jnp.complexfloating)
    ):
        raise ValueError(
            f"plot_schedule: {name} must give a real scalar at each step, gives "
            f"{canvas.kind(out)}."
        )
    return np.asarray(jax.jit(jax.vmap(fn))(jnp.arange(steps)), float)


def plot_metrics(
    history: Mapping[str, Any] | Sequence[Any],
    *,
    ax: "Axes | None" = None,
    names: Sequence[str] | None = None,
    window: int | None = None,
    every: int = 1,
    yscale: str | None = None,
) -> "Axes":
    """Draw what a training loop has kept: each metric and its running mean.

    Values that are not finite, or not positive on a logarithmic scale, are marked by
    crosses on the lower edge and counted in the legend. The running mean is that of
    the finite ones in its window.

    Args:
      history: a dict from name to a sequence of scalars, or a list of dicts or
        NamedTuples of scalars, one a step. Arrays may lie on a device: all are fetched
        at once. A name that some entries of a list lack is drawn where it is.
      ax: the axis to draw on; by default one in a new figure, `ax.figure`.
      names: the metrics to draw, and their order; by default all.
      window: how many values the running mean is over, at least 1 (then it is the
        curve itself); by default a 25th of the longest metric. The values themselves
        are drawn pale behind it.
      every: how many steps lie between two values, at least 1.
      yscale: "linear" or "log"; by default "log" if all values are positive and span
        more than two decades.

    Returns:
      The axis. As the last line of a cell, a new one shows its picture in a notebook.

    Raises:
      ValueError: no metrics, a name that is not there, values that are no real
        scalars, a number out of range.
      TypeError: a history of another kind.
      ModuleNotFoundError: matplotlib is missing: `pip install "gradtx[plot]"`.

    Example:
      >>> import gradtx
      >>> history = [{"loss": 0.9**t, "norm": 2.0} for t in range(100)]
      >>> ax = gradtx.plot.plot_metrics(history, names=["loss"])
      >>> ax.get_yscale(), ax.get_ylabel()
      ('log', 'loss, mean of 4')
    """
    if window is not None:
        check.count("window", window, 1)
    check.count("every", every, 1)
    check.choice("yscale", yscale, (None, "linear", "log"))
    metrics = _metrics(history)
    chosen = list(metrics) if names is None else list(names)
    unknown = [name for name in chosen if name not in metrics]
    if unknown or not chosen:
        raise ValueError(
            f"plot_metrics: names must be some of {list(metrics)}, got {chosen}."
        )
    metrics = {name: metrics[name] for name in chosen}
    values = np.concatenate([y for _, y in metrics.values()])
    if window is None:
        window = max(1, max(len(y) for _, y in metrics.values()) // SHARE)
    ax = canvas.axis(ax)
    ax.set_yscale(yscale or _scale(values))
    for (name, (x, y)), style in zip(metrics.items(), canvas.styles(), strict=False):
        x = every * x
        if window > 1:
            pale = np.where(np.isfinite(y), y, np.nan)
            ax.plot(x, pale, color=style["color"], alpha=0.25, linewidth=0.8)
        canvas.curve(ax, x, y, name, style, mean=_running_mean(y, window))
    canvas.legend(ax)
    words = [*chosen] if len(chosen) == 1 else []
    words += [f"mean of {window}"] if window > 1 else []
    return canvas.finish(ax, xlabel="step", ylabel=", ".join(words))


def _metrics(history: Any) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """From name to the places in the history and the values there."""
    columns: dict[str, tuple[Any, Any]] = {}
    try:
        if isinstance(history, Mapping):
            columns |= {
                name: (range(len(values)), values) for name, values in history.items()
            }
        else:
            for place, entry in enumerate(history):
                row = entry._asdict() if hasattr(entry, "_asdict") else entry
                for name, value in row.items():
                    places, values = columns.setdefault(name, ([], []))
                    places.append(place)
                    values.append(value)
    except (AttributeError, TypeError):
        raise TypeError(
            f"plot_metrics: history must be a dict from name to a sequence, or a list "
            f"of dicts or NamedTuples, got {history!r:.200}."
        ) from None
    # Lists, since a dict comes back sorted.
    fetched = jax.device_get([values for _, values in columns.values()])
    return {
        name: (np.asarray(places), _scalars(name, values))
        for (name, (places, _)), values in zip(columns.items(), fetched, strict=True)
    }


def _scalars(name: str, values: Any) -> np.ndarray:
    """The values as one float array; ValueError unless each is a real scalar."""
    if isinstance(values, np.ndarray):
        shape, arrays = values.shape[1:] if values.ndim else None, [values]
    else:
        arrays = [np.asarray(value) for value in values]
        shape = max((array.shape for array in arrays), key=len, default=())
    # V: bfloat16 is void to NumPy.
    odd = [str(array.dtype) for array in arrays if array.dtype.kind not in "biufV"]
    if shape != () or odd or not len(values):
        given = odd[0] if odd else f"an entry of shape {shape}" if shape else "none"
        raise ValueError(
            f"plot_metrics: {name!r} must be a sequence of real scalars, at least one; "
            f"got {given}."
        )
    return np.concatenate([array.astype(float).ravel() for array in arrays])


def _scale(values: np.ndarray) -> str:
    """Logarithmic if all is positive and spans more than DECADES."""
    finite = values[np.isfinite(values)]
    wide = len(finite) and 0 < finite.min() * 10**DECADES < finite.max()
    return "log" if wide else "linear"


def _running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """The mean of the last values, fewer at the start, of the finite ones alone."""
    finite = np.isfinite(values)
    total = np.cumsum(np.where(finite, values, 0))
    count = np.cumsum(finite)
    total[window:] -= total[:-window].copy()
    count[window:] -= count[:-window].copy()
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
