"""Half a cosine down, once or with warm restarts."""

from collections.abc import Iterable
from itertools import accumulate
from typing import Any

import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.numerics import as_float
from gradtx.core.types import Scalar
from gradtx.schedules.base import schedule
from gradtx.schedules.basic import half_cosine
from gradtx.schedules.counts import as_count, as_steps
from gradtx.schedules.join import join_schedules
from gradtx.schedules.warmup import warmup_cosine_decay_schedule


@schedule
def cosine_decay_schedule(
    init_value: Scalar,
    decay_steps: int,
    alpha: Scalar = 0.0,
    exponent: Scalar = 1.0,
    *,
    periodic: bool = False,
):
    """Down along half a cosine to a floor, then level.

        s(t) = init_value (alpha + (1 - alpha) ((1 + cos(pi x)) / 2)^exponent)
        x = min(t / decay_steps, 1),   or t / decay_steps if periodic

    Args:
      init_value: a finite number.
      decay_steps: the steps to the floor, at least 1.
      alpha: the floor as a part of init_value, at least 0; above 1 the value rises.
      exponent: above 0; above 1 it falls faster at first.
      periodic: whether it then goes up again along the other half, and so on, as
        PyTorch's does.

    Raises:
      ValueError: a number out of range.

    Source: Loshchilov & Hutter, SGDR: stochastic gradient descent with warm restarts
    (2017), eq. 5, one period.

    Example:
      >>> import gradtx
      >>> decay = gradtx.cosine_decay_schedule(1.0, 4, alpha=0.5)
      >>> [round(float(decay(t)), 3) for t in range(6)]
      [1.0, 0.927, 0.75, 0.573, 0.5, 0.5]
    """
    check.finite("init_value", init_value)
    check.at_least("decay_steps", decay_steps, 1)
    check.nonnegative("alpha", alpha)
    check.positive("exponent", exponent)
    steps, whole = as_steps(decay_steps), as_steps(2 * decay_steps)

    def value(count):
        count = as_count(count)
        if periodic:
            there = count % whole
            gone = jnp.minimum(there, whole - there)
        else:
            gone = jnp.minimum(count, steps)
        left = as_float(steps - gone) / steps
        # The half cosine from the steps that are left: it has all digits at the end.
        return init_value * (alpha + (1 - alpha) * half_cosine(left) ** exponent)

    return value


@schedule
def sgdr_schedule(cosine_kwargs: Iterable[dict[str, Any]]):
    """Warm restarts: one `warmup_cosine_decay_schedule` after another.

    Args:
      cosine_kwargs: for each period the arguments of `warmup_cosine_decay_schedule`
        as a dict; its decay_steps is the length of the period. A list: a generator
        can be read only once, and neither compares nor pickles.

    Raises:
      ValueError: a number out of range, or no period.
      TypeError: an argument that is missing or unknown.

    Source: Loshchilov & Hutter, SGDR: stochastic gradient descent with warm restarts
    (2017), eq. 5. There the next period begins at its peak; here with its own warm-up
    (give warmup_steps=0 for none).

    Example:
      >>> import gradtx
      >>> period = dict(init_value=0.0, peak_value=1.0, warmup_steps=1, decay_steps=3)
      >>> restarts = gradtx.sgdr_schedule([period, {**period, "peak_value": 0.5}])
      >>> [round(float(restarts(t)), 2) for t in range(7)]
      [0.0, 1.0, 0.5, 0.0, 0.5, 0.25, 0.0]
    """
    periods = [dict(kwargs) for kwargs in cosine_kwargs]
    if not periods:
        raise ValueError("cosine_kwargs must have at least one period, got none.")
    cosines = [warmup_cosine_decay_schedule(**period) for period in periods]
    ends = list(accumulate(period["decay_steps"] for period in periods))
    return join_schedules(cosines, ends[:-1])
