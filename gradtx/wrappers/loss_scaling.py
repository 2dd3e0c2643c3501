"""The scale of a loss whose gradients are float16, and steps left out for it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.axes import AxisNames, check_axis_name
from gradtx.core.extra import scalar_dtype
from gradtx.core.numerics import safe_increment
from gradtx.core.plan import lift
from gradtx.core.transformation import inner_of, transformation
from gradtx.core.trees import failure
from gradtx.core.types import Scalar
from gradtx.tree.access import get_all_with_path
from gradtx.wrappers.inner import sometimes
from gradtx.wrappers.skip_rules import all_finite


class LossScalingState(NamedTuple):
    scale: jax.Array  # what to multiply the next loss by, float32 at least
    good_steps: jax.Array  # finite ones since the scale has last changed, int32
    total_skipped: jax.Array  # steps left out so far, int32
    inner_state: Any  # the inner transformation's, of the last step taken


@transformation
def loss_scaling(
    inner: Any,
    init_scale: Scalar = 2.0**15,
    growth_interval: int = 2000,
    factor: Scalar = 2.0,
    backoff: Scalar = 0.5,
    min_scale: Scalar = 1.0,
    max_scale: Scalar = 2.0**24,
    *,
    axis_name: AxisNames = None,
):
    """Divide gradients by the scale that their loss had, and find a scale that fits.

        u_t = inner(g_t / s_t),   g_t the gradient of s_t times the loss
        s_{t+1} = min(factor s_t, max_scale)   after growth_interval finite gradients
        s_{t+1} = max(backoff s_t, min_scale), u_t = 0   after one that is not finite

    float16 knows no numbers below 6e-8 and none above 65504. Multiply the loss by
    `loss_scale(state)` before it is differentiated: its gradients are then as large as
    may be, and a few that are too large cost a step each. bfloat16 and float32 need
    none of this.

    A step that is left out gives zero updates and leaves the inner state as it was,
    schedules too; `step` does not read the parameters. What `inner` sees is divided, in
    float32: limits of clips and `eps` mean what they say. So all that looks at the size
    of gradients stands inside, as in
    `loss_scaling(chain(clip_by_global_norm(1.0), adamw(1e-3)))`, and so do
    `skip_spikes` and `apply_if_finite`. `value=`, where something asks for it, is the
    loss without the scale.

    Around `MultiSteps` each micro-batch is divided before it is added up, and one that
    is not finite is left out by itself; this is the better order. Inside of it the sum
    is divided: the scale is that of the whole cycle, which one bad micro-batch spoils,
    and growth counts cycles. So with `zero1`: around it (with `axis_name`), or inside.

    State: three scalars, and the inner state.

    Args:
      inner: the transformation that takes the steps.
      init_scale: the first scale, above 0. If it is too large, that costs a step for
        each power of two. A power of two changes no digit; others are rounded once.
      growth_interval: finite steps in a row before it grows, a whole number from 1.
      factor: by which it grows, above 1.
      backoff: by which it falls, in (0, 1).
      min_scale, max_scale: between which it stays, above 0 and finite. Below 1 only
        gradients are saved that are too large without any; at 2^24 float16 begins at
        4e-15, below which there is nothing to gain.
      axis_name: mesh axes whose devices decide together, so that all have one scale,
        inside of `pmap` or `shard_map`; see `apply_if_finite`.

    Raises:
      ValueError: a number out of range, init_scale not between min_scale and max_scale,
        or gradients differ along an axis that is not named.
      TypeError: if inner is not a transformation.

    Source: Micikevicius et al., Mixed precision training (2018), section 3.2, and the
    rule of PyTorch's GradScaler, with bounds; its first scale is 2^16.

    Example:
      >>> import jax, jax.numpy as jnp, gradtx
      >>> tx = gradtx.loss_scaling(gradtx.sgd(0.5), init_scale=1024.0)
      >>> params = jnp.float32(1.0)
      >>> state = tx.init(params)
      >>> def scaled(p, x):
      ...     return gradtx.loss_scale(state) * p.astype(jnp.float16) * x
      >>> for x in (1e-6, 1e3):  # the second is too large
      ...     grads = jax.grad(scaled)(params, jnp.float16(x))
      ...     params, state = tx.step(grads, state, params)
      >>> float(gradtx.loss_scale(state)), int(state.total_skipped)
      (512.0, 1)
    """
    check.positive("init_scale", init_scale)
    check.count("growth_interval", growth_interval, 1)
    check.above("factor", factor, 1)
    check.inside("backoff", backoff, 0, 1)
    check.positive("min_scale", min_scale)
    check.positive("max_scale", max_scale)
    numbers = init_scale, min_scale, max_scale
    plain = all(isinstance(x, int | float) for x in numbers)
    if plain and not min_scale <= init_scale <= max_scale:
        raise ValueError(
            f"init_scale must be between min_scale and max_scale, {min_scale} and "
            f"{max_scale}, got {init_scale}."
        )
    check_axis_name(axis_name)
    tx = inner_of("loss_scaling: inner", inner)
    times = lift(lambda g, by: by * g)

    def init(params):
        inner_state = tx.init(params)
        check_not_scaled("loss_scaling", inner_state)
        return LossScalingState(
            scale=jnp.array(init_scale, scalar_dtype(params)),
            good_steps=jnp.zeros([], jnp.int32),
            total_skipped=jnp.zeros([], jnp.int32),
            inner_state=inner_state,
        )

    def judge(updates, state, params, extra):
        finite = all_finite(updates, axis_name)
        good = safe_increment(state.good_steps)
        grows = good >= growth_interval
        larger = jnp.minimum(factor * state.scale, max_scale)
        smaller = jnp.maximum(backoff * state.scale, min_scale)
        scale = jnp.where(finite, jnp.where(grows, larger, state.scale), smaller)
        total = state.total_skipped
        return finite, LossScalingState(
            scale=scale.astype(state.scale.dtype),
            good_steps=jnp.where(finite & ~grows, good, 0),
            total_skipped=jnp.where(finite, total, safe_increment(total)),
            inner_state=state.inner_state,
        )

    def divided(updates, state):
        return times(updates, scalars=(1 / state.scale,))[0]

    return init, *sometimes(LossScalingState, tx, judge, before=divided)


def loss_scale(state: Any) -> jax.Array:
    """What to multiply the loss by before it is differentiated.

    Args:
      state: of an optimizer with `loss_scaling` somewhere in it.

    Returns:
      A scalar, at least float32. A loss in float16 would round the product and, from
      65504 on, make it infinite: compute the loss itself in float32.

    Raises:
      ValueError: there is no `loss_scaling` in it, or more than one.

    Example:
      >>> import gradtx
      >>> tx = gradtx.MultiSteps(gradtx.loss_scaling(gradtx.sgd(0.1)), 4)
      >>> float(gradtx.loss_scale(tx.init(0.0)))
      32768.0
    """
    found = _found(state)
    if len(found) == 1:
        return found[0][1].scale
    if not found:
        raise ValueError(
            "loss_scale: there is no loss_scaling in this state. Build the optimizer "
            "as loss_scaling(tx), and give the state of the whole."
        )
    paths = ", ".join(jax.tree_util.keystr(path) for path, _ in found)
    raise ValueError(
        f"loss_scale: a loss has one scale, and there are {len(found)} in this state: "
        f"{paths}. Put one loss_scaling around all, or give the part that is meant."
    )


def check_not_scaled(name: str, inner_state: Any) -> None:
    """Raise if there is `loss_scaling` inside: it has to see what is left out.

    Raises:
      ValueError: there is one; the name is that of the wrapper.
    """
    if not _found(inner_state):
        return
    if name == "loss_scaling":
        raise failure("there is loss_scaling inside already: leave one of them out.")
    raise failure(
        f"there is loss_scaling inside, which would be kept from the steps that its "
        f"scale goes by. Turn them round: loss_scaling({name}(...))."
    )


def _found(state: Any) -> list[tuple[Any, LossScalingState]]:
    found = get_all_with_path(state, "LossScalingState")
    return [(path, x) for path, x in found if isinstance(x, LossScalingState)]
