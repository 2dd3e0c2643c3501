"""Schedule-free: an average of the iterates in place of a falling learning rate."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gradtx.core import check
from gradtx.core.leafwise import initial
from gradtx.core.numerics import as_float, safe_increment, value_at
from gradtx.core.plan import check_shapes, check_state, lift, need_params
from gradtx.core.transformation import inner_of, transformation
from gradtx.core.trees import map_present
from gradtx.core.types import Params, Scalar, ScalarOrSchedule, State
from gradtx.transforms.evaluation import Reader, between, evaluated

READER = Reader(("z", "x"), between("b1"))


class ScheduleFreeState(NamedTuple):
    b1: jax.Array  # the part of the average in the parameters, float32 at least
    weight_sum: jax.Array  # of the weights up to now, float32 at least
    step_count: jax.Array  # number of the next step, from 1, int32
    max_lr: jax.Array  # the largest learning rate up to now, float32 at least
    base_optimizer_state: State
    z: Params  # the base optimizer's iterates, shaped like params, see state_dtype
    x: Params  # the average, float32, of narrower parameters; None for others


@transformation
def schedule_free(
    base_optimizer: Any,
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    weight_lr_power: Scalar = 2.0,
    state_dtype: Any = None,
):
    """Average the iterates of an optimizer, and take gradients near the average.

        z_{t+1} = z_t + u_t                       u_t of the base optimizer at y_t
        x_{t+1} = (1 - c_t) x_t + c_t z_{t+1},    c_t = w_t / (w_1 + ... + w_t)
        y_{t+1} = (1 - b1) z_{t+1} + b1 x_{t+1},  w_t = max(rate_1, ..., rate_t)^power

    The parameters are y; what is evaluated and kept is x, which
    `schedule_free_eval_params` gives. The rate does not fall, and no length of the
    training need be known; a warm-up helps. The base optimizer is commonly one without
    momentum, for which the average stands in; one with momentum will do, too.

    As long as all weights are 0 (a warm-up from 0, a rate too small for its square) the
    average is the plain mean, so that it begins at the first iterate. The average is
    not stored where it can be had from y and z; parameters in bfloat16 or float16 would
    lose it to their rounding, and have it stored.

    Accumulate outside: `MultiSteps(schedule_free(...), k)`. The other way round the
    average takes the same iterate k times.

    State: one array per parameter (two for narrow ones), an int32, three numbers, and
    the base optimizer's.

    Args:
      base_optimizer: the optimizer of z, with its learning rate.
      learning_rate: the same rate again, for the weights: at least 0, or a schedule of
        the steps before.
      b1: the part of x in y, in (0, 1).
      weight_lr_power: of the rate in the weights, at least 0; 0 is the plain mean.
      state_dtype: dtype of z; by default the parameter's, at least float32.

    Raises:
      ValueError: a number out of range, or no params in `update`.
      TypeError: a base_optimizer that is no transformation.

    Source: Defazio et al., The road less scheduled (2024), eq. 8-10 and algorithm 1.

    Example:
      >>> import gradtx
      >>> tx = gradtx.schedule_free(gradtx.sgd(0.5), 0.5, b1=0.5)
      >>> params, state = 0.0, tx.init(0.0)
      >>> for gradient in (-2.0, -4.0):
      ...     params, state = tx.step(gradient, state, params)
      >>> float(state.z), float(gradtx.schedule_free_eval_params(state, params))
      (3.0, 2.0)
    """
    tx = inner_of("schedule_free: base_optimizer", base_optimizer)
    return averaging(tx, learning_rate, b1, weight_lr_power, state_dtype)


def averaging(
    tx: Any,
    learning_rate: ScalarOrSchedule,
    b1: Scalar,
    weight_lr_power: Scalar,
    state_dtype: Any,
    again: Callable[..., Any] | None = None,
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The functions of `schedule_free`, see there.

    Args:
      again: `(updates, state, params) -> updates` of the base optimizer, from its new
        state, by other operations. A quotient that both y and z need XLA would store
        in between; so it is computed twice.
    """
    check.learning_rate("learning_rate", learning_rate)
    check.inside("b1", b1, 0, 1)
    check.nonnegative("weight_lr_power", weight_lr_power)
    z_slot, x_slot = initial(state_dtype), initial(narrow_only=True)

    def rule(u, p, z, x, second, c):
        new = _rounded(z + u, state_dtype)
        if x is None:
            # y - p, where x of before is (p - (1 - b1) z) / b1: it is not divided.
            way = second if state_dtype is None else new - z
            return (1 - b1) * (1 - c) * way + c * (new - p), new, None, second
        x = x + c * (new - x)
        return (1 - b1) * new + b1 * x - p, new, x, second

    move = lift(rule, with_params=True)

    def init(params):
        return ScheduleFreeState(
            b1=as_float(b1),
            weight_sum=as_float(0),
            step_count=jnp.ones([], jnp.int32),
            max_lr=as_float(0),
            base_optimizer_state=tx.init(params),
            z=map_present(z_slot.init, params),
            x=map_present(x_slot.init, params),
        )

    def update(updates, state, params=None, **extra):
        check_state(state, ScheduleFreeState)
        need_params(params)
        check_shapes(updates, state.z)
        u, inner = tx.update(updates, state.base_optimizer_state, params, **extra)
        second = u if again is None else again(updates, inner, params)
        rate = learning_rate
        if callable(learning_rate):
            rate = value_at("learning_rate", learning_rate, state.step_count - 1)
        max_lr = jnp.maximum(state.max_lr, as_float(rate))
        weight = max_lr ** as_float(weight_lr_power)
        weight_sum = state.weight_sum + weight
        none = weight_sum == 0
        part = weight / jnp.where(none, 1, weight_sum)
        part = jnp.where(none, 1 / as_float(state.step_count), part)
        updates, [z, x, _] = move(u, [state.z, state.x, second], params, [part])
        count = safe_increment(state.step_count)
        return updates, ScheduleFreeState(
            as_float(b1), weight_sum, count, max_lr, inner, z, x
        )

    return init, update


def _rounded(x: Any, dtype: Any) -> Any:
    """As it will be stored; complex numbers are stored in full."""
    if dtype is None or jnp.iscomplexobj(x) or jnp.finfo(dtype).bits >= 32:
        return x
    info = jnp.finfo(dtype)  # not by astype and back, which XLA may leave out
    return lax.reduce_precision(x, info.nexp, info.nmant)


def schedule_free_eval_params(state: State, params: Params) -> Params:
    """The average that `schedule_free` keeps: the parameters to evaluate and to store.

        x = (y - (1 - b1) z) / b1

    Args:
      state: its state, or one with it inside: of a chain, `MultiSteps`, `masked`,
        `partition`, `inject_hyperparams`.
      params: the parameters of that step. Those that a mask has taken out, and those
        of whole numbers, are handed on as they are.

    Returns:
      A tree like the parameters, in their dtypes.

    Raises:
      ValueError: there is no such state, or two are about one parameter.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.chain(gradtx.clip(1.0), gradtx.schedule_free_sgd(1.0))
      >>> params = jnp.zeros(2)
      >>> params, state = tx.step(jnp.array([0.5, -2.0]), tx.init(params), params)
      >>> gradtx.schedule_free_eval_params(state, params)
      Array([-0.5,  1. ], dtype=float32)
    """
    readers, makers = {"ScheduleFreeState": READER}, "schedule_free's init"
    return evaluated("schedule_free_eval_params", readers, makers, state, params)
