"""AMSGrad: Adam with a second moment that never falls."""

from typing import Any, Literal

from gradtx.core import check
from gradtx.core.compose import chain
from gradtx.core.leafwise import zeros
from gradtx.core.numerics import one_minus_power
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, ScalarOrSchedule
from gradtx.optimizers.adam import ScaleByAmsgradState as ScaleByAmsgradState, moments
from gradtx.transforms.scale import scale_by_learning_rate


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
    maximum_of: Literal["corrected", "uncorrected"] = "corrected",
):
    """Divide the average gradient by the root of the largest average square so far.

        mu_t = b1 mu_{t-1} + (1 - b1) g_t,       nu_t = b2 nu_{t-1} + (1 - b2) |g_t|^2
        mu^_t = mu_t / (1 - b1^t),               nu^_t = nu_t / (1 - b2^t)
        nu_max_t = max(nu_max_{t-1}, nu^_t),     all 0 at t = 0
        u_t = mu^_t / (sqrt(nu_max_t + eps_root) + eps)

    or, with the maximum of the uncorrected moments,

        nu_max_t = max(nu_max_{t-1}, nu_t)
        u_t = mu^_t / (sqrt(nu_max_t / (1 - b2^t) + eps_root) + eps)

    The paper has no corrections (both off here). Boyd-Graber and Optax correct first,
    PyTorch takes the maximum first. After a large first gradient the two stay apart:
    it is the whole of nu^_1, and 1 - b2 of nu_1.

    State: three arrays per parameter and one int32.

    Args:
      b1, b2, eps, eps_root, mu_dtype, nu_dtype: see `scale_by_adam`; nu_dtype is that
        of nu_max too.
      bias_correction_mu, bias_correction_nu: whether to correct each moment for the
        start from zero.
      maximum_of: "corrected" or "uncorrected" second moments, as above.

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
    check.choice("maximum_of", maximum_of, ("corrected", "uncorrected"))

    def scalars(count):
        return (
            1 / one_minus_power(b1, count) if bias_correction_mu else 1.0,
            1 / one_minus_power(b2, count) if bias_correction_nu else 1.0,
        )

    return moments(
        b1,
        b2,
        eps,
        eps_root,
        maximum_of,
        False,
        scalars,
        mu=zeros(mu_dtype),
        nu=zeros(nu_dtype, real=True),
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
    maximum_of: Literal["corrected", "uncorrected"] = "corrected",
):
    """AMSGrad: `scale_by_amsgrad`, then the learning rate.

    Converges on convex problems where Adam need not. `adam(amsgrad=True)` and
    `adamw(amsgrad=True)` are the same rule.

    State: three arrays per parameter and one int32.

    Args:
      learning_rate: a finite number or a schedule.
      b1, b2, eps, eps_root, mu_dtype, bias_correction_mu, bias_correction_nu,
        nu_dtype, maximum_of: see `scale_by_amsgrad`.

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
            maximum_of=maximum_of,
        ),
        scale_by_learning_rate(learning_rate),
    )
