"""Up and down again and again: triangles, cosines with restarts; one whole cycle."""

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core import check
from gradtx.core.numerics import as_float
from gradtx.core.types import Scalar
from gradtx.schedules.base import schedule
from gradtx.schedules.basic import half_cosine, rate_power, through
from gradtx.schedules.counts import as_count, as_steps, parts


@schedule
def cyclic_schedule(
    init_value: Scalar,
    peak_value: Scalar,
    steps_up: int,
    steps_down: int | None = None,
    mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
    gamma: Scalar = 1.0,
):
    """A straight line up and one down, for ever.

        s(t) = init_value + (peak_value - init_value) h(t) a(t)

    h rises from 0 to 1 in steps_up steps and falls to 0 in steps_down; a is 1 for
    "triangular", 1/2, 1/4, ... in the cycles after the first for "triangular2", and
    gamma^t for "exp_range".

    Args:
      init_value, peak_value: finite numbers.
      steps_up: the steps to the peak, a whole number from 1; 2 to 10 epochs.
      steps_down: the steps down; by default as many.
      mode: which.
      gamma: above 0, at most 1; for "exp_range" alone.

    Raises:
      ValueError: a number out of range, another mode.

    Source: Smith, Cyclical learning rates for training neural networks (2017),
    section 3.

    Example:
      >>> import gradtx
      >>> s = gradtx.cyclic_schedule(0.0, 1.0, 2, mode="triangular2")
      >>> [float(s(t)) for t in range(8)]
      [0.0, 0.5, 1.0, 0.5, 0.0, 0.25, 0.5, 0.25]
    """
    check.finite("init_value", init_value)
    check.finite("peak_value", peak_value)
    check.count("steps_up", steps_up, 1)
    if steps_down is not None:
        check.count("steps_down", steps_down, 1)
    check.choice("mode", mode, ("triangular", "triangular2", "exp_range"))
    check.positive("gamma", gamma)
    check.fraction("gamma", gamma)
    up = as_steps(steps_up)
    down = up if steps_down is None else as_steps(steps_down)

    def value(count):
        count = jnp.maximum(as_count(count), 0)
        cycle, since = jnp.divmod(count, up + down)
        rising, _ = parts(since, 0, up)
        _, falling = parts(since, up, down)
        height = jnp.where(since < up, rising, falling)
        if mode == "triangular2":
            height *= jnp.exp2(-as_float(cycle))
        elif mode == "exp_range":
            height *= rate_power(gamma, as_float(count))
        # Weights for both ends, so that both are met exactly.
        return init_value * (1 - height) + peak_value * height

    return value


@schedule
def cosine_restarts_schedule(
    init_value: Scalar,
    decay_steps: int,
    period_factor: float = 1.0,
    peak_factor: Scalar = 1.0,
    alpha: Scalar = 0.0,
):
    """Half a cosine down, then at once at the top again, for ever.

        s(t) = init_value (alpha + (1 - alpha) peak_factor^i (1 + cos(pi x)) / 2)
        x = (t - start_i) / length_i,   length_i = decay_steps period_factor^i

    i counts the restarts up to t. `sgdr_schedule` has periods with arguments of their
    own and warm-ups; it has an end.

    Args:
      init_value: a finite number.
      decay_steps: the steps to the first restart, at least 1, a Python number.
      period_factor: the length of each period over that of the one before, at least 1,
        a Python number; the paper uses 1 and 2.
      peak_factor: the height above the floor over that of the period before, at least
        0.
      alpha: the floor as a part of init_value, at least 0.

    Raises:
      ValueError: a number out of range.

    Source: Loshchilov & Hutter, SGDR: stochastic gradient descent with warm restarts
    (2017), eq. 5.

    Example:
      >>> import gradtx
      >>> s = gradtx.cosine_restarts_schedule(1.0, 2, period_factor=2.0)
      >>> [round(float(s(t)), 3) for t in range(8)]
      [1.0, 0.5, 1.0, 0.854, 0.5, 0.146, 1.0, 0.962]
    """
    check.finite("init_value", init_value)
    check.at_least("decay_steps", decay_steps, 1)
    check.at_least("period_factor", period_factor, 1)
    check.nonnegative("peak_factor", peak_factor)
    check.nonnegative("alpha", alpha)
    starts, lengths = _periods(float(decay_steps), float(period_factor))

    def value(count):
        left, restarts = _left(jnp.maximum(as_count(count), 0), starts, lengths)
        height = half_cosine(left)
        if not (isinstance(peak_factor, int | float) and peak_factor == 1):
            height *= rate_power(peak_factor, as_float(restarts))
        return init_value * (alpha + (1 - alpha) * height)

    return value


_LAST = 2**31 - 1  # the last step that an int32 can count


def _periods(length: float, factor: float) -> tuple[Any, Any]:
    """Where the periods begin and how long they are; of equal ones the first."""
    starts, lengths = [0.0], [length]
    while factor > 1 and starts[-1] + lengths[-1] <= _LAST:
        starts.append(starts[-1] + lengths[-1])
        lengths.append(lengths[-1] * factor)
    return np.array(starts), np.array(lengths)


def _left(count: Any, starts: Any, lengths: Any) -> tuple[jax.Array, jax.Array]:
    """The part of the period that is left, in (0, 1], and the number of restarts."""
    if len(starts) == 1:
        first = as_steps(lengths[0])
        restarts, since = jnp.divmod(count, first)
        return as_float(first - since) / first, restarts
    # Whole steps apart, so that large counts lose nothing.
    whole, rest = np.floor(starts), starts - np.floor(starts)
    begun = count >= jnp.asarray(np.ceil(starts), count.dtype)
    restarts = jnp.sum(begun, dtype=jnp.int32) - 1
    since = as_float(count - jnp.asarray(whole, count.dtype)[restarts])
    since -= as_float(rest)[restarts]
    length = as_float(lengths)[restarts]
    return (length - since) / length, restarts


@schedule
def onecycle_schedule(
    transition_steps: int,
    peak_value: Scalar,
    pct_start: float = 0.3,
    div_factor: Scalar = 25.0,
    final_div_factor: Scalar = 1e4,
    *,
    anneal: Literal["cosine", "linear"] = "cosine",
    three_phase: bool = False,
):
    """One cycle, to PyTorch's digits: up, down to far below the start.

        step                                value
        0                                   low = peak_value / div_factor
        pct_start transition_steps - 1      peak_value
        2 pct_start transition_steps - 2    low, with three_phase
        transition_steps - 1                low / final_div_factor

    In between are half cosines, or lines. `cosine_onecycle_schedule` and
    `linear_onecycle_schedule`, Optax's, round the second step down and come to the end
    one step later.

    Args:
      transition_steps: the steps of the cycle, the first and the last with the ends'
        values; at least 1.
      peak_value: a finite number.
      pct_start: the part of the cycle that goes up, in [0, 1]; at most 0.5 with
        three_phase.
      div_factor, final_div_factor: above 0.
      anneal: "cosine" or "linear".
      three_phase: whether it first comes down as it went up.

    Raises:
      ValueError: a number out of range, or another word for anneal.

    Source: Smith & Topin, Super-convergence (2018); the steps as in
    torch.optim.lr_scheduler.OneCycleLR.

    Example:
      >>> import gradtx
      >>> s = gradtx.onecycle_schedule(10, 1.0, pct_start=0.5, div_factor=4.0)
      >>> [round(float(s(t)), 3) for t in (0, 2, 4, 9)]
      [0.25, 0.625, 1.0, 0.0]
    """
    check.at_least("transition_steps", transition_steps, 1)
    check.finite("peak_value", peak_value)
    check.fraction("pct_start", pct_start)
    check.positive("div_factor", div_factor)
    check.positive("final_div_factor", final_div_factor)
    check.choice("anneal", anneal, ("cosine", "linear"))
    if three_phase and pct_start > 0.5:
        raise ValueError(
            f"pct_start must be at most 0.5 with three_phase, got {pct_start}."
        )
    low = peak_value / div_factor
    top = pct_start * transition_steps - 1
    times, heights = [0, top], [low, peak_value]
    if three_phase:
        times, heights = [*times, 2 * top], [*heights, low]
    times, heights = [*times, transition_steps - 1], [*heights, low / final_div_factor]
    return through([as_steps(time) for time in times], heights, anneal)
