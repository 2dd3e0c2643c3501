"""ADOPT: momentum of gradients, each by the second moment that was known before it."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.compose import chain
from gradtx.core.leafwise import leafwise, zeros
from gradtx.core.numerics import abs_sq, after, as_float, divide, root, value_at
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, ScalarOrSchedule
from gradtx.optimizers.adam import ScaleByAdamState
from gradtx.transforms.scale import scale_by_learning_rate


def fourth_root(count: jax.Array) -> jax.Array:
    """The paper's limit of an entry: t^(1/4)."""
    return count**0.25


@transformation
def scale_by_adopt(
    b1: Scalar = 0.9,
    b2: Scalar = 0.9999,
    eps: Scalar = 1e-6,
    mu_dtype: Any = None,
    *,
    nesterov: bool = False,
    use_clipping: bool = True,
    clip_value_fn: Callable[[jax.Array], jax.Array] = fourth_root,
    nu_dtype: Any = None,
):
    """Average gradients, each divided by the root of the second moment before it.

        x_t = clip(g_t / max(sqrt(nu_{t-1}), eps), clip_value_fn(t))
        mu_t = b1 mu_{t-1} + (1 - b1) x_t,       mu_0 = 0
        nu_t = b2 nu_{t-1} + (1 - b2) |g_t|^2,   nu_0 = |g_0|^2
        u_t = mu_t,   u_0 = 0

    where t is the number of steps before, 0, 1, 2, ...: the first gradient makes nu and
    no step. As the denominator does not know the gradient that it divides, the method
    converges for any b2, which Adam need not. The limit is for entries whose first
    gradients were small: the quotient is unbounded.

    With `nesterov`, u_t = b1 mu_t + (1 - b1) x_t. A complex number is limited in size.

    State: two arrays per parameter and one int32.

    Args:
      b1: decay of the average, in [0, 1).
      b2: decay of the second moment, in [0, 1).
      eps: least denominator, at least 0 (units: gradient).
      mu_dtype, nu_dtype: dtypes of the moments, see `scale_by_adam`.
      nesterov: whether to use the average one step ahead.
      use_clipping: whether to limit x.
      clip_value_fn: from t, a floating scalar, to the limit; t^(1/4) is the paper's.

    Raises:
      ValueError: a number out of range.
      TypeError: if clip_value_fn is no function.

    Source: Taniguchi et al., ADOPT: modified Adam can converge with any beta2 with the
    optimal rate (2024), algorithm 2, and algorithm 1 without clipping; there the first
    step has no factor 1 - b1, in the authors' program it has.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.scale_by_adopt(b1=0.5)
      >>> g = jnp.array([0.5, -20.0])
      >>> _, state = tx.update(g, tx.init(g))
      >>> tx.update(g, state)[0]
      Array([ 0.5, -0.5], dtype=float32)
    """
    check.decay("b1", b1)
    check.decay("b2", b2)
    check.nonnegative("eps", eps)
    if not callable(clip_value_fn):
        raise TypeError(
            f"clip_value_fn must be a function of the step, got {clip_value_fn!r}. "
            f"For no limit say use_clipping=False."
        )

    def rule(g, mu, nu, first, keep, add, limit=None):
        x = divide(g, jnp.maximum(root(nu), eps), eps)
        if limit is not None:
            x = _limited(x, limit)
        x = jnp.where(first, 0, x)
        mu = b1 * mu + (1 - b1) * x
        nu = after(keep * nu + add * abs_sq(g), mu)
        return (b1 * mu + (1 - b1) * x if nesterov else mu), mu, nu

    def scalars(count):
        first, t = count == 1, count - 1
        keep, add = jnp.where(first, 0, b2), jnp.where(first, 1, 1 - b2)
        if not use_clipping:
            return first, keep, add
        return first, keep, add, value_at("clip_value_fn", clip_value_fn, as_float(t))

    return leafwise(
        ScaleByAdamState,
        rule,
        scalars=scalars,
        mu=zeros(mu_dtype),
        nu=zeros(nu_dtype, real=True),
    )


def _limited(x: jax.Array, limit: jax.Array) -> jax.Array:
    if not jnp.iscomplexobj(x):
        return jnp.clip(x, -limit, limit)
    size = jnp.abs(x)
    return x * jnp.where(size > limit, limit / jnp.where(size > limit, size, 1), 1)


@transformation
def adopt(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.9999,
    eps: Scalar = 1e-6,
    mu_dtype: Any = None,
    *,
    nesterov: bool = False,
    use_clipping: bool = True,
    clip_value_fn: Callable[[jax.Array], jax.Array] = fourth_root,
    nu_dtype: Any = None,
):
    """ADOPT: `scale_by_adopt`, then the learning rate.

    State: two arrays per parameter and one int32.

    Args:
      learning_rate: a finite number or a schedule; the paper's is 1e-3, as for Adam.
      b1, b2, eps, mu_dtype, nesterov, use_clipping, clip_value_fn, nu_dtype: see
        `scale_by_adopt`.

    Raises:
      ValueError: a number out of range.
      TypeError: if clip_value_fn is no function.

    Source: Taniguchi et al., ADOPT (2024), algorithm 2.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.adopt(0.1)
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.ones(2), tx.init(params), params)
      >>> params, state = tx.step(jnp.ones(2), state, params)
      >>> params
      Array([0.99, 1.99], dtype=float32)
    """
    return chain(
        scale_by_adopt(
            b1,
            b2,
            eps,
            mu_dtype,
            nesterov=nesterov,
            use_clipping=use_clipping,
            clip_value_fn=clip_value_fn,
            nu_dtype=nu_dtype,
        ),
        scale_by_learning_rate(learning_rate),
    )
