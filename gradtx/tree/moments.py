"""Averages of powers of trees, as adaptive methods keep them.

For loops and rules written with whole trees; `leafwise` is what gradtx's own use.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.numerics import abs_sq, divide, one_minus_power
from gradtx.core.trees import map_present
from gradtx.core.types import Scalar
from gradtx.tree.arithmetic import narrowed, wide, zipped


def update_moment(updates: Any, moments: Any, decay: Scalar, order: float) -> Any:
    """The decaying average of a power of the updates, moved on by one step.

        m_t = (1 - decay) g_t^order + decay m_{t-1}

    Computed in at least float32 and rounded once, to the wider of the two dtypes. For
    complex numbers that is the power of a complex number: a second moment is
    `update_moment_per_elem_norm`.

    Args:
      updates: arrays; where there is `None` the result has `None`.
      moments: the averages so far, a tree like updates.
      decay: the weight of the past.
      order: the power, 1 for momentum, 2 for the second moment.

    Raises:
      ValueError: structure or shape of a leaf differ; it is named.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.tree.update_moment(jnp.array([2.0, 4.0]), jnp.zeros(2), 0.5, 2)
      Array([2., 8.], dtype=float32)
    """
    return _averaged(lambda g: _power(g, order), updates, moments, decay)


def update_moment_per_elem_norm(
    updates: Any, moments: Any, decay: Scalar, order: float
) -> Any:
    """The same of the absolute values of complex numbers, so that the average is real.

        m_t = (1 - decay) |g_t|^order + decay m_{t-1}

    Real numbers are taken with their sign.

    Args:
      updates, moments, decay, order: see `update_moment`.

    Raises:
      ValueError: structure or shape of a leaf differ; it is named.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> g, nu = jnp.array([3.0 + 4.0j]), jnp.zeros(1)
      >>> gradtx.tree.update_moment_per_elem_norm(g, nu, 0.0, 2)
      Array([25.], dtype=float32)
    """

    def power(g: Any) -> Any:
        if not jnp.iscomplexobj(g):
            return _power(g, order)
        return _power(abs_sq(g), order / 2)

    return _averaged(power, updates, moments, decay)


def update_infinity_moment(
    updates: Any, moments: Any, decay: Scalar, eps: Scalar
) -> Any:
    """The decaying maximum of the updates' absolute values, moved on by one step.

        m_t = max(|g_t| + eps, decay m_{t-1})

    Args:
      updates, moments: see `update_moment`.
      decay: by which the past shrinks.
      eps: added to the absolute value, so that what has no gradient is above 0.

    Raises:
      ValueError: structure or shape of a leaf differ; it is named.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> g, nu = jnp.array([-3.0, 1.0]), jnp.full(2, 4.0)
      >>> gradtx.tree.update_infinity_moment(g, nu, 0.5, 0.0)
      Array([3., 2.], dtype=float32)
    """
    check.scalar("decay", decay)
    check.scalar("eps", eps)

    def larger(g: Any, m: Any) -> Any:
        size = jnp.abs(wide(g)) + eps
        dtype = jnp.promote_types(jnp.abs(g).dtype, m.dtype)
        return narrowed(jnp.maximum(size, decay * wide(m)), dtype)

    return zipped(larger, updates, moments, "updates", "moments")


def bias_correction(moment: Any, decay: Scalar, count: Any) -> Any:
    """A decaying average that began at zero, over the weight that it has by now.

        m^_t = m_t / (1 - decay^count)

    The weight is exact where decay is close to 1 and count small; at a count of 0 it is
    0, and so is the result.

    Args:
      moment: a tree of averages; `None` stays `None`.
      decay: the weight of the past, in [0, 1).
      count: of steps, from 1.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> m = gradtx.tree.update_moment(jnp.array([3.0]), jnp.zeros(1), 0.5, 1)
      >>> gradtx.tree.bias_correction(m, 0.5, 1)
      Array([3.], dtype=float32)
    """
    check.scalar("decay", decay)
    check.scalar("count", count)
    weight = one_minus_power(decay, count)

    def corrected(m: Any) -> Any:
        m = jnp.asarray(m)
        return narrowed(divide(wide(m), weight, 0), m.dtype)

    return map_present(corrected, moment)


def _averaged(
    power: Callable[[Any], Any], updates: Any, moments: Any, decay: Scalar
) -> Any:
    check.scalar("decay", decay)

    def average(g: Any, m: Any) -> Any:
        new, dtype = power(wide(g)), g.dtype
        if jnp.iscomplexobj(g) and not jnp.iscomplexobj(new):
            dtype = jnp.finfo(dtype).dtype
        dtype = jnp.promote_types(dtype, m.dtype)
        return narrowed((1 - decay) * new + decay * wide(m), dtype)

    return zipped(average, updates, moments, "updates", "moments")


def _power(x: Any, order: float) -> Any:
    # A whole power of a negative number is one of repeated products.
    whole = isinstance(order, float) and order.is_integer()
    return x ** (int(order) if whole else order)
