"""What all pictures share: colours, a figure that notebooks show, notes on values."""

import io
from collections.abc import Iterator
from itertools import cycle
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Told apart by people with any kind of colour vision.
COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")


def axis(ax: Any, size: tuple[float, float] = (6.4, 4.2)) -> "Axes":
    """The axis given, or one in a figure of its own.

    Raises:
      ModuleNotFoundError: matplotlib is not installed.
    """
    if ax is not None:
        return ax
    try:
        # Here, since `import gradtx` must not need matplotlib.
        from matplotlib.axes import Axes
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise  # one of its own requirements
        raise ModuleNotFoundError(
            'gradtx.plot needs matplotlib: run `pip install "gradtx[plot]"`.',
            name="matplotlib",
        ) from None

    class Shown(Axes):
        """An axis that a notebook shows as the picture it is in, without pyplot."""

        def _repr_png_(self) -> bytes:
            picture = io.BytesIO()
            self.figure.canvas.figure.savefig(picture, format="png")
            return picture.getvalue()

    figure = Figure(figsize=size, layout="constrained", dpi=100)
    return figure.add_subplot(axes_class=Shown)


def styles() -> Iterator[dict[str, Any]]:
    """Colour and dash of each line; when the colours are used up, new dashes."""
    return (
        {"color": color, "linestyle": dash}
        for dash in cycle(("-", "--", "-."))
        for color in COLORS
    )


def finish(ax: "Axes", **labels: Any) -> "Axes":
    """Give an axis of curves its labels, a light grid and no box."""
    ax.set(**labels)
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def legend(ax: "Axes", *, below: bool = False, title: str | None = None) -> None:
    """Name the lines, if there are names; below a picture where it would hide it."""
    handles, labels = ax.get_legend_handles_labels()
    look = {"title": title, "fontsize": "small", "title_fontsize": "small"}
    if labels and below:
        columns = max(1, min(len(labels), 3, 100 // (8 + max(map(len, labels)))))
        ax.figure.legend(
            handles, labels, loc="outside lower center", ncols=columns, **look
        )
    elif labels:
        ax.legend(handles, labels, framealpha=0.85, **look)


def noted(label: str | None, note: str) -> str:
    """A label with a remark in brackets."""
    return f"{label} ({note})" if label else note


def curve(
    ax: "Axes",
    x: np.ndarray,
    y: np.ndarray,
    label: str | None,
    style: dict[str, Any],
    mean: np.ndarray | None = None,
) -> None:
    """Draw a curve, or its mean; values that have no place are crosses below."""
    lost = ~np.isfinite(y)
    reason = "not finite"
    if ax.get_yscale() == "log" and (y <= 0).any():
        lost |= y <= 0
        reason = "not finite or not above 0"
    if lost.any():
        label = noted(label, f"{lost.sum()} of {len(y)} {reason}")
        low = np.full(lost.sum(), 0.02)  # on the lower edge, whatever the scale
        edge = ax.get_xaxis_transform()
        ax.plot(x[lost], low, "x", color=style["color"], transform=edge)
    drawn = np.where(lost, np.nan, y) if mean is None else mean
    ax.plot(x, drawn, label=label, **style)


def kind(out: Any) -> str:
    """What a function gives, for an error."""
    kinds = [f"{x.dtype} of shape {x.shape}" for x in jax.tree.leaves(out)]
    return " and ".join(kinds) or repr(out)
