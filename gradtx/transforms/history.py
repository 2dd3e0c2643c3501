"""Windows of the last values of a number, and what is asked of them.

The newest is the last. Until a window is full, its first entries are none.
"""

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.numerics import as_float, root
from gradtx.core.types import Scalar


def check_window(window: int, warmup: int | None, default: int, least: int) -> int:
    """The number of values from which on a window is asked, checked with its length.

    Raises:
      ValueError: one of them is not whole, or out of range.
    """
    check.count("window", window, least)
    if warmup is None:
        return max(default, least)
    check.count("warmup", warmup, least)
    if warmup > window:
        raise ValueError(
            f"warmup must be at most window, {window}, got {warmup}: so many values "
            f"are never there."
        )
    return warmup


def entered(values: jax.Array, value: jax.Array) -> jax.Array:
    """The window with one more value, without the oldest."""
    return jnp.concatenate([values[1:], value.astype(values.dtype)[None]])


def is_above(
    value: jax.Array, values: jax.Array, count: jax.Array, sigmas: Scalar, eps: float
) -> jax.Array:
    """Whether a value is above the mean of the last ones by so many deviations.

        value > m + sigmas max(s, eps |newest|)

    m is the mean and s the standard deviation (of n - 1) of the last `count` values.
    Both are of differences from the newest, so that none of their digits is lost to the
    size of the values, and in units of the largest, so that no square is out of range.

    Args:
      eps: part of a value by which another may differ from it for its digits alone.
    """
    half = values / 2  # no difference of halves is out of range
    apart = jnp.where(_known(values, count), half - half[-1], 0)
    largest = jnp.max(jnp.abs(apart))
    unit = jnp.where(largest > 0, largest, 1)
    n = as_float(count).astype(values.dtype)
    mean = jnp.sum(apart / unit) / jnp.maximum(n, 1)
    away = jnp.where(_known(values, count), apart / unit - mean, 0)
    deviation = root(jnp.sum(away * away) / jnp.maximum(n - 1, 1))
    least = jnp.maximum(unit * deviation, eps * jnp.abs(half[-1]))
    return value / 2 - half[-1] > unit * mean + sigmas * least


def mean_of(values: jax.Array, count: jax.Array) -> jax.Array:
    """The mean of the last `count` values, which are at least 0; 0 of none."""
    known = jnp.where(_known(values, count), values, 0)
    largest = jnp.max(known)
    unit = jnp.where(largest > 0, largest, 1)
    n = as_float(count).astype(values.dtype)
    return unit * (jnp.sum(known / unit) / jnp.maximum(n, 1))


def quantile_of(values: jax.Array, count: jax.Array, quantile: Scalar) -> jax.Array:
    """The quantile of the last `count` values, between two of them in proportion."""
    most = jnp.finfo(values.dtype).max
    ranked = jnp.sort(jnp.where(_known(values, count), values, most))
    last = jnp.maximum(count - 1, 0)
    place = quantile * as_float(last).astype(values.dtype)
    below = jnp.clip(jnp.floor(place).astype(count.dtype), 0, last)
    above = jnp.minimum(below + 1, last)
    share = place - below.astype(values.dtype)
    return ranked[below] + share * (ranked[above] - ranked[below])


def _known(values: jax.Array, count: jax.Array) -> jax.Array:
    return jnp.arange(len(values), dtype=count.dtype) >= len(values) - count
