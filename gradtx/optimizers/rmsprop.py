"""RMSProp: each entry by the root of its average square."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.compose import chain
from gradtx.core.leafwise import full, leafwise, zeros
from gradtx.core.numerics import abs_sq, divide, one_minus_power, root
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, ScalarOrSchedule, Updates
from gradtx.transforms.momentum import trace
from gradtx.transforms.scale import scale_by_learning_rate


class ScaleByRmsState(NamedTuple):
    nu: Updates  # average square, real, shaped like params, float32 at least


class ScaleByRmsWithCountState(NamedTuple):
    count: jax.Array  # steps taken, int32
    nu: Updates  # as in ScaleByRmsState


class ScaleByRStdDevState(NamedTuple):
    mu: Updates  # average, shaped like params, float32 at least
    nu: Updates  # average square, real, shaped like params, float32 at least


class ScaleByRStdDevWithCountState(NamedTuple):
    count: jax.Array  # steps taken, int32
    mu: Updates  # as in ScaleByRStdDevState
    nu: Updates


def _check(decay, eps, initial_scale):
    check.decay("decay", decay)
    check.nonnegative("eps", eps)
    check.nonnegative("initial_scale", initial_scale)


def _over_root(g, nu, eps, eps_in_sqrt):
    scale = root(nu + eps) if eps_in_sqrt else root(nu) + eps
    return divide(g, scale, eps)


def _correction(decay, bias_correction):
    """The scalars of a rule: the factor for the start from zero, where it is on."""
    if not bias_correction:
        return None
    return lambda count: (1 / one_minus_power(decay, count),)


@transformation
def scale_by_rms(
    decay: Scalar = 0.9,
    eps: Scalar = 1e-8,
    initial_scale: Scalar = 0.0,
    eps_in_sqrt: bool = True,
    bias_correction: bool = False,
):
    """Divide the gradient by the root of its average square.

        nu_t = decay nu_{t-1} + (1 - decay) |g_t|^2,   nu_0 = initial_scale
        u_t = g_t / sqrt(nu_t + eps),   or g_t / (sqrt(nu_t) + eps)

    State: one real array per parameter (and one int32 with bias_correction).

    Args:
      decay: in [0, 1); the average looks back over about 1 / (1 - decay) steps.
      eps: at least 0; in the unit of the gradient outside of the root, squared inside.
        Inside, the largest gain is 1 / sqrt(eps), 1e4 by default; outside 1e8.
      initial_scale: start of the average, at least 0. From 0 the first step is
        1 / sqrt(1 - decay) times a sign, 3.2 by default; TensorFlow starts from 1.
      eps_in_sqrt: inside as in Boyd-Graber (eq. 10) and in TensorFlow; `False` as in
        More Optimization, in Adam and friends (docs/lectures.md) and in PyTorch.
      bias_correction: divide nu_t by 1 - decay^t.

    Raises:
      ValueError: a number out of range.

    Source: Tieleman & Hinton, Lecture 6.5 - rmsprop (2012).

    Example:
      >>> import gradtx
      >>> tx = gradtx.scale_by_rms(decay=0.75)
      >>> round(float(tx.update(5.0, tx.init(1.0))[0]), 6)
      2.0
    """
    _check(decay, eps, initial_scale)

    def rule(g, nu, correction=None):
        nu = decay * nu + (1 - decay) * abs_sq(g)
        corrected = nu if correction is None else correction * nu
        return _over_root(g, corrected, eps, eps_in_sqrt), nu

    return leafwise(
        ScaleByRmsWithCountState if bias_correction else ScaleByRmsState,
        rule,
        scalars=_correction(decay, bias_correction),
        nu=full(initial_scale, real=True),
    )


@transformation
def scale_by_stddev(
    decay: Scalar = 0.9,
    eps: Scalar = 1e-8,
    initial_scale: Scalar = 0.0,
    eps_in_sqrt: bool = True,
    bias_correction: bool = False,
):
    """Divide the gradient by its running standard deviation.

        mu_t = decay mu_{t-1} + (1 - decay) g_t,       mu_0 = 0
        nu_t = decay nu_{t-1} + (1 - decay) |g_t|^2,   nu_0 = initial_scale
        u_t = g_t / sqrt(nu_t - |mu_t|^2 + eps),
        or g_t / (sqrt(nu_t - |mu_t|^2) + eps)

    Rounding can bring the difference below 0; it counts as 0 then. For constant
    gradients the deviation goes to 0 and the step grows to g / sqrt(eps).

    State: two arrays per parameter (and one int32 with bias_correction).

    Args:
      decay, eps, initial_scale, eps_in_sqrt: see `scale_by_rms`.
      bias_correction: divide both averages by 1 - decay^t. The first deviation is 0
        then, and the first step g / sqrt(eps).

    Raises:
      ValueError: a number out of range.

    Source: Graves, Generating sequences with recurrent neural networks (2013), eqs.
    38-40.

    Example:
      >>> import gradtx
      >>> tx = gradtx.scale_by_stddev(decay=0.5)
      >>> round(float(tx.update(5.0, tx.init(1.0))[0]), 6)
      2.0
    """
    _check(decay, eps, initial_scale)

    def rule(g, mu, nu, correction=1.0):
        mu = decay * mu + (1 - decay) * g
        nu = decay * nu + (1 - decay) * abs_sq(g)
        # Out of range nu is infinite, too, and infinity less infinity no number.
        square = jnp.minimum(abs_sq(correction * mu), jnp.finfo(nu.dtype).max)
        variance = correction * nu - square
        return _over_root(g, jnp.maximum(variance, 0), eps, eps_in_sqrt), mu, nu

    return leafwise(
        ScaleByRStdDevWithCountState if bias_correction else ScaleByRStdDevState,
        rule,
        scalars=_correction(decay, bias_correction),
        mu=zeros(),
        nu=full(initial_scale, real=True),
    )


@transformation
def rmsprop(
    learning_rate: ScalarOrSchedule,
    decay: Scalar = 0.9,
    eps: Scalar = 1e-8,
    initial_scale: Scalar = 0.0,
    eps_in_sqrt: bool = True,
    centered: bool = False,
    momentum: Scalar | None = None,
    nesterov: bool = False,
    bias_correction: bool = False,
):
    """RMSProp: `scale_by_rms` (`scale_by_stddev` if centered), the rate, then `trace`.

        v_t = momentum v_{t-1} - learning_rate g_t / sqrt(nu_t + eps)
        p_t = p_{t-1} + v_t

    State: one array per parameter; one more each for centered and for momentum.

    Args:
      learning_rate: a finite number or a schedule; 1e-3 is common. It stands inside of
        the velocity.
      decay, eps, initial_scale, eps_in_sqrt, bias_correction: see `scale_by_rms`.
      centered: divide by the standard deviation.
      momentum: part of the velocity kept, in [0, 1); `None` for none.
      nesterov: see `trace`.

    Raises:
      ValueError: a number out of range.

    Source: Tieleman & Hinton, Lecture 6.5 - rmsprop (2012); centered: Graves (2013),
    eqs. 38-40.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.rmsprop(0.1, momentum=0.9)
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.ones(2), tx.init(params), params)
    """
    scaling = scale_by_stddev if centered else scale_by_rms
    members = [
        scaling(decay, eps, initial_scale, eps_in_sqrt, bias_correction),
        scale_by_learning_rate(learning_rate),
    ]
    if momentum is not None:
        check.decay("momentum", momentum)
        members.append(trace(momentum, nesterov))
    return chain(*members)
