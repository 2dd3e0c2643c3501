"""Adam with an L^p norm of the past gradients in place of the L^2 norm."""

from typing import Any

import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.compose import chain
from gradtx.core.leafwise import leafwise, zeros
from gradtx.core.numerics import as_float, divide, one_minus_power, select
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, ScalarOrSchedule
from gradtx.optimizers.adam import ScaleByAdamState
from gradtx.transforms.scale import scale_by_learning_rate


@transformation
def scale_by_adam_lp(
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    p: float = 2.0,
    *,
    mu_dtype: Any = None,
    nu_dtype: Any = None,
):
    """Divide the average gradient by the p-th root of the average p-th power.

        M_t = b1 M_{t-1} + (1 - b1) g_t,           M_0 = 0
        R_t = b2^p R_{t-1} + (1 - b2^p) |g_t|^p,   R_0 = 0
        u_t = M_t / (1 - b1^t) / (R_t / (1 - b2^(p t)) + eps^p)^(1/p)

    p = 2 is Adam with the decay b2^2 and eps^2 inside of the root; large p approaches
    `scale_by_adamax`, whatever the eps. What is kept is nu = R^(1/p), a p-norm:

        nu_t = |(b2 nu_{t-1}, (1 - b2^p)^(1/p) g_t)|_p

    R and b2^p themselves leave the range of float32 for large p: R at p = 100 already
    for gradients of 0.4 or 2.5, b2^p at p = 1000 for b2 = 0.9.

    State: two arrays per parameter and one int32.

    Args:
      b1: decay of the first moment, in [0, 1).
      b2: decay of the norm, in [0, 1); its p-th power is that of R.
      eps: at least 0 (units: gradient); its p-th power is added inside of the root,
        where Cohen adds eps itself: his 1e-8 is 1e-8 ** (1 / p) here. Such an
        eps tends to 1 for large p, and hides every gradient below.
      p: the norm, at least 1.
      mu_dtype, nu_dtype: dtypes of the state; by default the parameter's, at least
        float32.

    Raises:
      ValueError: a number out of range.

    Source: Kingma & Ba, Adam (2015), section 7.1, before the limit is taken; there is
    no eps there.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.scale_by_adam_lp(p=4.0, eps=0.0)
      >>> tx.update(jnp.array([0.5, -20.0]), tx.init(jnp.ones(2)))[0].round(5)
      Array([ 1., -1.], dtype=float32)
    """
    check.decay("b1", b1)
    check.decay("b2", b2)
    check.nonnegative("eps", eps)
    check.at_least("p", p, 1)

    def norm(a, b):
        """(a^p + b^p)^(1/p) for a, b >= 0, without large powers."""
        largest = jnp.maximum(a, b)
        there = largest > 0
        scale = select(there, largest, 1)
        total = (a / scale) ** p + (b / scale) ** p
        # The derivative of the root of 0 is infinite; times 0 it would be NaN.
        return largest * select(there, total, 1) ** (1 / p)

    def rule(g, mu, nu, mu_factor, g_factor, nu_factor):
        mu = b1 * mu + (1 - b1) * g
        nu = norm(b2 * nu, g_factor * jnp.abs(g))
        root = norm(nu_factor * nu, jnp.full_like(nu, eps))
        return divide(mu_factor * mu, root, eps), mu, nu

    def scalars(count):
        # Not of b2**p, which may be 0 in float32 or round to 1.
        first = one_minus_power(b2, as_float(p)) ** (1 / p)
        correction = one_minus_power(b2, p * as_float(count)) ** (-1 / p)
        return 1 / one_minus_power(b1, count), first, correction

    return leafwise(
        ScaleByAdamState,
        rule,
        scalars=scalars,
        mu=zeros(mu_dtype),
        nu=zeros(nu_dtype, real=True),
    )


@transformation
def adam_lp(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    p: float = 2.0,
    *,
    mu_dtype: Any = None,
    nu_dtype: Any = None,
):
    """Adam in the L^p norm: `scale_by_adam_lp`, then the learning rate.

    State: two arrays per parameter and one int32.

    Args:
      learning_rate: a finite number or a schedule.
      b1, b2, eps, p, mu_dtype, nu_dtype: see `scale_by_adam_lp`.

    Raises:
      ValueError: a number out of range.

    Source: Kingma & Ba, Adam (2015), section 7.1.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.adam_lp(0.1, p=3.0)
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.ones(2), tx.init(params), params)
    """
    return chain(
        scale_by_adam_lp(b1, b2, eps, p, mu_dtype=mu_dtype, nu_dtype=nu_dtype),
        scale_by_learning_rate(learning_rate),
    )
