"""FTRL-Proximal: follow the regularized leader, to weights of which many are zero."""

from typing import NamedTuple

import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.leafwise import Slot, initial, leafwise, zeros
from gradtx.core.numerics import after, divide
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, Updates


class FtrlState(NamedTuple):
    z: Updates  # gradients less their proximal terms, like params, float32 at least
    size: Updates  # root of the sum of squared gradients, real, shaped like params


def _hypotenuse(a, b):
    """sqrt(a^2 + b^2) of numbers from 0, without squares out of range."""
    larger, smaller = jnp.maximum(a, b), jnp.minimum(a, b)
    ratio = smaller / jnp.where(larger == 0, 1, larger)
    return larger * jnp.sqrt(1 + ratio * ratio)


@transformation
def ftrl(
    learning_rate: Scalar,
    beta: Scalar = 1.0,
    l1: Scalar = 0.0,
    l2: Scalar = 0.0,
):
    """FTRL-Proximal: the best weights for all gradients so far, and penalties.

        n_t = n_{t-1} + |g_t|^2,   n_0 = 0
        s_t = (sqrt(n_t) - sqrt(n_{t-1})) / learning_rate
        z_t = z_{t-1} + g_t - s_t p_{t-1},   z_0 = -beta / learning_rate p_0
        p_t = -sign(z_t) max(|z_t| - l1, 0) / ((beta + sqrt(n_t)) / learning_rate + l2)

    Without penalties it is gradient descent with the rate
    learning_rate / (beta + sqrt(n_t)) for each entry. With l1 an entry whose gradients
    sum up to little is 0, exactly.

    The parameters are a function of the state: what else changes them, a chain behind
    it or a rounding to bfloat16, is undone by the next step but for its s_t.

    State: two arrays per parameter. `update` needs params.

    Args:
      learning_rate: a number above 0, alpha of the source.
      beta: above 0; the larger, the smaller the first steps, and the longer entries
        without a gradient stay where they started.
      l1: penalty l1 |p|, at least 0, once for all gradients and not for each: it
        grows with the number of steps that are to come.
      l2: penalty l2 |p|^2 / 2, at least 0, likewise.

    Raises:
      ValueError: a number out of range, or no params.
      TypeError: a schedule as learning_rate: what is summed up has the rate in it.

    Source: McMahan et al., Ad click prediction: a view from the trenches (2013),
    algorithm 1, for which weights start at 0. Here they start anywhere: z_0 is such
    that p_0 solves the problem without a gradient and penalties.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.ftrl(1.0, l1=1.0)
      >>> params = jnp.zeros(2)
      >>> tx.step(jnp.array([0.5, -3.0]), tx.init(params), params)[0]
      Array([0. , 0.5], dtype=float32)
    """
    check.positive("learning_rate", learning_rate)
    check.positive("beta", beta)
    check.nonnegative("l1", l1)
    check.nonnegative("l2", l2)

    def rule(g, p, z, size):
        magnitude = jnp.abs(g)
        both = _hypotenuse(size, magnitude) + size
        # sqrt(n_t) - sqrt(n_{t-1}), of which no digits cancel.
        growth = magnitude * (magnitude / jnp.where(both == 0, 1, both))
        z = z + g - growth / learning_rate * p
        # Computed again, when z is there, and the old size may be written over.
        size = _hypotenuse(size, jnp.abs(after(g, z)))
        scale = (beta + size) / learning_rate + l2
        best = -jnp.sign(z) * jnp.maximum(jnp.abs(z) - l1, 0)
        return divide(best, scale, beta) - p, z, size

    def start(p):
        own = initial().init(p)
        return (-beta / learning_rate * own).astype(own.dtype)

    return leafwise(
        FtrlState, rule, with_params=True, z=Slot(start), size=zeros(real=True)
    )
