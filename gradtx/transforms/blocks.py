"""Scaling by the size of the parameters: each leaf's updates by its norm or mean."""

import jax
import jax.numpy as jnp
from jax import lax

from gradtx.core import check
from gradtx.core.axes import AxisName, Names, across, axes_of, names_of, size_of
from gradtx.core.leafwise import leafwise
from gradtx.core.numerics import abs_sq, norm_of, root, window
from gradtx.core.transformation import transformation
from gradtx.core.types import EmptyState, Scalar


def root_mean_square(x: jax.Array, least: Scalar, names: Names = ()) -> jax.Array:
    """max(least, the root of the mean of |x|^2 over a leaf), in one look if it can be.

    Args:
      x: a leaf, or the part of it on this device.
      least: what is below counts as this, at least 0.
      names: axes of devices over which the leaf is split evenly.
    """
    entries = max(x.size, 1) * size_of(names)
    if isinstance(least, float | int) and least > 0:
        # Below the limit the sum may be wrong, and is not needed.
        scale = window(least * entries**0.5, entries, x.real.dtype)
    else:
        scale = _power_of_two(x, names)
    total = across(jnp.sum(abs_sq(scale * x)), names) / entries
    size = norm_of(total / scale / scale, root(total) / scale)
    return jnp.maximum(size, least)


def _power_of_two(x: jax.Array, names: Names) -> jax.Array:
    """What brings the largest entry near to 1 without rounding any."""
    largest = jnp.max(lax.stop_gradient(jnp.abs(x)), initial=0)
    largest = lax.pmax(largest, names) if names else largest
    usable = (largest > 0) & jnp.isfinite(largest)
    power = jnp.exp2(-jnp.ceil(jnp.log2(jnp.where(usable, largest, 1))))
    bound = 2.0 ** (jnp.finfo(x.real.dtype).maxexp - 2)
    return jnp.clip(power, 1 / bound, bound)


@transformation
def scale_by_param_block_norm(min_scale: Scalar = 1e-3, *, axis_name: AxisName = None):
    """Multiply each leaf's updates by the norm of its parameters.

        u = g max(|p|, min_scale),   |p|^2 = sum of |p_i|^2 over the leaf

    A relative step: where the updates are of one size, each leaf then moves by a part
    of its own length.

    State: none. `update` needs params.

    Args:
      min_scale: least factor, at least 0, so that a leaf at zero can move.
      axis_name: mesh axes over which every leaf is split evenly, inside of `pmap` or
        `shard_map`; see `clip_by_block_rms`.

    Raises:
      ValueError: if min_scale is below 0, no params, an axis is not there, or a leaf
        differs along one that is not named.

    Source: Shazeer & Stern, Adafactor (2018), section 8, with the norm in place of the
    root mean square.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.scale_by_param_block_norm()
      >>> tx.update(jnp.ones(2), tx.init(None), jnp.array([3.0, 4.0]))[0]
      Array([5., 5.], dtype=float32)
    """
    return _scaled(min_scale, axis_name, of_all=True)


@transformation
def scale_by_param_block_rms(min_scale: Scalar = 1e-3, *, axis_name: AxisName = None):
    """Multiply each leaf's updates by the root mean square of its parameters.

        u = g max(rms(p), min_scale),   rms(p)^2 = mean of |p_i|^2 over the leaf

    State: none. `update` needs params.

    Args:
      min_scale: least factor, at least 0, so that a leaf at zero can move; the paper's
        eps_2.
      axis_name: mesh axes over which every leaf is split evenly, inside of `pmap` or
        `shard_map`; see `clip_by_block_rms`.

    Raises:
      ValueError: if min_scale is below 0, no params, an axis is not there, or a leaf
        differs along one that is not named.

    Source: Shazeer & Stern, Adafactor (2018), section 8, relative step size.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.scale_by_param_block_rms()
      >>> tx.update(jnp.ones(2), tx.init(None), jnp.array([1.0, 7.0]))[0]
      Array([5., 5.], dtype=float32)
    """
    return _scaled(min_scale, axis_name, of_all=False)


def _scaled(min_scale, axis_name, of_all):
    check.nonnegative("min_scale", min_scale)
    names_of(axis_name)

    def rule(g, p):
        axes = axes_of(p, axis_name)
        entries = max(p.size, 1) * size_of(axes)
        unit = entries**0.5 if of_all else 1.0
        return unit * root_mean_square(p, min_scale / unit, axes) * g

    return leafwise(EmptyState, rule, with_params=True, whole_leaf=True)
