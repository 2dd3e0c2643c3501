"""Optimistic gradient descent: the step that the next gradient is expected to ask."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gradtx.core import check
from gradtx.core.compose import chain
from gradtx.core.leafwise import leafwise, zeros
from gradtx.core.numerics import as_float
from gradtx.core.plan import Inputs, check_shapes, check_state, planned
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, ScalarOrSchedule, Updates
from gradtx.transforms.scale import scale_by_learning_rate


class ScaleByOptimisticGradientState(NamedTuple):
    is_initial_step: jax.Array  # whether there is no gradient before, bool
    previous_gradient: Updates  # shaped like params, float32 at least


class _Previous(NamedTuple):
    previous_gradient: Updates


@transformation
def scale_by_optimistic_gradient(alpha: Scalar = 1.0, beta: Scalar = 1.0):
    """Add what the gradient has changed by since the step before.

        u_t = alpha g_t + beta (g_t - g_{t-1}),   g_0 = g_1

    State: one array per parameter and one bool.

    Args:
      alpha: weight of the gradient, a finite number.
      beta: weight of its change, a finite number; 0 is gradient descent.

    Raises:
      ValueError: a number that is not finite.

    Source: Mokhtari, Ozdaglar & Pattathil, A unified analysis of extra-gradient and
    optimistic gradient methods for saddle point problems (2020), eq. 18 (generalized
    OGDA).

    Example:
      >>> import gradtx
      >>> tx = gradtx.scale_by_optimistic_gradient(beta=0.5)
      >>> state = tx.init(0.0)
      >>> for g in (2.0, 3.0):
      ...     update, state = tx.update(g, state)
      >>> float(update)
      3.5
    """
    check.finite("alpha", alpha)
    check.finite("beta", beta)

    def rule(g, formula, previous, both, weight):
        # Made twice where that can be: XLA would store it besides.
        kept = g if formula is None else formula.again()
        return both * g - weight * previous, kept

    make, _ = leafwise(_Previous, lambda g, p: (g, g), previous_gradient=zeros())

    def init(params):
        return ScaleByOptimisticGradientState(jnp.array(True), *make(params))

    def prepare(updates, state, params):
        check_state(state, ScaleByOptimisticGradientState)
        check_shapes(updates, state.previous_gradient)
        weight = lax.select_n(state.is_initial_step, as_float(beta), as_float(0))

        def rebuild(previous):
            done = jnp.zeros_like(state.is_initial_step)
            return ScaleByOptimisticGradientState(done, previous)

        return Inputs([state.previous_gradient], (alpha + weight, weight)), rebuild

    name = "previous_gradient"
    return planned(
        *(init, rule, prepare),
        slots=(name,),
        last=(name,),
        twice=True,
        entrywise=True,
    )


@transformation
def optimistic_gradient_descent(
    learning_rate: ScalarOrSchedule, alpha: Scalar = 1.0, beta: Scalar = 1.0
):
    """Optimistic gradient descent: `scale_by_optimistic_gradient`, then the rate.

        p_t = p_{t-1} - learning_rate (alpha g_t + beta (g_t - g_{t-1})),   g_0 = g_1

    In a game of two players, min over x and max over y, gradient descent circles and
    moves away; this comes to rest.

    State: one array per parameter and one bool.

    Args:
      learning_rate: a finite number or a schedule.
      alpha, beta: see `scale_by_optimistic_gradient`.

    Raises:
      ValueError: a number that is not finite.

    Source: Mokhtari, Ozdaglar & Pattathil, A unified analysis of extra-gradient and
    optimistic gradient methods for saddle point problems (2020), eq. 18.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.optimistic_gradient_descent(0.1)
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.ones(2), tx.init(params), params)
    """
    return chain(
        scale_by_optimistic_gradient(alpha, beta),
        scale_by_learning_rate(learning_rate),
    )
