"""Checks of identity: a transformation prints, compares and pickles as its call."""

import functools
import pickle
from typing import Any

import jax

import gradtx
from gradtx.core.call import Remembered
from gradtx.testing.trial import Make, arguments_of, rebuilt


def knows_its_call(make: Make) -> None:
    """It was made by a factory decorated with `transformation`."""
    tx = make()
    assert getattr(tx, "call", None) is not None, (
        f"{tx!r} does not know the call that made it: decorate its factory with "
        f"@gradtx.transformation"
    )


def prints_as_its_call(make: Make) -> None:
    """`repr` reads as code that builds an equal transformation."""
    tx = make()
    text = repr(tx)
    again = eval(text, {**vars(gradtx), **_names(tx)})
    assert again == tx, f"{text} builds {again!r}, which is not equal"


def describes_itself(make: Make) -> None:
    """`describe` names every argument, or is an alias that it expands."""
    tx = make()
    text = gradtx.describe(tx)
    flat, call = (" ".join(lines.split()) for lines in (text, repr(tx)))  # as one line
    if getattr(tx, "made_of", None) is not None:
        assert flat.startswith(call), f"{text} must begin with the call {tx!r}"
        assert flat != call, f"{text} does not show what {tx!r} stands for"
        return
    for name, value in arguments_of(tx).items():
        factories = _names(value).items()
        inside = [n for n, f in factories if hasattr(f, "is_transformation")]
        shown = all(n in text for n in inside) if inside else f"{name}=" in flat
        assert shown or value == (), f"{text} does not show {name}={value!r}"


def equals_one_built_alike(make: Make) -> None:
    """Built again it is equal, with the same hash; with another number it is not."""
    tx, again = make(), make()
    assert tx == again, f"{tx!r} built twice must be equal"
    assert (tx != again) is False, f"{tx!r} built twice must not differ"
    assert hash(tx) == hash(again), f"{tx!r} built twice must have one hash"
    for name, value in arguments_of(tx).items():
        if isinstance(value, float):
            try:
                other = rebuilt(tx, name, value * (1 - 1e-6) or 1e-6)
            except ValueError:  # this number goes with another argument
                continue
            assert tx != other, f"{tx!r} must not equal {other!r}"


def is_a_static_argument(make: Make) -> None:
    """As a static argument of `jit`, built again it finds the trace of the first."""
    traces = 0

    @functools.partial(jax.jit, static_argnums=0)
    def count(tx: Any, x: Any) -> Any:
        nonlocal traces
        traces += 1
        return x

    count(make(), 1.0)
    count(make(), 1.0)
    assert traces == 1, f"expected one trace for {make()!r} built twice, got {traces}"


def pickles(make: Make) -> None:
    """Through `pickle` and back it is equal."""
    tx = make()
    again = pickle.loads(pickle.dumps(tx))
    assert again == tx, f"{tx!r} comes back from pickle as {again!r}"


def _names(value: Any) -> dict[str, Any]:
    """The factories and functions that a repr mentions, by the names it uses."""
    if isinstance(value, Remembered) and value.call is not None:
        inside = _names((*value.call.args, *value.call.kwargs.values()))
        factory = value.call.factory
        return _names(factory) | inside
    if isinstance(value, functools.partial):
        inside = value.func, value.args, value.keywords
        return {"partial": functools.partial} | _names(inside)
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, tuple | list):
        return {name: v for inner in value for name, v in _names(inner).items()}
    if isinstance(value, jax.ShapeDtypeStruct):
        return {"ShapeDtypeStruct": type(value), f"{value.dtype}": value.dtype}
    name = getattr(value, "__name__", None)
    return {name: value} if name else {}
