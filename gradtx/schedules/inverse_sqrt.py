"""One over the root of the step."""

import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.numerics import as_float
from gradtx.core.types import Scalar
from gradtx.schedules.base import schedule
from gradtx.schedules.basic import as_count


@schedule
def inverse_sqrt_schedule(init_value: Scalar, timescale: Scalar = 1.0):
    """Down like one over the root of the step, without an end.

        s(t) = init_value / sqrt(1 + t / timescale),   t = 0, 1, 2, ...

    With a timescale of 1 it is alpha / sqrt(t) for t from 1: the rate for which SGD's,
    AdaGrad's and Adam's regret on convex functions is proved. A larger timescale keeps
    the rate up for that many steps. With a warm-up of as many steps in front it is the
    Transformer's schedule, peak sqrt(n / t) from step n on: `join_schedules([up, down],
    [n])` of `linear_schedule(0.0, peak, n)` and `inverse_sqrt_schedule(peak, n)`.

    Args:
      init_value: a finite number, the value at step 0.
      timescale: steps, above 0: after 3 of it the value has halved.

    Raises:
      ValueError: a number out of range.

    Source: Zinkevich, Online convex programming and generalized infinitesimal gradient
    ascent (2003), theorem 1; Kingma & Ba, Adam (2015), theorem 4.1; Vaswani et al.,
    Attention is all you need (2017), eq. 3, for the warm-up.

    Example:
      >>> import gradtx
      >>> rate = gradtx.inverse_sqrt_schedule(1.0)
      >>> [round(float(rate(t)), 3) for t in (0, 1, 3, 99)]
      [1.0, 0.707, 0.5, 0.1]
    """
    check.finite("init_value", init_value)
    check.positive("timescale", timescale)

    def value(count):
        # Level before step 0, where the root would be of a negative number.
        since = as_float(jnp.maximum(as_count(count), 0))
        return init_value / (1 + since / timescale) ** 0.5

    return value
