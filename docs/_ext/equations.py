"""Equations, typeset by the browser alone: MathML from the docstrings' notation.

`{equations}` typesets its content, a line for each line; on a narrow screen what
follows an equation on its line goes below it. MathML needs neither a script nor a
font from elsewhere, and has the colour of the text around it.
"""

import inspect
import re
from collections.abc import Iterator
from html import escape
from itertools import pairwise
from typing import Any

import updates
from docutils import nodes
from docutils.parsers.rst import directives
from notation import Node, NotAnEquationError, equations, has_relation, read
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import gradtx

SYMBOLS = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "eps": "ε", "eta": "η",
    "mu": "μ", "nu": "ν", "pi": "π", "rho": "ρ", "lambda": "λ", "sigma": "σ",
    "inf": "∞", "plus": "+", "minus": "−",
}  # fmt: skip
# What the papers call these arguments.
LETTERS = {
    "learning_rate": ("α",),
    "weight_decay": ("λ",),
    "b1": ("β", "1"),
    "b2": ("β", "2"),
    "b3": ("β", "3"),
}
CODE = re.compile("`(.*?)`")
OPERATORS = {"<=": "≤", ">=": "≥", "!=": "≠", "-": "−", "~": "∼"}
FUNCTIONS = {
    "max", "min", "sign", "exp", "log", "cos", "mean", "rms", "sqrt", "norm", "clip",
    "mod", "diag",
}  # fmt: skip


def letter(name: str) -> tuple[str, ...] | None:
    """How a name is set: a letter and what stands below it; None if as it is."""
    if name in LETTERS:
        return LETTERS[name]
    head, *rest = name.split("_")
    head = SYMBOLS.get(head, head)
    if len(head) == 2 and head[1].isdigit():
        head, rest = head[0], [head[1], *rest]
    return (head, *(SYMBOLS.get(r, r) for r in rest)) if len(head) == 1 else None


def mathml(node: Node) -> str:
    """The MathML of a tree that `notation.read` has read."""
    return _KINDS[node[0]](*node[1:])


def _identifier(text: str) -> str:
    return f"<mi>{escape(text)}</mi>"


def _operator(text: str, **attributes: str) -> str:
    said = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return f"<mo{said}>{escape(OPERATORS.get(text, text))}</mo>"


def _row(*parts: str) -> str:
    return f"<mrow>{''.join(parts)}</mrow>"


def _fenced(left: str, inside: str, right: str) -> str:
    # Brackets grow with a fraction, but not with an index.
    grow = "true" if "<mfrac" in inside or "<munder" in inside else "false"
    return _row(
        _operator(left, fence="true", form="prefix", stretchy=grow),
        inside,
        _operator(right, fence="true", form="postfix", stretchy=grow),
    )


def _number(text: str) -> str:
    return f"<mn>{text}</mn>"


def _name(name: str, hat: bool, index: Node | None, primed: bool) -> str:
    head, *below = letter(name) or (name,)
    base = _identifier(head)
    if hat:
        base = f'<mover accent="true">{base}{_operator("^", stretchy="false")}</mover>'
    parts = [
        _number(b) if b.isdigit() else _operator(b) if b in "+−" else _identifier(b)
        for b in below
    ]
    if index is not None:
        parts.append(mathml(index))
    low = _row(_operator(",").join(parts)) if parts else ""
    if primed:
        return f"<msubsup>{base}{low or _row()}{_identifier('⊤')}</msubsup>"
    return f"<msub>{base}{low}</msub>" if parts else base


def _call(function: Node, inside: Node) -> str:
    if function[1] == "sqrt":
        return f"<msqrt>{mathml(inside)}</msqrt>"
    if function[1] == "cbrt":
        return f"<mroot>{_row(mathml(inside))}{_number('3')}</mroot>"
    # Of an operator, as max is, a browser keeps the distance from a product's factor.
    space = '<mspace width="0.17em"/>' if function[1] in FUNCTIONS else ""
    return _row(space, mathml(function), _fenced("(", mathml(inside), ")"))


def _bare(node: Node) -> Node:
    """Without the brackets that a fraction's bar and a raised place make needless."""
    return node[1] if node[0] == "paren" and node[1][0] != "list" else node


def _fraction(above: Node, below: Node) -> str:
    return f"<mfrac>{_row(mathml(_bare(above)))}{_row(mathml(_bare(below)))}</mfrac>"


def _power(base: Node, exponent: Node) -> str:
    raised = _bare(exponent)
    if raised[0] == "fraction":  # a small one is read more easily on a line
        over = _row(mathml(raised[1]), _operator("/"), mathml(raised[2]))
    else:
        over = _row(mathml(raised))
    if base[0] == "norm":
        inner = mathml(base).removeprefix("<msub>").removesuffix("</msub>")
        return f"<msubsup>{inner}{over}</msubsup>"
    if base[0] == "name" and not base[2] and not base[4]:
        _, *below = letter(base[1]) or (base[1],)
        if below or base[3] is not None:
            sub = _name(base[1], False, base[3], False)
            inner = sub.removeprefix("<msub>").removesuffix("</msub>")
            return f"<msubsup>{inner}{over}</msubsup>"
    return f"<msup>{mathml(base)}{over}</msup>"


def _product(*factors: Node) -> str:
    parts = [mathml(factors[0])]
    for before, factor in pairwise(factors):
        # Names of several letters would run into one another.
        words = any(f[0] == "name" and letter(f[1]) is None for f in (before, factor))
        numbers = factor[0] == "number"
        gap = '<mspace width="0.25em"/>' if words else ""
        between = _operator("·") if numbers else gap or _operator("\u2062")
        parts += [between, mathml(factor)]
    return _row(*parts)


def _sum(*terms: tuple[str, Node]) -> str:
    parts = []
    for place, (sign, term) in enumerate(terms):
        if place or sign == "-":
            parts.append(_operator(sign, form="infix" if place else "prefix"))
        parts.append(mathml(term))
    return _row(*parts)


def _big(name: str, below: Node | None, above: Node | None) -> str:
    sign = _operator({"sum": "∑", "prod": "∏"}[name])
    if below is None and above is None:
        return sign
    low = mathml(below) if below else _row()
    if above is None:
        return f"<munder>{sign}{low}</munder>"
    return f"<munderover>{sign}{low}{mathml(above)}</munderover>"


def _relation(*parts: Any) -> str:
    return _row(*(_operator(p) if isinstance(p, str) else mathml(p) for p in parts))


_KINDS = {
    "number": _number,
    "dots": lambda dots: _operator("…"),
    "name": _name,
    "call": _call,
    "paren": lambda inside: _fenced("(", mathml(inside), ")"),
    "bracket": lambda inside: _fenced("[", mathml(inside), "]"),
    "abs": lambda inside: _fenced("|", mathml(inside), "|"),
    "norm": lambda inside, order: (
        f"<msub>{_fenced('‖', mathml(inside), '‖')}{mathml(order)}</msub>"
    ),
    "inner": lambda a, b: _fenced("⟨", mathml(a) + _operator(",") + mathml(b), "⟩"),
    "fraction": _fraction,
    "over": lambda a, b: _row(mathml(a), _operator("/"), mathml(b)),
    "power": _power,
    "product": _product,
    "dot": lambda a, b: _row(mathml(a), _operator("·"), mathml(b)),
    "sum": _sum,
    "big": _big,
    "relation": _relation,
    "list": lambda *parts: _row(_operator(",").join(map(mathml, parts))),
}


def html(block: str) -> str:
    """A block of equations as HTML.

    Raises:
      NotAnEquationError: it is none.
    """
    lines = []
    left = ""  # of the last equation, for lines that go on below it
    for written, cells in _told_apart(equations(block)):
        cases = written.startswith(" ") and not any(map(has_relation, cells[0]))
        parts = [_math(cell) for cell in cells]
        if cases and left:
            parts[0] = _math(cells[0], before=f"<mphantom>{left}</mphantom>")
        first = cells[0][0]
        if first[0] == "relation":
            left = mathml(first[1]) + _operator("=")
        lines.append(f'<div class="line" role="group">{" ".join(parts)}</div>')
    return f'<div class="equations">{"".join(lines)}</div>'


def _told_apart(lines: Any) -> Any:
    """Lines in which the learning rate is eta, where alpha is an argument beside it."""
    if not any(name == "alpha" for name, _ in _names(lines)):
        return lines

    def renamed(tree: Any) -> Any:
        if isinstance(tree, tuple | list):
            if tuple(tree[:2]) == ("name", "learning_rate"):
                return ("name", "eta", *tree[2:])
            return type(tree)(map(renamed, tree))
        return tree

    return renamed(lines)


def _math(cell: list[Node], before: str = "") -> str:
    """A cell of a line: words are text, so that they look like the text around."""
    # A comma stays with what it follows.
    inner = before
    for part in cell:
        if part[0] != "text":
            inner += mathml(part)
        elif part[1] == ",":
            inner += _operator(",")
        else:
            inner += f"<mtext>&nbsp;{escape(part[1])}&nbsp;</mtext>"
    return f'<math class="cell"><mstyle displaystyle="true">{inner}</mstyle></math>'


def names(block: str, optimizer: str) -> str:
    """What the letters of a block are: arguments, and what the tables say."""
    lines = equations(block)
    arguments = inspect.signature(getattr(gradtx, optimizer)).parameters
    own = updates.OWN_LETTERS.get(optimizer, {})
    letters = {k: v for k, v in updates.LETTERS.items() if k not in arguments} | own
    code = r'<code class="literal">\1</code>'
    letters = {k: CODE.sub(code, v) for k, v in letters.items()}
    apart = _told_apart(lines) is not lines
    said: dict[str, str] = {}
    for name, index in _names(lines):
        set_as = "eta" if apart and name == "learning_rate" else name
        shown = f"<math>{_name(set_as, False, None, False)}</math>"
        known = f"{name}_{index}" if f"{name}_{index}" in letters else name
        if known in letters:
            if known != name:
                shown = f"<math>{_name(name, False, read(index), False)}</math>"
            said[shown] = letters[known]
        elif name in arguments and letter(name) is not None:
            said[shown] = f'<code class="literal">{name}</code>'
    # First the letters, in the order of their lists, then the arguments.
    place = {meaning: i for i, meaning in enumerate(letters.values())}
    pairs = sorted(said.items(), key=lambda pair: place.get(pair[1], len(letters)))
    listed = [f"<span>{shown} {meaning}</span>" for shown, meaning in pairs]
    return f'<p class="names">{", ".join(listed)}</p>'


def _names(tree: Any) -> Iterator[tuple[str, str]]:
    """The names in a tree, in the order of writing, with an index that is a letter."""
    if isinstance(tree, tuple) and tree and tree[0] == "name":
        index = tree[3]
        yield tree[1], index[1] if index and index[0] == "name" else ""
    elif isinstance(tree, tuple | list):
        for part in tree:
            yield from _names(part)


def is_equation(block: str) -> bool:
    try:
        equations(block)
    except NotAnEquationError:
        return False
    return True


class Equations(SphinxDirective):
    """Equations in the docstrings' notation."""

    has_content = True
    option_spec = {"names": directives.unchanged_required}  # noqa: RUF012 - as docutils has it

    def run(self) -> list[nodes.Node]:
        try:
            block = "\n".join(self.content)
            made = html(block)
            if optimizer := self.options.get("names"):
                made += names(block, optimizer)
        except NotAnEquationError as error:
            raise self.error(str(error)) from error
        return [nodes.raw("", made, format="html")]


def formula(
    name: str, rawtext: str, text: str, *args: Any, **kwargs: Any
) -> tuple[list[nodes.Node], list[nodes.system_message]]:
    """A formula in a sentence, the role `{formula}`: its fractions are on the line."""

    def flat(tree: Any) -> Any:
        if not isinstance(tree, tuple):
            return tree
        kind = "over" if tree[0] == "fraction" else tree[0]
        return (kind, *map(flat, tree[1:]))

    made = f"<math>{mathml(flat(read(text)))}</math>"
    return [nodes.raw("", made, format="html")], []


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("equations", Equations)
    app.add_role("formula", formula)
    return {"version": "1", "parallel_read_safe": True}
