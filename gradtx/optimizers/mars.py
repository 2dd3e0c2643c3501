"""MARS: Adam of gradients that are corrected by their change, to vary less."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.axes import AxisName, across, axes_of, names_of, size_of
from gradtx.core.compose import chain
from gradtx.core.leafwise import leafwise, zeros
from gradtx.core.masking import MaskOrFn
from gradtx.core.numerics import (
    abs_sq,
    after,
    divide,
    one_minus_power,
    root,
    select,
    shrinking,
    window,
)
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, ScalarOrSchedule, Updates
from gradtx.transforms.decay import add_decayed_weights
from gradtx.transforms.scale import scale_by_learning_rate


class ScaleByMarsState(NamedTuple):
    count: jax.Array  # steps taken, int32
    mu: Updates  # first moment, shaped like params, float32 at least
    nu: Updates  # second moment, real, shaped like params, float32 at least
    last: Updates  # the last gradient, like mu


@transformation
def scale_by_mars(
    b1: Scalar = 0.95,
    b2: Scalar = 0.99,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    mu_dtype: Any = None,
    *,
    gamma: Scalar = 0.025,
    max_norm: Scalar | None = 1.0,
    nu_dtype: Any = None,
    axis_name: AxisName = None,
):
    """Adam of corrected gradients, whose norm is limited.

        c_t = g_t + gamma b1 / (1 - b1) (g_t - g_{t-1}),   c_1 = g_1
        x_t = c_t min(1, max_norm / |c_t|_2)
        mu_t = b1 mu_{t-1} + (1 - b1) x_t,       mu_0 = 0
        nu_t = b2 nu_{t-1} + (1 - b2) |x_t|^2,   nu_0 = 0
        mu^_t = mu_t / (1 - b1^t),   nu^_t = nu_t / (1 - b2^t)
        u_t = mu^_t / (sqrt(nu^_t + eps_root) + eps)

    with the norm of each leaf. With gamma = 1 and both gradients of one batch
    the average would be STORM's, which varies less. This is MARS-approx: the gradient
    of the step before, of its own batch, stands for that of this batch at the
    parameters before, which would cost a second one.

    State: three arrays per parameter and one int32.

    Args:
      b1, b2, eps, eps_root: see `scale_by_adam`.
      mu_dtype: dtype of mu and last; by default the parameter's, at least float32.
      gamma: strength of the correction, at least 0; 0 is none.
      max_norm: largest norm of a leaf's corrected gradient, above 0; `None` for no
        limit. In the paper it is of all leaves together, in its authors' program of
        each.
      nu_dtype: dtype of nu; see `scale_by_adam`.
      axis_name: mesh axes over which every leaf is split, see `clip_by_block_rms`.

    Raises:
      ValueError: a number out of range, an axis that is not there, or a leaf that
        differs along one that is not named.

    Source: Yuan et al., MARS: unleashing the power of variance reduction for training
    large models (2024), algorithm 2 (MARS-AdamW); the authors' program begins from a
    last gradient of 0, so that c_1 is longer.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.scale_by_mars()
      >>> tx.update(jnp.array([0.5, -20.0]), tx.init(jnp.ones(2)))[0].round(4)
      Array([ 1., -1.], dtype=float32)
    """
    check.decay("b1", b1)
    check.decay("b2", b2)
    check.nonnegative("eps", eps)
    check.nonnegative("eps_root", eps_root)
    check.nonnegative("gamma", gamma)
    if max_norm is not None:
        check.positive("max_norm", max_norm)
    names_of(axis_name)

    def limited(c, g):
        if max_norm is None:
            return c
        axes = axes_of(g, axis_name)
        scale = window(max_norm, c.size * size_of(axes), c.real.dtype)
        total = across(jnp.sum(abs_sq(scale * c)), axes)
        factor = shrinking(root(total), scale * max_norm, max_norm)
        return factor * c

    def rule(g, mu, nu, last, first, mu_factor, nu_factor):
        change = select(first, 0, g - last)
        x = limited(g + gamma * (b1 / (1 - b1)) * change, g)
        mu = b1 * mu + (1 - b1) * x
        nu = b2 * nu + (1 - b2) * abs_sq(x)
        u = divide(mu_factor * mu, root(nu_factor * nu, eps_root) + eps, eps)
        return u, mu, nu, after(g, mu, nu)

    def scalars(count):
        return (
            count == 1,
            1 / one_minus_power(b1, count),
            1 / one_minus_power(b2, count),
        )

    return leafwise(
        ScaleByMarsState,
        rule,
        scalars=scalars,
        whole_leaf=max_norm is not None,
        mu=zeros(mu_dtype),
        nu=zeros(nu_dtype, real=True),
        last=zeros(mu_dtype),
    )


@transformation
def mars(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.95,
    b2: Scalar = 0.99,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    mu_dtype: Any = None,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: MaskOrFn | None = None,
    *,
    gamma: Scalar = 0.025,
    max_norm: Scalar | None = 1.0,
    nu_dtype: Any = None,
    axis_name: AxisName = None,
):
    """MARS-AdamW: `scale_by_mars`, then weight decay, then the learning rate.

    The authors train matrices with it, and vectors with AdamW; `partition` does that.

    State: three arrays per parameter and one int32.

    Args:
      learning_rate: a finite number or a schedule; 3e-3 to 6e-3 are the authors'.
      b1, b2, eps, eps_root, mu_dtype, gamma, max_norm, nu_dtype, axis_name: see
        `scale_by_mars`.
      weight_decay, mask: see `add_decayed_weights`.

    Raises:
      ValueError: a number out of range, or a mask that does not fit.

    Source: Yuan et al., MARS: unleashing the power of variance reduction for training
    large models (2024), algorithm 2 (MARS-AdamW).

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.mars(0.1)
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.ones(2), tx.init(params), params)
    """
    return chain(
        scale_by_mars(
            b1,
            b2,
            eps,
            eps_root,
            mu_dtype,
            gamma=gamma,
            max_norm=max_norm,
            nu_dtype=nu_dtype,
            axis_name=axis_name,
        ),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )
