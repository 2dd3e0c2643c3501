"""Trust ratios: each layer moves by a fraction of its own norm."""

import jax.numpy as jnp
import numpy as np

from gradtx.core import check
from gradtx.core.axes import AxisName, axes_of, names_of
from gradtx.core.leafwise import stateless_init
from gradtx.core.masking import MaskOrFn, resolve_mask
from gradtx.core.plan import Inputs, planned
from gradtx.core.transformation import transformation
from gradtx.core.types import EmptyState, Scalar
from gradtx.tree.norms import leaf_norm

ScaleByTrustRatioState = EmptyState


@transformation
def scale_by_trust_ratio(
    min_norm: Scalar = 0.0,
    trust_coefficient: Scalar = 1.0,
    eps: Scalar = 0.0,
    *,
    mask: MaskOrFn | None = None,
    axis_name: AxisName = None,
):
    """Give each leaf's update the norm of the leaf itself.

        u = trust_coefficient |p|_2 / (|g|_2 + eps) g

    The norms are those of the whole leaf, and min_norm where they are smaller. A leaf
    of zeros takes its update as it is, or it would stay there for good, and an update
    of zeros stays.

    State: none. `update` needs params.

    Args:
      min_norm: least norm that counts, at least 0, of the leaf and of the update.
      trust_coefficient: the part of its norm by which a leaf moves, at least 0, before
        the learning rate.
      eps: added to the norm of the update, at least 0.
      mask: which leaves have a ratio, as in `add_decayed_weights`; the updates of the
        others stay. Biases and gains of normalisations are commonly left out.
      axis_name: mesh axes over which every leaf is split, see `clip_by_block_rms`.

    Raises:
      ValueError: a number out of range, no params, or a mask that does not fit.

    Source: You, Gitman & Ginsburg, Large batch training of convolutional networks
    (2017), eq. 6, with the weight decay inside of g; You et al., Large batch
    optimization for deep learning (2020), algorithm 2.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.scale_by_trust_ratio()
      >>> tx.update(jnp.array([0.3, 0.4]), tx.init(None), jnp.array([0.0, 10.0]))[0]
      Array([6., 8.], dtype=float32)
    """
    check.nonnegative("min_norm", min_norm)
    check.nonnegative("trust_coefficient", trust_coefficient)
    check.nonnegative("eps", eps)
    names_of(axis_name)

    def length_of(x, axes):
        found = leaf_norm(x, axes)
        # An equation for each leaf is traced.
        return found if _is(min_norm, 0) else jnp.maximum(found, min_norm)

    def rule(g, formula, p):
        axes = axes_of(g, axis_name)
        size, length = length_of(p, axes), length_of(formula or g, axes)
        one = np.ones((), length.dtype)
        # 1 / length is finite from the smallest normal number on.
        alone = (size == 0) | (length < float(jnp.finfo(length.dtype).tiny))
        below = jnp.where(alone, one, length)
        first = jnp.where(alone, one, 1 / (below if _is(eps, 0) else below + eps))
        wanted = size if _is(trust_coefficient, 1) else trust_coefficient * size
        second = jnp.where(alone, one, wanted)
        return second * (first * g)  # their product may be out of range

    def prepare(updates, state, params):
        chosen = None if mask is None else resolve_mask(mask, params)
        return Inputs(mask=chosen), lambda: state

    return planned(stateless_init, rule, prepare, with_params=True, twice=True)


def _is(x, number):
    """Whether an argument is that number, and no array."""
    return isinstance(x, float | int) and x == number
