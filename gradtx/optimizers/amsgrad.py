"""AMSGrad: Adam with a second moment that never falls."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.compose import chain
from gradtx.core.leafwise import leafwise, zeros
from gradtx.core.numerics import abs_sq, divide, one_minus_power, root
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, ScalarOrSchedule, Updates
from gradtx.transforms.scale import scale_by_learning_rate


class ScaleByAmsgradState(NamedTuple):
    count: jax.Array  # steps taken, int32
    mu: Updates  # first moment, shaped like params, float32 at least
    nu: Updates  # second moment, real, shaped like params, float32 at least
    nu_max: Updates  # largest second moment used so far, like nu


@transformation
def scale_by_amsgrad(
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    mu_dtype: Any = None,
    bias_correction_mu: bool = True,
    bias_correction_nu: bool = True,
    *,
    nu_dtype: Any = None,
):
    """Divide the average gradient by the root of the largest average square so far.

        mu_t = b1 mu_{t-1} + (1 - b1) g_t,       nu_t = b2 nu_{t-1} + (1 - b2) |g_t|^2
        mu^_t = mu_t / (1 - b1^t),               nu^_t = nu_t / (1 - b2^t)
        nu_max_t = max(nu_max_{t-1}, nu^_t),     all 0 at t = 0
        u_t = mu^_t / (sqrt(nu_max_t + eps_root) + eps)

    The paper has no corrections (both off here); PyTorch's has them, as here by
    default.

    State: three arrays per parameter and one int32.

    Args:
      b1, b2, eps, eps_root, mu_dtype, nu_dtype: see `scale_by_adam`; nu_dtype is that
        of nu_max too.
      bias_correction_mu, bias_correction_nu: whether to correct each moment for the
        start from zero. The correction makes the first nu^ large, and the maximum
        keeps it.

    Raises:
      ValueError: a number out of range.

    Source: Reddi, Kale & Kumar, On the convergence of Adam and beyond (2018),
    algorithm 2.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.scale_by_amsgrad()
      >>> tx.update(jnp.array([0.5, -20.0]), tx.init(jnp.ones(2)))[0]
      Array([ 1., -1.], dtype=float32)
    """
    check.decay("b1", b1)
    check.decay("b2", b2)
    check.nonnegative("eps", eps)
    check.nonnegative("eps_root", eps_root)

    def rule(g, mu, nu, nu_max, mu_factor, nu_factor):
        mu = b1 * mu + (1 - b1) * g
        nu = b2 * nu + (1 - b2) * abs_sq(g)
        nu_max = jnp.maximum(nu_max, nu_factor * nu)
        update = divide(mu_factor * mu, root(nu_max + eps_root) + eps, eps)
        return update, mu, nu, nu_max

    def scalars(count):
        return (
            1 / one_minus_power(b1, count) if bias_correction_mu else 1.0,
            1 / one_minus_power(b2, count) if bias_correction_nu else 1.0,
        )

    return leafwise(
        ScaleByAmsgradState,
        rule,
        scalars=scalars,
        mu=zeros(mu_dtype),
        nu=zeros(nu_dtype, real=True),
        nu_max=zeros(nu_dtype, real=True),
    )


@transformation
def amsgrad(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    mu_dtype: Any = None,
    bias_correction_mu: bool = True,
    bias_correction_nu: bool = True,
    *,
    nu_dtype: Any = None,
):
    """AMSGrad: `scale_by_amsgrad`, then the learning rate.

    Converges on convex problems where Adam need not. State: three arrays per parameter
    and one int32.

    Args:
      learning_rate: a finite number or a schedule.
      b1, b2, eps, eps_root, mu_dtype, bias_correction_mu, bias_correction_nu,
        nu_dtype: see `scale_by_amsgrad`.

    Raises:
      ValueError: a number out of range.

    Source: Reddi, Kale & Kumar, On the convergence of Adam and beyond (2018),
    algorithm 2.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.amsgrad(0.1)
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.ones(2), tx.init(params), params)
    """
    return chain(
        scale_by_amsgrad(
            b1,
            b2,
            eps,
            eps_root,
            mu_dtype,
            bias_correction_mu,
            bias_correction_nu,
            nu_dtype=nu_dtype,
        ),
        scale_by_learning_rate(learning_rate),
    )
