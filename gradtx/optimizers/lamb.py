"""LAMB: Adam whose layers each move by a fraction of their norm."""

from typing import Any

from gradtx.core.axes import AxisName
from gradtx.core.compose import chain
from gradtx.core.masking import MaskOrFn
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, ScalarOrSchedule
from gradtx.optimizers.adam import scale_by_adam
from gradtx.transforms.decay import add_decayed_weights
from gradtx.transforms.scale import scale_by_learning_rate
from gradtx.transforms.trust_ratio import scale_by_trust_ratio


@transformation
def lamb(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-6,
    eps_root: Scalar = 0.0,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: MaskOrFn | None = None,
    *,
    mu_dtype: Any = None,
    nu_dtype: Any = None,
    axis_name: AxisName = None,
):
    """LAMB: Adam and weight decay, then `scale_by_trust_ratio`. For large batches.

        r_t = mu^_t / (sqrt(nu^_t + eps_root) + eps) + weight_decay p_{t-1}
        p_t = p_{t-1} - learning_rate |p_{t-1}|_2 / |r_t|_2 r_t

    mu^_t and nu^_t are those of `scale_by_adam`; the norms are of each leaf.

    State: two arrays per parameter and one int32.

    Args:
      learning_rate: a finite number or a schedule; the part of its norm by which each
        leaf moves.
      b1, b2, eps, eps_root, mu_dtype, nu_dtype: see `scale_by_adam`.
      weight_decay, mask: see `add_decayed_weights`.
      axis_name: mesh axes over which every leaf is split, see `clip_by_block_rms`.

    Raises:
      ValueError: a number out of range, or a mask that does not fit.

    Source: You et al., Large batch optimization for deep learning: training BERT in 76
    minutes (2020), algorithm 2, with the identity for phi.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.lamb(0.1)
      >>> params = jnp.array([3.0, 4.0])
      >>> tx.step(jnp.array([0.0, 2.0]), tx.init(params), params)[0]
      Array([3. , 3.5], dtype=float32)
    """
    return chain(
        scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nu_dtype=nu_dtype),
        add_decayed_weights(weight_decay, mask),
        scale_by_trust_ratio(axis_name=axis_name),
        scale_by_learning_rate(learning_rate),
    )
