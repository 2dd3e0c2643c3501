"""Stochastic gradient descent, with momentum and with Nesterov's momentum."""

from typing import Any

from gradtx.core import check
from gradtx.core.compose import chain
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, ScalarOrSchedule
from gradtx.transforms.momentum import trace
from gradtx.transforms.scale import scale_by_learning_rate


@transformation
def sgd(
    learning_rate: ScalarOrSchedule,
    momentum: Scalar | None = None,
    nesterov: bool = False,
    accumulator_dtype: Any = None,
    *,
    dampening: Scalar = 0.0,
):
    """Go against the gradient, or against a decaying sum of the gradients.

        p_t = p_{t-1} - learning_rate g_t                          (without momentum)
        p_t = p_{t-1} - learning_rate v_t                          (momentum)
        p_t = p_{t-1} - learning_rate (g_t + momentum v_t)         (Nesterov)
        v_t = momentum v_{t-1} + (1 - dampening) g_t,   v_1 = g_1

    The velocity v is a sum of gradients, and the learning rate multiplies it whole.
    Others sum up steps, v_t = momentum v_{t-1} - learning_rate g_t. With a constant
    rate the parameters are the same. When a schedule changes the rate, here the new
    rate holds for the whole velocity at once, there only for new gradients.

    State: none; one array per parameter with momentum.

    Args:
      learning_rate: a finite number or a schedule. There is no default: it depends on
        the loss; 0.1 and 0.01 are common first tries.
      momentum: part of the velocity kept, in [0, 1); `None` for none. 0.9 is common.
      nesterov: whether to look ahead, by the change of variables in `trace`.
      accumulator_dtype: dtype of the velocity; by default the parameter's, at least
        float32.
      dampening: part of each gradient left out of the velocity, in [0, 1].

    Raises:
      ValueError: a number out of range; dampening or Nesterov without momentum.

    Source: Sutskever et al., On the importance of initialization and momentum in deep
    learning (2013), eqs. 1-4.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.sgd(0.1, momentum=0.9)
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.ones(2), tx.init(params), params)
      >>> params
      Array([0.9, 1.9], dtype=float32)
    """
    check.fraction("dampening", dampening)
    if momentum is None:
        if isinstance(dampening, float | int) and dampening != 0:
            raise ValueError(f"dampening={dampening} needs momentum, which is None.")
        return chain(scale_by_learning_rate(learning_rate))
    check.decay("momentum", momentum)
    return chain(
        trace(momentum, nesterov, accumulator_dtype, dampening=dampening),
        scale_by_learning_rate(learning_rate),
    )
