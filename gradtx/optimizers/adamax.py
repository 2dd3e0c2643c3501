"""AdaMax: Adam with the largest past gradient in place of their mean square."""

from typing import Any

import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.compose import chain
from gradtx.core.leafwise import leafwise, zeros
from gradtx.core.masking import MaskOrFn
from gradtx.core.numerics import divide, one_minus_power
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, ScalarOrSchedule
from gradtx.optimizers.adam import ScaleByAdamState
from gradtx.transforms.decay import add_decayed_weights
from gradtx.transforms.scale import scale_by_learning_rate


@transformation
def scale_by_adamax(
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    *,
    mu_dtype: Any = None,
    nu_dtype: Any = None,
):
    """Divide the average gradient by a decaying maximum of the gradients.

        mu_t = b1 mu_{t-1} + (1 - b1) g_t,        mu_0 = 0
        nu_t = max(b2 nu_{t-1}, |g_t| + eps),     nu_0 = 0
        u_t = mu_t / ((1 - b1^t) nu_t)

    The limit of `scale_by_adam_lp` for large p. The maximum needs no correction. For
    b1 < b2, |u_t| < (1 - b1) / (1 - b1 / b2), 1.009 by default; the paper says 1, but
    gradients that fall like b2^t go further. Where nu_t is 0 (eps = 0 and no gradient
    yet), u_t is 0.

    State: two arrays per parameter and one int32.

    Args:
      b1: decay of the first moment, in [0, 1).
      b2: decay of the maximum, in [0, 1).
      eps: at least 0 (units: gradient). The paper has none and divides by zero at an
        entry that never had a gradient; here it is added as in Optax.
      mu_dtype, nu_dtype: dtypes of the state; by default the parameter's, at least
        float32.

    Raises:
      ValueError: a number out of range.

    Source: Kingma & Ba, Adam (2015), algorithm 2.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.scale_by_adamax()
      >>> tx.update(jnp.array([0.5, -20.0]), tx.init(jnp.ones(2)))[0].round(5)
      Array([ 1., -1.], dtype=float32)
    """
    check.decay("b1", b1)
    check.decay("b2", b2)
    check.nonnegative("eps", eps)

    def rule(g, mu, nu, mu_factor):
        mu = b1 * mu + (1 - b1) * g
        nu = jnp.maximum(b2 * nu, jnp.abs(g) + eps)
        return divide(mu_factor * mu, nu, eps), mu, nu

    return leafwise(
        ScaleByAdamState,
        rule,
        scalars=lambda count: (1 / one_minus_power(b1, count),),
        mu=zeros(mu_dtype),
        nu=zeros(nu_dtype, real=True),
    )


@transformation
def adamax(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    *,
    mu_dtype: Any = None,
    nu_dtype: Any = None,
):
    """AdaMax: `scale_by_adamax`, then the learning rate.

    No entry moves by more than 1.009 times learning_rate a step by default, see
    `scale_by_adamax`. State: two arrays per parameter and one int32.

    Args:
      learning_rate: a finite number or a schedule; the paper's is 2e-3.
      b1, b2, eps, mu_dtype, nu_dtype: see `scale_by_adamax`.

    Raises:
      ValueError: a number out of range.

    Source: Kingma & Ba, Adam (2015), algorithm 2.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.adamax(0.1)
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.ones(2), tx.init(params), params)
    """
    return chain(
        scale_by_adamax(b1, b2, eps, mu_dtype=mu_dtype, nu_dtype=nu_dtype),
        scale_by_learning_rate(learning_rate),
    )


@transformation
def adamaxw(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    weight_decay: ScalarOrSchedule = 1e-4,
    mask: MaskOrFn | None = None,
    *,
    mu_dtype: Any = None,
    nu_dtype: Any = None,
):
    """AdaMax with decoupled weight decay.

        p_t = p_{t-1} - learning_rate (adamax_t + weight_decay p_{t-1})

    State: two arrays per parameter and one int32.

    Args:
      learning_rate: a finite number or a schedule.
      b1, b2, eps, mu_dtype, nu_dtype: see `scale_by_adamax`.
      weight_decay, mask: see `add_decayed_weights`.

    Raises:
      ValueError: a number out of range, or a mask that does not fit.

    Source: Kingma & Ba, Adam (2015), algorithm 2, with the decay of Loshchilov &
    Hutter (2019), algorithm 2.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.adamaxw(0.1)
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.ones(2), tx.init(params), params)
    """
    return chain(
        scale_by_adamax(b1, b2, eps, mu_dtype=mu_dtype, nu_dtype=nu_dtype),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )
