"""ACProp: gradients by the deviation that was known before them."""

from typing import Any

import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.compose import chain
from gradtx.core.leafwise import leafwise, zeros
from gradtx.core.masking import MaskOrFn
from gradtx.core.numerics import abs_sq, as_float, divide, one_minus_power, root
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, ScalarOrSchedule
from gradtx.optimizers.adabelief import ScaleByBeliefState
from gradtx.transforms.decay import add_decayed_weights
from gradtx.transforms.scale import scale_by_learning_rate


@transformation
def scale_by_acprop(
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-16,
    eps_root: Scalar = 1e-16,
    *,
    mu_dtype: Any = None,
    nu_dtype: Any = None,
):
    """Divide the gradient by the root of the average squared deviation before it.

        u_t = g_t / (sqrt(nu^_{t-1}) + eps),   nu^_t = nu_t / (1 - b2^t),  nu^_0 = 1
        mu_t = b1 mu_{t-1} + (1 - b1) g_t,                        mu_0 = 0
        nu_t = b2 nu_{t-1} + (1 - b2) |g_t - mu_t|^2 + eps_root,  nu_0 = 0

    The denominator does not know the gradient that it divides, so that on average the
    step leads along the gradient. Nothing bounds it: an entry whose first gradients
    were 0 steps by about g_t / sqrt(eps_root / (1 - b2)) next, 3e6 g_t by default. Make
    eps 1e-4 or more where that may be.

    State: two arrays per parameter and one int32.

    Args:
      b1: decay of the average, in [0, 1).
      b2: decay of the squared deviation, in [0, 1).
      eps: added outside of the root, at least 0 (units: gradient).
      eps_root: added to the average in each step, at least 0 (units: gradient
        squared).
      mu_dtype, nu_dtype: dtypes of the state, see `scale_by_adam`.

    Raises:
      ValueError: a number out of range.

    Source: Zhuang et al., Momentum centering and asynchronous update for adaptive
    gradient methods (2021), ACProp; the first step is along the gradient itself.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.scale_by_acprop()
      >>> tx.update(jnp.array([0.5, -20.0]), tx.init(jnp.ones(2)))[0]
      Array([  0.5, -20. ], dtype=float32)
    """
    check.decay("b1", b1)
    check.decay("b2", b2)
    check.nonnegative("eps", eps)
    check.nonnegative("eps_root", eps_root)

    def rule(g, mu, nu, nu_factor, one):
        u = divide(g, root(nu_factor * nu + one) + eps, eps)
        mu = b1 * mu + (1 - b1) * g
        # In this order: what a constant is added to last XLA computes twice.
        nu = b2 * nu + ((1 - b2) * abs_sq(g - mu) + eps_root)
        return u, mu, nu

    def scalars(count):
        first = count == 1
        before = 1 / one_minus_power(b2, jnp.where(first, 1, count - 1))
        return before, as_float(first)

    return leafwise(
        ScaleByBeliefState,
        rule,
        scalars=scalars,
        written_last=("nu",),
        mu=zeros(mu_dtype),
        nu=zeros(nu_dtype, real=True),
    )


@transformation
def acprop(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-16,
    eps_root: Scalar = 1e-16,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: MaskOrFn | None = None,
    *,
    mu_dtype: Any = None,
    nu_dtype: Any = None,
):
    """ACProp: `scale_by_acprop`, then weight decay, then the learning rate.

    State: two arrays per parameter and one int32.

    Args:
      learning_rate: a finite number or a schedule.
      b1, b2, eps, eps_root, mu_dtype, nu_dtype: see `scale_by_acprop`.
      weight_decay, mask: see `add_decayed_weights`.

    Raises:
      ValueError: a number out of range, or a mask that does not fit.

    Source: Zhuang et al., Momentum centering and asynchronous update for adaptive
    gradient methods (2021).

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.acprop(0.1)
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.ones(2), tx.init(params), params)
    """
    return chain(
        scale_by_acprop(b1, b2, eps, eps_root, mu_dtype=mu_dtype, nu_dtype=nu_dtype),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )
