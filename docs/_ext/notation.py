"""The docstrings' notation for equations, read: `u_t = g_t / (sqrt(nu_t) + eps)`.

A side by side is a product, and `a b / c d` is a b / c times d. `x_t`, `x_{t-1}` have
an index, `x^_t` a hat, `x'` is transposed, `x.y` and `<x, y>` are the inner product,
`|x|` is of each entry and `|x|_2` a norm; `f(x)` without a space is a call. What is
read is a tree of tuples, whose first entry is the kind.
"""

import re
from typing import Any

Node = tuple[Any, ...]

TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?)"
    r"|(?P<dots>\.\.\.?)"
    r"|(?P<name>[^\W\d_][^\W_]*(?:_[^\W_]+)*)"
    r"|(?P<op><=|>=|!=|[-+*/^_{}()\[\]|.,=<>~'])|(?P<bad>\S))"
)
INDEX = re.compile(r"(.+)_([tijkny]|\d)$")  # of letters joined by _, the last
RELATIONS = {"=", "<=", ">=", "!=", "<", ">", "~"}
BIG = {"sum", "prod"}
# Stand between equations in a line of them.
WORDS = [
    "all",
    "at",
    "where",
    "if",
    "for",
    "each",
    "unit",
    "or",
    "to",
    "otherwise",
    "as",
    "in",
    "held",
    "without",
    "with",
    "Nesterov",
    "on",
    "device",
    "of",
    "the",
    "result",
    "is",
    "over",
    "leaf",
    "leaves",
    "and",
    "entries",
    "array",
    "else",
    "elsewhere",
    "condition",
    "holds",
    "random",
    "signs",
    "skip",
    "unless",
    "base",
    "optimizer",
]
WORD = re.compile(rf"(?<![\w^{{])((?:(?:{'|'.join(WORDS)})\b(?![_(])\s*)+)")


class NotAnEquationError(ValueError):
    """The text is something else: code, a sentence."""


def read(text: str) -> Node:
    """The tree of one equation, or of a term.

    Raises:
      NotAnEquationError: it is none.
    """
    reader = _Reader(text)
    tree = reader.listed()
    reader.expect("")
    return tree


class _Reader:
    """Reads from left to right, with one token of foresight."""

    def __init__(self, text: str):
        # Kind, text, and whether a space stands before it.
        self.tokens = [
            (str(m.lastgroup), m[str(m.lastgroup)], m[0][:1].isspace())
            for m in TOKEN.finditer(text)
        ]
        self.place = 0
        self.bars = 0  # open ones: the next | closes

    @property
    def next(self) -> str:
        return self.tokens[self.place][1] if self.place < len(self.tokens) else ""

    @property
    def kind(self) -> str:
        return self.tokens[self.place][0] if self.place < len(self.tokens) else ""

    def touches(self, text: str) -> bool:
        """Whether the next token is this one, without a space before it."""
        return self.next == text and not self.tokens[self.place][2]

    def opens_a_product(self) -> bool:
        """Whether <x, y> follows: a relation has a space behind it."""
        after = self.tokens[self.place + 1 : self.place + 2]
        return self.next == "<" and bool(after) and not after[0][2]

    def after(self, text: str) -> bool:
        """Whether this is the token after the next."""
        return [t[1] for t in self.tokens[self.place + 1 : self.place + 2]] == [text]

    def take(self) -> str:
        text = self.next
        self.place += 1
        return text

    def expect(self, text: str) -> None:
        if self.next != text:
            raise NotAnEquationError(f"{self.next!r} where {text!r} was expected")
        self.place += 1

    def listed(self) -> Node:
        """Relations, with commas between them."""
        found = [self.relation()]
        while self.next == ",":
            self.take()
            found.append(self.relation())
        return found[0] if len(found) == 1 else ("list", *found)

    def relation(self) -> Node:
        found: list[Any] = [self.sum()]
        while self.next in RELATIONS and not self.opens_a_product():
            found += [self.take(), self.sum()]
        return found[0] if len(found) == 1 else ("relation", *found)

    def sum(self) -> Node:
        sign = self.take() if self.next == "-" else "+"
        found: list[Any] = [(sign, self.product())]
        while self.next in ("+", "-"):
            found.append((self.take(), self.product()))
        alone = len(found) == 1 and sign == "+"
        return found[0][1] if alone else ("sum", *found)

    def product(self) -> Node:
        found = [self.power()]
        while True:
            if self.next == "/":
                self.take()
                found = [("fraction", _product(found), self.power())]
            elif self.next == "*":
                self.take()
                found.append(self.power())
            elif (
                self.kind in ("number", "name", "dots")
                or self.next in ("(", "[")
                or (self.next == "|" and not self.bars)
                or self.opens_a_product()
            ):
                found.append(self.power())
            else:
                return _product(found)

    def power(self) -> Node:
        """A factor: a power, or an inner product, which binds tighter than /."""
        found = self.primary()
        if self.next == "^":
            self.take()
            minus = self.touches("-")
            self.place += minus
            raised = self.primary()
            found = ("power", found, ("sum", ("-", raised)) if minus else raised)
        if self.next == ".":
            self.take()
            return ("dot", found, self.power())
        return found

    def primary(self) -> Node:
        if self.kind == "number":
            return ("number", self.take())
        if self.kind == "name":
            return self.named()
        if self.kind == "dots":
            return ("dots", self.take())
        opened = self.take()
        if opened == "|":
            self.bars += 1
            inside = self.sum()
            self.bars -= 1
            self.expect("|")
            if not self.touches("_"):
                return ("abs", inside)
            self.take()
            return ("norm", inside, self.index())
        if opened == "<":
            bars, self.bars = self.bars, 0
            left = self.sum()
            self.expect(",")
            right = self.sum()
            self.bars = bars
            self.expect(">")
            return ("inner", left, right)
        if opened in ("(", "["):
            bars, self.bars = self.bars, 0
            inside = self.listed()
            self.bars = bars
            self.expect({"(": ")", "[": "]"}[opened])
            return ("paren" if opened == "(" else "bracket", inside)
        raise NotAnEquationError(f"{opened!r} where a term was expected")

    def named(self) -> Node:
        """A name with its hat, index and prime; a call; a sum over an index."""
        name, index, hat = self.take(), None, False
        if found := INDEX.match(name):
            name, index = found[1], ("name", found[2], False, None, False)
            if found[2].isdigit():
                index = ("number", found[2])
        if self.touches("^") and self.after("_"):
            self.take()
            hat = True
        if index is None and self.touches("_"):
            self.take()
            index = self.index()
        if name in BIG:
            above = None
            if self.touches("^"):
                self.take()
                above = self.primary()
            return ("big", name, index, above)
        primed = self.touches("'")
        if primed:
            self.take()
        node = ("name", name, hat, index, primed)
        if self.touches("("):
            self.take()
            bars, self.bars = self.bars, 0
            inside = self.listed()
            self.bars = bars
            self.expect(")")
            return ("call", node, inside)
        return node

    def index(self) -> Node:
        if self.next != "{":
            return self.primary()
        self.take()
        inside = self.listed()
        self.expect("}")
        return inside


def _product(found: list[Node]) -> Node:
    return found[0] if len(found) == 1 else ("product", *found)


def cells(line: str) -> list[list[Node]]:
    """What stands in a line, with two spaces between: each a mixture of words
    (`("text", ...)`) and equations.

    Raises:
      NotAnEquationError: there is one with a relation in it that cannot be read.
    """
    found = []
    for place, cell in enumerate(re.split(r"\s{2,}", line.strip())):
        words = re.fullmatch(r"\([\w, -]*\)", cell)
        if place and words:
            found.append([("text", cell)])
            continue
        try:
            found.append(_mixture(cell))
        except NotAnEquationError:
            if place == 0 or "=" in cell:
                raise
            found.append([("text", cell)])
    return found


def _mixture(cell: str) -> list[Node]:
    cell, comma = (cell[:-1], True) if cell.endswith(",") else (cell, False)
    parts: list[Node] = []
    for i, part in enumerate(WORD.split(cell)):
        part = part.strip()
        if not part:
            continue
        if i % 2:
            parts.append(("text", part))
        elif part.endswith(","):
            parts += [read(part[:-1]), ("text", ",")]
        else:
            parts.append(read(part))
    return parts + ([("text", ",")] if comma else [])


def equations(block: str) -> list[tuple[str, list[list[Node]]]]:
    """The lines of a block, each as it is written and as cells.

    Raises:
      NotAnEquationError: the block is something else.
    """
    lines = [line for line in block.splitlines() if line.strip()]
    found = [(line, cells(line)) for line in lines]
    if not any(has_relation(part) for _, line in found for part in line[0]):
        raise NotAnEquationError("nothing in it is said to be equal")
    return found


def has_relation(node: Node) -> bool:
    if node[0] == "list":
        return any(map(has_relation, node[1:]))
    return node[0] == "relation"
