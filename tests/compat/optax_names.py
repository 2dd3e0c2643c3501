"""Every public name of Optax beside gradtx's answer.

    python -m tests.compat.optax_names            print them, with what differs
    python -m tests.compat.optax_names --write    make docs/optax_names.md and the
                                                  stubs of gradtx/optax again

It ends with 1 if a name has no answer, but for those marked for a later version in
`gradtx/optax/_names.py`.
"""

import argparse
import ast
import functools
import importlib
import inspect
import sys
import textwrap
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import optax

import gradtx.optax
from gradtx.optax import _adapted
from gradtx.optax._lookup import find, present
from gradtx.optax._names import LATER, NAMES

PAGE = Path(__file__).parents[2] / "docs" / "optax_names.md"
# By this comment the page is parted from what is written by hand.
MARK = "<!-- made by python -m tests.compat.optax_names --write -->\n"


class Row(NamedTuple):
    path: str  # of the module, "" for `optax` itself
    name: str
    here: str | None  # what answers: a path in gradtx, or that it is adapted
    differences: list[str]  # of the signature or the fields, in words

    @property
    def full(self) -> str:
        return f"{self.path}.{self.name}" if self.path else self.name

    @property
    def is_missing(self) -> bool:
        return self.here is None and self.name not in LATER


def rows() -> list[Row]:
    """One for each public name of Optax."""
    return [Row(path, name, *_compared(path, name)) for path, name in public()]


def public() -> Iterator[tuple[str, str]]:
    """Pairs of a module and a name in it, as the installed Optax has them.

    And those in the list of the face that this Optax does not have.
    """
    for path, listed in NAMES.items():
        module = theirs(path)
        found = {name for name in dir(module) if _is_public(module, name)}
        yield from ((path, name) for name in sorted(found | set(listed), key=str.lower))


def theirs(path: str) -> ModuleType:
    """Optax's module; `experimental.aggregating` is one only as an attribute."""
    module: Any = optax
    for part in path.split(".") if path else ():
        module = getattr(module, part)
    return module


def _is_public(module: ModuleType, name: str) -> bool:
    value = getattr(module, name)
    if name.startswith("_") or isinstance(value, ModuleType):
        return False
    # A module of code: what it defines, not what it imports.
    return hasattr(module, "__path__") or name in _defined(module)


@functools.cache
def _defined(module: ModuleType) -> set[str]:
    body = ast.parse(inspect.getsource(module)).body
    names = {
        node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    targets = [node.targets[0] for node in body if isinstance(node, ast.Assign)]
    return names | {target.id for target in targets if isinstance(target, ast.Name)}


def pair(path: str, name: str) -> tuple[Any, Any]:
    """Optax's object and the face's; `None` for one that is not there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        peer = getattr(theirs(path), name, None)
    return peer, getattr(_face(path), name, None)


def _face(path: str) -> ModuleType:
    return importlib.import_module(f"gradtx.optax.{path}" if path else "gradtx.optax")


def _compared(path: str, name: str) -> tuple[str | None, list[str]]:
    peer, ours = pair(path, name)
    if ours is None:
        return None, []
    module, own = home(ours, name)
    answer = "adapted" if module == _adapted.__name__ else f"{module}.{own}"
    return answer, [] if peer is None else differences(peer, ours)


def home(value: Any, name: str) -> tuple[str, str]:
    """The module where gradtx has what answers to a name, and its name there."""
    spaces = {"gradtx": gradtx, _adapted.__name__: _adapted}
    for space in vars(gradtx).values():
        if isinstance(space, ModuleType) and space.__name__ != "gradtx.optax":
            spaces[space.__name__] = space
    for wanted in (name, getattr(value, "__name__", name)):
        for module, space in spaces.items():
            if vars(space).get(wanted, _adapted) is value:
                return module, wanted
    for module, space in spaces.items():
        for other, known in vars(space).items():
            if known is value and not other.startswith("_"):
                return module, other
    raise LookupError(f"gradtx has {name} nowhere: give it a name in _adapted.py")


def differences(peer: Any, ours: Any) -> list[str]:
    """What a call that Optax understands may meet here."""
    if hasattr(peer, "_fields") and hasattr(ours, "_fields"):
        if peer._fields == ours._fields:
            return []
        if peer._fields == ours._fields[: len(peer._fields)]:
            return [f"fields more: {', '.join(ours._fields[len(peer._fields) :])}"]
        return [f"fields: {', '.join(ours._fields) or 'none'}"]
    try:
        there, here = inspect.signature(peer), inspect.signature(ours)
    except (TypeError, ValueError):
        return []
    if _is_type(peer) or _is_type(ours):
        return []
    return list(_parameters(there.parameters, here.parameters))


def _is_type(value: Any) -> bool:
    return getattr(value, "_is_protocol", False) or not hasattr(value, "__name__")


def _parameters(there: Any, here: Any) -> Iterator[str]:
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    names = [name for name, p in here.items() if p.kind not in variadic]
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in here.values())
    place = 0
    for name, parameter in there.items():
        if parameter.kind in variadic:
            kinds = {p.kind for p in here.values()}
            if parameter.kind not in kinds:
                yield f"no {parameter}"
            continue
        positional = parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        if name not in here:
            if not takes_any:
                yield f"no {name}="
        else:
            if positional and names[place : place + 1] != [name]:
                yield f"{name} at another place"
            elif positional and here[name].kind is inspect.Parameter.KEYWORD_ONLY:
                yield f"{name} by keyword only"
            if not _same(parameter.default, here[name].default):
                ours, peers = _shown(here[name].default), _shown(parameter.default)
                yield f"{name}={ours}, not {peers}"
        place += positional
    for name in set(names) - set(there):
        if here[name].default is inspect.Parameter.empty:
            yield f"needs {name}"


def _same(a: Any, b: Any) -> bool:
    for kind in (
        lambda x: hasattr(x, "init") or hasattr(x, "log_prob"),
        inspect.isroutine,
    ):
        # Transformations, distributions, functions: the tests compare numbers.
        if kind(a) and kind(b):
            return True
    try:
        return bool(a == b) or _shown(a) == _shown(b)
    except (TypeError, ValueError):
        return _shown(a) == _shown(b)


def _shown(default: Any) -> str:
    if default is inspect.Parameter.empty:
        return "(required)"
    return getattr(default, "__name__", None) or repr(default)


def written(found: list[Row]) -> str:
    """The page's part that is made: what is the same in a list, the rest in tables."""
    parts = []
    for path in NAMES:
        here = [row for row in found if row.path == path]
        if not here:
            continue
        parts.append(f"## `optax{'.' if path else ''}{path}`\n")
        same = [row.name for row in here if row.here and not row.differences]
        if same:
            text = ", ".join(f"`{name}`" for name in same)
            parts.append(f"The same: {_wrapped(text)}\n")
        other = [row for row in here if row.differences]
        if other:
            parts.append("| name | here |\n|---|---|")
            parts += [f"| `{r.name}` | {'; '.join(r.differences)} |" for r in other]
            parts.append("")
        later = [row.name for row in here if row.here is None]
        if later:
            text = ", ".join(f"`{name}`" for name in later)
            parts.append(f"Not yet: {_wrapped(text)}\n")
    return "\n".join(parts)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 120, initial_indent=" " * 10).strip()


def page(found: list[Row]) -> str:
    """The whole page: what is written by hand, then what is made."""
    return PAGE.read_text().partition(MARK)[0] + MARK + "\n" + written(found)


def stubs() -> dict[Path, str]:
    """What tells a type checker and an editor the names of the face: .pyi files."""
    return {
        Path(inspect.getsourcefile(_face(path)) or "").with_suffix(".pyi"): _stub(path)
        for path in NAMES
    }


def _stub(path: str) -> str:
    imports: dict[str, list[str]] = {}
    for name in present(path):
        module, own = home(find(path, name), name)
        imports.setdefault(module, []).append(f"    {own} as {name},\n")
    text = f"# {MARK[5:-5]}\n\n"
    module = _face(path)
    inner = [n for n in NAMES if n.rpartition(".")[0] == path and n != path]
    if inner:
        lines = [
            f"    {n.rpartition('.')[2]} as {n.rpartition('.')[2]},\n" for n in inner
        ]
        text += f"from {module.__name__} import (\n{''.join(lines)})\n"
    for home_of, lines in sorted(imports.items()):
        text += f"from {home_of} import (\n{''.join(lines)})\n"
    if not path:
        text += "from gradtx.optax._program import install as install\n\n"
        text += "__version__: str\n"
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="make the page again")
    arguments = parser.parse_args()
    found = rows()
    for row in found:
        answer = row.here or ("later" if row.name in LATER else "NO ANSWER")
        print(f"{row.full:55} {answer:45} {'; '.join(row.differences)}")
    missing = [row.full for row in found if row.is_missing]
    later = sum(row.here is None and not row.is_missing for row in found)
    answered = len(found) - len(missing) - later
    print(f"\n{len(found)} names: {answered} answered, {later} later, ", end="")
    print(f"{len(missing)} without an answer: {', '.join(missing) or 'none'}")
    if arguments.write:
        PAGE.write_text(page(found))
        for path, text in stubs().items():
            path.write_text(text)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
