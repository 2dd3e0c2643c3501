"""How all pictures look: their width, their type, a white page of their own."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.transforms import offset_copy

from examples.report import COLORS as COLORS

# At 700 pixels a page's width is 100 pixels an inch: type of 10 points is as large
# there as the text around it. The files have more pixels, for screens that do.
WIDTH = 7.0
DPI = 140


def figure(height: float) -> Figure:
    """Return an empty picture, white so that it reads on a dark page too."""
    return Figure(
        figsize=(WIDTH, height),
        dpi=DPI,
        layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08),
        facecolor="white",
    )


def legend_title(panel: Axes) -> str | None:
    """Return what stands above the legend of a panel, if it has one."""
    legend = panel.get_legend()
    return legend.get_title().get_text() if legend else None


def curves(panel: Axes) -> None:
    """Give a panel of curves a light grid and no box, as gradtx.plot does."""
    panel.grid(alpha=0.3)
    panel.spines[["top", "right"]].set_visible(False)


def legend_below(panel: Axes, columns: int = 1) -> None:
    """Move the legend of a panel below it, where it hides nothing."""
    handles, labels = panel.get_legend_handles_labels()
    panel.legend(
        handles,
        labels,
        title=legend_title(panel),
        loc="upper center",
        # Below the ticks and the name of the axis, however high the panel is.
        bbox_to_anchor=(0.5, 0),
        bbox_transform=offset_copy(
            panel.transAxes, panel.figure.canvas.figure, y=-32, units="points"
        ),
        fontsize="small",
        title_fontsize="small",
        frameon=False,
        ncols=columns,
    )


def share_legend(picture: Figure, panels: Sequence[Axes]) -> None:
    """Give panels with the same lines one legend, below all of them."""
    for panel in panels:
        inside = panel.get_legend()
        if inside:
            inside.remove()
    handles, labels = panels[0].get_legend_handles_labels()
    columns = max(1, min(len(labels), 96 // (8 + max(map(len, labels)))))
    picture.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=columns,
        fontsize="small",
        frameon=False,
    )
