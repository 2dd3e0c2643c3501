"""RAdam: Adam that waits until its second moment can be trusted."""

from typing import Any

import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.compose import chain
from gradtx.core.leafwise import leafwise, zeros
from gradtx.core.numerics import abs_sq, as_float, divide, one_minus_power, root, select
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, ScalarOrSchedule
from gradtx.optimizers.adam import ScaleByAdamState, corrections
from gradtx.transforms.scale import scale_by_learning_rate


@transformation
def scale_by_radam(
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    threshold: Scalar = 5.0,
    *,
    nesterov: bool = False,
    eps_before_correction: bool = False,
    mu_dtype: Any = None,
    nu_dtype: Any = None,
):
    """Adam, weakened while its second moment rests on few gradients.

        mu_t, nu_t, mu^_t, nu^_t as in scale_by_adam
        rho_inf = 2 / (1 - b2) - 1,   rho_t = rho_inf - 2 t b2^t / (1 - b2^t)
        r_t^2 = (rho_t - 4)(rho_t - 2) rho_inf / ((rho_inf - 4)(rho_inf - 2) rho_t)
        u_t = r_t mu^_t / (sqrt(nu^_t + eps_root) + eps)   if rho_t >= threshold
        u_t = mu^_t                                        otherwise

    rho_t is about the number of gradients that nu stands for. State: two arrays per
    parameter and one int32.

    Args:
      b1, b2, eps, eps_root, nesterov, mu_dtype, nu_dtype: see `scale_by_adam`. b2 of
        0.6 or less never reaches the default threshold: momentum without division.
      threshold: least rho that divides by the second moment, at least 4 (below, r is
        not real); the paper has 4, here 5 as in Optax and PyTorch.
      eps_before_correction: whether the root of nu_t itself is taken, eps_root and eps
        are added to it, and the sum is divided by sqrt(1 - b2^t), as in PyTorch; the
        paper has no eps.

    Raises:
      ValueError: a number out of range.

    Source: Liu et al., On the variance of the adaptive learning rate and beyond
    (2020), algorithm 2.

    Example:
      >>> import gradtx
      >>> tx = gradtx.scale_by_radam()
      >>> round(float(tx.update(0.5, tx.init(1.0))[0]), 6)
      0.5
    """
    check.decay("b1", b1)
    check.decay("b2", b2)
    check.nonnegative("eps", eps)
    check.nonnegative("eps_root", eps_root)
    check.at_least("threshold", threshold, 4)
    rho_inf = 2 / (1 - b2) - 1

    def scalars(count):
        left = one_minus_power(b2, count)  # 1 - b2^t
        rho = rho_inf - 2 * as_float(count) * (1 - left) / left
        trusted = rho >= threshold
        safe = select(trusted, rho, threshold)
        r_sq = (safe - 4) * (safe - 2) / safe * rho_inf
        # Where no rho gets there, rho_inf may be 4 or 2.
        r_sq = r_sq / jnp.where(trusted, (rho_inf - 4) * (rho_inf - 2), 1)
        # Where it is used r_sq is in [0, 1]; elsewhere it may be negative.
        r = root(jnp.maximum(r_sq, 0))
        return (r, trusted, *corrections(b1, b2, count, True, nesterov))

    def rule(g, mu, nu, r, trusted, mu_factor, nu_factor, g_factor=0.0):
        mu = b1 * mu + (1 - b1) * g
        nu = b2 * nu + (1 - b2) * abs_sq(g)
        ahead = mu_factor * mu + g_factor * g if nesterov else mu_factor * mu
        if eps_before_correction:
            scale = jnp.sqrt(nu_factor) * (root(nu, eps_root) + eps)
        else:
            scale = root(nu_factor * nu, eps_root) + eps
        return jnp.where(trusted, divide(r * ahead, scale, eps), ahead), mu, nu

    return leafwise(
        ScaleByAdamState,
        rule,
        scalars=scalars,
        mu=zeros(mu_dtype),
        nu=zeros(nu_dtype, real=True),
    )


@transformation
def radam(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    threshold: Scalar = 5.0,
    *,
    nesterov: bool = False,
    eps_before_correction: bool = False,
    mu_dtype: Any = None,
    nu_dtype: Any = None,
):
    """RAdam: `scale_by_radam`, then the learning rate.

    It has a warm-up of its own, whose length follows from b2. In the first steps there
    are too few gradients to know their size from, and the update is their average
    itself. Then it is divided as in Adam, times a factor that rises to 1.

    State: two arrays per parameter and one int32.

    Args:
      learning_rate: a finite number or a schedule.
      b1, b2, eps, eps_root, threshold, nesterov, eps_before_correction, mu_dtype,
        nu_dtype: see `scale_by_radam`.

    Raises:
      ValueError: a number out of range.

    Source: Liu et al., On the variance of the adaptive learning rate and beyond
    (2020), algorithm 2.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.radam(0.1)
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.ones(2), tx.init(params), params)
    """
    return chain(
        scale_by_radam(
            b1,
            b2,
            eps,
            eps_root,
            threshold,
            nesterov=nesterov,
            eps_before_correction=eps_before_correction,
            mu_dtype=mu_dtype,
            nu_dtype=nu_dtype,
        ),
        scale_by_learning_rate(learning_rate),
    )
