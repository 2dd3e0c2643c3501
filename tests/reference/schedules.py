"""Schedules as formulas, in float64: a factory with gradtx's arguments, then a step.

`cosine_decay_schedule(1.0, 100)(step)` is the value at that 0-based step.
"""

import math
from itertools import accumulate, pairwise

import numpy as np


def constant_schedule(value):
    """The same value at every step."""
    return lambda step: float(value)


def linear_schedule(init_value, end_value, transition_steps, transition_begin=0):
    """A straight line from init_value to end_value, level before and after."""
    ends = [transition_begin, transition_begin + transition_steps]
    return lambda step: float(np.interp(step, ends, [init_value, end_value]))


def polynomial_schedule(
    init_value, end_value, power, transition_steps, transition_begin=0
):
    """The poly policy of Chen et al. 2017 (DeepLab): (1 - step / steps)^power."""

    def value(step):
        gone = min(max(step - transition_begin, 0), transition_steps)
        left = 1 - gone / transition_steps
        return end_value + (init_value - end_value) * left**power

    return value


def exponential_decay(
    init_value,
    transition_steps,
    decay_rate,
    transition_begin=0,
    staircase=False,
    end_value=None,
):
    """A factor of decay_rate in every transition_steps, never past end_value."""

    def value(step):
        periods = max(step - transition_begin, 0) / transition_steps
        if staircase:
            periods = math.floor(periods)
        decayed = init_value * decay_rate**periods
        if end_value is None:
            return decayed
        return max(decayed, end_value) if decay_rate < 1 else min(decayed, end_value)

    return value


def piecewise_constant_schedule(init_value, boundaries_and_scales=None):
    """At a boundary, and from then on, the value is multiplied by its scale."""
    scales = boundaries_and_scales or {}
    return lambda step: (
        init_value
        * math.prod(scale for boundary, scale in scales.items() if step >= boundary)
    )


def piecewise_interpolate_schedule(
    interpolate_type, init_value, boundaries_and_scales=None
):
    """Through the cumulative products at the boundaries, by lines or half cosines."""
    knots = sorted((boundaries_and_scales or {}).items())
    times = [0, *(boundary for boundary, _ in knots)]
    heights = np.cumprod([init_value, *(scale for _, scale in knots)]).tolist()

    def value(step):
        if step >= times[-1]:
            return heights[-1]
        i = max(k for k, time in enumerate(times) if time <= step)
        x = (step - times[i]) / (times[i + 1] - times[i])
        if interpolate_type == "cosine":
            x = (1 - math.cos(math.pi * x)) / 2
        return heights[i] + x * (heights[i + 1] - heights[i])

    return value


def inverse_sqrt_schedule(init_value, timescale=1.0):
    """Zinkevich 2003: alpha / sqrt(t), t from 1; in units of a timescale."""
    return lambda step: init_value / math.sqrt((step + timescale) / timescale)


def warmup_stable_decay_schedule(
    init_value,
    peak_value,
    warmup_steps,
    cooldown_steps,
    total_steps,
    end_value=0.0,
    shape="1-sqrt",
):
    """Haegele 2024: up, level, and down over the last steps."""
    falls = {"linear": lambda x: 1 - x, "1-sqrt": lambda x: 1 - math.sqrt(x)}
    fall = falls.get(shape) or (lambda x: (1 - x) ** shape)

    def value(step):
        if step < warmup_steps:
            return init_value + (peak_value - init_value) * step / warmup_steps
        begin = total_steps - cooldown_steps
        if step < begin or not cooldown_steps:
            return peak_value
        x = min((step - begin) / cooldown_steps, 1)
        return end_value + (peak_value - end_value) * fall(x)

    return value


def cosine_decay_schedule(
    init_value, decay_steps, alpha=0.0, exponent=1.0, periodic=False
):
    """Loshchilov & Hutter 2017, eq. 5, one period; alpha is the last over the first."""

    def value(step):
        x = (step if periodic else min(step, decay_steps)) / decay_steps
        half_cosine = (1 + math.cos(math.pi * x)) / 2
        return init_value * (alpha + (1 - alpha) * half_cosine**exponent)

    return value


def join_schedules(schedules, boundaries):
    """Each schedule from its boundary on, counting from there."""

    def value(step):
        current = sum(step >= boundary for boundary in boundaries)
        start = boundaries[current - 1] if current else 0
        return schedules[current](step - start)

    return value


def warmup_constant_schedule(init_value, peak_value, warmup_steps):
    """A straight line up to peak_value, then level."""
    return linear_schedule(init_value, peak_value, warmup_steps)


def warmup_cosine_decay_schedule(
    init_value, peak_value, warmup_steps, decay_steps, end_value=0.0, exponent=1.0
):
    """Goyal et al. 2017, section 2.2, then eq. 5 of SGDR; decay_steps counts both."""

    def value(step):
        if step < warmup_steps:
            return init_value + (peak_value - init_value) * step / warmup_steps
        x = min((step - warmup_steps) / (decay_steps - warmup_steps), 1)
        half_cosine = (1 + math.cos(math.pi * x)) / 2
        return end_value + (peak_value - end_value) * half_cosine**exponent

    return value


def warmup_exponential_decay_schedule(
    init_value,
    peak_value,
    warmup_steps,
    transition_steps,
    decay_rate,
    transition_begin=0,
    staircase=False,
    end_value=None,
):
    """A straight line up to peak_value, then exponential decay from it."""
    warmup = linear_schedule(init_value, peak_value, warmup_steps)
    decay = exponential_decay(
        peak_value, transition_steps, decay_rate, transition_begin, staircase, end_value
    )
    return join_schedules([warmup, decay], [warmup_steps])


def sgdr_schedule(cosine_kwargs):
    """Loshchilov & Hutter 2017, eq. 5 with restarts: each period has its arguments."""
    periods = [dict(kwargs) for kwargs in cosine_kwargs]
    ends = list(accumulate(period["decay_steps"] for period in periods))
    cosines = [warmup_cosine_decay_schedule(**period) for period in periods]
    return join_schedules(cosines, ends[:-1])


def linear_onecycle_schedule(
    transition_steps,
    peak_value,
    pct_start=0.3,
    pct_final=0.85,
    div_factor=25.0,
    final_div_factor=1e4,
):
    """Smith & Topin 2018: up, down again, and then far below the start."""
    low = peak_value / div_factor
    times = [0, int(pct_start * transition_steps), int(pct_final * transition_steps)]
    heights = [low, peak_value, low, low / final_div_factor]
    return lambda step: float(np.interp(step, [*times, transition_steps], heights))


def cosine_onecycle_schedule(
    transition_steps, peak_value, pct_start=0.3, div_factor=25.0, final_div_factor=1e4
):
    """Smith & Topin 2018 in two halves of cosines: up, and down far below the start."""
    low = peak_value / div_factor
    top = int(pct_start * transition_steps)

    def value(step):
        if step < top:
            return low + (peak_value - low) * (1 - math.cos(math.pi * step / top)) / 2
        x = min((step - top) / (transition_steps - top), 1)
        end = low / final_div_factor
        return end + (peak_value - end) * (1 + math.cos(math.pi * x)) / 2

    return value


def cyclic_schedule(
    init_value, peak_value, steps_up, steps_down=None, mode="triangular", gamma=1.0
):
    """Smith 2017, section 3.2: triangles, halved in each cycle, or by gamma^step."""
    length = steps_up + (steps_down or steps_up)

    def value(step):
        cycle, since = divmod(step, length)
        height = np.interp(since, [0, steps_up, length], [0, 1, 0])
        scale = {"triangular": 1, "triangular2": 0.5**cycle, "exp_range": gamma**step}
        return init_value + (peak_value - init_value) * float(height) * scale[mode]

    return value


def cosine_restarts_schedule(
    init_value, decay_steps, period_factor=1.0, peak_factor=1.0, alpha=0.0
):
    """Loshchilov & Hutter 2017, eq. 5, with T_i growing by T_mult at each restart."""

    def value(step):
        length, height = decay_steps, 1
        while step >= length:
            step, length, height = (
                step - length,
                length * period_factor,
                height * peak_factor,
            )
        half_cosine = (1 + math.cos(math.pi * step / length)) / 2
        return init_value * (alpha + (1 - alpha) * height * half_cosine)

    return value


def onecycle_schedule(
    transition_steps,
    peak_value,
    pct_start=0.3,
    div_factor=25.0,
    final_div_factor=1e4,
    anneal="cosine",
    three_phase=False,
):
    """Smith & Topin 2018: up, (down,) and far below the start at the last step."""
    low, top = peak_value / div_factor, pct_start * transition_steps - 1
    knots = [(0, low), (top, peak_value), (2 * top, low)][: 3 if three_phase else 2]
    knots.append((transition_steps - 1, low / final_div_factor))

    def value(step):
        for (begin, start), (end, stop) in pairwise(knots):
            if step <= end:
                x = (step - begin) / (end - begin)
                x = x if anneal == "linear" else (1 - math.cos(math.pi * x)) / 2
                return start + (stop - start) * x
        return knots[-1][1]

    return value
