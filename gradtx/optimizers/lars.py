"""LARS: momentum whose layers each move by a fraction of their norm."""

from typing import Any

from gradtx.core import check
from gradtx.core.axes import AxisName
from gradtx.core.compose import chain
from gradtx.core.masking import MaskOrFn
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, ScalarOrSchedule
from gradtx.transforms.decay import add_decayed_weights
from gradtx.transforms.momentum import trace
from gradtx.transforms.scale import scale_by_learning_rate
from gradtx.transforms.trust_ratio import scale_by_trust_ratio


@transformation
def lars(
    learning_rate: ScalarOrSchedule,
    weight_decay: ScalarOrSchedule = 0.0,
    weight_decay_mask: MaskOrFn | None = True,
    trust_coefficient: Scalar = 0.001,
    eps: Scalar = 0.0,
    trust_ratio_mask: MaskOrFn | None = True,
    momentum: Scalar = 0.9,
    nesterov: bool = False,
    *,
    accumulator_dtype: Any = None,
    axis_name: AxisName = None,
):
    """LARS: L2 regularisation, `scale_by_trust_ratio`, the rate, then `trace`.

        d_t = g_t + weight_decay p_{t-1}
        v_t = momentum v_{t-1} - learning_rate k_t d_t,   v_0 = 0
        p_t = p_{t-1} + v_t
        k_t = trust_coefficient |p_{t-1}|_2 / (|d_t|_2 + eps)

    The norms are of each leaf. The rate stands inside of the velocity.

    State: one array per parameter.

    Args:
      learning_rate: a finite number or a schedule; the paper's grows with the batch, up
        to 32.
      weight_decay, weight_decay_mask: see `add_decayed_weights`.
      trust_coefficient, eps: see `scale_by_trust_ratio`.
      trust_ratio_mask: which leaves have a trust ratio, a tree of bools like the
        parameters, a prefix of it, or a function to one; the others take the update of
        `sgd`.
      momentum: part of the velocity kept, in [0, 1).
      nesterov, accumulator_dtype: see `trace`.
      axis_name: mesh axes over which every leaf is split, see `clip_by_block_rms`.

    Raises:
      ValueError: a number out of range, or a mask that does not fit.

    Source: You, Gitman & Ginsburg, Large batch training of convolutional networks
    (2017), algorithm 1. There the norm of the decay is added to that of the gradient,
    |g| + weight_decay |p|; here, as in Optax, the norm is taken of the sum.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.lars(10.0, trust_coefficient=0.01)
      >>> params = jnp.array([3.0, 4.0])
      >>> tx.step(jnp.array([0.0, 2.0]), tx.init(params), params)[0]
      Array([3. , 3.5], dtype=float32)
    """
    check.decay("momentum", momentum)
    return chain(
        add_decayed_weights(weight_decay, weight_decay_mask),
        scale_by_trust_ratio(
            trust_coefficient=trust_coefficient,
            eps=eps,
            mask=trust_ratio_mask,
            axis_name=axis_name,
        ),
        scale_by_learning_rate(learning_rate),
        trace(momentum, nesterov, accumulator_dtype),
    )
