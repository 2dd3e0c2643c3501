"""Simplified AdEMAMix: a sum of gradients and the last one, scaled as in Adam."""

from typing import Any, NamedTuple

import jax

from gradtx.core import check
from gradtx.core.compose import chain
from gradtx.core.leafwise import leafwise, zeros
from gradtx.core.masking import MaskOrFn
from gradtx.core.numerics import abs_sq, divide, now, one_minus_power, root
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, ScalarOrSchedule, Updates
from gradtx.transforms.decay import add_decayed_weights
from gradtx.transforms.scale import scale_by_learning_rate


class ScaleBySimplifiedAdEMAMixState(NamedTuple):
    t: jax.Array  # steps taken, int32
    m: Updates  # decaying sum of gradients, shaped like params, float32 at least
    n: Updates  # second moment, real, shaped like params, float32 at least


@transformation
def scale_by_simplified_ademamix(
    b1: Scalar = 0.99,
    b2: Scalar = 0.95,
    alpha: ScalarOrSchedule = 0.0,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    *,
    mu_dtype: Any = None,
    nu_dtype: Any = None,
):
    """Divide a decaying sum of gradients, and the last once more, by their size.

        m_t = b1 m_{t-1} + g_t,                m_0 = 0
        n_t = b2 n_{t-1} + (1 - b2) |g_t|^2,   n_0 = 0
        n^_t = n_t / (1 - b2^t)
        u_t = (m_t + alpha g_t) / (sqrt(n^_t + eps_root) + eps)

    The sum is not an average: it grows to 1 / (1 - b1) gradients, 100 by default, and
    the learning rate is that much smaller than Adam's. It stands for AdEMAMix's slow
    average, the last gradient for the fast one.

    State: two arrays per parameter and one int32.

    Args:
      b1: decay of the sum, in [0, 1).
      b2: decay of the second moment, in [0, 1).
      alpha: weight of the last gradient beside the sum, at least 0, or a schedule: from
        the number of steps taken before to a scalar. The authors found 0.05 best for
        batches of a million tokens, and about 100 for 32 thousand.
      eps, eps_root: see `scale_by_adam`.
      mu_dtype, nu_dtype: dtypes of m and of n, see `scale_by_adam`.

    Raises:
      ValueError: a number out of range.

    Source: Morwani et al., Connections between schedule-free optimizers, AdEMAMix, and
    accelerated SGD variants (2025).

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.scale_by_simplified_ademamix(alpha=2.0)
      >>> tx.update(jnp.array([0.5, -20.0]), tx.init(jnp.ones(2)))[0]
      Array([ 3., -3.], dtype=float32)
    """
    check.decay("b1", b1)
    check.decay("b2", b2)
    if not callable(alpha):
        check.nonnegative("alpha", alpha)
    check.nonnegative("eps", eps)
    check.nonnegative("eps_root", eps_root)
    sum_alone = isinstance(alpha, float | int) and alpha == 0

    def rule(g, m, n, weight, n_factor):
        m = b1 * m + g
        n = b2 * n + (1 - b2) * abs_sq(g)
        scale = root(n_factor * n, eps_root) + eps
        ahead = m if sum_alone else m + weight * g
        return divide(ahead, scale, eps), m, n

    def scalars(count):
        return now("alpha", alpha, count - 1), 1 / one_minus_power(b2, count)

    return leafwise(
        ScaleBySimplifiedAdEMAMixState,
        rule,
        scalars=scalars,
        counter="t",
        m=zeros(mu_dtype),
        n=zeros(nu_dtype, real=True),
    )


@transformation
def simplified_ademamix(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.99,
    b2: Scalar = 0.95,
    alpha: ScalarOrSchedule = 0.0,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: MaskOrFn | None = None,
    *,
    mu_dtype: Any = None,
    nu_dtype: Any = None,
):
    """Simplified AdEMAMix: its scaling, then weight decay, then the learning rate.

    State: two arrays per parameter and one int32.

    Args:
      learning_rate: a finite number or a schedule. From Adam's best rate, with b1 of
        0.9, the authors come to that times sqrt(0.1 (1 - b1)), 0.03 by default.
      b1, b2, alpha, eps, eps_root, mu_dtype, nu_dtype: see
        `scale_by_simplified_ademamix`.
      weight_decay, mask: see `add_decayed_weights`.

    Raises:
      ValueError: a number out of range, or a mask that does not fit.

    Source: Morwani et al., Connections between schedule-free optimizers, AdEMAMix, and
    accelerated SGD variants (2025).

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.simplified_ademamix(0.01)
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.ones(2), tx.init(params), params)
    """
    return chain(
        scale_by_simplified_ademamix(
            b1, b2, alpha, eps, eps_root, mu_dtype=mu_dtype, nu_dtype=nu_dtype
        ),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )
