"""Gradients made fit for use: no NaN, no mean."""

from typing import NamedTuple

import jax.numpy as jnp

from gradtx.core.leafwise import Slot, leafwise
from gradtx.core.transformation import transformation
from gradtx.core.types import EmptyState, Updates


class ZeroNansState(NamedTuple):
    found_nan: Updates  # one bool a leaf: whether the last gradient held a NaN


@transformation
def zero_nans():
    """Replace NaN by zero, and remember in which leaves there was one.

        u = 0 where g is NaN, else g

    Infinities pass. State: one bool per leaf.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.zero_nans()
      >>> update, state = tx.update(jnp.array([1.0, jnp.nan]), tx.init(jnp.ones(2)))
      >>> update, bool(state.found_nan)
      (Array([1., 0.], dtype=float32), True)
    """

    def rule(g, found_nan):
        bad = jnp.isnan(g)
        return jnp.where(bad, 0, g), jnp.any(bad)

    flag = Slot(lambda p: jnp.zeros([], bool), like_param=False)
    return leafwise(ZeroNansState, rule, found_nan=flag)


@transformation
def centralize():
    """Take the mean out of each row of the gradients of matrices.

        u = g - mean(g over all axes but the first),   for leaves of 2 or more axes

    State: none.

    Source: Yong et al., Gradient centralization (2020), eq. 1.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.centralize()
      >>> tx.update(jnp.array([[1.0, 3.0], [2.0, 2.0]]), tx.init(None))[0]
      Array([[-1.,  1.],
             [ 0.,  0.]], dtype=float32)
    """

    def rule(g):
        if g.ndim < 2:
            return g
        axes = tuple(range(1, g.ndim))
        entries = max(g.size // max(g.shape[0], 1), 1)
        return g - jnp.sum(g, axes, keepdims=True) / entries

    return leafwise(EmptyState, rule)
