"""Schedules one after another."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.numerics import value_at
from gradtx.core.types import Schedule
from gradtx.schedules.base import schedule
from gradtx.schedules.counts import as_count, as_steps, is_number


@schedule
def join_schedules(schedules: Sequence[Schedule], boundaries: Sequence[int]):
    """Follow one schedule up to a boundary, then the next.

        s(t) = s_i(t - boundary_{i-1})   for boundary_{i-1} <= t < boundary_i

    The first counts from step 0, each later one from its boundary; it never sees a
    negative count.

    Args:
      schedules: at least one; functions of the step count.
      boundaries: the step at which each begins, but for the first; not decreasing.
        Of two that are equal the schedule between never has its turn.

    Raises:
      ValueError: boundaries that decrease, or not one fewer than schedules.
      TypeError: if a schedule is not a function.

    Example:
      >>> import gradtx
      >>> warmup = gradtx.linear_schedule(0.0, 1.0, 2)
      >>> s = gradtx.join_schedules([warmup, gradtx.constant_schedule(0.5)], [2])
      >>> [float(s(t)) for t in range(4)]
      [0.0, 0.5, 0.5, 0.5]
    """
    members, starts = list(schedules), [as_steps(b) for b in boundaries]
    if not members or len(starts) != len(members) - 1:
        raise ValueError(
            f"boundaries must be one fewer than schedules, got {len(starts)} and "
            f"{len(members)}."
        )
    for i, member in enumerate(members):
        if not callable(member):
            raise TypeError(
                f"schedules[{i}] must be a function of the step, got {member!r}. "
                f"For a fixed number use constant_schedule."
            )
    for i, start in enumerate(starts):
        check.finite(f"boundaries[{i}]", start)
    for a, b in pairwise(starts):
        if is_number(a) and is_number(b) and a > b:
            raise ValueError(f"boundaries must not decrease, got {starts}.")

    def value(count):
        count = as_count(count)
        current = value_at("schedules[0]", members[0], count)
        for i, (start, member) in enumerate(zip(starts, members[1:], strict=True), 1):
            # Held at 0: a root or a logarithm of a step before its time would be NaN,
            # and the derivative through jnp.where with it.
            own = value_at(f"schedules[{i}]", member, _since(count, start))
            current = jnp.where(count < start, current, own)
        return current

    return value


def _since(count: Any, start: Any) -> Any:
    """The steps since a boundary; from one below 0 a counter at its end stays there."""
    begun = is_number(start) and start >= 0
    if not begun and jnp.issubdtype(count.dtype, jnp.integer):
        last = jnp.iinfo(count.dtype).max
        count = jnp.where(count > last + jnp.minimum(start, 0), last + start, count)
    return jnp.maximum(count, start) - start
