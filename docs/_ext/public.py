"""Which names gradtx makes public, where each is from, and what its source says."""

import ast
import functools
import importlib
import inspect
import io
import tokenize
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

import gradtx


class Name(NamedTuple):
    """A public name."""

    path: str  # as written, without "gradtx.": "adam", "tree.get"
    value: Any
    home: str  # the module that defines it
    kind: str  # in the Python domain: "function", "class" or "data"
    same_as: str | None  # the path of the same object's entry


def names() -> list[Name]:
    """Every public name, in the order of the imports."""
    found = list(_names("", gradtx))
    # Of several names the entry is the object's own, and the shortest.
    own: dict[int, str] = {}
    for name in sorted(found, key=_rank):
        own.setdefault(id(name.value), name.path)
    return [
        name._replace(same_as=own[id(name.value)])
        if name.kind != "data" and own[id(name.value)] != name.path
        else name
        for name in found
    ]


def _names(space: str, module: ModuleType) -> Iterator[Name]:
    """What a package imports and a module defines, with the modules inside."""
    for attribute, home in _exported(module):
        value = getattr(module, attribute)
        path = f"{space}{attribute}"
        if isinstance(value, ModuleType):
            yield from _names(f"{path}.", value)
        else:
            yield Name(path, value, home, _kind(value), None)


@functools.cache
def _exported(module: ModuleType) -> list[tuple[str, str]]:
    """Pairs of a public name and the module that defines it."""
    package = hasattr(module, "__path__")  # what it imports, it exports
    return [pair for pair in _bound(module, package) if not pair[0].startswith("_")]


def _bound(module: ModuleType, imports: bool) -> Iterator[tuple[str, str]]:
    """Pairs of a name that a module binds, by its imports too, and where it is from."""
    for node in ast.parse(inspect.getsource(module)).body:
        if not isinstance(node, ast.ImportFrom):
            yield from ((name, module.__name__) for name in _defined(node))
        elif imports and node.module and node.module.startswith("gradtx"):
            for alias in node.names:
                if alias.name == "*":  # a list of names
                    yield from _bound(importlib.import_module(node.module), True)
                else:
                    yield alias.asname or alias.name, node.module


def _defined(node: ast.stmt) -> list[str]:
    """The names that a statement of a module defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else []
    if isinstance(node, ast.AnnAssign):
        targets = [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _rank(name: Name) -> tuple[bool, int]:
    last = name.path.rpartition(".")[2]
    return last != getattr(name.value, "__name__", ""), name.path.count(".")


def _kind(value: Any) -> str:
    if not (getattr(value, "__module__", None) or "").startswith("gradtx"):
        return "data"  # the alias of a type, a table
    if isinstance(value, type):
        return "class"
    return "function" if inspect.isroutine(value) else "data"


def constant(home: str, attribute: str) -> tuple[str, str]:
    """The right-hand side of a constant, where short, and the comment beside it."""
    module = importlib.import_module(home)
    source = inspect.getsource(module)
    [node] = [n for n in ast.parse(source).body if attribute in _defined(n)]
    value = getattr(node, "value", None)
    shown = "" if value is None else ast.get_source_segment(source, value) or ""
    return (shown if "\n" not in shown else ""), comment(source, node)


def fields(cls: type) -> dict[str, str]:
    """The fields of a NamedTuple, each with its comment."""
    source = inspect.cleandoc("\n" + inspect.getsource(cls))
    [body] = [n.body for n in ast.parse(source).body if isinstance(n, ast.ClassDef)]
    return {
        node.target.id: comment(source, node)
        for node in body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


def comment(source: str, node: ast.stmt) -> str:
    """The comment on a statement's first line, or in the lines right above it."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    found = {t.start[0]: t for t in tokens if t.type == tokenize.COMMENT}
    beside = found.get(node.lineno)
    above = []
    line = node.lineno - 1
    # Only whole lines: a comment beside the statement above is that one's.
    while line in found and not found[line].line[: found[line].start[1]].strip():
        above.insert(0, found[line].string)
        line -= 1
    parts = above + ([beside.string] if beside else [])
    text = " ".join(part.lstrip("# ").strip() for part in parts)
    return "" if text.startswith("noqa") else text
