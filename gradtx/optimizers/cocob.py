"""COCOB: each parameter is a gambler who bets on the sign of its gradient."""

from typing import NamedTuple

import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.compose import chain
from gradtx.core.leafwise import full, initial, leafwise, zeros
from gradtx.core.masking import MaskOrFn
from gradtx.core.numerics import divide, settled
from gradtx.core.transformation import transformation
from gradtx.core.types import Params, Scalar, ScalarOrSchedule, Updates
from gradtx.transforms.decay import add_decayed_weights
from gradtx.transforms.scale import scale_by_learning_rate


class COCOBState(NamedTuple):
    init_particles: Params  # where it began, shaped like params, float32 at least
    cumulative_gradients: Updates  # minus the sum of gradients, like params, float32
    scale: Updates  # the largest gradient, shaped like params, float32 at least
    subgradients: Updates  # sum of magnitudes, shaped like params, float32 at least
    reward: Updates  # what was won, shaped like params, float32 at least


@transformation
def scale_by_cocob(alpha: Scalar = 100.0, eps: Scalar = 1e-8):
    """Bet a part of what was won on the direction that gradients had so far.

        L_t = max(L_{t-1}, |g_t|),   G_t = G_{t-1} + |g_t|,   L_0 = eps
        R_t = max(R_{t-1} - g_t (p_t - p_0), 0),   C_t = C_{t-1} - g_t
        u_t = p_0 - p_t + C_t / L_t (L_t + R_t) / max(G_t + L_t, alpha L_t)

    Each entry by itself, without a learning rate. The updates lead downhill, and
    need real numbers.

    State: five arrays per parameter. `update` needs params.

    Args:
      alpha: above 0; the first steps are of about 1 / alpha.
      eps: least of the largest gradient, at least 0.

    Raises:
      ValueError: a number out of range, a complex leaf, or no params in `update`.

    Source: Orabona & Tommasi, Training deep networks without learning rates through
    coin betting (2017), algorithm 2.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.scale_by_cocob(alpha=4.0)
      >>> params = jnp.zeros(2)
      >>> tx.update(jnp.array([20.0, -0.5]), tx.init(params), params)[0]
      Array([-0.25,  0.25], dtype=float32)
    """
    check.positive("alpha", alpha)
    check.nonnegative("eps", eps)

    def rule(g, p, start, against, largest, size, won):
        check.ordered(g)
        largest = jnp.maximum(largest, jnp.abs(g))
        size = size + jnp.abs(g)
        won = settled(jnp.maximum(won - g * (p - start), 0), start)
        against = against - g
        # Two quotients: the product of two large numbers would be out of range.
        part = divide(largest + won, jnp.maximum(size + largest, alpha * largest), eps)
        bet = divide(against, largest, eps) * part
        return start - p + bet, start, against, largest, size, won

    return leafwise(
        COCOBState,
        rule,
        with_params=True,
        init_particles=initial(),
        cumulative_gradients=zeros(),
        scale=full(eps),
        subgradients=zeros(),
        reward=zeros(),
    )


@transformation
def cocob(
    learning_rate: ScalarOrSchedule = 1.0,
    alpha: Scalar = 100.0,
    eps: Scalar = 1e-8,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: MaskOrFn | None = None,
):
    """COCOB: L2 regularisation, a factor of the gradient, then `scale_by_cocob`.

    State: five arrays per parameter.

    Args:
      learning_rate: a factor of the gradients, finite, or a schedule. That of all of
        them changes little: bets are relative to the largest.
      alpha, eps: see `scale_by_cocob`.
      weight_decay, mask: see `add_decayed_weights`; coupled: it is added to the
        gradient.

    Raises:
      ValueError: a number out of range, a mask that does not fit, a complex leaf, or
        no params in `update`.

    Source: Orabona & Tommasi, Training deep networks without learning rates through
    coin betting (2017), algorithm 2.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.cocob()
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.ones(2), tx.init(params), params)
    """
    return chain(
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate, flip_sign=False),
        scale_by_cocob(alpha, eps),
    )
