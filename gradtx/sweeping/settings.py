"""The settings of a sweep, from lists of numbers, each looked at."""

import inspect
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from gradtx.core import check
from gradtx.core.call import show
from gradtx.core.hints import bind
from gradtx.core.transformation import inner_of
from gradtx.schedules.arguments import collector, is_int


def numbers_of(name: str, given: Any) -> list[float]:
    """The values of an argument as Python numbers."""
    place = f"sweep: {name}"
    if isinstance(given, np.ndarray | jax.Array) and given.ndim == 1:
        given = list(np.asarray(given))
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise TypeError(
            f"{place} must be a list of numbers, or an array of one axis, got "
            f"{show(given)}. What is the same in all runs is fixed in make_tx: "
            f"functools.partial(make_tx, {name}=...)."
        )
    if not given:
        raise ValueError(f"{place} has no values.")
    for i, value in enumerate(given):
        check.scalar(f"{place}[{i}]", value)
        real = isinstance(value, int | float | np.integer | np.floating | jax.Array)
        if isinstance(value, bool | np.bool_) or not real:
            raise TypeError(
                f"{place}[{i}] is {show(value)}, no number: it decides what the "
                f"program is. Make a sweep for each, "
                f"sweep(functools.partial(make_tx, {name}={show(value)}), ...)."
            )
        check.finite(f"{place}[{i}]", value)
    return [_plain(value) for value in given]


def _plain(value: Any) -> float:
    """As it prints: 0.1, not 0.10000000149011612, for a float32."""
    if isinstance(value, int | float):
        return value
    value = np.asarray(value)
    return int(value) if np.issubdtype(value.dtype, np.integer) else float(str(value))


def settings_of(how: str, values: dict[str, list]) -> Iterator[dict[str, float]]:
    if not values:
        raise ValueError(
            "sweep: there is nothing to sweep: sweep(adamw, learning_rate=[0.1, 0.2])."
        )
    if how == "zip":
        lengths = {name: len(column) for name, column in values.items()}
        if len({*lengths.values()}) > 1:
            raise ValueError(
                f"sweep: with 'zip' all lists must have one length, have {lengths}."
            )
        rows = zip(*values.values(), strict=True)
    else:
        for name, column in values.items():
            twice = [x for i, x in enumerate(column) if x in column[:i]]
            if twice:
                raise ValueError(f"sweep: {name} has the value {twice[0]} twice.")
        rows = itertools.product(*values.values())
    return (dict(zip(values, row, strict=True)) for row in rows)


def parameters_of(make_tx: Any, setting: dict[str, float]) -> dict[str, Any]:
    """The arguments of make_tx, after a look at whether the swept ones are there."""
    if not callable(make_tx):
        raise TypeError(
            f"sweep: make_tx must be a function that makes a transformation, got "
            f"{show(make_tx)}. Say sweep(adamw, learning_rate=[...]), or lambda "
            f"learning_rate: chain(...)."
        )
    signature = inspect.signature(make_tx)
    bind(signature, f"sweep: {show(make_tx)}", (), setting)
    parameters = dict(signature.parameters)
    parameters.pop(collector(signature) or "", None)
    for name in setting:
        if is_int(parameters.get(name)):
            raise TypeError(
                f"sweep: {name} of {show(make_tx)} is a Python int, which decides what "
                f"the program is. Fix it by functools.partial, with a sweep for each."
            )
    return parameters


def built(make_tx: Any, setting: dict[str, float]) -> Any:
    """The transformation of one setting, with its plain numbers."""

    shown = ", ".join(f"{name}={value!r}" for name, value in setting.items())
    try:
        return inner_of("make_tx", make_tx(**setting))
    except ValueError as error:
        raise ValueError(f"sweep: with {shown}: {error}") from error
    except TypeError as error:
        raise TypeError(f"sweep: with {shown}: {error}") from error
