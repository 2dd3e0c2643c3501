"""D-Adaptation: AdamW, whose rate is a lower bound of the distance to the optimum."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.axes import AxisNames, check_axis_name
from gradtx.core.leafwise import zeros
from gradtx.core.numerics import abs_sq, after, divide, now, root, safe_increment
from gradtx.core.plan import Inputs, check_shapes, check_state, lift, planned
from gradtx.core.transformation import transformation
from gradtx.core.trees import map_present
from gradtx.core.types import Scalar, ScalarOrSchedule, Updates
from gradtx.linesearch.objective import scalar_dtype
from gradtx.optimizers.prodigy import adam_rate, check_betas, larger
from gradtx.tree.norms import sum_of_entries


class DAdaptAdamWState(NamedTuple):
    exp_avg: Updates  # average of rate times gradient, shaped like params, float32
    exp_avg_sq: Updates  # second moment, real, shaped like params, float32 at least
    grad_sum: Updates  # average of rate times gradient by b3, like params, float32
    estim_lr: jax.Array  # the estimate d, float32 at least
    numerator_weighted: jax.Array  # average of rate <g, s>, float32 at least
    count: jax.Array  # steps taken, int32
    # The factor of the last step (the first, before), where it is a schedule: float.
    learning_rate: jax.Array | None = None


@transformation
def dadapt_adamw(
    learning_rate: ScalarOrSchedule = 1.0,
    betas: tuple[Scalar, Scalar] = (0.9, 0.999),
    eps: Scalar = 1e-8,
    estim_lr0: Scalar = 1e-6,
    weight_decay: Scalar = 0.0,
    *,
    axis_name: AxisNames = None,
):
    """AdamW with a rate that need not be found: a bound of the distance to the optimum.

        rate_t = learning_rate d_t sqrt(1 - b2^t) / (1 - b1^t),   b3 = sqrt(b2)
        r_t = b3 r_{t-1} + (1 - b3) rate_t <g_t, s_{t-1} / (sqrt(v_{t-1}) + eps)>
        m_t = b1 m_{t-1} + (1 - b1) rate_t g_t,   v_t = b2 v_{t-1} + (1 - b2) |g_t|^2
        s_t = b3 s_{t-1} + (1 - b3) rate_t g_t
        d_{t+1} = max(d_t, r_t / ((1 - b3) |s_t|_1))
        u_t = -m_t / (sqrt(v_t) + eps) - rate_t weight_decay p_t

    The inner product and the 1-norm go over the whole tree. As long as there is no
    gradient the estimate stays.

    State: three arrays per parameter, an int32 and two numbers; the current factor, of
    a schedule. `update` needs params.

    Args:
      learning_rate: a factor, finite, or a schedule that falls from 1, which is
        advised.
      betas: b1 and b2, decays of the moments, in [0, 1); b2 above 0.
      eps: in units of the gradient, at least 0.
      estim_lr0: d_0, above 0 and far below what it is to become.
      weight_decay: at least 0; decoupled, as AdamW's.
      axis_name: see `clip_by_global_norm`.

    Raises:
      ValueError: a number out of range, or no params in `update`.

    Source: Defazio & Mishchenko, Learning-rate-free learning by D-Adaptation (2023),
    algorithm 5, with Adam's bias corrections.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.dadapt_adamw()
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.ones(2), tx.init(params), params)
    """
    check.learning_rate("learning_rate", learning_rate)
    b1, b2 = check_betas(betas)
    check.nonnegative("eps", eps)
    check.positive("estim_lr0", estim_lr0)
    check.nonnegative("weight_decay", weight_decay)
    check_axis_name(axis_name)
    b3 = b2**0.5
    decays = not (isinstance(weight_decay, float | int) and weight_decay == 0)
    zero, real_zero = zeros(), zeros(real=True)

    def summed(g, s, rate):
        return b3 * s + (1 - b3) * rate * g

    def along(g, s, v, eps_now):
        scaled = divide(s, root(v) + eps_now, eps)
        return jnp.real(jnp.conj(g) * scaled), s, v

    # What is added up over the tree: neither is stored.
    products = lift(along)
    sizes = lift(lambda g, s, rate: (jnp.abs(summed(g, s, rate)), s))

    def rule(g, p, m, v, s, rate, fresh):
        m = b1 * m + (1 - b1) * rate * g
        v = b2 * v + fresh * abs_sq(g)
        u = divide(m, root(v) + eps, eps)
        u = u + rate * weight_decay * p if decays else u
        return -u, m, v, summed(g, s, rate)

    def factor(count):
        return now("learning_rate", learning_rate, count)

    def init(params):
        dtype, count = scalar_dtype(params), jnp.zeros([], jnp.int32)
        return DAdaptAdamWState(
            exp_avg=map_present(zero.init, params),
            exp_avg_sq=map_present(real_zero.init, params),
            grad_sum=map_present(zero.init, params),
            estim_lr=jnp.array(estim_lr0, dtype),
            numerator_weighted=jnp.zeros([], dtype),
            count=count,
            learning_rate=factor(count) if callable(learning_rate) else None,
        )

    def prepare(updates, state, params):
        check_state(state, DAdaptAdamWState)
        check_shapes(updates, state.exp_avg)
        count, d = safe_increment(state.count), state.estim_lr
        given = factor(state.count)
        rate = d * adam_rate(given, b1, b2, state.count, d.dtype)
        shown = given if callable(learning_rate) else None
        decay = jnp.asarray(b3, d.dtype)
        # Of a constant XLA would store an array.
        eps_now = after(eps, d)
        found, _ = products(
            updates, [state.grad_sum, state.exp_avg_sq], scalars=[eps_now]
        )
        found = rate * sum_of_entries(found, axis_name).astype(d.dtype)
        # Both sums are written over after they were read.
        rate, fresh = after(rate, found), after(1 - b2, found)
        numerator = decay * state.numerator_weighted + (1 - decay) * found
        size, _ = sizes(updates, [state.grad_sum], scalars=[rate])
        size = sum_of_entries(size, axis_name).astype(d.dtype)
        new_d = larger(d, numerator, size, 1 / (1 - decay))

        def rebuild(m, v, s):
            return DAdaptAdamWState(m, v, s, new_d, numerator, count, shown)

        slots = [state.exp_avg, state.exp_avg_sq, state.grad_sum]
        return Inputs(slots, (rate, fresh)), rebuild

    return planned(init, rule, prepare, with_params=True, reads_updates=True)
