"""Warm up, stay, and come down at the end."""

import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.types import Scalar
from gradtx.schedules.base import schedule
from gradtx.schedules.counts import as_steps, is_number, parts
from gradtx.schedules.warmup import warmed_up


@schedule
def warmup_stable_decay_schedule(
    init_value: Scalar,
    peak_value: Scalar,
    warmup_steps: int,
    cooldown_steps: int,
    total_steps: int,
    end_value: Scalar = 0.0,
    shape: str | Scalar = "1-sqrt",
):
    """A straight line up, level for most of the time, then down (WSD, a trapezoid).

        up      s(t) = init_value + (peak_value - init_value) t / warmup_steps
        level   s(t) = peak_value
        down    s(t) = end_value + (peak_value - end_value) f(x)
                x = (t - total_steps + cooldown_steps) / cooldown_steps, at most 1
                f(x) = 1 - x ("linear"), 1 - sqrt(x) ("1-sqrt") or (1 - x)^shape

    The level part may go on as long as one likes: a run is continued from there, and
    cooled down when it is to end, where a cosine has to know its end from the start.

    Args:
      init_value, peak_value, end_value: finite numbers. With init_value = 0 the first
        step does not move the parameters.
      warmup_steps: the steps up to the peak; 0 begins there.
      cooldown_steps: the steps down, the last of all; 8 to 40% of them are common, and
        0 never comes down.
      total_steps: of the whole, warm-up and cool-down included.
      shape: of the way down: "linear", "1-sqrt", which falls faster at first and was
        found the better one, or a power, above 0.

    Raises:
      ValueError: a number out of range; parts that are longer than the whole.

    Source: Hägele et al., Scaling laws and compute-optimal training beyond fixed
    training durations (2024), section 3.

    Example:
      >>> import gradtx
      >>> s = gradtx.warmup_stable_decay_schedule(0.0, 1.0, 2, 4, 10, shape="linear")
      >>> [float(s(t)) for t in (0, 1, 2, 5, 6, 7, 8, 10, 11)]
      [0.0, 0.5, 1.0, 1.0, 1.0, 0.75, 0.5, 0.0, 0.0]
    """
    check.finite("end_value", end_value)
    check.at_least("cooldown_steps", cooldown_steps, 0)
    check.at_least("total_steps", total_steps, 1)
    if isinstance(shape, float | int):
        check.positive("shape", shape)
    else:
        check.choice("shape", shape, ("linear", "1-sqrt"))
    warm, down, total = map(as_steps, (warmup_steps, cooldown_steps, total_steps))
    if all(map(is_number, (warm, down, total))) and max(warm, 0) + down > total:
        raise ValueError(
            f"total_steps counts warmup_steps={warm} and cooldown_steps={down} too, "
            f"got {total}."
        )

    def after(count):
        done, left = parts(count, total - down - warm, down)
        if shape == "1-sqrt":
            weight = 1 - jnp.sqrt(done)
        else:
            weight = left if isinstance(shape, str) else left**shape
        return end_value + (peak_value - end_value) * weight

    return warmed_up(init_value, peak_value, warm, after)
