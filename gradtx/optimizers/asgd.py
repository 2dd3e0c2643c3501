"""Averaged SGD: a falling rate, and the average of the iterates beside them."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.compose import chain
from gradtx.core.leafwise import initial, leafwise
from gradtx.core.masking import MaskOrFn
from gradtx.core.numerics import as_float, safe_increment, value_at
from gradtx.core.plan import Inputs, check_shapes, check_state, planned
from gradtx.core.transformation import transformation
from gradtx.core.trees import absent, leaves_of
from gradtx.core.types import Params, Scalar, ScalarOrSchedule
from gradtx.transforms.decay import add_decayed_weights
from gradtx.tree.access import get


class ScaleByAsgdState(NamedTuple):
    count: jax.Array  # steps taken, int32
    learning_rate: jax.Array  # of the last step (the first, before), before it falls
    average: Params  # of the iterates, shaped like params, float32 at least


class _Average(NamedTuple):
    average: Params


@transformation
def scale_by_asgd(
    learning_rate: ScalarOrSchedule = 1e-2,
    lambd: Scalar = 1e-4,
    alpha: Scalar = 0.75,
    t0: Scalar = 1e6,
    *,
    accumulator_dtype: Any = None,
):
    """Step with a rate that falls, and average where the steps lead.

        r_t = learning_rate / (1 + lambd learning_rate (t - 1))^alpha
        p_t = p_{t-1} - r_t (g_t + lambd p_{t-1})
        a_t = a_{t-1} + (p_t - a_{t-1}) / max(1, t - 1 - t0)

    The update is the whole step, p_t - p_{t-1}: it comes last in a chain, or the
    average is of other parameters. Up to step t0 + 2 it is the parameters themselves.

    State: one array per parameter, one int32 and one number.

    Args:
      learning_rate, lambd, alpha, t0, accumulator_dtype: see `asgd`.

    Raises:
      ValueError: a number out of range, or no params.

    Source: Polyak & Juditsky, Acceleration of stochastic approximation by averaging
    (1992), as torch.optim.ASGD has it.

    Example:
      >>> import gradtx
      >>> tx = gradtx.scale_by_asgd(0.5, lambd=0.0, t0=0)
      >>> p, state = 4.0, tx.init(4.0)
      >>> for _ in range(3):  # to 2, 1 and 0.5; the last two have the average 0.75
      ...     p, state = tx.step(p, state, p)
      >>> float(state.average)
      0.75
    """
    check.learning_rate("learning_rate", learning_rate)
    check.nonnegative("lambd", lambd)
    check.nonnegative("alpha", alpha)
    check.nonnegative("t0", t0)

    def rule(g, p, average, rate, kept, weight):
        update = -rate * (g + lambd * p)
        return update, kept * average + weight * (p + update)

    make, _ = leafwise(
        _Average, lambda g, a: (g, a), average=initial(accumulator_dtype)
    )

    def rate_at(count):
        if callable(learning_rate):
            return value_at("learning_rate", learning_rate, count)
        return as_float(learning_rate)

    def init(params):
        count = jnp.zeros([], jnp.int32)
        return ScaleByAsgdState(count, rate_at(count), *make(params))

    def prepare(updates, state, params):
        check_state(state, ScaleByAsgdState)
        check_shapes(updates, state.average)
        base, before = rate_at(state.count), as_float(state.count)
        rate = base / (1 + lambd * base * before) ** alpha
        many = before - t0 > 1
        weight = jnp.where(many, 1 / jnp.where(many, before - t0, 1), 1)

        def rebuild(average):
            return ScaleByAsgdState(safe_increment(state.count), base, average)

        return Inputs([state.average], (rate, 1 - weight, weight)), rebuild

    return planned(
        init, rule, prepare, with_params=True, slots=("average",), entrywise=True
    )


@transformation
def asgd(
    learning_rate: ScalarOrSchedule = 1e-2,
    lambd: Scalar = 1e-4,
    alpha: Scalar = 0.75,
    t0: Scalar = 1e6,
    weight_decay: ScalarOrSchedule = 0.0,
    weight_decay_mask: MaskOrFn | None = None,
    *,
    accumulator_dtype: Any = None,
):
    """Averaged SGD: L2 regularisation, then `scale_by_asgd`.

    `asgd_eval_params(state, params)` gives the average: closer to the minimum than the
    iterates, which noise keeps around it.

    State: one array per parameter, one int32 and one number.

    Args:
      learning_rate: a finite number or a schedule, before it falls.
      lambd: how fast the rate falls, and a weight decay of its own, at least 0.
      alpha: the power it falls by, at least 0; between 1/2 and 1 the average converges
        as fast as any method can.
      t0: steps before the average begins, at least 0. The default is PyTorch's; take a
        number that is well below that of your steps.
      weight_decay, weight_decay_mask: see `add_decayed_weights`; coupled: it is added
        to the gradient.
      accumulator_dtype: dtype of the average; by default the parameter's, at least
        float32.

    Raises:
      ValueError: a number out of range, no params, or a mask that does not fit.

    Source: Polyak & Juditsky, Acceleration of stochastic approximation by averaging
    (1992), as torch.optim.ASGD has it.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.asgd(0.1, t0=100)
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.ones(2), tx.init(params), params)
    """
    return chain(
        add_decayed_weights(weight_decay, weight_decay_mask),
        scale_by_asgd(
            learning_rate, lambd, alpha, t0, accumulator_dtype=accumulator_dtype
        ),
    )


def asgd_eval_params(state: Any, params: Params) -> Params:
    """The average of `asgd`, to evaluate the model with.

    Args:
      state: of an optimizer with one `asgd` in it, wherever.
      params: the parameters, of which dtypes and missing leaves are taken.

    Returns:
      The average, in the parameters' dtypes.

    Raises:
      KeyError: no state of `asgd`, or several.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.asgd(0.1)
      >>> params = jnp.ones(2, jnp.bfloat16)
      >>> gradtx.asgd_eval_params(tx.init(params), params)
      Array([1, 1], dtype=bfloat16)
    """
    leaves, treedef = leaves_of(params)
    averages = treedef.flatten_up_to(get(state, "average"))
    return treedef.unflatten(
        p if absent(p) else jnp.asarray(a, jnp.result_type(p))
        for p, a in zip(leaves, averages, strict=True)
    )
