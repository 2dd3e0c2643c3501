"""Momentum: a decaying sum, or a decaying average, of the gradients."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.leafwise import leafwise, zeros
from gradtx.core.numerics import divide, one_minus_power
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, Updates


class TraceState(NamedTuple):
    trace: Updates  # decaying sum, shaped like params, float32 at least


class DampenedTraceState(NamedTuple):
    count: jax.Array  # steps taken, int32
    trace: Updates  # as in TraceState


@transformation
def trace(
    decay: Scalar,
    nesterov: bool = False,
    accumulator_dtype: Any = None,
    *,
    dampening: Scalar = 0.0,
):
    """Replace the gradient by a decaying sum of the gradients so far.

        v_t = decay v_{t-1} + (1 - dampening) g_t,   v_1 = g_1
        u_t = v_t,   or with Nesterov   g_t + decay v_t

    Nesterov's method looks ahead: it takes the gradient not at x, but at the point that
    momentum alone would lead to. Here gradients are taken at the parameters, so the
    parameters stand for that point, and the second form moves from one to the next.

    State: one array per parameter (and one int32 with dampening).

    Args:
      decay: the part of the sum kept from step to step, in [0, 1]; 0.9 remembers
        about ten steps, 1 all.
      nesterov: whether to look ahead.
      accumulator_dtype: dtype of the state; by default the parameter's, at least
        float32.
      dampening: the part of each gradient after the first that is left out, in
        [0, 1], as in torch.optim.SGD.

    Raises:
      ValueError: a number out of range; dampening together with Nesterov.

    Source: Sutskever et al., On the importance of initialization and momentum in deep
    learning (2013), eqs. 1-4, with the learning rate outside of the velocity.

    Example:
      >>> import gradtx
      >>> tx = gradtx.trace(decay=0.5)
      >>> state = tx.init(0.0)
      >>> for _ in range(3):
      ...     update, state = tx.update(1.0, state)
      >>> float(update)
      1.75
    """
    check.fraction("decay", decay)
    check.fraction("dampening", dampening)
    fixed = isinstance(dampening, float | int)
    if nesterov and fixed and dampening > 0:
        raise ValueError(f"dampening must be 0 with nesterov=True, got {dampening}.")

    def rule(g, v, weight=1.0):
        v = decay * v + weight * g
        return (g + decay * v if nesterov else v), v

    slot = zeros(accumulator_dtype)
    if fixed and dampening == 0:
        return leafwise(TraceState, rule, trace=slot)

    def scalars(count):
        return (jnp.where(count == 1, 1.0, 1 - dampening),)

    return leafwise(DampenedTraceState, rule, scalars=scalars, trace=slot)


class EmaState(NamedTuple):
    count: jax.Array  # steps taken, int32
    ema: Updates  # average without the correction, shaped like params


@transformation
def ema(decay: Scalar, debias: bool = True, accumulator_dtype: Any = None):
    """Replace the gradient by an exponentially weighted average of those so far.

        m_t = decay m_{t-1} + (1 - decay) g_t,   m_0 = 0
        u_t = m_t / (1 - decay^t),   or m_t without debias

    State: one array per parameter and one int32.

    Args:
      decay: weight of the past, in [0, 1]; the average reaches back about
        1 / (1 - decay) steps. At 1 it is 0 for good.
      debias: whether to correct for the start from zero.
      accumulator_dtype: dtype of the state; by default the parameter's, at least
        float32.

    Raises:
      ValueError: if decay is out of range.

    Source: Kingma & Ba, Adam (2015), section 3, for the correction.

    Example:
      >>> import gradtx
      >>> tx = gradtx.ema(0.9)
      >>> round(float(tx.update(2.0, tx.init(0.0))[0]), 6)
      2.0
    """
    check.fraction("decay", decay)

    def rule(g, m, correction=1.0):
        m = decay * m + (1 - decay) * g
        return m * correction, m

    def scalars(count):
        if not debias:
            return ()
        below_one = isinstance(decay, float | int) and decay < 1
        return (divide(1, one_minus_power(decay, count), float(below_one)),)

    return leafwise(EmaState, rule, scalars=scalars, ema=zeros(accumulator_dtype))
