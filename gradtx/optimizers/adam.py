"""Adam, and Adam with Nesterov's momentum."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.compose import chain
from gradtx.core.leafwise import leafwise, zeros
from gradtx.core.numerics import abs_sq, divide, one_minus_power
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, ScalarOrSchedule, Updates
from gradtx.transforms.scale import scale_by_learning_rate


class ScaleByAdamState(NamedTuple):
    count: jax.Array  # steps taken, int32
    mu: Updates  # first moment, shaped like params, float32 at least
    nu: Updates  # second moment, real, shaped like params, float32 at least


def corrections(b1: Scalar, b2: Scalar, count: jax.Array, on: bool, nesterov: bool):
    """The factors that take the start from zero out of mu, of g and out of nu.

    With Nesterov's momentum mu is used one step ahead, b1 mu_t + (1 - b1) g_t, where
    the two terms have their own corrections (Dozat, algorithm 2).
    """
    if not on:
        return (b1, 1 - b1, 1.0) if nesterov else (1.0, 0.0, 1.0)
    nu = 1 / one_minus_power(b2, count)
    if nesterov:
        ahead = b1 / one_minus_power(b1, count + 1)
        return ahead, (1 - b1) / one_minus_power(b1, count), nu
    return 1 / one_minus_power(b1, count), 0.0, nu


@transformation
def scale_by_adam(
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    mu_dtype: Any = None,
    *,
    nesterov: bool = False,
    bias_correction: bool = True,
    nu_dtype: Any = None,
):
    """Divide the average gradient by the root of the average squared gradient.

        mu_t = b1 mu_{t-1} + (1 - b1) g_t,       mu_0 = 0
        nu_t = b2 nu_{t-1} + (1 - b2) |g_t|^2,   nu_0 = 0
        mu^_t = mu_t / (1 - b1^t),   nu^_t = nu_t / (1 - b2^t)
        u_t = mu^_t / (sqrt(nu^_t + eps_root) + eps)

    With `nesterov`, mu^_t = b1 mu_t / (1 - b1^(t+1)) + (1 - b1) g_t / (1 - b1^t).
    The result does not change when the loss is multiplied by a constant (eps = 0).
    Where numerator and denominator are both zero, so is the result.

    State: two arrays per parameter and one int32.

    Args:
      b1: decay of the first moment, in [0, 1).
      b2: decay of the second moment, in [0, 1). Near 1, since a squared gradient is
        noisy; it looks back over about 1 / (1 - b2) steps.
      eps: added outside of the root, at least 0 (units: gradient). The paper's
        algorithm has it there, 1e-8.
      eps_root: added inside of the root, at least 0 (units: gradient squared). Some
        lectures have it there; it also keeps the derivative of the root finite when
        one differentiates through the optimizer.
      mu_dtype, nu_dtype: dtypes of the moments; by default the parameter's, at least
        float32. In bfloat16 a second moment with b2 = 0.999 stands still.
      nesterov: whether to use the first moment one step ahead.
      bias_correction: whether to correct for the start from zero. Without it the
        first step is (1 - b1) / sqrt(1 - b2) times as long, 3.2 by default.

    Raises:
      ValueError: a number out of range.

    Source: Kingma & Ba, Adam: a method for stochastic optimization (2015), algorithm
    1; Dozat, Incorporating Nesterov momentum into Adam (2016), algorithm 2.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.scale_by_adam()
      >>> tx.update(jnp.array([0.5, -20.0]), tx.init(jnp.ones(2)))[0]
      Array([ 1., -1.], dtype=float32)
    """
    check.decay("b1", b1)
    check.decay("b2", b2)
    check.nonnegative("eps", eps)
    check.nonnegative("eps_root", eps_root)

    def rule(g, mu, nu, mu_factor, g_factor, nu_factor):
        mu = b1 * mu + (1 - b1) * g
        nu = b2 * nu + (1 - b2) * abs_sq(g)
        ahead = mu_factor * mu + g_factor * g if nesterov else mu_factor * mu
        return divide(ahead, jnp.sqrt(nu_factor * nu + eps_root) + eps, eps), mu, nu

    return leafwise(
        ScaleByAdamState,
        rule,
        scalars=lambda t: corrections(b1, b2, t, bias_correction, nesterov),
        mu=zeros(mu_dtype),
        nu=zeros(nu_dtype, real=True),
    )


@transformation
def adam(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    mu_dtype: Any = None,
    *,
    nesterov: bool = False,
    bias_correction: bool = True,
    nu_dtype: Any = None,
):
    """Adam: `scale_by_adam`, then the learning rate.

    Each entry of the parameters is moved by the average of its recent gradients,
    divided by their usual size. So the length of a step does not depend on how large
    the gradients are, but on how far they agree: it is about learning_rate where they
    all have one sign, and less where the sign changes.

    A step is longer than learning_rate where gradients come back after a long time
    without any. The average of squares remembers more steps than the average of
    gradients, so it takes in less of the first one, and the quotient is large: the
    entry moves by learning_rate (1 - b1) / sqrt(1 - b2), 3.2 times learning_rate by
    default. The paper takes that for the largest step there is (or 1, if it is less
    than 1). But the next gradients of that sign make it longer still, for b1^2 < b2 up
    to learning_rate (1 - b1) / sqrt((1 - b2) (1 - b1^2 / b2)), 7.3 times by default.

    State: two arrays per parameter and one int32.

    Args:
      learning_rate: a finite number or a schedule; 1e-3 is the paper's, 1e-4 to 5e-4
        are common for large networks.
      b1, b2, eps, eps_root, mu_dtype, nesterov, bias_correction, nu_dtype: see
        `scale_by_adam`.

    Raises:
      ValueError: a number out of range.

    Source: Kingma & Ba, Adam: a method for stochastic optimization (2015).

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.adam(0.1)
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.array([5.0, -0.1]), tx.init(params), params)
      >>> params
      Array([0.9, 2.1], dtype=float32)
    """
    return chain(
        scale_by_adam(
            b1,
            b2,
            eps,
            eps_root,
            mu_dtype,
            nesterov=nesterov,
            bias_correction=bias_correction,
            nu_dtype=nu_dtype,
        ),
        scale_by_learning_rate(learning_rate),
    )


@transformation
def nadam(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    mu_dtype: Any = None,
    *,
    nesterov: bool = True,
    bias_correction: bool = True,
    nu_dtype: Any = None,
):
    """NAdam: `adam` with Nesterov's momentum.

    State: two arrays per parameter and one int32.

    Args:
      learning_rate: a finite number or a schedule.
      b1, b2, eps, eps_root, mu_dtype, nesterov, bias_correction, nu_dtype: see
        `scale_by_adam`.

    Raises:
      ValueError: a number out of range.

    Source: Dozat, Incorporating Nesterov momentum into Adam (2016), algorithm 2, with
    a constant b1 (torch.optim.NAdam lets it grow).

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.nadam(0.1)
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.ones(2), tx.init(params), params)
    """
    return adam(
        learning_rate,
        b1,
        b2,
        eps,
        eps_root,
        mu_dtype,
        nesterov=nesterov,
        bias_correction=bias_correction,
        nu_dtype=nu_dtype,
    )
