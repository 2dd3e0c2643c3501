"""The checks of the conformance suite, each with what it means: `{checks}`."""

import inspect
from typing import Any

import docstrings
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from gradtx.testing import CHECKS

# The modules that checks are written in, in the suite's order, as headings.
HEADINGS = {
    "contract": "Pure functions whose state has one type",
    "numbers": "Numbers and dtypes",
    "widths": "Roundings",
    "refusals": "Refusals",
    "identity": "Identity",
    "splitting": "Leaves split over devices",
    "shardings": "Layouts on several devices",
}


def markdown() -> str:
    """A table for each module of checks."""
    tables: dict[str, list[str]] = {}
    for name, check in CHECKS.items():
        module = inspect.unwrap(check).__module__.rpartition(".")[2]
        said = " ".join((inspect.getdoc(check) or "").split())
        row = f"| `{name}` | {docstrings.escaped(said).replace('|', chr(92) + '|')} |"
        tables.setdefault(module, []).append(row)
    parts = []
    for module, rows in tables.items():
        heading = HEADINGS.get(module, module.replace("_", " ").capitalize())
        parts += [f"**{heading}**", "", "| check | |", "|---|---|", *rows, ""]
    return "\n".join(parts)


class Checks(SphinxDirective):
    """The tables, in the page."""

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()  # a check may come from any module
        return self.parse_text_to_nodes(markdown())


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("checks", Checks)
    return {"version": "1", "parallel_read_safe": True}
