"""Rprop: steps by the sign of the gradient, their lengths by whether it changes."""

from typing import NamedTuple

import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.compose import chain
from gradtx.core.leafwise import full, leafwise, zeros
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, Updates
from gradtx.transforms.scale import scale


class ScaleByRpropState(NamedTuple):
    step_sizes: Updates  # length of each entry's step, shaped like params
    prev_updates: Updates  # last update, 0 where the sign had changed


@transformation
def scale_by_rprop(
    learning_rate: Scalar,
    eta_minus: Scalar = 0.5,
    eta_plus: Scalar = 1.2,
    min_step_size: Scalar = 1e-6,
    max_step_size: Scalar = 50.0,
):
    """Step by the sign of the gradient; grow the step while the sign stays.

        s = sign(g_t u_{t-1})
        d_t = min(eta_plus d_{t-1}, max_step_size)    if s > 0
              max(eta_minus d_{t-1}, min_step_size)   if s < 0
              d_{t-1}                                 if s = 0
        u_t = sign(g_t) d_t,   or 0 if s < 0

    For gradients of the full batch: on minibatches the signs change by noise.

    State: two arrays per parameter.

    Args:
      learning_rate: length of the first step d_0, above 0 (units: parameter).
      eta_minus: shrinks a step when the sign changes, in (0, 1).
      eta_plus: grows a step while it stays, above 1.
      min_step_size, max_step_size: bounds of a step, above 0 (units: parameter).

    Raises:
      ValueError: a number out of range, a complex leaf.
      TypeError: a schedule as learning_rate: the steps set their own lengths.

    Source: Riedmiller & Braun, A direct adaptive method for faster backpropagation
    learning: the RPROP algorithm (1993), eqs. 4-6, without going back a step after a
    change of sign (the variant Rprop- with the sign forgotten for a step).

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.scale_by_rprop(0.5)
      >>> tx.update(jnp.array([3.0, -0.1]), tx.init(jnp.ones(2)))[0]
      Array([ 0.5, -0.5], dtype=float32)
    """
    check.positive("learning_rate", learning_rate)
    check.inside("eta_minus", eta_minus, 0, 1)
    check.inside("eta_plus", eta_plus, 1, float("inf"))
    check.positive("min_step_size", min_step_size)
    check.positive("max_step_size", max_step_size)
    if isinstance(min_step_size, float) and isinstance(max_step_size, float):
        check.at_least("max_step_size", max_step_size, min_step_size)

    def rule(g, size, previous):
        check.ordered(g)
        turn = jnp.sign(g) * jnp.sign(previous)  # no product of small numbers: it is 0
        factor = jnp.where(turn > 0, eta_plus, eta_minus)
        moved = jnp.clip(size * factor, min_step_size, max_step_size)
        size = jnp.where(turn == 0, size, moved)
        update = jnp.where(turn < 0, 0, size * jnp.sign(g))
        return update, size, update

    return leafwise(
        ScaleByRpropState, rule, step_sizes=full(learning_rate), prev_updates=zeros()
    )


@transformation
def rprop(
    learning_rate: Scalar,
    eta_minus: Scalar = 0.5,
    eta_plus: Scalar = 1.2,
    min_step_size: Scalar = 1e-6,
    max_step_size: Scalar = 50.0,
):
    """Rprop: `scale_by_rprop`, downhill. For gradients of the full batch.

    State: two arrays per parameter.

    Args:
      learning_rate, eta_minus, eta_plus, min_step_size, max_step_size: see
        `scale_by_rprop`.

    Raises:
      ValueError: a number out of range, a complex leaf.
      TypeError: a schedule as learning_rate: the steps set their own lengths.

    Source: Riedmiller & Braun, the RPROP algorithm (1993), eqs. 4-6.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.rprop(0.1)
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.ones(2), tx.init(params), params)
    """
    return chain(
        scale_by_rprop(
            learning_rate, eta_minus, eta_plus, min_step_size, max_step_size
        ),
        scale(-1.0),
    )
