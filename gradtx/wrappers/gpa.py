"""Generalized primal averaging: gradients between an average and what it follows."""

from typing import Any, NamedTuple

import jax

from gradtx.core import check
from gradtx.core.leafwise import initial
from gradtx.core.numerics import as_float
from gradtx.core.plan import (
    Inputs,
    Plan,
    check_shapes,
    check_state,
    lift,
    need_params,
    plan_of,
    updating,
)
from gradtx.core.rules import Rule
from gradtx.core.transformation import inner_of, transformation
from gradtx.core.trees import map_present
from gradtx.core.types import Params, Scalar, State
from gradtx.transforms.evaluation import Reader, between

READER = Reader(("z", "x"), between("mu_y"))


class GPAState(NamedTuple):
    mu_y: jax.Array  # the part of the average in the parameters, float32 at least
    base_optimizer_state: State
    z: Params  # the base optimizer's iterates, shaped like params, float32 at least
    x: Params  # the average, float32, of narrower parameters; None for others


@transformation
def gpa(base_optimizer: Any, mu_x: Scalar = 0.9, mu_y: Scalar = 0.8):
    """Average the iterates of an optimizer, and take gradients near the average.

        z_{t+1} = z_t + u_t                          u_t of the base optimizer at y_t
        x_{t+1} = mu_x x_t + (1 - mu_x) z_{t+1},     x_1 = z_1
        y_{t+1} = mu_y x_{t+1} + (1 - mu_y) z_{t+1}

    The parameters are y; what is evaluated and kept is x, which `eval_params` gives.
    As `schedule_free`, but for the average: an exponential one, which forgets its start
    and goes with a falling learning rate; and its two numbers are apart. How far the
    average looks back is in mu_x, how much of the newest gradient is in the parameters
    in mu_y. Both are momenta under other names: around `sgd(rate)`, for mu = mu_x,

        mu_y = 1:     sgd((1 - mu) rate, momentum=mu)                   heavy ball
        mu_y = mu_x:  sgd((1 - mu) rate, momentum=mu, nesterov=True)    Nesterov

    so that a rate found with momentum is divided by 1 - mu here. With mu_x = 0 it is
    the base optimizer.

    The average is not stored where it can be had from y and z; parameters in bfloat16
    or float16 would lose it to their rounding, and have it stored. Accumulate outside,
    `MultiSteps(gpa(...), k)`: the other way round the average takes the same iterate k
    times.

    State: one array per parameter (two for narrow ones), a number, and the base
    optimizer's.

    Args:
      base_optimizer: the optimizer of z, with its learning rate. Weight decay in it is
        of the parameters, y.
      mu_x: how much of the average stays, in [0, 1): it is over some 1/(1 - mu_x)
        iterates.
      mu_y: the part of x in y, in (0, 1].

    Raises:
      ValueError: a number out of range, or no params in `update`.
      TypeError: a base_optimizer that is no transformation.

    Source: Defazio et al., Smoothing DiLoCo with primal averaging for faster training
    of LLMs (2025), arXiv 2512.17131. There mu_y may be 0, gradients at z; that is
    `average_weights`, but for the start.

    Example:
      >>> import gradtx
      >>> tx = gradtx.gpa(gradtx.sgd(1.0), mu_x=0.5, mu_y=0.5)
      >>> params, state = 0.0, tx.init(0.0)
      >>> for gradient in (-2.0, -4.0):
      ...     params, state = tx.step(gradient, state, params)
      >>> float(state.z), float(gradtx.eval_params(state, params)), float(params)
      (6.0, 3.5, 4.75)
    """
    check.decay("mu_x", mu_x)
    check.fraction("mu_y", mu_y)
    if isinstance(mu_y, int | float) and mu_y == 0:
        raise ValueError(
            "gpa: mu_y must be in (0, 1], got 0: gradients at z itself are the base "
            "optimizer's own. Say average_weights(base_optimizer, mu_x)."
        )
    tx = inner_of("gpa: base_optimizer", base_optimizer)
    z_slot, x_slot = initial(), initial(narrow_only=True)

    def rule(u, formula, p, z, x, mu_x, mu_y):
        new = z + u
        if x is None:
            # y - p, where x of before is (p - (1 - mu_y) z) / mu_y: it is not divided.
            # Of a quotient that z and y both need XLA would store it; made twice, not.
            u = u if formula is None else formula.again()
            return (1 - mu_x) * (new - p) + mu_x * (1 - mu_y) * u, new, None
        x = x + (1 - mu_x) * (new - x)
        return (1 - mu_y) * new + mu_y * x - p, new, x

    move = lift(lambda u, *others: rule(u, None, *others), with_params=True)
    plan = plan_of(tx.update)

    def init(params):
        return GPAState(
            mu_y=as_float(mu_y),
            base_optimizer_state=tx.init(params),
            z=map_present(z_slot.init, params),
            x=map_present(x_slot.init, params),
        )

    def inputs_of(updates, state, params):
        check_state(state, GPAState)
        need_params(params)
        check_shapes(updates, state.z)
        return Inputs([state.z, state.x], (as_float(mu_x), as_float(mu_y)))

    def moved(inner_state, z, x):
        return GPAState(as_float(mu_y), inner_state, z, x)

    if plan is not None:
        # One rule more for each leaf, which sees what the update is made of.
        inner_prepare = plan.prepare

        def prepare(updates, state, params):
            own = inputs_of(updates, state, params)
            inner = state.base_optimizer_state
            inputs, rebuild = inner_prepare(updates, inner, params)
            return [*inputs, own], lambda new: moved(rebuild(new[:-1]), *new[-1])

        own = Rule(rule, with_params=True, slots=("z", "x"), twice=True)
        return init, updating(Plan([*plan.rules, own], prepare, plan.reads_updates))

    def update(updates, state, params=None, **extra):
        own = inputs_of(updates, state, params)
        inner = state.base_optimizer_state
        u, inner = tx.update(updates, inner, params, **extra)
        updates, [z, x] = move(u, own.slots, params, own.scalars)
        return updates, moved(inner, z, x)

    return init, update
