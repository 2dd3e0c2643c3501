"""Optimistic Adam: Adam's direction, and what it has changed by."""

from typing import Any

from gradtx.core import check
from gradtx.core.compose import chain
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, ScalarOrSchedule
from gradtx.optimizers.adam import scale_by_adam
from gradtx.optimizers.optimistic import scale_by_optimistic_gradient
from gradtx.transforms.scale import scale_by_learning_rate


@transformation
def optimistic_adam(
    learning_rate: Scalar,
    optimism: Scalar | None = None,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    mu_dtype: Any = None,
    *,
    nesterov: bool = True,
    nu_dtype: Any = None,
):
    """Optimistic Adam, with the optimism as a rate of its own.

        p_t = p_{t-1} - learning_rate u_t - optimism (u_t - u_{t-1}),   u_0 = u_1

    u is the direction of `scale_by_adam`. Optax has put `optimistic_adam_v2` in its
    place, which takes schedules.

    State: three arrays per parameter, one int32 and one bool.

    Args:
      learning_rate: a finite number.
      optimism: weight of the change, a finite number; by default the learning rate.
      b1, b2, eps, eps_root, mu_dtype, nesterov, nu_dtype: see `scale_by_adam`.

    Raises:
      ValueError: a number out of range.
      TypeError: a schedule.

    Source: Daskalakis et al., Training GANs with optimism (2018), algorithm 1.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.optimistic_adam(0.1)
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.ones(2), tx.init(params), params)
    """
    check.finite("learning_rate", learning_rate)
    if optimism is not None:
        check.finite("optimism", optimism)
    beta = learning_rate if optimism is None else optimism
    return chain(
        scale_by_adam(
            b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov, nu_dtype=nu_dtype
        ),
        scale_by_optimistic_gradient(learning_rate, beta),
        scale_by_learning_rate(1.0),
    )


@transformation
def optimistic_adam_v2(
    learning_rate: ScalarOrSchedule,
    *,
    alpha: Scalar = 1.0,
    beta: Scalar = 1.0,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    mu_dtype: Any = None,
    nesterov: bool = True,
    nu_dtype: Any = None,
):
    """Optimistic Adam: `scale_by_adam`, `scale_by_optimistic_gradient`, the rate.

        p_t = p_{t-1} - learning_rate (alpha u_t + beta (u_t - u_{t-1})),   u_0 = u_1

    u is the direction of `scale_by_adam`, here with Nesterov's momentum by default.

    State: three arrays per parameter, one int32 and one bool.

    Args:
      learning_rate: a finite number or a schedule.
      alpha, beta: see `scale_by_optimistic_gradient`.
      b1, b2, eps, eps_root, mu_dtype, nesterov, nu_dtype: see `scale_by_adam`.

    Raises:
      ValueError: a number out of range.

    Source: Daskalakis et al., Training GANs with optimism (2018), algorithm 1.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.optimistic_adam_v2(0.1)
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.ones(2), tx.init(params), params)
    """
    return chain(
        scale_by_adam(
            b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov, nu_dtype=nu_dtype
        ),
        scale_by_optimistic_gradient(alpha, beta),
        scale_by_learning_rate(learning_rate),
    )
