"""What a schedule is: a function of the step count that knows the call that made it."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.call import Call, Remembered, show
from gradtx.core.hints import bind
from gradtx.core.numerics import value_at

P = ParamSpec("P")


class ScheduleFn(Remembered):
    """A function from the step count (0 at the first step) to a float scalar.

    An array of counts gives an array of values, as one wants for a picture.
    """

    def __init__(self, fn: Callable[[Any], Any], call: Call):
        self.fn = fn
        self.name = call.name
        self.call = call

    def __call__(self, count: Any) -> jax.Array:
        if np.ndim(count):
            return jnp.vectorize(self)(count)
        return value_at(self.name, self.fn, count)


def schedule(factory: Callable[P, Callable[[Any], Any]]) -> Callable[P, ScheduleFn]:
    """Decorate a factory of schedules: what it builds prints, compares and pickles.

    Args:
      factory: returns a function of the step count, an int or an integer scalar; its
        value comes out as a scalar of float32 (float64 under x64).

    Example:
      >>> import gradtx
      >>> @gradtx.schedules.schedule
      ... def inverse_root(init_value):
      ...     return lambda count: init_value / (1 + count) ** 0.5
      >>> inverse_root(0.1), float(inverse_root(1.0)(3))
      (inverse_root(0.1), 0.5)
    """

    signature = inspect.signature(factory)

    @functools.wraps(factory)
    def build(*args: P.args, **kwargs: P.kwargs) -> ScheduleFn:
        bind(signature, show(factory), args, kwargs)
        return ScheduleFn(factory(*args, **kwargs), Call(build, args, kwargs))

    build.__dict__["is_schedule"] = True
    return build
