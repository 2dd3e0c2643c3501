"""Formulas inside of sentences, found by their notation: `mu_t`, `1 - b1^t`, `sqrt(x)`.

A formula is the longest run of words that are nothing but notation and can be read; it
has an index, a power or a root in it, or it stays as it is.
"""

import re

from equations import FUNCTIONS, SYMBOLS
from notation import NotAnEquationError, read

NAME = r"[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)*'?"
NAMES = re.compile(NAME)
WORD = re.compile(r"[A-Za-z0-9_^{}()|+\-*/.'=<>]+")
SHOWS = re.compile(r"_\{|_[tijkln0-9]\b|\^|\b(?:sqrt|cbrt)\(")
KNOWN = {*SYMBOLS, "b1", "b2", "b3"}
CALLED = {*FUNCTIONS, "cbrt"}
ARTICLES = {"a", "A", "I"}
OPERATORS = {"=", "+", "-", "/", "*", "<", ">"}
STOPS = ".,;:"


def typeset(text: str) -> str:
    """The text with its formulas as `{formula}` roles, but for what is in backticks."""
    parts = text.split("`")
    parts[::2] = [_sentence(part) for part in parts[::2]]
    return "`".join(parts)


def _sentence(text: str) -> str:
    found: list[str] = []
    run: list[str] = []
    for word in text.split(" "):
        bare = word.rstrip(STOPS)
        inside = sum(w.count("(") - w.count(")") for w in run) > 0
        operand = bare == "a" and bool(run) and run[-1] in OPERATORS
        last = inside and bare.rstrip(")").isalpha() and bare.endswith(")")
        if not (operand or last or _is_notation(bare)):
            found += [*_set(run), word]
            run = []
            continue
        run.append(word)
        # A comma inside of brackets belongs to the formula.
        inside = sum(w.count("(") - w.count(")") for w in run) > 0
        if bare != word and not (inside and word.endswith(",")):
            found += _set(run)
            run = []
    return " ".join([*found, *_set(run)])


def _is_notation(word: str) -> bool:
    if not WORD.fullmatch(word.replace(",", "")):
        return False
    word = re.sub(r"_\{[^}]*\}", "_t", word).replace("^_", "_")
    word = re.sub(r"\bsqrt\([a-z]\w*", "sqrt(x", word)
    return all(
        name in KNOWN
        or "_" in name  # an index, an argument
        or (len(name) == 1 and name not in ARTICLES)
        or (name in CALLED and f"{name}(" in word)
        or f"{name}^" in word
        for name in NAMES.findall(word)
    )


def _set(run: list[str]) -> list[str]:
    """The words of a run, with the longest formula of them as a role."""
    for length in range(len(run), 0, -1):
        for start in range(len(run) - length + 1):
            made = _formula(" ".join(run[start : start + length]))
            if made:
                return [*_set(run[:start]), made, *_set(run[start + length :])]
    return run


def _formula(text: str) -> str | None:
    """A role, with the brackets and stops around it; None if it is no formula."""
    core = text.rstrip(STOPS)
    after = text[len(core) :]
    while core.count(")") > core.count("(") and core.endswith(")"):
        core, after = core[:-1], ")" + after
    before = ""
    while core.count("(") > core.count(")") and core.startswith("("):
        core, before = core[1:], before + "("
    if not SHOWS.search(core):
        return None
    try:
        read(core)
    except NotAnEquationError:
        return None
    return f"{before}{{formula}}`{core}`{after}"
