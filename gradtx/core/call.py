"""Calls remembered: what was built prints, compares and pickles as its call."""

import copyreg
import functools
import inspect
import pickle
import sys
from collections.abc import Callable
from enum import Enum
from typing import Any

import jax
import numpy as np


class _Same:
    """Compares by identity; holds the object, so that its id is not used again."""

    def __init__(self, value: Any):
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def _key(value: Any) -> Any:
    """A hashable that is equal for arguments that mean the same."""
    if isinstance(value, Remembered) and value.call is not None:
        return value.call.key
    if isinstance(value, float):
        return float, float(value).hex()
    if isinstance(value, complex | np.inexact):  # 0.0 and -0.0 are equal
        return type(value), np.asarray(value).tobytes()
    if isinstance(value, dict):
        return dict, frozenset((_key(k), _key(v)) for k, v in value.items())
    if isinstance(value, tuple | list):
        return type(value), tuple(map(_key, value))
    if isinstance(value, functools.partial):
        return functools.partial, _key((value.func, value.args, value.keywords))
    if isinstance(value, np.ndarray | jax.Array) or (
        callable(value) and not isinstance(value, type)
    ):
        return _Same(value)
    try:
        hash(value)
    except TypeError:
        return _Same(value)
    return type(value), value


def show(value: Any) -> str:
    """An argument as it may have been written."""
    if isinstance(value, Remembered):
        return repr(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k!r}: {show(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(show, value)) + "]"
    if type(value) is tuple:
        inside = ", ".join(map(show, value))
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    if isinstance(value, functools.partial):
        return f"partial({_arguments((value.func, *value.args), value.keywords)})"
    if isinstance(value, np.ndarray | jax.Array):
        return f"Array{list(value.shape)}" if value.ndim else f"Array({value.dtype})"
    return getattr(value, "__name__", None) or repr(value)


def _kept(value: Any) -> Any:
    """Containers copied, so that changing them later changes no call."""
    if type(value) is dict:
        return {k: _kept(v) for k, v in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_kept, value))
    return value


def _is_plain(value: Any, mutable: bool = False) -> bool:
    """Whether what is built from this argument may be kept for the next equal call.

    Not if there is an array (or a tracer) in it, which would stay alive, or anything
    that may change: then an equal call might mean something else.

    Args:
      value: an argument, or what a function closes over.
      mutable: whether lists and dicts will do, since they have been copied.
    """
    if value is None or isinstance(value, _PLAIN):
        return True
    if isinstance(value, Remembered) and value.call is not None:
        return value.call.is_plain
    if type(value) is dict:
        return mutable and all(
            _is_plain(k) and _is_plain(v, True) for k, v in value.items()
        )
    if type(value) is list:
        return mutable and all(_is_plain(v, True) for v in value)
    if isinstance(value, tuple):
        copied = mutable and type(value) is tuple
        return all(_is_plain(v, copied) for v in value)
    if isinstance(value, functools.partial):
        return _is_plain((value.func, value.args, *value.keywords.values()))
    if inspect.isfunction(value):
        if value.__dict__.keys() & {"is_transformation", "is_schedule"}:
            value = value.__dict__["__wrapped__"]  # a factory is what was decorated
        try:
            inside = [cell.cell_contents for cell in value.__closure__ or ()]
        except ValueError:  # a cell that is still empty
            return False
        inside += [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
        return all(x is value or _is_plain(x) for x in inside)
    return callable(value) and _find(value) is value  # jnp.sign: of a module


# Dtypes by their scalar types, labels by their enumerations; shapes without arrays.
_PLAIN = (
    *(bool, int, float, complex, str, bytes, type, Enum, np.dtype, np.generic),
    jax.ShapeDtypeStruct,
)


class Call:
    """A call of a factory with its arguments.

    Args:
      factory: what was called; found again by its module and name when unpickled.
      args, kwargs: what it was given, as written.
    """

    def __init__(self, factory: Callable[..., Any], args: tuple, kwargs: dict):
        self.factory = factory
        self.args = _kept(args)
        self.kwargs = _kept(kwargs)
        self._key: Any = None
        self._plain: bool | None = None

    @property
    def name(self) -> str:
        return show(self.factory)

    @property
    def bound(self) -> inspect.BoundArguments:
        """Every argument by its name, defaults filled in."""
        bound = inspect.signature(self.factory).bind(*self.args, **self.kwargs)
        bound.apply_defaults()
        return bound

    @property
    def key(self) -> Any:
        """Equal for calls that build the same: by value, however it was written."""
        if self._key is None:
            bound = self.bound
            factory = self.factory
            self._key = (
                factory if inspect.isfunction(factory) else _key(factory),
                _key(bound.args),
                _key(bound.kwargs),
            )
        return self._key

    @property
    def is_plain(self) -> bool:
        """Whether what it builds may be kept; see `_is_plain`."""
        if self._plain is None:
            factory = getattr(self.factory, "__wrapped__", self.factory)
            given = (*self.args, *self.kwargs.values())
            self._plain = _is_plain(factory) and all(_is_plain(x, True) for x in given)
        return self._plain

    def __repr__(self) -> str:
        return f"{self.name}({_arguments(self.args, self.kwargs)})"


def _arguments(args: tuple, kwargs: dict) -> str:
    parts = [show(a) for a in args]
    return ", ".join([*parts, *(f"{k}={show(v)}" for k, v in kwargs.items())])


def _find(fn: Any) -> Any:
    found = sys.modules.get(getattr(fn, "__module__", "") or "")
    for part in getattr(fn, "__qualname__", "<unknown>").split("."):
        found = getattr(found, part, None)
    return found


def _unpicklable(value: Any) -> Any:
    """The first function inside the argument that pickle cannot find by name."""
    if inspect.isfunction(value):
        return None if _find(value) is value else value
    if isinstance(value, functools.partial):
        value = value.func, value.args, value.keywords
    if isinstance(value, dict):
        value = tuple(value.values())
    if type(value) in (tuple, list):
        return next((f for f in map(_unpicklable, value) if f is not None), None)
    return None


class _Refusal(type):
    """Its classes stand for an error that `pickle` raises when it comes to them.

    What pickles functions by value (cloudpickle) does so with classes too, and never
    asks `copyreg`: so each pickler decides for itself whether it takes a lambda.
    """

    text: str


def _refuse(refusal: _Refusal) -> Any:
    raise pickle.PicklingError(refusal.text)


copyreg.pickle(_Refusal, _refuse)  # type: ignore[arg-type]  it never returns


def _again(
    refusal: _Refusal | None, factory: Callable[..., Any], args: tuple, kwargs: dict
) -> Any:
    return factory(*args, **kwargs)


class Remembered:
    """Base of what is known by the call that made it.

    Without a call (a pair put together by hand) an object is known by its parts.
    """

    call: Call | None = None

    def __repr__(self) -> str:
        return super().__repr__() if self.call is None else repr(self.call)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if self.call is None or not isinstance(other, Remembered):
            return super().__eq__(other)
        return other.call is not None and self.call.key == other.call.key

    def __ne__(self, other: object) -> bool:  # a tuple has its own
        return not self == other

    def __hash__(self) -> int:
        return super().__hash__() if self.call is None else hash(self.call.key)

    def __copy__(self):
        return self

    def __deepcopy__(self, memo: dict):
        return self

    def __reduce__(self) -> Any:
        call = self.call
        if call is None:
            return super().__reduce__()
        refusal = None
        for name, value in (("", call.factory), *call.bound.arguments.items()):
            local = _unpicklable(value)
            if local is not None:
                what = f"argument {name!r} holds" if name else "its factory is"
                text = (
                    f"{call} does not pickle: {what} {local.__qualname__!r}, which "
                    f"cannot be imported. Define it with def at the top of a module, "
                    f"use one of gradtx.schedules, or pickle it with cloudpickle."
                )
                refusal = _Refusal("Refused", (), {"text": text})
                break
        # The refusal first, so that pickle comes to it before the function.
        return _again, (refusal, call.factory, call.args, call.kwargs)
