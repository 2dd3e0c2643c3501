"""The sign of the gradient, and the sign of its average."""

from typing import Any

import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.compose import chain
from gradtx.core.leafwise import leafwise
from gradtx.core.transformation import transformation
from gradtx.core.types import EmptyState, Scalar, ScalarOrSchedule
from gradtx.transforms.momentum import ema
from gradtx.transforms.scale import scale_by_learning_rate


@transformation
def scale_by_sign():
    """Take the sign of every entry.

        u = sign(g)

    For complex numbers it is z / |z|. State: none.

    Source: Bernstein et al., signSGD: compressed optimisation for non-convex problems
    (2018), algorithm 1.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.scale_by_sign()
      >>> tx.update(jnp.array([0.5, -20.0, 0.0]), tx.init(None))[0]
      Array([ 1., -1.,  0.], dtype=float32)
    """
    return leafwise(EmptyState, jnp.sign)


@transformation
def sign_sgd(learning_rate: ScalarOrSchedule):
    """SignSGD: `scale_by_sign`, then the learning rate.

        p_t = p_{t-1} - learning_rate sign(g_t)

    State: none.

    Args:
      learning_rate: a finite number or a schedule; by so much every entry moves, so
        that it has to fall for the path to come to rest.

    Raises:
      ValueError: a learning rate that is not finite.

    Source: Bernstein et al., signSGD: compressed optimisation for non-convex problems
    (2018), algorithm 1.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.sign_sgd(0.5)
      >>> params = jnp.array([1.0, 2.0])
      >>> tx.step(jnp.array([0.1, -7.0]), tx.init(params), params)[0]
      Array([0.5, 2.5], dtype=float32)
    """
    return chain(scale_by_sign(), scale_by_learning_rate(learning_rate))


@transformation
def signum(
    learning_rate: ScalarOrSchedule,
    beta: Scalar = 0.9,
    accumulator_dtype: Any = None,
):
    """Signum: the sign of the average gradient, then the learning rate.

        m_t = beta m_{t-1} + (1 - beta) g_t,   m_0 = 0
        p_t = p_{t-1} - learning_rate sign(m_t)

    State: one array per parameter and one int32.

    Args:
      learning_rate: see `sign_sgd`.
      beta: decay of the average, in [0, 1).
      accumulator_dtype: dtype of the average; by default the parameter's, at least
        float32.

    Raises:
      ValueError: a number out of range.

    Source: Bernstein et al., signSGD: compressed optimisation for non-convex problems
    (2018), algorithm 2.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.signum(0.5)
      >>> params = jnp.array([1.0, 2.0])
      >>> tx.step(jnp.array([0.1, -7.0]), tx.init(params), params)[0]
      Array([0.5, 2.5], dtype=float32)
    """
    check.decay("beta", beta)
    return chain(
        ema(beta, debias=False, accumulator_dtype=accumulator_dtype),
        scale_by_sign(),
        scale_by_learning_rate(learning_rate),
    )
