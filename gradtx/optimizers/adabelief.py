"""AdaBelief: Adam that divides by how far gradients are from their average."""

from typing import Any, NamedTuple

import jax

from gradtx.core import check
from gradtx.core.compose import chain
from gradtx.core.leafwise import leafwise, zeros
from gradtx.core.numerics import abs_sq, divide, root
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, ScalarOrSchedule, Updates
from gradtx.optimizers.adam import corrections
from gradtx.transforms.scale import scale_by_learning_rate


class ScaleByBeliefState(NamedTuple):
    count: jax.Array  # steps taken, int32
    mu: Updates  # average gradient, shaped like params, float32 at least
    nu: Updates  # average squared deviation, real, shaped like params, as wide


@transformation
def scale_by_belief(
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-16,
    eps_root: Scalar = 1e-16,
    *,
    nesterov: bool = False,
    mu_dtype: Any = None,
    nu_dtype: Any = None,
):
    """Divide the average gradient by the root of its average squared deviation.

        mu_t = b1 mu_{t-1} + (1 - b1) g_t,                        mu_0 = 0
        nu_t = b2 nu_{t-1} + (1 - b2) |g_t - mu_t|^2 + eps_root,  nu_0 = 0
        mu^_t = mu_t / (1 - b1^t),   nu^_t = nu_t / (1 - b2^t)
        u_t = mu^_t / (sqrt(nu^_t) + eps)

    A gradient that is as the average foretold makes the next step longer, whatever its
    size; Adam would go by the size. As mu_t holds a part of g_t, the deviation is
    b1 |g_t - mu_{t-1}|. For gradients that do not change it goes to 0, and the step
    grows up to mu / sqrt(eps_root / (1 - b2)).

    With `nesterov`, mu^_t = b1 mu_t / (1 - b1^(t+1)) + (1 - b1) g_t / (1 - b1^t).

    State: two arrays per parameter and one int32.

    Args:
      b1: decay of the average, in [0, 1).
      b2: decay of the squared deviation, in [0, 1).
      eps: added outside of the root, at least 0 (units: gradient).
      eps_root: added to the average in each step, at least 0 (units: gradient
        squared): in the end eps_root / (1 - b2) is in the root. Both are in the paper.
      nesterov: whether to use the average one step ahead.
      mu_dtype, nu_dtype: dtypes of the state, see `scale_by_adam`.

    Raises:
      ValueError: a number out of range.

    Source: Zhuang et al., AdaBelief optimizer: adapting stepsizes by the belief in
    observed gradients (2020), algorithm 2.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.scale_by_belief(b1=0.5)
      >>> tx.update(jnp.array([0.5, -20.0]), tx.init(jnp.ones(2)))[0].round(4)
      Array([ 2., -2.], dtype=float32)
    """
    check.decay("b1", b1)
    check.decay("b2", b2)
    check.nonnegative("eps", eps)
    check.nonnegative("eps_root", eps_root)

    def rule(g, mu, nu, mu_factor, nu_factor, g_factor=0.0):
        mu = b1 * mu + (1 - b1) * g
        # In this order: what a constant is added to last XLA computes twice.
        nu = b2 * nu + ((1 - b2) * abs_sq(g - mu) + eps_root)
        ahead = mu_factor * mu + g_factor * g if nesterov else mu_factor * mu
        return divide(ahead, root(nu_factor * nu) + eps, eps), mu, nu

    return leafwise(
        ScaleByBeliefState,
        rule,
        scalars=lambda count: corrections(b1, b2, count, True, nesterov),
        mu=zeros(mu_dtype),
        nu=zeros(nu_dtype, real=True),
    )


@transformation
def adabelief(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-16,
    eps_root: Scalar = 1e-16,
    *,
    nesterov: bool = False,
    mu_dtype: Any = None,
    nu_dtype: Any = None,
):
    """AdaBelief: `scale_by_belief`, then the learning rate.

    State: two arrays per parameter and one int32.

    Args:
      learning_rate: a finite number or a schedule; as for Adam.
      b1, b2, eps, eps_root, nesterov, mu_dtype, nu_dtype: see `scale_by_belief`.

    Raises:
      ValueError: a number out of range.

    Source: Zhuang et al., AdaBelief optimizer (2020), algorithm 2.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.adabelief(0.1)
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.ones(2), tx.init(params), params)
    """
    return chain(
        scale_by_belief(
            b1,
            b2,
            eps,
            eps_root,
            nesterov=nesterov,
            mu_dtype=mu_dtype,
            nu_dtype=nu_dtype,
        ),
        scale_by_learning_rate(learning_rate),
    )
