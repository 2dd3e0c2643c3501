"""The pictures of the site, drawn by the library when it is built. Git ignores them.

Those of examples/pictures are drawn before the build reads anything, when they are
missing or older than what they show. `{schedule}` shows the expression that is its
content, and draws the schedule that it gives.
"""

import hashlib
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from matplotlib.figure import Figure
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

import gradtx

ROOT = Path(__file__).parents[2]
DONE = ".done"  # written last: a build that is stopped draws them again

log = logging.getLogger(__name__)


def sources() -> list[Path]:
    """What the pictures are made of."""
    return [
        path
        for folder in ("gradtx", "examples/pictures")
        for path in (ROOT / folder).rglob("*.py")
    ]


def stale(folder: Path) -> bool:
    """Whether anything was changed since the pictures were drawn."""
    done = folder / DONE
    if not done.exists():
        return True
    return done.stat().st_mtime < max(path.stat().st_mtime for path in sources())


def draw(app: Sphinx) -> None:
    """Draw the pictures, if they are not there already."""
    folder = Path(app.srcdir) / app.config.gradtx_pictures
    if not stale(folder):
        return
    from examples import pictures

    log.info("drawing the pictures...")
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    pictures.write(folder)
    (folder / DONE).touch()


class Schedule(SphinxDirective):
    """A schedule as code and as a picture."""

    has_content = True
    option_spec = {"steps": directives.positive_int}  # noqa: RUF012 - as docutils has it

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()  # its picture may have been removed as stale
        code = "\n".join(self.content)
        steps = self.options.get("steps", 100)
        digest = hashlib.sha256(f"{steps} {code}".encode()).hexdigest()[:12]
        name = f"{self.config.gradtx_pictures}/schedule-{digest}.png"
        path = Path(self.env.srcdir) / name
        if not path.exists():
            figure = Figure(figsize=(6, 1.8), layout="constrained", dpi=150)
            gradtx.plot.plot_schedule(
                eval(code, {"gradtx": gradtx}), steps, ax=figure.add_subplot()
            )
            figure.savefig(path)
        block = nodes.literal_block(code, code, language="python")
        image = nodes.image(uri=f"/{name}", alt=f"its values over {steps} steps")
        return [block, image]


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_config_value("gradtx_pictures", "_pictures", "env")
    app.add_directive("schedule", Schedule)
    app.connect("builder-inited", draw)
    return {"version": "1", "parallel_read_safe": True}
