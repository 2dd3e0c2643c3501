"""MoMo: a rate from the loss's value, no larger than the given one."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.axes import AxisNames, check_axis_name
from gradtx.core.leafwise import zeros
from gradtx.core.numerics import (
    abs_sq,
    after,
    as_float,
    divide,
    one_minus_power,
    root,
    safe_increment,
    value_at,
)
from gradtx.core.plan import check_shapes, check_state, lift, need_params
from gradtx.core.transformation import transformation
from gradtx.core.trees import map_present
from gradtx.core.types import Scalar, ScalarOrSchedule, Updates
from gradtx.linesearch.objective import need_extra, scalar_dtype
from gradtx.tree.norms import sum_of_entries


class MomoState(NamedTuple):
    exp_avg: Updates  # average gradient d, shaped like params, float32 at least
    barf: jax.Array  # average value, float32 at least
    gamma: jax.Array  # average of <g, p>, float32 at least
    lb: jax.Array  # lower bound of the value, float32 at least
    count: jax.Array  # steps taken, int32


class MomoAdamState(NamedTuple):
    exp_avg: Updates  # average gradient d, shaped like params, float32 at least
    exp_avg_sq: Updates  # second moment, real, shaped like params, float32 at least
    barf: jax.Array  # average value, float32 at least
    gamma: jax.Array  # average of <g, p>, float32 at least
    lb: jax.Array  # lower bound of the value, float32 at least
    count: jax.Array  # steps taken, int32


def _product(x, y):
    return jnp.real(jnp.conj(x) * y)


_along = lift(lambda g, p: _product(g, p), with_params=True)


def _begin(State, updates, state, params, value, learning_rate):
    """The value and the rate of a step."""
    check_state(state, State)
    need_params(params)
    need_extra(value=value)
    check.scalar("value", value)
    check_shapes(updates, state.exp_avg)
    rate = learning_rate
    if callable(learning_rate):
        rate = value_at("learning_rate", learning_rate, state.count)
    dtype = state.barf.dtype
    return jnp.asarray(value, dtype), as_float(rate).astype(dtype)


def _numbers(options, state, rate, seen, average, gamma, along, square):
    """The step size and the lower bounds of a step.

    Args:
      options: lower_bound, weight_decay, adapt_lower_bound.
      state: of before.
      rate: the largest.
      seen: the sum of the averages' weights.
      average, gamma, along, square: of values, of <g, p>; <d, p>; <d, d / D>.
    """
    lower_bound, weight_decay, adapt = options
    dtype = average.dtype
    least, lb = jnp.asarray(lower_bound, dtype), state.lb
    grown = 1 + rate * jnp.asarray(weight_decay, dtype)
    if adapt:
        cap = grown * (average - gamma) + along
        lower = jnp.maximum(cap / (2 * seen * grown), least)
        lb = jnp.where(cap < grown * seen * lb, lower, lb)
    model = jnp.maximum(grown * (average - seen * lb - gamma) + along, 0)
    square = jnp.minimum(square, jnp.finfo(dtype).max)
    # min(rate / seen, model / square), without a quotient that is out of range.
    size = divide(jnp.minimum(rate / seen * square, model), square, None)
    if adapt:
        lb = (average + along - gamma - size * square / 2) / seen
        lb = jnp.maximum(lb, least)
    return size, lb, 1 - 1 / grown


def _check(learning_rate, lower_bound, weight_decay, axis_name):
    check.learning_rate("learning_rate", learning_rate)
    check.finite("lower_bound", lower_bound)
    check.nonnegative("weight_decay", weight_decay)
    check_axis_name(axis_name)


@transformation
def momo(
    learning_rate: ScalarOrSchedule = 1.0,
    beta: Scalar = 0.9,
    lower_bound: Scalar = 0.0,
    weight_decay: Scalar = 0.0,
    adapt_lower_bound: bool = False,
    *,
    axis_name: AxisNames = None,
):
    """SGD with momentum, whose rate comes from the value: as large as a model allows.

        d_t = beta d_{t-1} + (1 - beta) g_t,               d_1 = g_1
        f_t = beta f_{t-1} + (1 - beta) value_t,           f_1 = value_1
        c_t = beta c_{t-1} + (1 - beta) <g_t, p_t>,        c_1 = <g_1, p_1>
        k = 1 + learning_rate weight_decay
        h_t = f_t - lower_bound - c_t
        a_t = min(learning_rate, max(k h_t + <d_t, p_t>, 0) / |d_t|_2^2)
        u_t = -a_t d_t - (1 - 1 / k) p_t

    Products and norms go over the whole tree. Where no average gradient is left, the
    parameters only decay.

        update(updates, state, params, value=)

    State: one array per parameter, an int32 and three numbers.

    Args:
      learning_rate: the largest rate, a finite number or a schedule; rather large.
      beta: decay of the averages, in [0, 1).
      lower_bound: a lower bound of the value, best the least value: 0 for most.
      weight_decay: at least 0; of the parameters after the step.
      adapt_lower_bound: whether it is estimated, from lower_bound on.
      axis_name: see `clip_by_global_norm`.

    Raises:
      ValueError: a number out of range, no params or no value in `update`.

    Source: Schaipp et al., MoMo: momentum models for adaptive learning rates (2023),
    algorithm 1; the bound is section 4.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.momo()
      >>> params = jnp.array([3.0, 4.0])  # of |p|^2, whose least value is 0
      >>> state = tx.init(params)
      >>> tx.step(2 * params, state, params, value=25.0)[0]
      Array([1.5, 2. ], dtype=float32)
    """
    _check(learning_rate, lower_bound, weight_decay, axis_name)
    check.decay("beta", beta)
    options = lower_bound, weight_decay, adapt_lower_bound
    decays = not (isinstance(weight_decay, float | int) and weight_decay == 0)
    zero = zeros()

    def averaged(g, d, old):
        return old * d + (1 - old) * g

    squares = lift(lambda g, d, old: (abs_sq(averaged(g, d, old)), d))
    along = lift(
        lambda g, p, d, old: (_product(averaged(g, d, old), p), d), with_params=True
    )

    def rule(g, p, d, old, size, shrink):
        d = averaged(g, d, old)
        return -size * d - shrink * p if decays else -size * d, d

    move = lift(rule, with_params=True)

    def init(params):
        zero_d = jnp.zeros([], scalar_dtype(params))
        return MomoState(
            exp_avg=map_present(zero.init, params),
            barf=zero_d,
            gamma=zero_d.copy(),
            lb=jnp.array(lower_bound, zero_d.dtype),
            count=jnp.zeros([], jnp.int32),
        )

    def update(updates, state, params=None, *, value=None):
        value, rate = _begin(MomoState, updates, state, params, value, learning_rate)
        dtype = value.dtype
        old = jnp.where(state.count == 0, 0, jnp.asarray(beta, dtype))

        def total(terms):
            return sum_of_entries(terms[0], axis_name).astype(dtype)

        average = averaged(value, state.barf, old)
        gamma = averaged(total(_along(updates, params=params)), state.gamma, old)
        slots = [state.exp_avg]
        size, lb, shrink = _numbers(
            options,
            state,
            rate,
            1,
            average,
            gamma,
            total(along(updates, slots, params, [old])),
            total(squares(updates, slots, scalars=[old])),
        )
        updates, [d] = move(updates, slots, params, [old, size, shrink])
        count = safe_increment(state.count)
        return updates, MomoState(d, average, gamma, lb, count)

    return init, update


@transformation
def momo_adam(
    learning_rate: ScalarOrSchedule = 1e-2,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    lower_bound: Scalar = 0.0,
    weight_decay: Scalar = 0.0,
    adapt_lower_bound: bool = False,
    *,
    axis_name: AxisNames = None,
):
    """AdamW, whose rate comes from the value: as large as a model allows.

        d_t = b1 d_{t-1} + (1 - b1) g_t,           d_0 = 0
        f_t = b1 f_{t-1} + (1 - b1) value_t,       f_0 = 0
        c_t = b1 c_{t-1} + (1 - b1) <g_t, p_t>,    c_0 = 0
        nu_t = b2 nu_{t-1} + (1 - b2) |g_t|^2,     nu_0 = 0
        x_t = d_t / (sqrt(nu_t / (1 - b2^t)) + eps)
        s_t = 1 - b1^t,   k = 1 + learning_rate weight_decay
        h_t = f_t - s_t lower_bound - c_t
        a_t = min(learning_rate / s_t, max(k h_t + <d_t, p_t>, 0) / <d_t, x_t>)
        u_t = -a_t x_t - (1 - 1 / k) p_t

    Products go over the whole tree. Where no average gradient is left, the parameters
    only decay.

        update(updates, state, params, value=)

    State: two arrays per parameter, an int32 and three numbers.

    Args:
      learning_rate: the largest rate, a finite number or a schedule; rather large.
      b1: decay of the averages, in [0, 1).
      b2, eps: see `scale_by_adam`.
      lower_bound, weight_decay, adapt_lower_bound, axis_name: see `momo`.

    Raises:
      ValueError: a number out of range, no params or no value in `update`.

    Source: Schaipp et al., MoMo: momentum models for adaptive learning rates (2023),
    algorithm 2; the bound is section 4.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.momo_adam(1.0)
      >>> params = jnp.array([3.0, 4.0])
      >>> state = tx.init(params)
      >>> params, state = tx.step(2 * params, state, params, value=25.0)
    """
    _check(learning_rate, lower_bound, weight_decay, axis_name)
    check.decay("b1", b1)
    check.decay("b2", b2)
    check.nonnegative("eps", eps)
    options = lower_bound, weight_decay, adapt_lower_bound
    decays = not (isinstance(weight_decay, float | int) and weight_decay == 0)
    zero, real_zero = zeros(), zeros(real=True)

    def averaged(g, d):
        return b1 * d + (1 - b1) * g

    def scaled(g, d, nu, correction):
        nu = b2 * nu + (1 - b2) * abs_sq(g)
        d = averaged(g, d)
        return divide(d, eps + root(nu * correction), eps), d, nu

    def square(g, d, nu, correction, eps_now):
        # By other operations than d / D, which XLA would store for both.
        size = eps_now + root(correction) * root(b2 * nu + (1 - b2) * abs_sq(g))
        return abs_sq(divide(averaged(g, d), root(size), eps)), d, nu

    squares = lift(square)
    along = lift(lambda g, p, d: (_product(averaged(g, d), p), d), with_params=True)

    def rule(g, p, d, nu, correction, size, shrink):
        over, d, nu = scaled(g, d, nu, correction)
        return -size * over - shrink * p if decays else -size * over, d, nu

    move = lift(rule, with_params=True)

    def init(params):
        zero_d = jnp.zeros([], scalar_dtype(params))
        return MomoAdamState(
            exp_avg=map_present(zero.init, params),
            exp_avg_sq=map_present(real_zero.init, params),
            barf=zero_d,
            gamma=zero_d.copy(),
            lb=jnp.array(lower_bound, zero_d.dtype),
            count=jnp.zeros([], jnp.int32),
        )

    def update(updates, state, params=None, *, value=None):
        value, rate = _begin(
            MomoAdamState, updates, state, params, value, learning_rate
        )
        dtype = value.dtype
        count = safe_increment(state.count)

        def total(terms):
            return sum_of_entries(terms[0], axis_name).astype(dtype)

        def mean(new, old):
            decay = jnp.asarray(b1, dtype)
            return decay * old + (1 - decay) * new

        average = mean(value, state.barf)
        gamma = mean(total(_along(updates, params=params)), state.gamma)
        correction = 1 / one_minus_power(b2, count)
        slots = [state.exp_avg, state.exp_avg_sq]
        size, lb, shrink = _numbers(
            options,
            state,
            rate,
            one_minus_power(b1, count).astype(dtype),
            average,
            gamma,
            total(along(updates, slots[:1], params)),
            total(
                squares(updates, slots, scalars=[correction, after(eps, state.barf)])
            ),
        )
        scalars = [correction, size, shrink]
        updates, [d, nu] = move(updates, slots, params, scalars)
        return updates, MomoAdamState(d, nu, average, gamma, lb, count)

    return init, update
