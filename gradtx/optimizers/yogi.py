"""Yogi: Adam whose second moment changes by no more than the squared gradient."""

from typing import Any

import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.compose import chain
from gradtx.core.leafwise import full, leafwise
from gradtx.core.numerics import abs_sq, divide, one_minus_power, root
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, ScalarOrSchedule
from gradtx.optimizers.adam import ScaleByAdamState
from gradtx.transforms.scale import scale_by_learning_rate


@transformation
def scale_by_yogi(
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-3,
    eps_root: Scalar = 0.0,
    initial_accumulator_value: Scalar = 1e-6,
    *,
    mu_dtype: Any = None,
    nu_dtype: Any = None,
):
    """Divide the average gradient by the root of a second moment that falls slowly.

        mu_t = b1 mu_{t-1} + (1 - b1) g_t
        nu_t = nu_{t-1} - (1 - b2) sign(nu_{t-1} - |g_t|^2) |g_t|^2
        mu^_t = mu_t / (1 - b1^t),   nu^_t = nu_t / (1 - b2^t)
        u_t = mu^_t / (sqrt(nu^_t + eps_root) + eps)

    where mu_0 = nu_0 = initial_accumulator_value. Adam's nu changes by
    (1 - b2) (|g_t|^2 - nu_{t-1}), so that it forgets a large gradient however small the
    next ones are; here a small one takes away as little as it would have added.

    State: two arrays per parameter and one int32.

    Args:
      b1: decay of the first moment, in [0, 1).
      b2: 1 - b2 is the part of a squared gradient that nu moves by, in [0, 1).
      eps: added outside of the root, at least 0 (units: gradient). The authors' 1e-3
        is large: it bounds the gain.
      eps_root: added inside of the root, at least 0 (units: gradient squared).
      initial_accumulator_value: start of both moments, at least 0, as in the authors'
        own program (the paper has 0 for the first). An entry without gradients drifts
        by about 3e-4 learning_rate at first; from 0 it stays.
      mu_dtype, nu_dtype: dtypes of the moments, see `scale_by_adam`.

    Raises:
      ValueError: a number out of range.

    Source: Zaheer et al., Adaptive methods for nonconvex optimization (2018),
    algorithm 2, with Adam's corrections for the start.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.scale_by_yogi()
      >>> tx.update(jnp.array([0.5, -20.0]), tx.init(jnp.ones(2)))[0].round(2)
      Array([ 1., -1.], dtype=float32)
    """
    check.decay("b1", b1)
    check.decay("b2", b2)
    check.nonnegative("eps", eps)
    check.nonnegative("eps_root", eps_root)
    check.nonnegative("initial_accumulator_value", initial_accumulator_value)

    def rule(g, mu, nu, mu_factor, nu_factor):
        mu = b1 * mu + (1 - b1) * g
        square = abs_sq(g)
        # Not by a sign times the square: of infinite ones that would be NaN.
        fallen = jnp.where(nu > square, nu - (1 - b2) * square, nu)
        nu = jnp.where(nu < square, nu + (1 - b2) * square, fallen)
        scale = root(nu_factor * nu, eps_root) + eps
        return divide(mu_factor * mu, scale, eps), mu, nu

    return leafwise(
        ScaleByAdamState,
        rule,
        scalars=lambda count: (
            1 / one_minus_power(b1, count),
            1 / one_minus_power(b2, count),
        ),
        mu=full(initial_accumulator_value, mu_dtype),
        nu=full(initial_accumulator_value, nu_dtype, real=True),
    )


@transformation
def yogi(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-3,
    *,
    mu_dtype: Any = None,
    nu_dtype: Any = None,
):
    """Yogi: `scale_by_yogi`, then the learning rate.

    State: two arrays per parameter and one int32.

    Args:
      learning_rate: a finite number or a schedule; the authors' is 1e-2.
      b1, b2, eps, mu_dtype, nu_dtype: see `scale_by_yogi`.

    Raises:
      ValueError: a number out of range.

    Source: Zaheer et al., Adaptive methods for nonconvex optimization (2018),
    algorithm 2.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.yogi(0.1)
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.ones(2), tx.init(params), params)
    """
    return chain(
        scale_by_yogi(b1, b2, eps, mu_dtype=mu_dtype, nu_dtype=nu_dtype),
        scale_by_learning_rate(learning_rate),
    )
