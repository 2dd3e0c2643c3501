"""Which factories there are, and a call of each with sample arguments."""

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

from gradtx.testing.values import VALUES

Factory = Callable[..., Any]


def discover(module: ModuleType) -> dict[str, Factory]:
    """The factories of transformations among a module's public names.

    Args:
      module: a module or package; its submodules are not searched.

    Returns:
      From name to factory, each factory once, under its own name; aliases are left
      out.

    Example:
      >>> import gradtx
      >>> gradtx.testing.discover(gradtx)["sgd"] is gradtx.sgd
      True
    """
    public = [
        (name, value)
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "is_transformation", False)
    ]
    public.sort(key=lambda item: (item[0] != item[1].__name__, item[0]))
    own_names_first: dict[int, tuple[str, Factory]] = {}
    for name, factory in public:
        own_names_first.setdefault(id(factory), (name, factory))
    return dict(sorted(own_names_first.values()))


def sample(factory: Factory) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments to call a factory with, from a table by parameter name.

    Args:
      factory: anything with a signature. Parameters with a default keep it, unless
        `gradtx.testing.VALUES` has a value for this very factory.

    Returns:
      `(args, kwargs)`: `factory(*args, **kwargs)` is then a typical transformation.

    Raises:
      LookupError: a required parameter that the table does not know.

    Example:
      >>> import gradtx
      >>> gradtx.testing.sample(gradtx.adam)
      ((0.1,), {})
    """
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for name, parameter in inspect.signature(factory).parameters.items():
        own = f"{factory.__name__}.{name}"
        variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        required = parameter.default is parameter.empty and not variadic
        if own in VALUES:
            value = VALUES[own]
        elif not required:
            continue
        elif name in VALUES:
            value = VALUES[name]
        else:
            raise LookupError(
                f"{factory.__name__} needs {name!r}, which gradtx.testing.VALUES does "
                f"not know: add {name!r} or {own!r} to it, or give the value yourself."
            )
        if parameter.kind is parameter.VAR_POSITIONAL:
            args += value
        elif required and parameter.kind is not parameter.KEYWORD_ONLY:
            args.append(value)
        else:
            kwargs[name] = value
    return tuple(args), kwargs
