"""Schedules that are level, polynomial, exponential, or given piece by piece."""

import itertools
import math
import operator
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core import check
from gradtx.core.numerics import as_float
from gradtx.core.types import Scalar
from gradtx.schedules.base import schedule
from gradtx.schedules.counts import (
    as_count,
    as_steps,
    choose,
    from_0,
    is_number,
    length,
    parts,
)


@schedule
def constant_schedule(value: Scalar):
    """The same value at every step.

        s(t) = value

    Args:
      value: a finite number or a scalar array.

    Raises:
      ValueError: if it is not finite.

    Example:
      >>> import gradtx
      >>> float(gradtx.constant_schedule(0.5)(1000))
      0.5
    """
    check.finite("value", value)
    return lambda count: value


@schedule
def linear_schedule(
    init_value: Scalar,
    end_value: Scalar,
    transition_steps: int,
    transition_begin: int = 0,
):
    """A straight line from one value to another, level before and after.

        s(t) = (1 - x) init_value + x end_value
        x = (t - transition_begin) / transition_steps, held in [0, 1]

    Args:
      init_value, end_value: finite numbers, of any sign.
      transition_steps: the steps from the one to the other. At 0 and below the value
        is init_value for ever: in front of another schedule, joined at step 0, that
        is no warm-up.
      transition_begin: the step at which the line begins; 0 for numbers below.

    Raises:
      ValueError: a number out of range.

    Example:
      >>> import gradtx
      >>> decay = gradtx.linear_schedule(1.0, 0.0, transition_steps=4)
      >>> [float(decay(t)) for t in range(6)]
      [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    """
    return _polynomial(init_value, end_value, 1, transition_steps, transition_begin)


@schedule
def polynomial_schedule(
    init_value: Scalar,
    end_value: Scalar,
    power: Scalar,
    transition_steps: int,
    transition_begin: int = 0,
):
    """A power of the steps that are left, from one value to another.

        s(t) = end_value + (init_value - end_value) (1 - x)^power
        x = (t - transition_begin) / transition_steps, held in [0, 1]

    Args:
      init_value, end_value: finite numbers, of any sign.
      power: above 0: 1 is a straight line; above 1 the change is fast at first and
        slow at the end (0.9 and 2 are common).
      transition_steps: the steps from the one to the other. At 0 and below the value
        is init_value for ever.
      transition_begin: the step at which the change begins; 0 for numbers below.

    Raises:
      ValueError: a number out of range.

    Source: Chen et al., DeepLab (2017), the "poly" policy.

    Example:
      >>> import gradtx
      >>> decay = gradtx.polynomial_schedule(1.0, 0.0, power=2, transition_steps=4)
      >>> [float(decay(t)) for t in range(6)]
      [1.0, 0.5625, 0.25, 0.0625, 0.0, 0.0]
    """
    check.positive("power", power)
    return _polynomial(init_value, end_value, power, transition_steps, transition_begin)


def _polynomial(init_value, end_value, power, transition_steps, transition_begin):
    check.finite("init_value", init_value)
    check.finite("end_value", end_value)
    check.finite("transition_steps", transition_steps)
    check.finite("transition_begin", transition_begin)
    steps, begin = as_steps(transition_steps), from_0(transition_begin)
    straight = is_number(power) and power == 1

    def value(count):
        done, left = parts(count, begin, steps)
        # Weights for both ends, so that both are met exactly and a warm-up from 0 has
        # all its digits: end + (init - end) * left cancels on its first steps.
        return init_value * left**power + end_value * (
            done if straight else 1 - left**power
        )

    return value


@schedule
def exponential_decay(
    init_value: Scalar,
    transition_steps: int,
    decay_rate: Scalar,
    transition_begin: int = 0,
    staircase: bool = False,
    end_value: Scalar | None = None,
):
    """A factor of `decay_rate` for every `transition_steps`.

        s(t) = init_value decay_rate^x
        x = max(t - transition_begin, 0) / transition_steps

    Args:
      init_value: a finite number.
      transition_steps: the steps in which the value changes by one factor. At 0 and
        below the value is init_value for ever.
      decay_rate: the factor, above 0; above 1 the value grows.
      transition_begin: the step at which the change begins; 0 for numbers below.
      staircase: whether x is rounded down to a whole number.
      end_value: where the change stops: a lower bound for decay_rate < 1, else an
        upper one; `None` for no bound.

    Raises:
      ValueError: a number out of range.

    Example:
      >>> import gradtx
      >>> decay = gradtx.exponential_decay(1.0, 2, 0.25, end_value=0.1)
      >>> [round(float(decay(t)), 3) for t in range(5)]
      [1.0, 0.5, 0.25, 0.125, 0.1]
    """
    check.finite("init_value", init_value)
    check.finite("transition_steps", transition_steps)
    check.positive("decay_rate", decay_rate)
    check.finite("transition_begin", transition_begin)
    if end_value is not None:
        check.finite("end_value", end_value)
    begin = from_0(transition_begin)
    moving, steps = length(as_steps(transition_steps))

    def value(count):
        since = jnp.maximum(as_count(count), begin) - begin
        periods = since // steps if staircase else as_float(since) / steps
        decayed = init_value * rate_power(decay_rate, as_float(periods))
        if end_value is not None:
            decayed = jnp.where(
                decay_rate < 1,
                jnp.maximum(decayed, end_value),
                jnp.minimum(decayed, end_value),
            )
        return choose(moving, decayed, init_value)

    return value


def rate_power(base: Any, exponent: jax.Array) -> jax.Array:
    """base**exponent, with what float32 rounds off a Python number put back.

    A rate of 0.99999 in float32 is wrong by 3e-8: after 1e6 periods that is 3 %.
    """
    if not is_number(base):
        return jnp.power(base, exponent)
    base = float(base)
    rounded = float(np.asarray(base, exponent.dtype))
    rest = exponent * math.log1p((base - rounded) / rounded)
    # Held, since 0 and inf stay 0 and inf times anything but inf and 0.
    return jnp.power(rounded, exponent) * jnp.exp(jnp.clip(rest, -80, 80))


@schedule
def piecewise_constant_schedule(
    init_value: Scalar, boundaries_and_scales: dict[int, Scalar] | None = None
):
    """Level, with a factor at each boundary.

        s(t) = init_value prod_{boundary <= t} scale

    Args:
      init_value: a finite number.
      boundaries_and_scales: from the step at which the value changes to the factor,
        at least 0. The factors multiply up: {100: 0.1, 200: 0.1} ends at 0.01.

    Raises:
      ValueError: a number out of range.

    Example:
      >>> import gradtx
      >>> steps = gradtx.piecewise_constant_schedule(1.0, {2: 0.5, 3: 0.5})
      >>> [float(steps(t)) for t in range(5)]
      [1.0, 1.0, 0.5, 0.25, 0.25]
    """
    times, heights = _knots(init_value, boundaries_and_scales)

    def value(count):
        count = as_count(count)
        height = as_float(heights[0])
        for time, following in zip(times, heights[1:], strict=True):
            height = jnp.where(count >= time, following, height)
        return height

    return value


@schedule
def piecewise_interpolate_schedule(
    interpolate_type: Literal["linear", "cosine"],
    init_value: Scalar,
    boundaries_and_scales: dict[int, Scalar] | None = None,
):
    """Lines or half cosines through the values at the boundaries, then level.

    The value at a boundary is that at the one before times its scale, as in
    `piecewise_constant_schedule`; step 0 has `init_value`, and so have steps before.

    Args:
      interpolate_type: "linear" or "cosine".
      init_value: a finite number.
      boundaries_and_scales: from the step (at least 0) to the factor, at least 0.

    Raises:
      ValueError: a number out of range, or another type.

    Example:
      >>> import gradtx
      >>> line = gradtx.piecewise_interpolate_schedule("linear", 1.0, {2: 0.5, 3: 0.5})
      >>> [float(line(t)) for t in range(5)]
      [1.0, 0.75, 0.5, 0.25, 0.25]
    """
    check.choice("interpolate_type", interpolate_type, ("linear", "cosine"))
    times, heights = _knots(init_value, boundaries_and_scales)
    for time in times:
        check.nonnegative("each of boundaries_and_scales", time)
    return through([0, *times], heights, interpolate_type)


def _knots(init_value: Any, boundaries_and_scales: Any) -> tuple[list, list]:
    """The boundaries in order, and the value before each and after the last."""
    check.finite("init_value", init_value)
    given = {} if boundaries_and_scales is None else boundaries_and_scales
    if not isinstance(given, dict):
        raise TypeError(
            f"boundaries_and_scales must be a dict from step to factor, got {given!r}."
        )
    for time, scale in given.items():
        check.finite("each of boundaries_and_scales", time)
        check.nonnegative(f"boundaries_and_scales[{time}]", scale)
    times = sorted(given)
    scales = (given[time] for time in times)
    heights = itertools.accumulate(scales, operator.mul, initial=init_value)
    return [as_steps(time) for time in times], list(heights)


def through(times: list, heights: list, interpolate_type: str):
    """The function through heights at times, the first of which is 0; level after."""

    def value(count):
        count = as_count(count)
        height = as_float(heights[0])
        for i in range(len(times) - 1):
            if times[i] == times[i + 1]:  # a jump
                height = jnp.where(count >= times[i], heights[i + 1], height)
                continue
            done, left = parts(count, times[i], times[i + 1] - times[i])
            if interpolate_type == "cosine":
                done, left = half_cosine(done), half_cosine(left)
            between = heights[i] * left + heights[i + 1] * done
            height = jnp.where(count >= times[i], between, height)
        return height

    return value


def half_cosine(x: jax.Array) -> jax.Array:
    """(1 - cos(pi x)) / 2 as sin(pi x / 2)^2, which keeps all digits near x = 0."""
    return jnp.sin(jnp.pi / 2 * x) ** 2
