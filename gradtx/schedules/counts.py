"""Counts of steps: whole, far, negative, or none at all."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.numerics import as_float


def is_number(value: Any) -> bool:
    """Whether it is a number that Python can look at: not an array, not a tracer."""
    return isinstance(value, int | float | np.generic)


def as_steps(value: Any) -> Any:
    """A number of steps: an int where it is whole and the counter can reach it."""
    if is_number(value):
        whole = value == int(value) and value <= _counter().max
        return int(value) if whole else float(value)
    return value


def from_0(step: Any) -> Any:
    """A step at which something begins: not before the first."""
    step = as_steps(step)
    return max(step, 0) if is_number(step) else jnp.maximum(step, 0)


def length(steps: Any) -> tuple[Any, Any]:
    """Whether there are steps at all, and their number to divide by."""
    moving = steps > 0
    return moving, choose(moving, steps, 1)


def choose(condition: Any, yes: Any, no: Any) -> Any:
    """`jnp.where`, at once for a condition that Python can look at."""
    if isinstance(condition, bool | np.bool_):
        return yes if condition else no
    return jnp.where(condition, yes, no)


def as_count(count: Any) -> jax.Array:
    """The step count as an array; an int beyond the counter's last is the last."""
    if isinstance(count, int | np.integer):
        info = _counter()
        return jnp.asarray(min(max(int(count), info.min), info.max), info.dtype)
    return jnp.asarray(count)


def _counter() -> Any:
    return jnp.iinfo(jax.dtypes.canonicalize_dtype(int))


def parts(count: Any, begin: Any, steps: Any) -> tuple[jax.Array, jax.Array]:
    """The part of a transition that is done and the part that is left, in [0, 1].

    Each from a whole number, so that counts above 2^24 lose nothing: float32 has no
    t - begin for them, and 1 - done has no digits left when done is close to 1. Of a
    transition without steps nothing is ever done.
    """
    moving, steps = length(steps)
    since = jnp.minimum(jnp.maximum(as_count(count), begin) - begin, steps)
    since = choose(moving, since, 0)
    return as_float(since) / steps, as_float(steps - since) / steps
