"""Steps left out, as the states of wrappers count them."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

# The fields of states that count the steps left out so far.
FIELDS = ("total_notfinite", "total_skipped")
MOST = jnp.iinfo(jnp.int32).max


def counts(state: Any) -> Iterator[Any]:
    """The counts of steps left out, anywhere in a state."""
    if isinstance(state, dict):
        below = list(state.values())
    elif isinstance(state, tuple | list):
        below = list(state)
        for name, value in zip(getattr(state, "_fields", ()), below, strict=False):
            if name in FIELDS:
                yield value
    else:
        return
    for part in below:
        yield from counts(part)


def marks(state: Any) -> Iterator[Any]:
    """Whether `MultiSteps`, alone or in a chain, has left out the last micro-batch."""
    said = getattr(state, "skip_state", None)
    if isinstance(said, dict) and "should_skip" in said:
        yield said["should_skip"]
    if type(state) in (tuple, list):
        for part in state:
            yield from marks(part)


def counts_any(state: Any) -> bool:
    """Whether something in a state leaves out steps and says so."""
    return any(True for _ in counts(state)) or any(True for _ in marks(state))


def counted(before: jax.Array, old: Any, new: Any) -> jax.Array:
    """How many steps were left out up to now, from a count before the last."""
    more = jnp.zeros([], jnp.int32)
    for x, y in zip(counts(old), counts(new), strict=True):
        more += jnp.asarray(y, jnp.int32) - jnp.asarray(x, jnp.int32)
    for mark in marks(new):
        more += jnp.asarray(mark, jnp.int32)
    return before + jnp.minimum(more, MOST - before)
