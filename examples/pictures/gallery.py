"""All pictures by name, and how they get into files."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from types import MappingProxyType

from matplotlib.animation import FuncAnimation
from matplotlib.figure import Figure
from PIL import Image, ImageSequence  # matplotlib needs it itself

from examples.pictures import (
    algorithms,
    averages,
    decay,
    effective,
    look,
    maps,
    regression,
    schedules,
    sharpness,
)
from examples.report import Console, progress_bar
from gradtx.plot import surfaces

Picture = Callable[[], Figure | FuncAnimation]

# From the name of a file to what draws it. A name with a dot is one as it is; .png is
# added to the others.
PICTURES: MappingProxyType[str, Picture] = MappingProxyType(
    {
        "overview": maps.overview,
        **{
            f"paths_{surface.fn.__name__}": partial(maps.paths, surface)
            for surface in surfaces.SURFACES
        },
        "saddle.gif": maps.saddle,
        "minibatch": regression.minibatch,
        "time_scales": averages.time_scales,
        "bias_correction": averages.bias_correction,
        "decay": decay.decay,
        "schedules": schedules.schedules,
        "step_sizes": effective.step_sizes,
        "sharpness": sharpness.sharpness,
        **{name: partial(algorithms.algorithm, name) for name in algorithms.aliases()},
    }
)
GIF_DPI = 100


def compress(path: Path) -> None:
    """Give all frames of a GIF the colours of the last: it is a tenth as large then.

    With colours of its own for each frame, nothing stays the same from one to the next.
    """
    with Image.open(path) as movie:
        times, frames = [], []
        for frame in ImageSequence.Iterator(movie):
            times.append(frame.info["duration"])
            frames.append(frame.convert("RGB"))
            frames[-1].info.clear()  # a transparent colour is none of the palette's
    exact = {"dither": Image.Dither.NONE}
    palette = frames[-1].quantize(**exact)
    near_white = [255 if x > 247 else x for x in palette.getpalette() or ()]
    palette.putpalette(near_white)  # the page, which the choice of colours greys
    first, *others = (frame.quantize(palette=palette, **exact) for frame in frames)
    first.save(path, save_all=True, append_images=others, duration=times, loop=0)


def write(
    folder: str | Path,
    names: Iterable[str] | None = None,
    console: Console | None = None,
) -> list[Path]:
    """Draw pictures into a folder, NAME.png each and saddle.gif; return their paths.

    Args:
        folder: made if it is not there.
        names: some of PICTURES; by default all, which takes less than a minute.
        console: where a progress bar goes; by default nowhere.

    Raises:
        ValueError: a name that is not in PICTURES.
    """
    names = list(PICTURES) if names is None else list(names)
    unknown = [name for name in names if name not in PICTURES]
    if unknown:
        raise ValueError(
            f"no picture {', '.join(unknown)}; there are {', '.join(PICTURES)}."
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with progress_bar(console or Console(quiet=True)) as progress:
        task = progress.add_task("pictures", total=len(names), status="")
        for name in names:
            progress.update(task, status=name)
            path = folder / (name if "." in name else f"{name}.png")
            picture = PICTURES[name]()
            if isinstance(picture, FuncAnimation):
                picture.save(path, writer="pillow", dpi=GIF_DPI)
                compress(path)
            else:
                picture.savefig(path, dpi=look.DPI, pil_kwargs={"optimize": True})
            written.append(path)
            progress.advance(task)
    return written
