"""Fromage: each layer moves by a fraction of its norm, and shrinks by as much."""

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.axes import AxisName
from gradtx.core.compose import chain
from gradtx.core.leafwise import stateless_init
from gradtx.core.numerics import safe_increment, value_at
from gradtx.core.plan import Inputs, check_state, planned
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, ScalarOrSchedule
from gradtx.transforms.scale import ScaleByScheduleState, scale_by_learning_rate
from gradtx.transforms.trust_ratio import scale_by_trust_ratio


@transformation
def shrink_with_rate(learning_rate: ScalarOrSchedule):
    """Shrink parameters and update so that a step at right angles keeps the norm.

        u = (p + g) / sqrt(1 + learning_rate^2) - p

    State: none for a number; for a schedule one int32.
    """
    check.learning_rate("learning_rate", learning_rate)

    def factors(rate: Any) -> tuple[Any, Any]:
        root = (1 + rate * rate) ** 0.5
        # Not 1 - 1 / root, of which float32 keeps no digit at a rate of 1e-4.
        return 1 / root, rate * rate / (root * (1 + root))

    def init(params):
        if not callable(learning_rate):
            return stateless_init(params)
        return ScaleByScheduleState(jnp.zeros([], jnp.int32))

    def prepare(updates, state, params):
        if not callable(learning_rate):
            return Inputs(scalars=factors(learning_rate)), lambda: state
        check_state(state, ScaleByScheduleState)
        rate: jax.Array = value_at("learning_rate", learning_rate, state.count)
        new = ScaleByScheduleState(safe_increment(state.count))
        return Inputs(scalars=factors(rate)), lambda: new

    def rule(g, p, kept, lost):
        return kept * g - lost * p

    return planned(init, rule, prepare, with_params=True)


@transformation
def fromage(
    learning_rate: ScalarOrSchedule,
    min_norm: Scalar = 1e-6,
    *,
    axis_name: AxisName = None,
):
    """Fromage: `scale_by_trust_ratio`, the learning rate, then less of everything.

        u_t = learning_rate |p_{t-1}|_2 / |g_t|_2 g_t
        p_t = (p_{t-1} - u_t) / sqrt(1 + learning_rate^2)

    The norms are of each leaf. The root keeps the norm where the step is at right
    angles to the leaf; without it weights would grow.

    State: none for a number; for a schedule two int32 and the current rate.

    Args:
      learning_rate: a finite number or a schedule; the part of its norm by which each
        leaf moves. The paper uses 0.01 for nearly everything.
      min_norm: least norm that counts, of the leaf and of the gradient, at least 0.
      axis_name: mesh axes over which every leaf is split, see `clip_by_block_rms`.

    Raises:
      ValueError: a number out of range.

    Source: Bernstein et al., On the distance between two neural networks and the
    stability of learning (2020), algorithm 1.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.fromage(0.75)
      >>> params = jnp.array([3.0, 4.0])
      >>> tx.step(jnp.array([4.0, -3.0]), tx.init(params), params)[0]
      Array([0., 5.], dtype=float32)
    """
    return chain(
        scale_by_trust_ratio(min_norm, axis_name=axis_name),
        scale_by_learning_rate(learning_rate),
        shrink_with_rate(learning_rate),
    )
