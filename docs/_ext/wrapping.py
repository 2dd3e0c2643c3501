"""Where code may be broken: after a mark, `join_` | `schedules(` | `steps)`, never in a
word. Browsers know no such places, and would either break anywhere or nowhere. The
headings of pages are names, too."""

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

CODE = re.compile(
    r'(<code class="[^"]*\bliteral\b[^"]*">|<h1>)(.*?)'
    r'(</code>|<a class="headerlink|</h1>)',
    re.DOTALL,
)
PLACE = re.compile(
    r"(?<=[(,=_./\[])(?=[\w'\"(\[])(?![^<]*>)(?<![0-9]\.)"
    r"|(?<=[a-z])(?=[A-Z][a-z])(?![^<]*>)"  # StateOf | Words
)


def broken(html: str) -> str:
    """The page with places to break lines at in what is set as code."""
    return CODE.sub(lambda m: m[1] + PLACE.sub("<wbr>", m[2]) + m[3], html)


def page(
    app: Sphinx, name: str, template: str, context: dict[str, Any], tree: nodes.Node
) -> None:
    if "body" in context:
        context["body"] = broken(context["body"])
    for beside in ("prev", "next"):  # whose titles are names, too
        if there := context.get(beside):
            context[beside] = {**there, "title": PLACE.sub("<wbr>", there["title"])}


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("html-page-context", page)
    return {"version": "1", "parallel_read_safe": True}
