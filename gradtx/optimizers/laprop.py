"""LaProp: momentum of gradients that are scaled already."""

from typing import Any

from gradtx.core import check
from gradtx.core.compose import chain
from gradtx.core.leafwise import leafwise, zeros
from gradtx.core.masking import MaskOrFn
from gradtx.core.numerics import abs_sq, divide, one_minus_power, root
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, ScalarOrSchedule
from gradtx.optimizers.adam import ScaleByAdamState
from gradtx.transforms.decay import add_decayed_weights
from gradtx.transforms.scale import scale_by_learning_rate


@transformation
def scale_by_laprop(
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-15,
    eps_root: Scalar = 0.0,
    mu_dtype: Any = None,
    *,
    nu_dtype: Any = None,
):
    """Average gradients that are divided by the root of their average square.

        nu_t = b2 nu_{t-1} + (1 - b2) |g_t|^2,   nu_0 = 0
        x_t = g_t / (sqrt(nu_t / (1 - b2^t) + eps_root) + eps)
        mu_t = b1 mu_{t-1} + (1 - b1) x_t,       mu_0 = 0
        u_t = mu_t / (1 - b1^t)

    Adam divides the average by the last root; here each gradient has the root of its
    own time. The two decays then need not go together: |u_t| is at most
    1 / sqrt(1 - b2) for any b1, where Adam's is unbounded for b1^2 > b2.

    State: two arrays per parameter and one int32.

    Args:
      b1: decay of the average, in [0, 1).
      b2: decay of the second moment, in [0, 1).
      eps: added outside of the root, at least 0 (units: gradient). So small, since it
        is in the average for good.
      eps_root: added inside of the root, at least 0 (units: gradient squared).
      mu_dtype, nu_dtype: dtypes of the moments, see `scale_by_adam`.

    Raises:
      ValueError: a number out of range.

    Source: Ziyin, Wang & Ueda, LaProp: separating momentum and adaptivity in Adam
    (2020), algorithm 1.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.scale_by_laprop()
      >>> tx.update(jnp.array([0.5, -20.0]), tx.init(jnp.ones(2)))[0].round(4)
      Array([ 1., -1.], dtype=float32)
    """
    check.decay("b1", b1)
    check.decay("b2", b2)
    check.nonnegative("eps", eps)
    check.nonnegative("eps_root", eps_root)

    def rule(g, mu, nu, mu_factor, nu_factor):
        nu = b2 * nu + (1 - b2) * abs_sq(g)
        x = divide(g, root(nu_factor * nu, eps_root) + eps, eps)
        mu = b1 * mu + (1 - b1) * x
        return mu_factor * mu, mu, nu

    return leafwise(
        ScaleByAdamState,
        rule,
        scalars=lambda count: (
            1 / one_minus_power(b1, count),
            1 / one_minus_power(b2, count),
        ),
        mu=zeros(mu_dtype),
        nu=zeros(nu_dtype, real=True),
    )


@transformation
def laprop(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-15,
    eps_root: Scalar = 0.0,
    mu_dtype: Any = None,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: MaskOrFn | None = None,
    *,
    nu_dtype: Any = None,
):
    """LaProp: `scale_by_laprop`, then weight decay, then the learning rate.

    State: two arrays per parameter and one int32.

    Args:
      learning_rate: a finite number or a schedule; the authors' is 4e-4. A schedule is
        of the step; in the authors' program it is in the average, with the gradient.
      b1, b2, eps, eps_root, mu_dtype, nu_dtype: see `scale_by_laprop`.
      weight_decay, mask: see `add_decayed_weights`.

    Raises:
      ValueError: a number out of range, or a mask that does not fit.

    Source: Ziyin, Wang & Ueda, LaProp: separating momentum and adaptivity in Adam
    (2020), algorithm 1.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.laprop(0.1)
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.ones(2), tx.init(params), params)
    """
    return chain(
        scale_by_laprop(b1, b2, eps, eps_root, mu_dtype, nu_dtype=nu_dtype),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )
