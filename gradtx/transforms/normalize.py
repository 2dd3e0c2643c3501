"""Updates of a fixed length."""

import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.axes import AxisNames, check_axis_name
from gradtx.core.leafwise import stateless_init
from gradtx.core.plan import Inputs, planned
from gradtx.core.transformation import transformation
from gradtx.core.types import EmptyState, Scalar
from gradtx.tree.norms import norm

NormalizeState = EmptyState


def _to_length(length, eps, axis_name):
    check_axis_name(axis_name)

    def prepare(updates, state, params):
        size = norm(updates, axis_name=axis_name) + eps
        # From the smallest normal number on its inverse is finite.
        there = size >= float(jnp.finfo(size.dtype).tiny)
        inverse = jnp.where(there, 1 / jnp.where(there, size, 1), 0)
        return Inputs(scalars=(inverse,)), lambda: state

    def rule(g, inverse):
        return length * (inverse * g)  # their product may be out of range

    return planned(stateless_init, rule, prepare, reads_updates=True, entrywise=True)


@transformation
def normalize_by_update_norm(
    scale_factor: Scalar = 1.0, eps: Scalar = 1e-6, *, axis_name: AxisNames = None
):
    """Divide the updates by the norm of the whole tree.

        u = scale_factor g / (|g| + eps),   |g|^2 = sum over leaves and entries

    State: none.

    Args:
      scale_factor: the length of the updates, any finite number.
      eps: added to the norm, at least 0; gradients shorter than it are not brought up
        to the full length. With 0 a zero gradient gives 0.
      axis_name: mesh axes over which leaves are split, see `clip_by_global_norm`.

    Raises:
      ValueError: a number out of range.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.normalize_by_update_norm(10.0, eps=0.0)
      >>> tx.update(jnp.array([0.0, 4.0]), tx.init(None))[0]
      Array([ 0., 10.], dtype=float32)
    """
    check.finite("scale_factor", scale_factor)
    check.nonnegative("eps", eps)
    return _to_length(scale_factor, eps, axis_name)


@transformation
def normalize(*, axis_name: AxisNames = None):
    """Divide the updates by the norm of the whole tree; zero ones stay zero.

        u = g / |g|,   |g|^2 = sum over leaves and entries

    State: none.

    Args:
      axis_name: mesh axes over which leaves are split, see `clip_by_global_norm`.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.normalize()
      >>> tx.update(jnp.array([3.0, 4.0]), tx.init(None))[0]
      Array([0.6, 0.8], dtype=float32)
    """
    return _to_length(1.0, 0.0, axis_name)
