"""Docstrings as Markdown: sections become lists, equations are typeset."""

import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any

import equations
import inline

LISTS = ("Args", "Raises")
SECTION = re.compile(r"^(Args|Raises|Returns|Example):$")
ITEM = re.compile(r"^(\*{0,2}\w[\w,\s.*]*?):\s+(.*)$", re.DOTALL)  # names may wrap
LABEL = re.compile(r"(?:^|(?<=[.)] ))(State|Source):\s")


def first_line(value: Any) -> str:
    """What it is, in the first line of its docstring."""
    return (inspect.getdoc(value) or "").partition("\n")[0]


def markdown(text: str) -> str:
    """A docstring in Google's style as Markdown."""
    parts: list[str] = []
    for block in _blocks(inspect.cleandoc(text)):
        head, _, body = block.partition("\n")
        if section := SECTION.match(head):
            parts.append(_section(section[1], textwrap.dedent(body)))
        elif block.startswith(" "):
            block = textwrap.dedent(block)
            kind = "{equations}" if equations.is_equation(block) else "text"
            parts.append(f"```{kind}\n{block}\n```")
        elif block.startswith(">>>"):
            parts.append(f"```pycon\n{block}\n```")
        elif block.startswith("- "):
            parts.append("\n".join(_items(block)))
        else:
            parts.append(_prose(block))
    return "\n\n".join(parts)


def _blocks(text: str) -> list[str]:
    """Paragraphs, indented blocks, and sections with all that is indented below."""
    blocks: list[str] = []
    lines = text.splitlines()
    i = 0
    while i < len(lines):
        if not lines[i].strip():
            i += 1
            continue
        start = i
        indented = lines[i].startswith(" ")
        section = SECTION.match(lines[i]) is not None
        listed = lines[i].startswith("- ")
        i += 1
        while i < len(lines):
            if not lines[i].strip():
                if not (section or indented):
                    break
            elif listed:
                if not lines[i].startswith((" ", "- ")):
                    break
            elif lines[i].startswith(" ") != (indented or section):
                break
            i += 1
        blocks.append("\n".join(lines[start:i]).rstrip())
    return blocks


def _items(block: str) -> list[str]:
    """The items of a bulleted list, each on a line of its own."""
    return ["- " + _prose(item) for item in re.split(r"(?:^|\n)- ", block)[1:]]


def _section(name: str, body: str) -> str:
    if name == "Example":
        return "**Example**\n\n```pycon\n" + body.strip() + "\n```"
    if name in LISTS:
        # An item begins where a line is not indented; blank lines are in none.
        items = re.split(r"\n(?=\S)", "\n" + body.strip())
        listed = [_item(item) for item in items if item.strip()]
        return f"**{name}**\n\n" + "\n".join(listed)
    return f"**{name}**: {_prose(body)}"


def _item(text: str) -> str:
    found = ITEM.match(text.strip())
    if found is None:
        return f"- {_prose(text)}"
    named = ", ".join(f"**`{name.strip()}`**" for name in found[1].split(","))
    return f"- {named}: {_prose(found[2])}"


def _prose(text: str) -> str:
    """A paragraph on one line, so that no line of it looks like a list or a quote."""
    joined = escaped(" ".join(text.split()))
    return LABEL.sub(r"\n\n**\1**: ", joined).strip()


def escaped(text: str) -> str:
    """Stars and angles outside of code are meant as they are; formulas are set."""
    parts = inline.typeset(text).split("`")
    parts[::2] = [re.sub(r"([*<\[\]])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


def signature(fn: Callable[..., Any]) -> str:
    """The arguments with their defaults; what they may be stands in the text."""
    try:
        parameters = inspect.signature(fn).parameters.values()
    except ValueError:  # a builtin
        return "()"
    plain = [
        p.replace(annotation=p.empty, default=_shown(p.default)) for p in parameters
    ]
    return str(inspect.Signature(plain))


class _Raw:
    """A default that prints without quotes, angles and addresses."""

    def __init__(self, text: str):
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _shown(default: Any) -> Any:
    if default is inspect.Parameter.empty or isinstance(default, str | int | float):
        return default
    if isinstance(default, type) or inspect.isroutine(default):
        return _Raw(default.__name__)
    return default if not repr(default).startswith("<") else _Raw("...")
