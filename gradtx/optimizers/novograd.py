"""NovoGrad: gradients over their norm, one for each leaf."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.axes import AxisName, across, axes_of, names_of
from gradtx.core.compose import chain
from gradtx.core.leafwise import leafwise, reduced, zeros
from gradtx.core.numerics import abs_sq, divide, root, value_at
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, ScalarOrSchedule, Updates
from gradtx.transforms.scale import scale_by_learning_rate


class ScaleByNovogradState(NamedTuple):
    count: jax.Array  # steps taken, int32
    mu: Updates  # decaying sum of scaled gradients and decay, shaped like params
    nu: Updates  # average squared norm of the gradient, a real number a leaf


@transformation
def scale_by_novograd(
    b1: Scalar = 0.9,
    b2: Scalar = 0.25,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    weight_decay: ScalarOrSchedule = 0.0,
    mu_dtype: Any = None,
    *,
    axis_name: AxisName = None,
):
    """Sum up gradients over their norms, with weight decay inside of the sum.

        nu_t = b2 nu_{t-1} + (1 - b2) |g_t|_2^2,   nu_1 = |g_1|_2^2
        mu_t = b1 mu_{t-1} + g_t / (sqrt(nu_t + eps_root) + eps) + weight_decay p
        u_t = mu_t,   mu_0 = 0

    The norm is that of the leaf, which stands for a layer. The sum is of weight
    1 / (1 - b1), 10 by default. Where numerator and denominator are both zero, so is
    the scaled gradient.

    State: one array per parameter, one number per leaf and one int32. `update` needs
    params.

    Args:
      b1: decay of the sum, in [0, 1).
      b2: decay of the squared norm, in [0, 1); low, since a norm is less noisy than an
        entry.
      eps: added outside of the root, at least 0 (units: gradient).
      eps_root: added inside of the root, at least 0 (units: gradient squared).
      weight_decay: at least 0, or a schedule; multiplied by 1 / (1 - b1) in the long
        run.
      mu_dtype: dtype of the sum; by default the parameter's, at least float32.
      axis_name: mesh axes over which every leaf is split, inside of `pmap` or
        `shard_map`; see `clip_by_block_rms`.

    Raises:
      ValueError: a number out of range, no params, an axis that is not there, or a leaf
        that differs along one that is not named.

    Source: Ginsburg et al., Stochastic gradient methods with layer-wise adaptive
    moments for training of deep networks (2019), algorithm 1.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.scale_by_novograd()
      >>> params = jnp.ones(2)
      >>> tx.update(jnp.array([3.0, 4.0]), tx.init(params), params)[0]
      Array([0.6, 0.8], dtype=float32)
    """
    check.decay("b1", b1)
    check.decay("b2", b2)
    check.nonnegative("eps", eps)
    check.nonnegative("eps_root", eps_root)
    if not callable(weight_decay):
        check.nonnegative("weight_decay", weight_decay)
    names_of(axis_name)
    none = isinstance(weight_decay, float | int) and weight_decay == 0

    def scalars(count):
        first = count == 1
        decay = weight_decay
        if callable(weight_decay):
            decay = value_at("weight_decay", weight_decay, count - 1)
        return jnp.where(first, 0.0, b2), jnp.where(first, 1.0, 1 - b2), decay

    def rule(g, p, mu, nu, keep, fresh, decay):
        total = across(jnp.sum(abs_sq(g)), axes_of(g, axis_name))
        nu = keep * nu + fresh * total
        # One number times g, not g over it: XLA would store the quotient.
        scale = divide(jnp.ones_like(nu), root(nu, eps_root) + eps, eps)
        mu = b1 * mu + scale * g
        mu = mu if none else mu + decay * p
        return mu, mu, nu

    return leafwise(
        ScaleByNovogradState,
        rule,
        scalars=scalars,
        with_params=True,
        whole_leaf=True,
        mu=zeros(mu_dtype),
        nu=reduced(lambda p: tuple(range(p.ndim))),
    )


@transformation
def novograd(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.25,
    eps: Scalar = 1e-6,
    eps_root: Scalar = 0.0,
    weight_decay: ScalarOrSchedule = 0.0,
    *,
    mu_dtype: Any = None,
    axis_name: AxisName = None,
):
    """NovoGrad: `scale_by_novograd`, then the learning rate.

    State: one array per parameter, one number per leaf and one int32.

    Args:
      learning_rate: a finite number or a schedule; the paper has 1e-2 to 4e-2.
      b1, b2, eps, eps_root, weight_decay, mu_dtype, axis_name: see `scale_by_novograd`.

    Raises:
      ValueError: a number out of range, or no params.

    Source: Ginsburg et al., Stochastic gradient methods with layer-wise adaptive
    moments for training of deep networks (2019), algorithm 1.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.novograd(0.1)
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.array([3.0, 4.0]), tx.init(params), params)
      >>> [round(float(p), 4) for p in params]
      [0.94, 1.92]
    """
    return chain(
        scale_by_novograd(
            b1, b2, eps, eps_root, weight_decay, mu_dtype, axis_name=axis_name
        ),
        scale_by_learning_rate(learning_rate),
    )
