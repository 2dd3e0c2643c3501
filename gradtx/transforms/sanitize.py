"""Gradients made fit for use: no NaN, no mean."""

import math
from typing import NamedTuple

import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.axes import AxisName, across, axes_of, names_of, size_of
from gradtx.core.leafwise import Slot, leafwise
from gradtx.core.transformation import transformation
from gradtx.core.types import EmptyState, Updates


class ZeroNansState(NamedTuple):
    found_nan: Updates  # one bool a leaf: whether the last gradient held a NaN


@transformation
def zero_nans(*, axis_name: AxisName = None):
    """Replace NaN by zero, and remember in which leaves there was one.

        u = 0 where g is NaN, else g

    Infinities pass. State: one bool per leaf.

    Args:
      axis_name: mesh axes over which the leaves are split, inside of `pmap` or
        `shard_map`, so that all devices remember the same; see `clip_by_block_rms`.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.zero_nans()
      >>> update, state = tx.update(jnp.array([1.0, jnp.nan]), tx.init(jnp.ones(2)))
      >>> update, bool(state.found_nan)
      (Array([1., 0.], dtype=float32), True)
    """

    names_of(axis_name)

    def rule(g, found_nan):
        axes = axes_of(g, axis_name)
        found = across(jnp.where(_any_nan(g), 1, 0), axes) > 0 if axes else _any_nan(g)
        return jnp.where(jnp.isnan(g), 0, g), found

    flag = Slot(lambda p: jnp.zeros([], bool), like_param=False)
    return leafwise(ZeroNansState, rule, found_nan=flag)


def _any_nan(g):
    if jnp.iscomplexobj(g):
        return _any_nan(g.real) | _any_nan(g.imag)
    # The sign is NaN where g is, and sums to a finite number otherwise. XLA fuses it
    # into the sum; what isnan gives it would store, a byte an entry.
    return jnp.isnan(jnp.sum(jnp.sign(g)))


@transformation
def centralize(keep_axis: int = 0, *, axis_name: AxisName = None):
    """Take the mean out of each unit's gradient, for leaves of 2 or more axes.

        u = g - mean(g)   (over all axes but keep_axis)

    State: none.

    Args:
      keep_axis: the axis of the units. The first, as in Optax, fits kernels with the
        outputs first. Where they are last (Flax, Haiku), the paper
        asks for -1.
      axis_name: mesh axes over which the units themselves are split evenly, inside of
        `pmap` or `shard_map`; see `adaptive_grad_clip`.

    Source: Yong et al., Gradient centralization (2020), eq. 1.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.centralize()
      >>> tx.update(jnp.array([[1.0, 3.0], [2.0, 2.0]]), tx.init(None))[0]
      Array([[-1.,  1.],
             [ 0.,  0.]], dtype=float32)
    """
    check.choice("keep_axis", keep_axis, (0, -1))
    names_of(axis_name)

    def rule(g):
        if g.ndim < 2:
            return g
        axes = tuple(i for i in range(g.ndim) if i != keep_axis % g.ndim)
        names = axes_of(g, axis_name)
        entries = math.prod(g.shape[i] for i in axes) * size_of(names)
        total = across(jnp.sum(g, axes, keepdims=True), names)
        return g - total / max(entries, 1)

    return leafwise(EmptyState, rule, whole_leaf=True)
