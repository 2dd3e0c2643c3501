"""Weight decay."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.masking import MaskOrFn, resolve_mask
from gradtx.core.numerics import safe_increment, value_at
from gradtx.core.plan import Inputs, check_state, planned
from gradtx.core.transformation import transformation
from gradtx.core.types import EmptyState, ScalarOrSchedule


class AddDecayedWeightsState(NamedTuple):
    count: jax.Array  # steps taken, int32
    weight_decay: jax.Array  # the decay of the last step (the first, before), float


@transformation
def add_decayed_weights(
    weight_decay: ScalarOrSchedule = 0.0, mask: MaskOrFn | None = None
):
    """Add a multiple of the parameters to the updates.

        u = g + weight_decay p

    What is added is the gradient of the penalty weight_decay |p|^2 / 2; a penalty
    written lambda |p|^2, as in More Optimization, is a weight_decay of 2 lambda.

    Its place in the chain decides what it is. In front of an optimizer it is L2
    regularisation: the penalty's gradient is part of the gradient, and an adaptive
    method divides it by the root of the second moment, so that weights with large
    gradients decay less. Between the optimizer and the learning rate it is decoupled
    decay (`adamw`): all weights shrink by the same factor. For SGD without momentum
    both are the same; with momentum L2 enters the velocity and, in the end, weighs
    1 / (1 - momentum) times as much.
    Behind the learning rate its sign is wrong and weights grow.

    State: none for a number; for a schedule one int32 and the current decay.

    Args:
      weight_decay: at least 0, or a function from the number of steps taken before to
        a scalar; multiplied by the learning rate that comes after.
      mask: a tree of bools like the parameters (or a prefix of it), or a function
        from the parameters to one; `False` leaves a leaf alone. Biases and
        normalisation gains are commonly left alone.

    Raises:
      ValueError: weight_decay below 0, no params in `update`, or a mask that does not
        fit.

    Source: Loshchilov & Hutter, Decoupled weight decay regularization (2019),
    algorithms 1 and 2.

    Example:
      >>> import gradtx
      >>> tx = gradtx.add_decayed_weights(0.1)
      >>> float(tx.update(1.0, tx.init(2.0), 2.0)[0])
      1.2000000476837158
    """
    if not callable(weight_decay):
        check.nonnegative("weight_decay", weight_decay)

    fixed = isinstance(weight_decay, float | int)

    def rule(g, p, decay=weight_decay):
        if fixed and weight_decay == 0:
            return g  # XLA would store the sum with 0 p
        return g + decay * p

    def inputs(params, decay):
        chosen = None if mask is None else resolve_mask(mask, params)
        return Inputs(scalars=() if fixed else (decay,), mask=chosen)

    def init(params):
        if not callable(weight_decay):
            return EmptyState()
        count = jnp.zeros([], jnp.int32)
        return AddDecayedWeightsState(
            count, value_at("weight_decay", weight_decay, count)
        )

    def prepare(updates, state, params):
        if not callable(weight_decay):
            return inputs(params, weight_decay), lambda: state
        check_state(state, AddDecayedWeightsState)
        decay = value_at("weight_decay", weight_decay, state.count)
        new = AddDecayedWeightsState(safe_increment(state.count), decay)
        return inputs(params, decay), lambda: new

    return planned(init, rule, prepare, with_params=True, entrywise=True)
