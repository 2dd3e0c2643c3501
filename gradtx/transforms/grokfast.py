"""Grokfast: gradients with what is slow in them made stronger."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.leafwise import leafwise, zeros
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, Updates


class GrokfastState(NamedTuple):
    count: jax.Array  # steps taken, int32
    ema: Updates  # average gradient, shaped like params, float32 at least


@transformation
def grokfast(
    alpha: Scalar = 0.98, lamb: Scalar = 2.0, *, accumulator_dtype: Any = None
):
    """Add a multiple of the average gradient to the gradient.

        h_t = alpha h_{t-1} + (1 - alpha) g_t,   h_1 = g_1
        u_t = g_t + lamb h_t

    It stands in front of an optimizer: `chain(grokfast(), adamw(1e-3))`. In problems
    where a network learns its examples long before it learns the rule behind them, the
    rule is in what the gradients have in common over many steps; made stronger, it is
    learned sooner. The paper adds weight decay.

    State: one array per parameter and one int32.

    Args:
      alpha: decay of the average, in [0, 1); the paper takes 0.8 to 0.99.
      lamb: how much of the average is added, at least 0; the paper takes 0.1 to 5.
      accumulator_dtype: dtype of the average; by default the parameter's, at least
        float32.

    Raises:
      ValueError: a number out of range.

    Source: Lee et al., Grokfast: accelerated grokking by amplifying slow gradients
    (2024), Grokfast-EMA; the average begins at the first gradient, as in the authors'
    program.

    Example:
      >>> import gradtx
      >>> tx = gradtx.grokfast(alpha=0.5)
      >>> first, state = tx.update(1.0, tx.init(0.0))
      >>> second, state = tx.update(3.0, state)
      >>> float(first), float(second)
      (3.0, 7.0)
    """
    check.decay("alpha", alpha)
    check.nonnegative("lamb", lamb)

    def rule(g, h, keep, add):
        h = keep * h + add * g
        return g + lamb * h, h

    def scalars(count):
        first = count == 1
        return jnp.where(first, 0, alpha), jnp.where(first, 1, 1 - alpha)

    return leafwise(GrokfastState, rule, scalars=scalars, ema=zeros(accumulator_dtype))
