"""Checks of arguments and trees: an error names what was given, where, what to do."""

from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np

from gradtx.core.hints import number_in_text


def scalar(name: str, value: Any) -> None:
    """One number, as Python's, an array or a tracer: not an array of shape (1,)."""
    # That would broadcast, and make a 0-d leaf, or a number of the state, (1,) too.
    shape = getattr(value, "shape", ())
    if isinstance(shape, tuple) and shape:
        raise ValueError(f"{name} must be a scalar, got an array of shape {shape}.")


def _bounded(name: str, value: Any, holds: Callable[[Any], bool], interval: str):
    """Raise unless a number lies in the interval; scalar arrays and tracers pass."""
    scalar(name, value)
    if isinstance(value, Real | np.generic):  # 0-d arrays and tracers pass
        if not holds(value):
            raise ValueError(f"{name} must be {interval}, got {value}.")
    elif value is None or isinstance(value, str | bytes | list | tuple | dict):
        hint = number_in_text(value)
        raise TypeError(f"{name} must be a number, {interval}, got {value!r}{hint}.")
    elif callable(value):
        raise TypeError(
            f"{name} must be a number, {interval}, got the function {value!r}. "
            f"To schedule it, use inject_hyperparams."
        )


def decay(name: str, value: Any) -> None:
    """A decay rate of a moving average."""
    _bounded(name, value, lambda x: 0 <= x < 1, "in [0, 1)")


def fraction(name: str, value: Any) -> None:
    """A fraction, ends included."""
    _bounded(name, value, lambda x: 0 <= x <= 1, "in [0, 1]")


def positive(name: str, value: Any) -> None:
    """A finite number above 0."""
    _bounded(name, value, lambda x: 0 < x < np.inf, "above 0 and finite")


def nonnegative(name: str, value: Any) -> None:
    """A finite number, at least 0."""
    _bounded(name, value, lambda x: 0 <= x < np.inf, "at least 0 and finite")


def finite(name: str, value: Any) -> None:
    """A finite number of any sign."""
    _bounded(name, value, lambda x: -np.inf < x < np.inf, "finite")


def at_least(name: str, value: Any, minimum: float) -> None:
    """A finite number with a given minimum."""
    _bounded(
        name, value, lambda x: minimum <= x < np.inf, f"at least {minimum} and finite"
    )


def above(name: str, value: Any, minimum: float) -> None:
    """A finite number larger than another."""
    _bounded(name, value, lambda x: minimum < x < np.inf, f"above {minimum} and finite")


def inside(name: str, value: Any, low: float, high: float) -> None:
    """A number strictly between two others."""
    _bounded(name, value, lambda x: low < x < high, f"in ({low}, {high})")


def count(name: str, value: Any, minimum: int = 0) -> None:
    """A whole number of steps with a given minimum."""
    _bounded(
        name,
        value,
        lambda x: x >= minimum and x == int(x) if np.isfinite(x) else False,
        f"a whole number, at least {minimum}",
    )


def ordered(array: Any) -> None:
    """An array whose entries can be compared."""
    if np.issubdtype(array.dtype, np.complexfloating):
        raise ValueError(
            f"needs real updates, got {array.dtype} of shape {array.shape}: complex "
            f"numbers have no order. Mask the leaf."
        )


def choice(name: str, value: Any, options: tuple[Any, ...]) -> None:
    """One of the given options."""
    if value not in options:
        raise ValueError(f"{name} must be one of {options}, got {value!r}.")


def learning_rate(name: str, value: Any) -> None:
    """A finite number of any sign, or a schedule."""
    if not callable(value):
        finite(name, value)
