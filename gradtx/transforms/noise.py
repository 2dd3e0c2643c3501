"""Gradient noise."""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.axes import AxisNames, check_axis_name
from gradtx.core.numerics import as_float, root, safe_increment
from gradtx.core.plan import Inputs, check_state, planned
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar
from gradtx.core.widths import widened
from gradtx.tree.random import random_like


class AddNoiseState(NamedTuple):
    count: jax.Array  # steps taken, int32
    rng_key: chex.PRNGKey  # the key of the next step


@transformation
def add_noise(
    eta: Scalar,
    gamma: Scalar,
    key: chex.PRNGKey | int | None = None,
    *,
    seed: int | None = None,
    axis_name: AxisNames = None,
):
    """Add Gaussian noise whose variance falls with time.

        u_t = g_t + n_t,   n_t ~ N(0, eta / (1 + t)^gamma),   t = 0, 1, 2, ...

    State: one int32 and one random key.

    Args:
      eta: variance of the noise in the first step, at least 0 (the square of the
        gradient's unit); the paper tries 0.01, 0.3 and 1.
      gamma: how fast it falls, at least 0; the paper uses 0.55.
      key: a random key, or an int as a seed.
      seed: the older name of an int for `key`.
      axis_name: mesh axes over which leaves are split, inside of `pmap` or
        `shard_map`: each part has noise of its own, and what all devices have in
        common has the same everywhere. See `clip_by_global_norm`.

    Raises:
      ValueError: a number out of range, or not exactly one of key and seed.

    Source: Neelakantan et al., Adding gradient noise improves learning for very deep
    networks (2015), eq. 1.

    Example:
      >>> import gradtx
      >>> tx = gradtx.add_noise(eta=0.01, gamma=0.55, key=0)
      >>> update, state = tx.update(1.0, tx.init(1.0))
    """
    check.nonnegative("eta", eta)
    check.nonnegative("gamma", gamma)
    if (key is None) == (seed is None):
        raise ValueError("add_noise needs a random key: give either key or seed.")
    check_axis_name(axis_name)
    start: Any = seed if key is None else key

    def init(params):
        made = jax.random.key(start) if isinstance(start, int) else jnp.copy(start)
        return AddNoiseState(jnp.zeros([], jnp.int32), made)

    def prepare(updates, state, params):
        check_state(state, AddNoiseState)
        following, used = jax.random.split(state.rng_key)
        count = safe_increment(state.count)
        scale = root(eta / as_float(count) ** gamma)
        noise = random_like(used, widened(updates), axis_name=axis_name)
        return Inputs([noise], (scale,)), lambda _: AddNoiseState(count, following)

    return planned(
        init, lambda g, n, scale: (g + scale * n, n), prepare, entrywise=True
    )
