"""Adan: Nesterov's momentum from differences of gradients, scaled as in Adam."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.compose import chain
from gradtx.core.leafwise import leafwise, zeros
from gradtx.core.masking import MaskOrFn
from gradtx.core.numerics import abs_sq, after, divide, one_minus_power, root
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, ScalarOrSchedule, Updates
from gradtx.transforms.decay import add_decayed_weights
from gradtx.transforms.scale import scale_by_learning_rate


class ScaleByAdanState(NamedTuple):
    m: Updates  # average gradient, shaped like params, float32 at least
    v: Updates  # average difference of gradients, like m
    n: Updates  # average square of the gradient ahead, real, shaped like params
    g: Updates  # the last gradient, like m
    t: jax.Array  # steps taken, int32


@transformation
def scale_by_adan(
    b1: Scalar = 0.98,
    b2: Scalar = 0.92,
    b3: Scalar = 0.99,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    *,
    mu_dtype: Any = None,
    nu_dtype: Any = None,
):
    """Divide gradients and their differences, both averaged, by their size together.

        d_t = g_t - g_{t-1},   d_1 = 0
        m_t = b1 m_{t-1} + (1 - b1) g_t
        v_t = b2 v_{t-1} + (1 - b2) d_t
        n_t = b3 n_{t-1} + (1 - b3) |g_t + b2 d_t|^2,   all 0 at t = 0
        m^_t = m_t / (1 - b1^t),   v^_t = v_t / (1 - b2^t),   n^_t = n_t / (1 - b3^t)
        u_t = (m^_t + b2 v^_t) / (sqrt(n^_t + eps_root) + eps)

    The differences say where the gradient is going to: Nesterov's look ahead, from
    gradients at the parameters themselves.

    State: four arrays per parameter and one int32, twice Adam's.

    Args:
      b1: decay of the average gradient, in [0, 1).
      b2: decay of the average difference, in [0, 1), and its weight. The paper's
        numbers are 1 - b1, 1 - b2 and 1 - b3: 0.02, 0.08 and 0.01.
      b3: decay of the average square, in [0, 1).
      eps: added outside of the root, at least 0 (units: gradient), as in the authors'
        program.
      eps_root: added inside of the root, at least 0 (units: gradient squared).
      mu_dtype: dtype of m, v and g; by default the parameter's, at least float32.
      nu_dtype: dtype of n; see `scale_by_adam`.

    Raises:
      ValueError: a number out of range.

    Source: Xie et al., Adan: adaptive Nesterov momentum algorithm for faster optimizing
    deep models (2022), algorithm 1, with the corrections of its authors' program.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.scale_by_adan()
      >>> tx.update(jnp.array([0.5, -20.0]), tx.init(jnp.ones(2)))[0].round(4)
      Array([ 1., -1.], dtype=float32)
    """
    check.decay("b1", b1)
    check.decay("b2", b2)
    check.decay("b3", b3)
    check.nonnegative("eps", eps)
    check.nonnegative("eps_root", eps_root)

    def rule(g, m, v, n, last, first, m_factor, v_factor, n_factor):
        d = jnp.where(first, 0, g - last)
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * d
        n = b3 * n + (1 - b3) * abs_sq(g + b2 * d)
        ahead = m_factor * m + v_factor * v
        scale = root(n_factor * n, eps_root) + eps
        return divide(ahead, scale, eps), m, v, n, after(g, v, n)

    def scalars(count):
        return (
            count == 1,
            1 / one_minus_power(b1, count),
            b2 / one_minus_power(b2, count),
            1 / one_minus_power(b3, count),
        )

    return leafwise(
        ScaleByAdanState,
        rule,
        scalars=scalars,
        counter="t",
        m=zeros(mu_dtype),
        v=zeros(mu_dtype),
        n=zeros(nu_dtype, real=True),
        g=zeros(mu_dtype),
    )


@transformation
def adan(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.98,
    b2: Scalar = 0.92,
    b3: Scalar = 0.99,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 1e-8,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: MaskOrFn | None = None,
    *,
    mu_dtype: Any = None,
    nu_dtype: Any = None,
):
    """Adan: `scale_by_adan`, then weight decay, then the learning rate.

    State: four arrays per parameter and one int32.

    Args:
      learning_rate: a finite number or a schedule; up to 10 times Adam's.
      b1, b2, b3, eps, eps_root, mu_dtype, nu_dtype: see `scale_by_adan`.
      weight_decay, mask: see `add_decayed_weights`. The paper divides by
        1 + learning_rate weight_decay instead, which is the same up to its square.

    Raises:
      ValueError: a number out of range, or a mask that does not fit.

    Source: Xie et al., Adan: adaptive Nesterov momentum algorithm for faster optimizing
    deep models (2022), algorithm 1.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.adan(0.1)
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.ones(2), tx.init(params), params)
    """
    return chain(
        scale_by_adan(b1, b2, b3, eps, eps_root, mu_dtype=mu_dtype, nu_dtype=nu_dtype),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )
