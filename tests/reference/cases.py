"""A row of the tables that the tests run through."""

from typing import Any, NamedTuple

import pytest


class Case(NamedTuple):
    name: str  # of the factory, of its reference and of its peer
    kwargs: dict[str, Any]
    rate: Any = 1e-2  # learning rate: a number or a schedule
    dtype: type = float  # or complex, of all arrays but the 0-d ones


def parametrize(cases):
    """Run a test once a case, under a readable name."""

    def name_of(case):
        options = [f"{k}={getattr(v, '__name__', v)}" for k, v in case.kwargs.items()]
        if callable(case.rate):
            options.append("schedule")
        if case.dtype is complex:
            options.append("complex")
        return f"{case.name}({', '.join(options)})"

    return pytest.mark.parametrize("case", cases, ids=name_of)


def rate(step):
    """A learning rate from 1e-2 down."""
    return 1e-2 / (1 + 0.1 * step)


def decay(step):
    """A weight decay from 0.5 down."""
    return 0.5 / (1 + step)
