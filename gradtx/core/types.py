"""The types that everything is made of."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

Params = Any  # a pytree of arrays; None stands for a leaf that is not there
Updates = Any  # a pytree with the structure of the parameters
State = Any  # a pytree that only its transformation looks into
Scalar = float | jax.Array
Schedule = Callable[[Any], Any]  # step count, from 0 -> value
ScalarOrSchedule = Scalar | Schedule


class EmptyState(NamedTuple):
    """The state of a transformation that has none."""


class MaskedNode(NamedTuple):
    """Stands where a mask has taken a leaf out of a tree."""
