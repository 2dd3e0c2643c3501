"""The learning rates that a step has used, from what a transformation is."""

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax

from gradtx.core.call import Remembered
from gradtx.core.compose import chain, named_chain, partition
from gradtx.core.numerics import as_float
from gradtx.transforms.scale import scale
from gradtx.tree.access import get_all_with_path
from gradtx.tree.names import has_no_own, inner_of_wrapper, is_alias, parts_of_wrapper

NAME = "learning_rate"


class Rate(NamedTuple):
    """One learning rate in a transformation."""

    group: str  # of `groups` or `partition`; "" outside of all
    value: Any  # of the last step, a number or an array
    given: Any  # what it was made from


def learning_rates(tx: Any, state: Any) -> dict[str, jax.Array]:
    """The rates by name: of the last step, before the first those of the first.

    Numbers are read from the transformation, schedules and what is injected from the
    state. One rate of all groups is there once; else each has its group's name in
    front, and several of one group are numbered.
    """
    found = list(_rates(tx, state, ""))
    if found and all(_alike(found[0], rate) for rate in found):
        found = [found[0]._replace(group="")]
    rates: dict[str, jax.Array] = {}
    for rate in found:
        name = f"{rate.group}/{NAME}" if rate.group else NAME
        names = itertools.chain([name], (f"{name}.{i}" for i in itertools.count(1)))
        rates[next(n for n in names if n not in rates)] = as_float(rate.value)
    return rates


def _alike(one: Rate, other: Rate) -> bool:
    """Whether two rates are the same in every step."""
    if one.given is other.given:
        return True
    plain = (float, int, Remembered)
    comparable = isinstance(one.given, plain) and isinstance(other.given, plain)
    return comparable and one.given == other.given


def _rates(tx: Any, state: Any, group: str) -> Iterator[Rate]:
    call = getattr(tx, "call", None)
    if call is None:  # from elsewhere: what is called so in its state
        for _, value in get_all_with_path(state, NAME):
            yield Rate(group, value, value)
    elif call.factory is chain:
        yield from _chained(call.args, state, group)
    elif call.factory is named_chain:
        states = [state[name] for name, _ in call.args]
        yield from _chained([member for _, member in call.args], states, group)
    elif call.factory is partition:
        members = call.bound.arguments["transforms"]
        for label, part in state.inner_states.items():
            below = f"{group}/{label}" if group else f"{label}"
            yield from _rates(members[label], part.inner_state, below)
    elif is_alias(tx):
        yield from _rates(tx.made_of, state, group)
    elif NAME in getattr(state, "hyperparams", ()):
        rate = state.hyperparams[NAME]
        yield Rate(group, rate, rate)
    elif inner_of_wrapper(tx) is None and NAME in call.bound.arguments:
        yield from _own(call.bound.arguments[NAME], state, group)
    else:
        inner = inner_of_wrapper(tx)
        if inner is not None and has_no_own(tx, inner, state):
            yield from _rates(inner, state, group)
            return
        for field, member in parts_of_wrapper(tx, state).items():
            yield from _rates(member, getattr(state, field), group)


def _chained(members: Any, states: Any, group: str) -> Iterator[Rate]:
    """The rates of a chain, each times the numbers that steps are scaled by behind."""
    behind: Any = None
    found: list[Rate] = []
    for tx, state in reversed(list(zip(members, states, strict=True))):
        call = getattr(tx, "call", None)
        if call is not None and call.factory is scale:
            factor = call.bound.arguments["step_size"]
            behind = factor if behind is None else behind * factor
            continue
        for rate in reversed(list(_rates(tx, state, group))):
            if behind is not None:
                given = rate.value * behind
                rate = Rate(rate.group, given, given)
            found.append(rate)
    yield from reversed(found)


def _own(given: Any, state: Any, group: str) -> Iterator[Rate]:
    """The rate of a transformation that has it as an argument."""
    if not callable(given):
        yield Rate(group, given, given)
    elif hasattr(state, NAME):
        yield Rate(group, getattr(state, NAME), given)
