"""Updates without the entries that the gradient speaks against."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.axes import (
    AxisName,
    across,
    axes_of,
    names_of,
    need_whole,
    size_of,
)
from gradtx.core.compose import join
from gradtx.core.numerics import divide
from gradtx.core.plan import Inputs, Plan, check_state, lift, plan_of, updating
from gradtx.core.rules import Rule
from gradtx.core.transformation import inner_of, transformation
from gradtx.core.types import EmptyState, Scalar, State


class CautiousState(NamedTuple):
    base_optimizer_state: State  # the base optimizer's


@transformation
def cautious(
    base_optimizer: Any,
    eps: Scalar = 1e-8,
    *,
    downhill: bool = True,
    axis_name: AxisName = None,
):
    """Take only those entries of an update that lead down the gradient of this step.

        u = base_optimizer(g)
        k = 1 where -u g > 0,   0 elsewhere
        v = u k n / (sum k + eps)

    and v is the new update, for each leaf of n entries. Momentum leads on for a while
    where the gradient has turned; such entries stay, and the others go further, so that
    the step is as long as before. What is left leads down: a small enough step makes
    the loss less. Of complex numbers the real part of -u conj(g) counts. What moves
    several copies of the parameters, as `lookahead` does, goes around it, not inside.

    Around `adamw` the weight decay is part of the update, and masked. To mask the step
    alone, as the paper does, put it between:
    `chain(cautious(scale_by_adam(), downhill=False), add_decayed_weights(0.1),
    scale_by_learning_rate(1e-3))`.

    State: the inner one. The mask is counted before the update is used: a step stores
    the mask in between, and around other optimizers than `adam` and `adamw` the update.

    Args:
      base_optimizer: the transformation whose updates are masked.
      eps: at least 0, in entries. The paper has 1, which makes a step shorter: a leaf
        of n entries that all agree by the factor n / (n + 1), a number alone by half.
      downhill: whether those updates lead down, as a whole optimizer's do; `False` for
        one without its learning rate (`scale_by_adam`), whose updates point the way of
        the gradient.
      axis_name: mesh axes over which every leaf is split, see `clip_by_block_rms`.

    Raises:
      ValueError: eps below 0, an axis that is not there, or a leaf that differs along
        one that is not named.
      TypeError: if base_optimizer is not a transformation.

    Source: Liang et al., Cautious optimizers: improving training with one line of code
    (2024), algorithm 1, with eps in place of 1.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.cautious(gradtx.sgd(0.5, momentum=0.9))
      >>> params = jnp.array([1.0, 2.0])
      >>> state = tx.init(params)
      >>> _, state = tx.update(jnp.array([1.0, 1.0]), state, params)
      >>> tx.update(jnp.array([1.0, -0.1]), state, params)[0]
      Array([-1.9,  0. ], dtype=float32)
    """
    check.nonnegative("eps", eps)
    names_of(axis_name)
    tx = inner_of("cautious: base_optimizer", base_optimizer)

    def init(params):
        return CautiousState(tx.init(params))

    def agreeing(u, g):
        # Of signs, since a product of small numbers may be 0.
        along = (jnp.sign(u) * jnp.conj(jnp.sign(g))).real
        return along < 0 if downhill else along > 0

    def rule(u, formula, g):
        axes = axes_of(g, axis_name)
        counted = u if formula is None else formula.of(*formula.apart())
        kept = across(jnp.sum(agreeing(counted, g), dtype=jnp.int32), axes)
        factor = divide(g.size * size_of(axes), kept.astype(u.real.dtype) + eps, eps)
        # A NaN agrees with nothing, and must show.
        return jnp.where(agreeing(u, g) | jnp.isnan(u), u, 0) * factor, g

    def prepare(updates, state, params):
        need_whole()
        return [Inputs([updates])], lambda new: state

    behind = plan_of(tx.update)
    if behind is not None:
        masking = Plan([Rule(rule, slots=("gradient",), twice=True)], prepare)
        both = join([behind, masking])

        def prepare_both(updates, state, params):
            check_state(state, CautiousState)
            states = state.base_optimizer_state, EmptyState()
            inputs, rebuild = both.prepare(updates, states, params)
            return inputs, lambda new: CautiousState(rebuild(new)[0])

        return init, updating(Plan(both.rules, prepare_both, reads_updates=True))

    masked = lift(lambda u, g: rule(u, None, g))

    def update(updates, state, params=None, **extra):
        need_whole()
        check_state(state, CautiousState)
        inner = state.base_optimizer_state
        new, inner = tx.update(updates, inner, params, **extra)
        return masked(new, [updates])[0], CautiousState(inner)

    return init, update
