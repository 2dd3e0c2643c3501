"""Which object of gradtx answers to a name of Optax."""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import gradtx
from gradtx.optax._adapted import ADAPTED, PRIVATE
from gradtx.optax._names import NAMES, VERSION

_MISSING: Any = object()


def find(path: str, name: str) -> Any:
    """gradtx's object for a name at a path of Optax ("contrib", "" for the top).

    Raises:
      AttributeError: gradtx has none; the message says what there is.
    """
    if is_private(path):
        value = _anywhere(name)
    elif name in NAMES.get(path, ()):
        value = _at(path, name)
    else:
        value = _MISSING
    if value is _MISSING:
        raise AttributeError(_missing(path, name))
    return value


def is_private(path: str) -> bool:
    """Whether it is `_src`, or another module that Optax keeps to itself."""
    return any(part.startswith("_") for part in path.split("."))


def joined(path: str, name: str) -> str:
    """The name with its path, as a program writes it behind `optax.`."""
    return f"{path}.{name}" if path else name


def _at(path: str, name: str) -> Any:
    full = joined(path, name)
    if full in ADAPTED:
        return ADAPTED[full]
    if path == "tree_utils":
        return _at("tree", name.removeprefix("tree_"))
    if path == "tree":  # tree.clip is not the transformation
        return getattr(gradtx.tree, name, _MISSING)
    if name in ADAPTED:
        return ADAPTED[name]
    homes: list[Any] = [gradtx]
    own = path.rpartition(".")[2]  # experimental.aggregating is gradtx.aggregating
    homes += [
        getattr(gradtx, home, None)
        for home in (own, "curvature", "losses", "microbatching", "perturbations")
    ]
    homes += [gradtx.schedules, gradtx.tree]
    for home in homes:
        value = getattr(home, name, _MISSING)
        if value is not _MISSING and not isinstance(value, ModuleType):
            return value
    return _MISSING


def _anywhere(name: str) -> Any:
    """For `optax._src.x`: programs do not agree on which x."""
    if name in PRIVATE:
        return PRIVATE[name]
    for path, names in NAMES.items():
        if name in names and path != "tree":
            value = _at(path, name)
            if value is not _MISSING:
                return value
    # A state that is public here, but not in Optax.
    value = _MISSING if name.startswith("_") else getattr(gradtx, name, _MISSING)
    return _MISSING if isinstance(value, ModuleType) else value


def _missing(path: str, name: str) -> str:
    full = joined(path, name)
    if name in NAMES.get(path, ()) or is_private(path):
        return (
            f"{full} is not in gradtx yet; with Optax installed, "
            "`python -m gradtx.optax` lets Optax answer."
        )
    places = [joined(p, name) for p, names in NAMES.items() if name in names]
    text = f"module 'optax{'.' if path else ''}{path}' has no attribute {name!r}"
    if places:
        return f"{text}; there is {' and '.join(places)}."
    if not name.startswith("_") and hasattr(gradtx, name):
        return f"{text}; it is gradtx.{name}."
    return f"{text} (gradtx answers the names of Optax {VERSION})."


def face(module: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a module of the face."""
    path = module.removeprefix("gradtx.optax").removeprefix(".")

    def __getattr__(name: str) -> Any:  # noqa: N807  it becomes the module's
        if name == "__all__":  # for `import *`
            return present(path)
        value = find(path, name)
        setattr(sys.modules[module], name, value)  # asked for once
        return value

    def __dir__() -> list[str]:  # noqa: N807
        return sorted({*vars(sys.modules[module]), *present(path)})

    return __getattr__, __dir__


def present(path: str) -> list[str]:
    """The names at a path that gradtx answers."""
    return [name for name in NAMES[path] if _at(path, name) is not _MISSING]
