"""Prodigy: Adam, whose rate is an estimate of the distance to the optimum."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.axes import AxisNames, check_axis_name
from gradtx.core.leafwise import initial, zeros
from gradtx.core.numerics import (
    abs_sq,
    as_float,
    divide,
    now,
    one_minus_power,
    root,
    safe_increment,
)
from gradtx.core.plan import (
    Inputs,
    check_shapes,
    check_state,
    lift,
    need_params,
    planned,
)
from gradtx.core.transformation import transformation
from gradtx.core.trees import map_present
from gradtx.core.types import Params, Scalar, ScalarOrSchedule, Updates
from gradtx.linesearch.objective import scalar_dtype
from gradtx.tree.norms import sum_of_entries


class ProdigyState(NamedTuple):
    exp_avg: Updates  # first moment, times the estimate, shaped like params, float32
    exp_avg_sq: Updates  # second moment, times its square, real, float32 at least
    grad_sum: Updates  # weighted sum of gradients, shaped like params, float32 at least
    params0: Params  # where it began, shaped like params, float32 at least
    estim_lr: jax.Array  # the estimate d, float32 at least
    numerator_weighted: jax.Array  # weighted sum of <g, p_0 - p>, float32 at least
    count: jax.Array  # steps taken, int32
    # The factor of the last step (the first, before), where it is a schedule: float.
    learning_rate: jax.Array | None = None


@transformation
def prodigy(
    learning_rate: ScalarOrSchedule = 1.0,
    betas: tuple[Scalar, Scalar] = (0.9, 0.999),
    beta3: Scalar | None = None,
    eps: Scalar = 1e-8,
    estim_lr0: Scalar = 1e-6,
    estim_lr_coef: Scalar = 1.0,
    weight_decay: Scalar = 0.0,
    safeguard_warmup: bool = False,
    *,
    axis_name: AxisNames = None,
):
    """AdamW with a rate that need not be found: the distance to the optimum, estimated.

        rate_t = learning_rate d_t sqrt(1 - b2^t) / (1 - b1^t)
        m_t = b1 m_{t-1} + (1 - b1) d_t g_t,   v_t = b2 v_{t-1} + (1 - b2) d_t^2 |g_t|^2
        s_t = b3 s_{t-1} + rate_t d_t / d_0 g_t
        r_t = b3 r_{t-1} + rate_t d_t / d_0 <g_t, p_0 - p_t>
        d_{t+1} = max(d_t, estim_lr_coef r_t / |s_t|_1)
        u_t = -rate_t (m_t / (sqrt(v_t) + d_{t+1} eps) + weight_decay p_t)

    The inner product and the 1-norm go over the whole tree. As long as there is no
    gradient the estimate stays.

    State: four arrays per parameter, an int32 and two numbers; the current factor, of
    a schedule. `update` needs params.

    Args:
      learning_rate: a factor, finite, or a schedule that falls from 1, which is
        advised.
      betas: b1 and b2, decays of the moments, each in [0, 1).
      beta3: b3, decay of the estimate's sums, in [0, 1); `None` for sqrt(b2).
      eps: in units of the gradient, at least 0.
      estim_lr0: d_0, above 0 and far below what it is to become.
      estim_lr_coef: a factor of the estimate, above 0; 0.5 to 2 where it is off.
      weight_decay: at least 0; decoupled, as AdamW's.
      safeguard_warmup: leave the learning rate out of s_t; for long warm-ups.
      axis_name: see `clip_by_global_norm`.

    Raises:
      ValueError: a number out of range, or no params in `update`.

    Source: Mishchenko & Defazio, Prodigy: an expeditiously adaptive parameter-free
    learner (2023), algorithm 4, with Adam's bias corrections.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.prodigy()
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.ones(2), tx.init(params), params)
    """
    check.learning_rate("learning_rate", learning_rate)
    b1, b2 = check_betas(betas)
    if beta3 is not None:
        check.decay("beta3", beta3)
    check.nonnegative("eps", eps)
    check.positive("estim_lr0", estim_lr0)
    check.positive("estim_lr_coef", estim_lr_coef)
    check.nonnegative("weight_decay", weight_decay)
    check_axis_name(axis_name)
    b3 = b2**0.5 if beta3 is None else beta3
    decays = not (isinstance(weight_decay, float | int) and weight_decay == 0)
    start, zero, real_zero = initial(), zeros(), zeros(real=True)

    def summed(g, total, share):
        return b3 * total + share * g

    # What is added up over the tree: neither is stored.
    along = lift(
        lambda g, p, start: (jnp.real(jnp.conj(g) * (start - p)), start),
        with_params=True,
    )
    sizes = lift(lambda g, s, share: (jnp.abs(summed(g, s, share)), s))

    def rule(g, p, m, v, s, d, new_d, rate, share):
        m = b1 * m + (1 - b1) * d * g
        v = b2 * v + (1 - b2) * abs_sq(d * g)
        u = divide(m, root(v) + new_d * eps, eps)
        u = u + weight_decay * p if decays else u
        return -rate * u, m, v, summed(g, s, share)

    def factor(count):
        return now("learning_rate", learning_rate, count)

    def init(params):
        dtype, count = scalar_dtype(params), jnp.zeros([], jnp.int32)
        return ProdigyState(
            exp_avg=map_present(zero.init, params),
            exp_avg_sq=map_present(real_zero.init, params),
            grad_sum=map_present(zero.init, params),
            params0=map_present(start.init, params),
            estim_lr=jnp.array(estim_lr0, dtype),
            numerator_weighted=jnp.zeros([], dtype),
            count=count,
            learning_rate=factor(count) if callable(learning_rate) else None,
        )

    def prepare(updates, state, params):
        check_state(state, ProdigyState)
        need_params(params)
        check_shapes(updates, state.exp_avg)
        count, d = safe_increment(state.count), state.estim_lr
        given = factor(state.count)
        rate = d * adam_rate(given, b1, b2, state.count, d.dtype)
        shown = given if callable(learning_rate) else None
        relative = d / jnp.asarray(estim_lr0, d.dtype)
        share = relative * (d if safeguard_warmup else rate)
        towards, _ = along(updates, [state.params0], params)
        size, _ = sizes(updates, [state.grad_sum], scalars=[share])
        found = relative * rate * sum_of_entries(towards, axis_name).astype(d.dtype)
        numerator = jnp.asarray(b3, d.dtype) * state.numerator_weighted + found
        size = sum_of_entries(size, axis_name).astype(d.dtype)
        new_d = larger(d, numerator, size, jnp.asarray(estim_lr_coef, d.dtype))

        def rebuild(m, v, s):
            return ProdigyState(m, v, s, state.params0, new_d, numerator, count, shown)

        slots = [state.exp_avg, state.exp_avg_sq, state.grad_sum]
        return Inputs(slots, (d, new_d, rate, share)), rebuild

    return planned(init, rule, prepare, with_params=True, reads_updates=True)


def check_betas(betas: tuple[Scalar, Scalar]) -> tuple[Scalar, Scalar]:
    """The two decays of the moments."""
    if not isinstance(betas, tuple | list) or len(betas) != 2:
        raise ValueError(f"betas must be a pair of decays, got {betas!r}.")
    for i, beta in enumerate(betas):
        check.decay(f"betas[{i}]", beta)
    return betas[0], betas[1]


def adam_rate(rate, b1, b2, count, dtype):
    """The rate of a step, with both of Adam's bias corrections."""
    after = safe_increment(count)
    correction = root(one_minus_power(b2, after)) / one_minus_power(b1, after)
    return (as_float(rate) * correction).astype(dtype)


def larger(d, numerator, size, factor):
    """The estimate, or a new one where there is one and it is larger."""
    none = size == 0
    return jnp.maximum(
        d, jnp.where(none, 0, factor * numerator / jnp.where(none, 1, size))
    )
