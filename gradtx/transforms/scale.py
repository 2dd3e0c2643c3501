"""Multiplication by a number: fixed, scheduled, or the learning rate."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.leafwise import leafwise
from gradtx.core.numerics import safe_increment, value_at
from gradtx.core.plan import Inputs, check_state, planned
from gradtx.core.transformation import transformation
from gradtx.core.types import EmptyState, Scalar, ScalarOrSchedule, Schedule


@transformation
def scale(step_size: Scalar):
    """Multiply every update by a number.

        u = step_size g

    Args:
      step_size: any finite number, or a scalar array. Integers become float32.

    Raises:
      ValueError: if it is not finite.

    Example:
      >>> import gradtx
      >>> tx = gradtx.scale(-0.5)
      >>> float(tx.update(2.0, tx.init(1.0))[0])
      -1.0
    """
    check.finite("step_size", step_size)
    return leafwise(EmptyState, lambda g: step_size * g, whole_numbers=True)


class ScaleByScheduleState(NamedTuple):
    count: jax.Array  # steps taken, int32


@transformation
def scale_by_schedule(step_size_fn: Schedule):
    """Multiply the updates of step t by a function of t.

        u_t = s(t) g_t,   t = 0, 1, 2, ...

    State: one int32.

    Args:
      step_size_fn: from the number of steps taken before to a scalar.

    Raises:
      TypeError: if it is not a function.

    Example:
      >>> import gradtx
      >>> tx = gradtx.scale_by_schedule(gradtx.linear_schedule(1.0, 0.0, 10))
      >>> state = tx.init(1.0)
      >>> for _ in range(6):
      ...     update, state = tx.update(1.0, state)
      >>> float(update)
      0.5
    """
    if not callable(step_size_fn):
        raise TypeError(
            f"step_size_fn must be a function of the step, got {step_size_fn!r}. "
            f"For a fixed number use scale."
        )
    return leafwise(
        ScaleByScheduleState,
        lambda g, s: s * g,
        scalars=lambda count: (value_at("step_size_fn", step_size_fn, count - 1),),
    )


class ScaleByLearningRateState(NamedTuple):
    count: jax.Array  # steps taken, int32
    learning_rate: jax.Array  # the rate of the last step (the first, before), float


@transformation
def scale_by_learning_rate(learning_rate: ScalarOrSchedule, *, flip_sign: bool = True):
    """Scale by the learning rate and turn the gradient into a step downhill.

        u_t = -learning_rate(t) g_t

    State: none for a number; for a schedule one int32 and the current rate, which
    `gradtx.tree.get(state, "learning_rate")` reads.

    Args:
      learning_rate: a finite number, a scalar array, or a function from the number of
        steps taken before to a scalar.
      flip_sign: whether to go downhill; `False` goes uphill.

    Raises:
      ValueError: if a number is not finite.

    Example:
      >>> import gradtx
      >>> tx = gradtx.scale_by_learning_rate(0.5)
      >>> float(tx.update(2.0, tx.init(1.0))[0])
      -1.0
    """
    check.learning_rate("learning_rate", learning_rate)
    sign = -1 if flip_sign else 1
    if not callable(learning_rate):
        return leafwise(EmptyState, lambda g: sign * learning_rate * g)

    def init(params):
        count = jnp.zeros([], jnp.int32)
        return ScaleByLearningRateState(
            count, value_at("learning_rate", learning_rate, count)
        )

    def prepare(updates, state, params):
        check_state(state, ScaleByLearningRateState)
        rate = value_at("learning_rate", learning_rate, state.count)
        new = ScaleByLearningRateState(safe_increment(state.count), rate)
        return Inputs(scalars=(rate,)), lambda: new

    return planned(init, lambda g, rate: sign * rate * g, prepare, entrywise=True)
