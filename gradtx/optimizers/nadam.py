"""NAdam: Adam with Nesterov's momentum, of constant or growing strength."""

from typing import Any, NamedTuple

import jax

from gradtx.core import check
from gradtx.core.compose import chain
from gradtx.core.leafwise import leafwise, zeros
from gradtx.core.numerics import (
    abs_sq,
    as_float,
    divide,
    one_minus_power,
    root,
    safe_increment,
)
from gradtx.core.plan import Inputs, check_shapes, check_state, planned
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, ScalarOrSchedule, Updates
from gradtx.optimizers.adam import ScaleByAdamState, scale_by_adam
from gradtx.transforms.scale import scale_by_learning_rate


class ScaleByNadamState(NamedTuple):
    count: jax.Array  # steps taken, int32
    mu: Updates  # first moment, shaped like params, float32 at least
    nu: Updates  # second moment, real, shaped like params, float32 at least
    product: jax.Array  # of the m_k up to now, float32 at least


@transformation
def scale_by_nadam(
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    mu_dtype: Any = None,
    *,
    momentum_decay: Scalar = 4e-3,
    nu_dtype: Any = None,
):
    """Adam with Nesterov's momentum, whose strength grows from b1 / 2 to b1.

        mu_t, nu_t, nu^_t as in scale_by_adam
        m_t = b1 (1 - 0.96^(momentum_decay t) / 2),   M_t = m_1 m_2 ... m_t
        mu^_t = m_{t+1} mu_t / (1 - M_{t+1}) + (1 - m_t) g_t / (1 - M_t)
        u_t = mu^_t / (sqrt(nu^_t + eps_root) + eps)

    The average mu decays by b1, whatever m_t. With a constant strength, m_t = b1, it is
    `scale_by_adam(nesterov=True)`.

    State: two arrays per parameter, one int32 and one number.

    Args:
      b1, b2, eps, eps_root, mu_dtype, nu_dtype: see `scale_by_adam`.
      momentum_decay: how fast the strength grows, at least 0: the half that is missing
        at first falls by 4 % every 1 / momentum_decay steps. 0 keeps it at b1 / 2.

    Raises:
      ValueError: a number out of range.

    Source: Dozat, Incorporating Nesterov momentum into Adam (2016), algorithm 2, with
    the growing strength of its experiments, as in PyTorch.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.scale_by_nadam()
      >>> updates, state = tx.update(jnp.ones(2), tx.init(jnp.ones(2)))
      >>> round(float(state.product), 4)
      0.4501
    """
    check.decay("b1", b1)
    check.decay("b2", b2)
    check.nonnegative("eps", eps)
    check.nonnegative("eps_root", eps_root)
    check.nonnegative("momentum_decay", momentum_decay)

    def rule(g, mu, nu, mu_factor, g_factor, nu_factor):
        mu = b1 * mu + (1 - b1) * g
        nu = b2 * nu + (1 - b2) * abs_sq(g)
        ahead = mu_factor * mu + g_factor * g
        return divide(ahead, root(nu_factor * nu, eps_root) + eps, eps), mu, nu

    make, _ = leafwise(
        ScaleByAdamState, rule, mu=zeros(mu_dtype), nu=zeros(nu_dtype, real=True)
    )

    def init(params):
        return ScaleByNadamState(*make(params), product=as_float(1))

    def strength(count):
        return b1 * (1 - 0.5 * 0.96 ** (momentum_decay * as_float(count)))

    def prepare(updates, state, params):
        check_state(state, ScaleByNadamState)
        check_shapes(updates, state.mu)
        count = safe_increment(state.count)
        now, ahead = strength(count), strength(count + 1)
        product = (state.product * now).astype(state.product.dtype)
        scalars = (
            ahead / (1 - product * ahead),
            (1 - now) / (1 - product),
            1 / one_minus_power(b2, count),
        )

        def rebuild(mu, nu):
            return ScaleByNadamState(count, mu, nu, product)

        return Inputs([state.mu, state.nu], scalars), rebuild

    return planned(init, rule, prepare, entrywise=True)


def momentum_of(
    momentum_decay: Scalar | None, nesterov: bool, bias_correction: bool, **common: Any
) -> Any:
    """The scaling of `nadam` and `nadamw`: constant strength, or growing."""
    if momentum_decay is None:
        return scale_by_adam(
            **common, nesterov=nesterov, bias_correction=bias_correction
        )
    if not (nesterov and bias_correction):
        raise ValueError(
            "momentum_decay needs nesterov=True and bias_correction=True, got "
            f"nesterov={nesterov}, bias_correction={bias_correction}."
        )
    return scale_by_nadam(**common, momentum_decay=momentum_decay)


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
    momentum_decay: Scalar | None = None,
):
    """NAdam: `adam` with Nesterov's momentum.

    State: two arrays per parameter and one int32.

    Args:
      learning_rate: a finite number or a schedule.
      b1, b2, eps, eps_root, mu_dtype, nesterov, bias_correction, nu_dtype: see
        `scale_by_adam`.
      momentum_decay: see `scale_by_nadam`; `None`, as in Optax, for a constant b1,
        4e-3 for torch.optim.NAdam's default. Then the state has one number more.

    Raises:
      ValueError: a number out of range; momentum_decay without Nesterov's momentum or
        without the correction.

    Source: Dozat, Incorporating Nesterov momentum into Adam (2016), algorithm 2.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.nadam(0.1)
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.ones(2), tx.init(params), params)
    """
    scaling = momentum_of(
        momentum_decay,
        nesterov,
        bias_correction,
        b1=b1,
        b2=b2,
        eps=eps,
        eps_root=eps_root,
        mu_dtype=mu_dtype,
        nu_dtype=nu_dtype,
    )
    return chain(scaling, scale_by_learning_rate(learning_rate))
