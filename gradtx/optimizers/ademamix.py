"""AdEMAMix: Adam with a second, slow average of gradients."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.compose import chain
from gradtx.core.leafwise import leafwise, zeros
from gradtx.core.masking import MaskOrFn
from gradtx.core.numerics import (
    abs_sq,
    divide,
    now,
    one_minus_power,
    root,
    safe_increment,
)
from gradtx.core.plan import Inputs, check_shapes, check_state, planned
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, ScalarOrSchedule, Updates
from gradtx.transforms.decay import add_decayed_weights
from gradtx.transforms.scale import scale_by_learning_rate


class ScaleByAdemamixState(NamedTuple):
    count: jax.Array  # steps taken, of which the corrections are, int32
    count_m2: jax.Array  # steps taken, of which the schedules are, int32
    m1: Updates  # fast average gradient, shaped like params, float32 at least
    m2: Updates  # slow average gradient, like m1
    nu: Updates  # second moment, real, shaped like params, float32 at least


class _Averages(NamedTuple):
    m1: Updates
    m2: Updates
    nu: Updates


@transformation
def scale_by_ademamix(
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    b3: ScalarOrSchedule = 0.9999,
    alpha: ScalarOrSchedule = 6.0,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    mu_dtype: Any = None,
    *,
    nu_dtype: Any = None,
):
    """Add a slow average gradient to Adam's, and divide both as Adam does.

        m1_t = b1 m1_{t-1} + (1 - b1) g_t
        m2_t = b3 m2_{t-1} + (1 - b3) g_t
        nu_t = b2 nu_{t-1} + (1 - b2) |g_t|^2,   all 0 at t = 0
        m1^_t = m1_t / (1 - b1^t),   nu^_t = nu_t / (1 - b2^t)
        u_t = (m1^_t + alpha m2_t) / (sqrt(nu^_t + eps_root) + eps)

    One average is either quick or remembers long; two do both. The slow one is not
    corrected for its start from 0, so that it comes in slowly: a tenth of it is there
    after 1,000 steps.

    Large b3 and alpha from the first step on make training unstable. The paper raises
    both over the whole of it, T steps: alpha_t = min(alpha t / T, alpha), which is
    `linear_schedule(0.0, alpha, T)`, and b3 from b1 such that its half-life grows
    evenly:

        b3_t = min(exp(log(b1) log(b3) / ((1 - t/T) log(b3) + (t/T) log(b1))), b3)

    State: three arrays per parameter and two int32.

    Args:
      b1: decay of the fast average, in [0, 1).
      b2: decay of the second moment, in [0, 1).
      b3: decay of the slow average, in [0, 1), or a schedule: from the number of steps
        taken before to a scalar.
      alpha: weight of the slow average, at least 0, or a schedule; 4 to 10.
      eps, eps_root: see `scale_by_adam`.
      mu_dtype: dtype of both averages; by default the parameter's, at least float32.
        In bfloat16 the slow one stands still.
      nu_dtype: dtype of the second moment; see `scale_by_adam`.

    Raises:
      ValueError: a number out of range.

    Source: Pagliardini, Ablin & Grangier, The AdEMAMix optimizer: better, faster, older
    (2024), algorithm 1.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> alpha = gradtx.linear_schedule(0.0, 6.0, 10_000)
      >>> tx = gradtx.scale_by_ademamix(alpha=alpha)
      >>> tx.update(jnp.array([0.5, -20.0]), tx.init(jnp.ones(2)))[0]
      Array([ 1., -1.], dtype=float32)
    """
    check.decay("b1", b1)
    check.decay("b2", b2)
    if not callable(b3):
        check.decay("b3", b3)
    if not callable(alpha):
        check.nonnegative("alpha", alpha)
    check.nonnegative("eps", eps)
    check.nonnegative("eps_root", eps_root)

    def rule(g, m1, m2, nu, keep, add, weight, m1_factor, nu_factor):
        m1 = b1 * m1 + (1 - b1) * g
        m2 = keep * m2 + add * g
        nu = b2 * nu + (1 - b2) * abs_sq(g)
        scale = root(nu_factor * nu, eps_root) + eps
        return divide(m1_factor * m1 + weight * m2, scale, eps), m1, m2, nu

    make, _ = leafwise(
        _Averages,
        rule,
        m1=zeros(mu_dtype),
        m2=zeros(mu_dtype),
        nu=zeros(nu_dtype, real=True),
    )

    def init(params):
        zero = jnp.zeros([], jnp.int32)
        return ScaleByAdemamixState(zero, jnp.copy(zero), *make(params))

    def prepare(updates, state, params):
        check_state(state, ScaleByAdemamixState)
        check_shapes(updates, state.m1)
        count, count_m2 = map(safe_increment, (state.count, state.count_m2))
        decay = now("b3", b3, state.count_m2)
        scalars = (
            decay,
            1 - decay,
            now("alpha", alpha, state.count_m2),
            1 / one_minus_power(b1, count),
            1 / one_minus_power(b2, count),
        )

        def rebuild(*averages):
            return ScaleByAdemamixState(count, count_m2, *averages)

        return Inputs([state.m1, state.m2, state.nu], scalars), rebuild

    return planned(init, rule, prepare, slots=_Averages._fields, entrywise=True)


@transformation
def ademamix(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    b3: ScalarOrSchedule = 0.9999,
    alpha: ScalarOrSchedule = 5.0,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    mu_dtype: Any = None,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: MaskOrFn | None = None,
    *,
    nu_dtype: Any = None,
):
    """AdEMAMix: `scale_by_ademamix`, then weight decay, then the learning rate.

    State: three arrays per parameter and two int32.

    Args:
      learning_rate: a finite number or a schedule; as for AdamW.
      b1, b2, b3, alpha, eps, eps_root, mu_dtype, nu_dtype: see `scale_by_ademamix`.
      weight_decay, mask: see `add_decayed_weights`.

    Raises:
      ValueError: a number out of range, or a mask that does not fit.

    Source: Pagliardini, Ablin & Grangier, The AdEMAMix optimizer (2024), algorithm 1.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.ademamix(0.1)
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.ones(2), tx.init(params), params)
    """
    return chain(
        scale_by_ademamix(
            b1, b2, b3, alpha, eps, eps_root, mu_dtype, nu_dtype=nu_dtype
        ),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )
