"""AdaGrad: each entry by the root of its summed squares."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.compose import chain
from gradtx.core.leafwise import full, leafwise
from gradtx.core.numerics import abs_sq
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, ScalarOrSchedule, Updates
from gradtx.transforms.scale import scale_by_learning_rate


class ScaleByRssState(NamedTuple):
    sum_of_squares: Updates  # real, shaped like params, float32 at least


@transformation
def scale_by_rss(initial_accumulator_value: Scalar = 0.1, eps: Scalar = 1e-7):
    """Divide each entry by the root of the sum of its squares so far.

        G_t = G_{t-1} + |g_t|^2,   G_0 = initial_accumulator_value
        u_t = g_t / sqrt(G_t + eps),   0 where G_t = 0

    The lectures have eps outside of the root (about 1e-7, algorithm AdaGrad) or
    inside (eq. 8); here it is inside, as in Optax.

    State: one real array per parameter.

    Args:
      initial_accumulator_value: start of the sums, at least 0 (units: gradient
        squared); it keeps the first steps short.
      eps: at least 0, against division by a small root.

    Raises:
      ValueError: a number out of range.

    Source: Duchi, Hazan & Singer, Adaptive subgradient methods (2011), eq. 1 with the
    diagonal of G.

    Example:
      >>> import gradtx
      >>> tx = gradtx.scale_by_rss(initial_accumulator_value=9.0, eps=0.0)
      >>> round(float(tx.update(4.0, tx.init(0.0))[0]), 6)
      0.8
    """
    check.nonnegative("initial_accumulator_value", initial_accumulator_value)
    check.nonnegative("eps", eps)

    def rule(g, total):
        total = total + abs_sq(g)
        there = total > 0
        scale = jax.lax.rsqrt(jnp.where(there, total, 1) + eps)
        return g * jnp.where(there, scale, 0), total

    return leafwise(
        ScaleByRssState,
        rule,
        sum_of_squares=full(initial_accumulator_value, real=True),
    )


@transformation
def adagrad(
    learning_rate: ScalarOrSchedule,
    initial_accumulator_value: Scalar = 0.1,
    eps: Scalar = 1e-7,
):
    """AdaGrad: `scale_by_rss`, then the learning rate.

    Steps only ever shrink: good for sparse features and convex problems, early to stop
    in long training. State: one array per parameter.

    Args:
      learning_rate: a finite number or a schedule; 0.01 to 0.1 is common.
      initial_accumulator_value, eps: see `scale_by_rss`.

    Raises:
      ValueError: a number out of range.

    Source: Duchi, Hazan & Singer, Adaptive subgradient methods (2011).

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.adagrad(0.1)
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.ones(2), tx.init(params), params)
    """
    return chain(
        scale_by_rss(initial_accumulator_value, eps),
        scale_by_learning_rate(learning_rate),
    )
