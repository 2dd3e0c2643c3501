"""`import optax` in a program that runs on gradtx: whose answer each name is."""

import functools
import importlib
import sys
import textwrap
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from gradtx.optax._adapted import PRIVATE
from gradtx.optax._lookup import find, is_private, joined
from gradtx.optax._names import NAMES, VERSION

# Whom each name was answered by, in the order of asking.
asked: dict[str, str] = {}

_looking_for_optax = False


class Answers(ModuleType):
    """A module `optax...`: gradtx answers, then Optax, where it is installed."""

    def __getattr__(self, name: str) -> Any:
        path = self.__name__.partition(".")[2]
        value = _special(path, name) if name.startswith("__") else _answer(path, name)
        setattr(self, name, value)  # asked for once
        return value

    def __dir__(self) -> list[str]:
        return sorted({*vars(self), *self.__all__})


def _special(path: str, name: str) -> Any:
    if name == "__version__" and not path:
        return VERSION
    if name == "__all__":  # for `import *`
        return [n for n in _names(path) if _who(path, n) is not None]
    raise AttributeError(f"module 'optax' has no attribute {name!r}")


def _names(path: str) -> list[str]:
    if path in NAMES:
        return NAMES[path]
    theirs = installed(joined("optax", path))
    names = [*NAMES[""], *PRIVATE] if theirs is None else dir(theirs)
    return [name for name in names if not name.startswith("_")]


def _answer(path: str, name: str) -> Any:
    full = joined(path, name)
    # `optax._src`, `optax._src.base`, `optax.contrib._sophia`
    private = path == "_src" or (name.startswith("_") and not is_private(path))
    if full in NAMES or private:
        return importlib.import_module(f"optax.{full}")
    who = _who(path, name)
    if who is None:
        if not name.startswith("_"):  # which pytest asks of all modules
            asked[full] = "nobody"
        if installed() is not None:
            raise AttributeError(f"neither gradtx nor {_peer()} has optax.{full}.")
    value = find(path, name) if who in ("gradtx", None) else _theirs(path, name)
    if who is not None and not isinstance(value, ModuleType):
        asked[full] = who
    return value


def _who(path: str, name: str) -> str | None:
    try:
        find(path, name)
    except AttributeError:
        try:
            _theirs(path, name)
        except AttributeError:
            return None
        return _peer()
    return "gradtx"


def _peer() -> str:
    return f"Optax {getattr(installed(), '__version__', '')}"


def _theirs(path: str, name: str) -> Any:
    """Optax's own object.

    Raises:
      AttributeError: Optax is not installed, or has no such name.
    """
    value = getattr(installed(joined("optax", path) if path else "optax"), name)
    if isinstance(value, ModuleType) and value.__name__.partition(".")[0] == "optax":
        return importlib.import_module(value.__name__)
    return value


@functools.cache
def installed(name: str = "optax") -> ModuleType | None:
    """A module of the installed Optax, imported aside; `None` if there is none.

    What it builds is of gradtx's types, so that `isinstance` says the same of both.
    """
    global _looking_for_optax
    ours = _swapped(_theirs_aside)
    _looking_for_optax = True
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "optax":
            raise  # Optax is there and lacks something
    finally:
        _looking_for_optax = False
        _theirs_aside.update(_swapped(ours))
    for module in _theirs_aside.values():
        _share_types(module)
    return _theirs_aside.get(name)


_theirs_aside: dict[str, ModuleType] = {}


def _swapped(modules: dict[str, ModuleType]) -> dict[str, ModuleType]:
    """Make these the modules of Optax that Python knows; those that were."""
    names = [name for name in sys.modules if name.partition(".")[0] == "optax"]
    before = {name: sys.modules.pop(name) for name in names}
    sys.modules.update(modules)
    return before


def _share_types(module: ModuleType) -> None:
    """Put gradtx's types in place of Optax's, where they have the same fields."""
    for name, value in list(vars(module).items()):
        if not isinstance(value, type) or not hasattr(value, "_fields"):
            continue
        try:
            ours = find("_src", value.__name__)
        except AttributeError:
            continue
        if getattr(ours, "_fields", None) == value._fields:
            setattr(module, name, ours)


def spec_of(name: str) -> ModuleSpec | None:
    """How to import `optax` or a module in it; `None` leaves it to others."""
    root, _, path = name.partition(".")
    if root != "optax" or _looking_for_optax:
        return None
    known = path in NAMES or is_private(path) or installed(name) is not None
    if not known:
        return None
    return ModuleSpec(name, _Loader(), origin="gradtx.optax", is_package=True)


class _Loader(Loader):
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return Answers(spec.name, f"`{spec.name}`, answered by gradtx.")

    def exec_module(self, module: ModuleType) -> None:
        """It fills as it is asked."""


class _Finder:
    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
        return spec_of(name)


def install() -> None:
    """Answer `import optax` with gradtx from here on, in this process.

    For a notebook, in its first cell; a script needs no change, but
    `python -m gradtx.optax`.

    Raises:
      RuntimeError: Optax has been imported already.
    """
    if isinstance(sys.modules.get("optax"), Answers):
        return
    if "optax" in sys.modules:
        raise RuntimeError(
            "Optax has been imported already: call gradtx.optax.install() before "
            "everything that imports it."
        )
    sys.meta_path.insert(0, _Finder)


def report() -> str:
    """Which names the program used, and who answered."""
    answers: dict[str, list[str]] = {}
    for name, who in asked.items():
        answers.setdefault(who, []).append(name)
    lines = [f"gradtx.optax: the program asked for {len(asked)} names of Optax."]
    for who, names in answers.items():
        text = f"{who} answered {len(names)}: {', '.join(sorted(names))}"
        lines += textwrap.wrap(text, 88, initial_indent="  ", subsequent_indent="    ")
    return "\n".join(lines)
