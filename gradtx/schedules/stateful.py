"""Schedules that keep a state of their own, and see what `update` is given."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from gradtx.core.call import Call, Remembered
from gradtx.core.numerics import safe_increment


@runtime_checkable
class StatefulSchedule(Protocol):
    """What a schedule with a state has: three functions, of the state.

    In a step `inject_hyperparams` takes the value from the state as it is, and the next
    state from it. Both see the extra arguments of `update`: the loss, say. A state is a
    tree of arrays whose types stay.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> class HalvedByLargeLosses:
      ...     def init(self):
      ...         return jnp.float32(1.0)
      ...     def update(self, state, *, value, **extra):
      ...         return jnp.where(value > 10, state / 2, state)
      ...     def __call__(self, state, **extra):
      ...         return state
      >>> tx = gradtx.inject_hyperparams(gradtx.sgd)(HalvedByLargeLosses())
      >>> state = tx.init(0.0)
      >>> for loss in (11.0, 9.0):
      ...     update, state = tx.update(1.0, state, value=loss)
      ...     print(float(update))
      -1.0
      -0.5
    """

    def init(self) -> Any:
        """The first state."""
        ...

    def update(self, state: Any, **extra_args: Any) -> Any:
        """The next state."""
        ...

    def __call__(self, state: Any, **extra_args: Any) -> Any:
        """The value, a scalar."""
        ...


class WrappedScheduleState(NamedTuple):
    count: jax.Array  # steps taken, int32


class WrappedSchedule(Remembered):
    """A function of the step count as a schedule whose state is the count.

    Args:
      schedule_fn: from the count to a scalar.

    Example:
      >>> import gradtx
      >>> rate = gradtx.WrappedSchedule(gradtx.linear_schedule(1.0, 0.0, 4))
      >>> state = rate.update(rate.init())
      >>> int(state.count), float(rate(state))
      (1, 0.75)
    """

    def __init__(self, schedule_fn: Callable[[Any], Any]):
        self.schedule_fn = schedule_fn
        self.call = Call(WrappedSchedule, (schedule_fn,), {})

    def init(self) -> WrappedScheduleState:
        """The count of no steps."""
        return WrappedScheduleState(jnp.zeros([], jnp.int32))

    def update(
        self, state: WrappedScheduleState, **extra_args: Any
    ) -> WrappedScheduleState:
        """The count of one step more."""
        return WrappedScheduleState(safe_increment(state.count))

    def __call__(self, state: WrappedScheduleState, **extra_args: Any) -> Any:
        """The schedule's value at the count."""
        return self.schedule_fn(state.count)


def is_stateful(value: Any) -> bool:
    """Whether it is a schedule with a state; a class of such is none."""
    return isinstance(value, StatefulSchedule) and not isinstance(value, type)
