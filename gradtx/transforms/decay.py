"""Weight decay."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.leafwise import check_state, lift, need_params, stateless_init
from gradtx.core.masking import MaskOrFn, hide, resolve_mask, reveal
from gradtx.core.numerics import as_float, safe_increment
from gradtx.core.transformation import transformation
from gradtx.core.types import ScalarOrSchedule


class AddDecayedWeightsState(NamedTuple):
    count: jax.Array  # steps taken, int32
    weight_decay: jax.Array  # the decay of the last step (the first, before), float


@transformation
def add_decayed_weights(
    weight_decay: ScalarOrSchedule = 0.0, mask: MaskOrFn | None = None
):
    """Add a multiple of the parameters to the updates.

        u = g + weight_decay p

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
    apply = lift(lambda g, p, decay: g + decay * p, with_params=True)

    def decayed(updates, params, decay):
        need_params(params)
        if mask is None:
            return apply(updates, (), params, (decay,))[0]
        chosen = resolve_mask(mask, params)
        inside, _ = apply(hide(updates, chosen), (), hide(params, chosen), (decay,))
        return reveal(inside, updates, chosen)

    if not callable(weight_decay):

        def update(updates, state, params=None):
            return decayed(updates, params, weight_decay), state

        return stateless_init, update

    def init(params):
        count = jnp.zeros([], jnp.int32)
        return AddDecayedWeightsState(count, as_float(weight_decay(count)))

    def update_scheduled(updates, state, params: Any = None):
        check_state(state, AddDecayedWeightsState)
        decay = as_float(weight_decay(state.count))
        count = safe_increment(state.count)
        return decayed(updates, params, decay), AddDecayedWeightsState(count, decay)

    return init, update_scheduled
