"""AdaGrad: each entry by the root of its summed squares."""

from typing import NamedTuple

import jax

from gradtx.core import check
from gradtx.core.compose import chain
from gradtx.core.leafwise import full, leafwise
from gradtx.core.numerics import abs_sq, divide, root, select
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, ScalarOrSchedule, Updates
from gradtx.transforms.scale import scale_by_learning_rate


class ScaleByRssState(NamedTuple):
    sum_of_squares: Updates  # real, shaped like params, float32 at least


@transformation
def scale_by_rss(
    initial_accumulator_value: Scalar = 0.1,
    eps: Scalar = 1e-7,
    *,
    eps_in_sqrt: bool = True,
):
    """Divide each entry by the root of the sum of its squares so far.

        G_t = G_{t-1} + |g_t|^2,   G_0 = initial_accumulator_value
        u_t = g_t / sqrt(G_t + eps),   or g_t / (sqrt(G_t) + eps)

    and 0 where G_t = 0. The factor of g_t only ever falls.

    State: one real array per parameter.

    Args:
      initial_accumulator_value: start of the sums, at least 0 (units: gradient
        squared). The paper, all lectures (docs/lectures.md) and PyTorch start from 0,
        where the first step is the gradient's sign, however small the gradient. 0.1 is
        Optax's and TensorFlow's: a first gradient of 0.01 gives 0.032, one of 1 gives
        0.95.
      eps: at least 0, against division by a small root; in the unit of the gradient
        outside of the root, squared inside.
      eps_in_sqrt: inside as in Boyd-Graber (eq. 8) and in Optax; `False` as in More
        Optimization and Adam and friends (about 1e-7) and in PyTorch (1e-10).

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
        if eps_in_sqrt:
            there = total > 0
            scale = jax.lax.rsqrt(select(there, total, 1) + eps)
            return g * select(there, scale, 0), total
        return divide(g, root(total) + eps, eps), total

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
    *,
    eps_in_sqrt: bool = True,
):
    """AdaGrad: `scale_by_rss`, then the learning rate.

    What a gradient is multiplied by only ever falls (a step need not: the next gradient
    may be larger): good for sparse features and convex problems, early to stop in long
    training. State: one array per parameter.

    Args:
      learning_rate: a finite number or a schedule; 0.01 to 0.1 is common.
      initial_accumulator_value, eps, eps_in_sqrt: see `scale_by_rss`.

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
        scale_by_rss(initial_accumulator_value, eps, eps_in_sqrt=eps_in_sqrt),
        scale_by_learning_rate(learning_rate),
    )
