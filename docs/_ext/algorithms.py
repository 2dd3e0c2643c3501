"""A page for each algorithm, and tables of what optimizers keep, track and cost.

A page has the whole update, links to papers, source and experiments, a picture, the
costs, and the entries of the reference, the optimizer's first.

The pages are written before the build reads anything, one for each module of
gradtx/optimizers: an algorithm that is added there has its page. Git ignores them.
`{costs} [NAME ...]` is the table of some optimizers, or of all.
"""

import importlib
import re
import tomllib
from pathlib import Path
from typing import Any

import docstrings
import properties
import public
import updates
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from examples.pictures import matrices

PACKAGE = "gradtx.optimizers."
FOLDER = "algorithms"
# From module to titles and where they are.
PAPERS = tomllib.loads(Path(__file__).with_name("papers.toml").read_text())
HEAD = """\
| | state: arrays | state: bytes | moved: bytes | first moment | second moment | leaky \
| bias correction |
|---|---|---|---|---|---|---|---|
"""


def modules() -> dict[str, list[str]]:
    """From module to the optimizers in it; what is all steps stands for itself."""
    found: dict[str, list[str]] = {}
    for name in public.names():
        if name.home.startswith(PACKAGE) and name.kind == "function":
            found.setdefault(name.home.removeprefix(PACKAGE), []).append(name.path)
    return {
        module: [n for n in names if n in properties.optimizers()] or names
        for module, names in sorted(found.items())
    }


def page(module: str, names: list[str], source: Path) -> str:
    """The page of one module."""
    about = importlib.import_module(PACKAGE + module)
    parts = [f"# {', '.join(names)}", docstrings.markdown(about.__doc__ or "")]
    parts += [links(module, names, source), whole(names)]
    shown = [name for name in names if (source / f"{name}.png").exists()]
    kinds = {name: "Losses" if name in matrices.LINES else "Paths" for name in shown}
    parts += [f"![{kinds[n]} of {n}](../{source.name}/{n}.png)" for n in shown]
    rated = [name for name in names if name in properties.optimizers()]
    if rated:
        parts.append(f"## What it costs\n\n```{{costs}} {' '.join(rated)}\n```")
        parts.append("[What the columns mean](../choosing.md#the-table).")
    parts.append(f"## Reference\n\n```{{public}} {PACKAGE}{module}\n```")
    return "\n\n".join(part for part in parts if part) + "\n"


def links(module: str, names: list[str], source: Path) -> str:
    """Where it was published, how it is written here, and where it was tried."""
    where = PACKAGE.replace(".", "/") + module
    code = (
        f'<a class="reference internal" href="../_modules/{where}.html">{where}.py</a>'
    )
    papers = [f"[{title}]({at})" for title, at in PAPERS.get(module, {}).items()]
    tried = [
        f"[{title}](../results/{stem}.md)"
        for stem, title in experiments(names, source.parent / "results").items()
    ]
    lines = [("Published", papers), ("Source code", [code]), ("Experiments", tried)]
    return "\n".join(f"- **{kind}**: {'; '.join(to)}" for kind, to in lines if to)


def experiments(names: list[str], results: Path) -> dict[str, str]:
    """From the pages of results whose scripts use an optimizer to their titles."""
    used = re.compile(rf"gradtx\.(?:{'|'.join(names)})\b")
    found = {}
    for path in sorted(results.glob("*.md")):
        folder = results.parents[1] / "examples"
        scripts = (folder / "papers" / f"{path.stem}.py", folder / f"{path.stem}.py")
        if any(used.search(s.read_text()) for s in scripts if s.exists()):
            found[path.stem] = path.read_text().partition("\n")[0].removeprefix("# ")
    return found


def whole(names: list[str]) -> str:
    """The updates with the parameter in them."""
    calls = [call for call in updates.UPDATES if call.partition("(")[0] in names]
    if not calls:
        return ""
    parts = ["## The whole update"]
    for call in calls:
        if len(calls) > 1:
            parts.append(f"`{call}`")
        name = call.partition("(")[0]
        block = f"```{{equations}}\n:names: {name}\n{updates.UPDATES[call]}\n```"
        parts.append(block)
    return "\n\n".join(parts)


def index(names_of: dict[str, list[str]]) -> str:
    """The page that lists them."""
    lines = ["# Algorithms", "", "One page each: equation, source, cost, picture.", ""]
    lines += ["| | |", "|---|---|"]
    for module, names in names_of.items():
        about = docstrings.first_line(importlib.import_module(PACKAGE + module))
        about = docstrings.escaped(about).replace("|", "\\|")
        shown = ", ".join(f"`{name}`" for name in names)
        lines.append(f"| [{shown}]({module}.md) | {about} |")
    lines += ["", "Which to take, and what each costs: [choosing](../choosing.md).", ""]
    lines += ["```{toctree}", ":hidden:", "", *names_of, "```"]
    return "\n".join(lines) + "\n"


def write(app: Sphinx) -> None:
    """Write the pages; those that would not change are left alone, others removed."""
    folder = Path(app.srcdir) / FOLDER
    folder.mkdir(exist_ok=True)
    pictures = Path(app.srcdir) / app.config.gradtx_pictures
    texts = {"index": index(modules())}
    for module, names in modules().items():
        texts[module] = page(module, names, pictures)
    for name, text in texts.items():
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
    for path in folder.glob("*.md"):
        if path.stem not in texts:
            path.unlink()


class Costs(SphinxDirective):
    """The table of what optimizers keep, track and cost."""

    optional_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()  # an optimizer is made of many files
        names = self.arguments[0].split() if self.arguments else properties.optimizers()
        lines = [line(row) for name in names for row in properties.rows(name)]
        table = self.parse_text_to_nodes(HEAD + "\n".join(lines))
        return [nodes.container("", *table, classes=["costs"])]


def line(row: properties.Row) -> str:
    """One line of the table."""
    tracks = ["–"] * 4
    if row.tracks is not None:
        first, second, leaky, corrected = row.tracks
        # What is not kept can neither leak nor have its start corrected.
        tracks = [
            _mark(first),
            _mark(second),
            _mark(leaky) if second else "",
            _mark(corrected) if first or second else "",
        ]
    moved = "–" if row.moved is None else f"{row.moved:.0f}"
    cells = [f"`{row.shown}`", f"{row.arrays:.2g}", f"{row.bytes:.2g}", moved, *tracks]
    return f"| {' | '.join(cells)} |"


def _mark(yes: bool) -> str:
    return "yes" if yes else "no"


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("costs", Costs)
    # After the pictures, which the pages show (500 is the default priority).
    app.connect("builder-inited", write, priority=600)
    return {"version": "1", "parallel_read_safe": True}
