"""What is measured, as data: names and signatures agree, so one line builds both."""

import inspect
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import optax

import gradtx
from gradtx.testing import discover, sample

from .aggregated import AGGREGATED
from .combinations import (
    COMBINATIONS,
    RATE,
    Workload,
    find,
)
from .decays import DECAYS
from .given import (
    a_loss,
    a_value,
    of_examples,
)
from .minimum import (
    all_twice,
    examples_twice,
)

# Optimizers with a step by hand under their own name.
BY_HAND = {"adagrad", "adam", "lion", "rmsprop", "sgd"}


def _build(factory: Callable[..., Any], lib: Any) -> Any:
    """An optimizer with its defaults, and sample values for what has none."""
    args, kwargs = sample(factory)
    signature = inspect.signature(factory)
    given = signature.bind(*args, **kwargs).arguments
    needed = {
        name: value
        for name, value in given.items()
        if signature.parameters[name].default is inspect.Parameter.empty
    }
    return find(lib, factory.__name__)(**needed | {"learning_rate": RATE})


# Those that call the loss again in a step (a line search, Newton's method) cost what
# it costs.
CALLS_AGAIN = {"lbfgs", "newton"}

# What the others take besides, and the fewest bytes that they move.
BESIDES: dict[str, dict[str, Any]] = {
    "dpsgd": {"grads": of_examples, "minimum": examples_twice},
    "momo": {"extra": a_value, "minimum": all_twice},
    "momo_adam": {"extra": a_value, "minimum": all_twice},
    "sophia": {"extra": a_loss},
}


def optimizers() -> list[Workload]:
    """One for every optimizer: what takes a learning rate first."""
    return [
        Workload(
            name,
            partial(_build, factory),
            floor=name if name in BY_HAND else None,
            in_optax=find(optax, name) is not None,
            **BESIDES.get(name, {}),
        )
        for name, factory in discover(gradtx).items()
        if next(iter(inspect.signature(factory).parameters), None) == "learning_rate"
        and not name.startswith("scale_by_")
        and name not in CALLS_AGAIN
    ]


def workloads() -> dict[str, Workload]:
    """Every workload by name, those that people train with first."""
    first = COMBINATIONS + DECAYS + AGGREGATED
    named = {workload.name: workload for workload in first}
    return named | {w.name: w for w in optimizers() if w.name not in named}


def chosen(patterns: Sequence[str]) -> list[Workload]:
    """The workloads whose names match one of the patterns.

    Raises:
      ValueError: a pattern that matches none.
    """
    known = workloads()
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in known):
            raise ValueError(f"no workload {pattern!r}; there are {', '.join(known)}.")
    return [
        workload
        for name, workload in known.items()
        if any(fnmatchcase(name, pattern) for pattern in patterns)
    ]
