"""Warm-ups: a line up, then level, down along a cosine or an exponential; one cycle."""

from typing import Any

import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.types import Scalar
from gradtx.schedules.base import schedule
from gradtx.schedules.basic import (
    exponential_decay,
    half_cosine,
    linear_schedule,
    through,
)
from gradtx.schedules.counts import as_steps, is_number, parts
from gradtx.schedules.join import join_schedules


def warmed_up(init_value: Any, peak_value: Any, warmup_steps: Any, after: Any):
    """The line up, then another schedule; without steps that from the start."""
    check.finite("peak_value", peak_value)
    check.finite("warmup_steps", warmup_steps)
    warmup = linear_schedule(init_value, peak_value, warmup_steps)
    return join_schedules([warmup, after], [warmup_steps])


@schedule
def warmup_constant_schedule(init_value: Scalar, peak_value: Scalar, warmup_steps: int):
    """A straight line up, then level.

        s(t) = init_value + (peak_value - init_value) min(t / warmup_steps, 1)

    Args:
      init_value, peak_value: finite numbers.
      warmup_steps: the steps up to the peak; at 0 and below it begins at the peak.

    Raises:
      ValueError: a number out of range.

    Source: Goyal et al., Accurate, large minibatch SGD (2017), section 2.2.

    Example:
      >>> import gradtx
      >>> warmup = gradtx.warmup_constant_schedule(0.0, 1.0, warmup_steps=4)
      >>> [float(warmup(t)) for t in range(6)]
      [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    """
    return warmed_up(init_value, peak_value, warmup_steps, lambda count: peak_value)


@schedule
def warmup_cosine_decay_schedule(
    init_value: Scalar,
    peak_value: Scalar,
    warmup_steps: int,
    decay_steps: int,
    end_value: Scalar = 0.0,
    exponent: Scalar = 1.0,
):
    """A straight line up, down along half a cosine, then level.

        up    s(t) = init_value + (peak_value - init_value) t / warmup_steps
        down  s(t) = end_value + (peak_value - end_value) ((1 + cos(pi x)) / 2)^exponent
              x = min((t - warmup_steps) / (decay_steps - warmup_steps), 1)

    Args:
      init_value, peak_value, end_value: finite numbers. With init_value = 0 the first
        step does not move the parameters; from a peak of 0 on, none does, whatever
        end_value is.
      warmup_steps: the steps up to the peak; 0 begins at the peak, and below it the
        decay has begun so many steps before.
      decay_steps: the length of the whole, the warm-up included; above warmup_steps.
      exponent: above 0; above 1 the value falls faster at first.

    Raises:
      ValueError: a number out of range.

    Source: Goyal et al. (2017), section 2.2; Loshchilov & Hutter, SGDR (2017), eq. 5.

    Example:
      >>> import gradtx
      >>> s = gradtx.warmup_cosine_decay_schedule(0.0, 1.0, 2, 6, end_value=0.1)
      >>> [round(float(s(t)), 3) for t in range(8)]
      [0.0, 0.5, 1.0, 0.868, 0.55, 0.232, 0.1, 0.1]
    """
    check.finite("warmup_steps", warmup_steps)
    check.finite("end_value", end_value)
    check.finite("decay_steps", decay_steps)
    check.positive("exponent", exponent)
    warm, total = as_steps(warmup_steps), as_steps(decay_steps)
    if is_number(warm) and is_number(total) and warm >= total:
        raise ValueError(
            f"warmup_steps must be below decay_steps={total}, which counts the "
            f"warm-up too, got {warm}."
        )

    # After a peak of 0 all is 0, as in Optax, where the end is a part of the peak.
    last = end_value
    if not is_number(peak_value):
        last = jnp.where(peak_value == 0, 0, end_value)
    elif peak_value == 0:
        last = 0.0

    def decay(count):
        _, left = parts(count, 0, total - warm)
        weight = half_cosine(left) ** exponent
        return peak_value * weight + last * (1 - weight)

    return warmed_up(init_value, peak_value, warm, decay)


@schedule
def warmup_exponential_decay_schedule(
    init_value: Scalar,
    peak_value: Scalar,
    warmup_steps: int,
    transition_steps: int,
    decay_rate: Scalar,
    transition_begin: int = 0,
    staircase: bool = False,
    end_value: Scalar | None = None,
):
    """A straight line up, then `exponential_decay` from the peak.

    Args:
      init_value, peak_value: finite numbers.
      warmup_steps: the steps up to the peak; 0 begins at the peak, and below it the
        decay has begun so many steps before.
      transition_steps, decay_rate, staircase, end_value: see `exponential_decay`.
      transition_begin: the steps at the peak after the warm-up; 0 for numbers below.

    Raises:
      ValueError: a number out of range.

    Example:
      >>> import gradtx
      >>> s = gradtx.warmup_exponential_decay_schedule(0.0, 1.0, 2, 1, 0.5)
      >>> [float(s(t)) for t in range(6)]
      [0.0, 0.5, 1.0, 0.5, 0.25, 0.125]
    """
    check.finite("peak_value", peak_value)
    decay = exponential_decay(
        peak_value, transition_steps, decay_rate, transition_begin, staircase, end_value
    )
    return warmed_up(init_value, peak_value, warmup_steps, decay)


@schedule
def linear_onecycle_schedule(
    transition_steps: int,
    peak_value: Scalar,
    pct_start: float = 0.3,
    pct_final: float = 0.85,
    div_factor: Scalar = 25.0,
    final_div_factor: Scalar = 1e4,
):
    """Straight lines up, down again, and then far below the start.

        step                            value
        0                               peak_value / div_factor
        pct_start transition_steps      peak_value
        pct_final transition_steps      peak_value / div_factor
        transition_steps                peak_value / div_factor / final_div_factor

    Args:
      transition_steps: the length of the cycle, at least 1.
      peak_value: a finite number.
      pct_start, pct_final: where the first two lines end, as parts of the cycle in
        [0, 1], the second not before the first. Rounded down to whole steps.
      div_factor, final_div_factor: above 0.

    Raises:
      ValueError: a number out of range.

    Source: Smith & Topin, Super-convergence (2018).

    Example:
      >>> import gradtx
      >>> s = gradtx.linear_onecycle_schedule(20, 1.0, div_factor=4.0)
      >>> [round(float(s(t)), 4) for t in (0, 3, 6, 17, 20, 30)]
      [0.25, 0.625, 1.0, 0.25, 0.0, 0.0]
    """
    low = _start_of_cycle(transition_steps, peak_value, div_factor, final_div_factor)
    check.fraction("pct_start", pct_start)
    check.fraction("pct_final", pct_final)
    if pct_start > pct_final:
        raise ValueError(f"pct_final must be at least {pct_start=}, got {pct_final}.")
    top, down = int(pct_start * transition_steps), int(pct_final * transition_steps)
    heights = [low, peak_value, low, low / final_div_factor]
    return through([0, top, down, as_steps(transition_steps)], heights, "linear")


@schedule
def cosine_onecycle_schedule(
    transition_steps: int,
    peak_value: Scalar,
    pct_start: float = 0.3,
    div_factor: Scalar = 25.0,
    final_div_factor: Scalar = 1e4,
):
    """Half a cosine up, and another down to far below the start.

        step                            value
        0                               peak_value / div_factor
        pct_start transition_steps      peak_value
        transition_steps                peak_value / div_factor / final_div_factor

    Args:
      transition_steps: the length of the cycle, at least 1.
      peak_value: a finite number.
      pct_start: where the peak is, as a part of the cycle in [0, 1], rounded down to
        whole steps.
      div_factor, final_div_factor: above 0.

    Raises:
      ValueError: a number out of range.

    Source: Smith & Topin, Super-convergence (2018).

    Example:
      >>> import gradtx
      >>> s = gradtx.cosine_onecycle_schedule(20, 1.0, div_factor=4.0)
      >>> [round(float(s(t)), 4) for t in (0, 3, 6, 13, 20, 30)]
      [0.25, 0.625, 1.0, 0.5, 0.0, 0.0]
    """
    low = _start_of_cycle(transition_steps, peak_value, div_factor, final_div_factor)
    check.fraction("pct_start", pct_start)
    top = int(pct_start * transition_steps)
    heights = [low, peak_value, low / final_div_factor]
    return through([0, top, as_steps(transition_steps)], heights, "cosine")


def _start_of_cycle(transition_steps, peak_value, div_factor, final_div_factor) -> Any:
    check.at_least("transition_steps", transition_steps, 1)
    check.finite("peak_value", peak_value)
    check.positive("div_factor", div_factor)
    check.positive("final_div_factor", final_div_factor)
    return peak_value / div_factor
