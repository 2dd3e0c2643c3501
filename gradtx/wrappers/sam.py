"""Sharpness-aware minimization: the gradient where the loss is worst nearby."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.axes import names_of, need_whole
from gradtx.core.compose import chain
from gradtx.core.plan import check_state, lift, need_params
from gradtx.core.transformation import inner_of, transformation
from gradtx.core.trees import (
    absent,
    check_match,
    dtype_of,
    is_abstract,
    is_none,
    map_present,
)
from gradtx.core.types import EmptyState, Params, State
from gradtx.linesearch.objective import need_extra
from gradtx.transforms.scale import scale
from gradtx.wrappers.inner import as_wide_as, one_of


class SAMState(NamedTuple):
    steps_since_sync: jax.Array  # from 0 to sync_period - 1, int32
    opt_state: State  # the optimizer's
    adv_state: State  # the adversarial optimizer's
    # The parameters that the period began with, shaped like params; None where no step
    # is seen from outside between two of the optimizer's.
    cache: Params | None


@transformation
def sam(
    optimizer: Any,
    adv_optimizer: Any,
    sync_period: int = 2,
    reset_state: bool = True,
    opaque_mode: bool = False,
    batch_axis_name: str | None = None,
):
    """Climb to where the loss is worst nearby, and take the gradient from there.

        q_0 = p_{t-1},   q_i = q_{i-1} - v_i,   for i = 1 .. k - 1
        p_t = p_{t-1} + u_t

    where v_i is the update of adv_optimizer for the gradient at q_{i-1}, u_t that of
    optimizer for the gradient at q_{k-1}, and k = sync_period. So it is not the loss at
    a point that falls but the worst around it, and the minimum that is found is flat.
    The paper has k = 2 and `adv_optimizer = chain(normalize(), sgd(rho))`: one step of
    length rho along the gradient.

    There are two ways to run it. As it is, each call is one step, up or down, and the
    training loop sees the parameters move to and fro: it takes k gradients for a step
    down, each at the parameters as they are. With `opaque_mode` a call is a whole
    period, and takes the gradients itself,

        update(updates, state, params, grad_fn=grad_fn)

    where `updates` is the gradient at `params` and `grad_fn(params, i)` gives the
    others, i from 0 to k - 2 (a Python int, to choose another batch by). So the loop
    sees steps down only, which it needs if it does more in each than to move the
    parameters: batch statistics, averages of weights.

    Only one of both optimizers runs in a call, in a branch of `lax.cond`. `step` goes
    back to p to the last bit; `update` and `apply_updates` round on the way there. A
    leaf that has no gradient in the last call of a period, but had one before, is
    brought back by `step` only.

    State: one int32, those of both optimizers and, unless opaque, a copy of the
    parameters.

    Args:
      optimizer: takes the steps down; it sees the parameters p.
      adv_optimizer: takes the steps up, which are its own turned round.
      sync_period: calls from one step down to the next, a whole number from 1; with 1
        there are no steps up.
      reset_state: whether adv_optimizer starts anew in each period.
      opaque_mode: whether a call is a whole period. A copy of the parameters is then
        not kept, and `sync_period - 1` gradients are computed in each.
      batch_axis_name: the mesh axis or axes over which `grad_fn` is averaged, inside of
        `pmap` or `shard_map`, if devices have different data; for `opaque_mode`.

    Raises:
      ValueError: a number out of range, no params in `update`, or no grad_fn for
        `opaque_mode`.
      TypeError: one of the optimizers is no transformation.

    Source: Foret et al., Sharpness-aware minimization for efficiently improving
    generalization (2021), algorithm 1.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.sam(gradtx.sgd(1.0), gradtx.sgd(0.5))
      >>> params = jnp.array([1.0, 2.0])
      >>> state = tx.init(params)
      >>> for _ in range(2):  # up, then down
      ...     params, state = tx.step(params, state, params)
      ...     print(params)
      [1.5 3. ]
      [-0.5 -1. ]
    """
    check.count("sync_period", sync_period, 1)
    names = names_of(batch_axis_name)
    tx = inner_of("sam: optimizer", optimizer)
    adversary = inner_of("sam: adv_optimizer", adv_optimizer)
    # As one chain, so that the turn is no pass of its own.
    turned = chain(adversary, scale(-1.0))
    cached = not opaque_mode and sync_period > 1

    def init(params):
        return SAMState(
            steps_since_sync=jnp.zeros([], jnp.int32),
            opt_state=tx.init(params),
            adv_state=adversary.init(params),
            cache=map_present(_copy, params) if cached else None,
        )

    def climb(way, updates, adv_state, params, extra):
        call = getattr(turned, way)
        result, (adv_state, _) = call(
            updates, (adv_state, EmptyState()), params, **extra
        )
        return result, adv_state

    def begin(state, params):
        """The parameters that the period began with: these, in its first call."""
        first = state.steps_since_sync == 0

        def keep(p, c):
            now = jnp.asarray(p, c.dtype)
            return now if sync_period == 2 else jnp.where(first, now, c)

        return state._replace(cache=jax.tree.map(keep, params, state.cache))

    def started_again(adv_state, params):
        return adversary.init(params) if reset_state else adv_state

    # Branches of lax.cond, defined here, once: see one_of.
    # In this order: what it is away from p is then mostly exact.
    return_to = lift(lambda u, p, c: ((c + u) - p, c), with_params=True)

    def up(updates, state, params, **extra):
        new, adv_state = climb("update", updates, state.adv_state, params, extra)
        new = as_wide_as(updates, params, new)
        return new, begin(state, params)._replace(adv_state=adv_state)

    def down(updates, state, params, **extra):
        new, opt_state = tx.update(updates, state.opt_state, state.cache, **extra)
        new, _ = return_to(new, (state.cache,), params)
        adv_state = started_again(state.adv_state, state.cache)
        state = state._replace(opt_state=opt_state, adv_state=adv_state)
        return as_wide_as(updates, params, new), state

    def step_up(updates, state, params, **extra):
        new, adv_state = climb("step", updates, state.adv_state, params, extra)
        return new, begin(state, params)._replace(adv_state=adv_state)

    def step_down(updates, state, params, **extra):
        new, opt_state = tx.step(updates, state.opt_state, state.cache, **extra)
        adv_state = started_again(state.adv_state, state.cache)
        return new, state._replace(opt_state=opt_state, adv_state=adv_state)

    def transparent(down, up, updates, state, params, extra):
        last = state.steps_since_sync == sync_period - 1
        up = functools.partial(up, **extra) if extra else up
        result, new = one_of(last, down, up, updates, state, params, **extra)
        steps = jnp.where(last, 0, state.steps_since_sync + 1)
        return result, new._replace(steps_since_sync=steps)

    def whole_period(way, updates, state, params, grad_fn, extra):
        at, grads, adv_state = params, updates, state.adv_state
        if sync_period > 1:
            need_whole()
            need_extra(grad_fn=grad_fn)
        for i in range(sync_period - 1):
            at, adv_state = climb("step", grads, adv_state, at, extra)
            grads = _like(updates, grad_fn(at, i), params)
            grads = jax.lax.pmean(grads, names) if names else grads
        result, opt_state = getattr(tx, way)(grads, state.opt_state, params, **extra)
        adv_state = started_again(adv_state, params)
        return result, state._replace(opt_state=opt_state, adv_state=adv_state)

    def update(updates, state, params=None, *, grad_fn: Any = None, **extra):
        check_state(state, SAMState)
        need_params(params)
        if cached:
            return transparent(down, up, updates, state, params, extra)
        return whole_period("update", updates, state, params, grad_fn, extra)

    def step(updates, state, params, *, grad_fn: Any = None, **extra):
        check_state(state, SAMState)
        if cached:
            return transparent(step_down, step_up, updates, state, params, extra)
        return whole_period("step", updates, state, params, grad_fn, extra)

    return init, update, step


def _copy(p: Any) -> jax.Array:
    """The parameter in a buffer of its own; zeros for a shape."""
    if is_abstract(p):
        return jnp.zeros_like(p)
    return jnp.array(p, dtype_of(p))


def _like(updates: Any, grads: Any, params: Any) -> Any:
    """What grad_fn gave, where there was a gradient in the beginning."""
    check_match("what grad_fn gives", grads, "params", params)
    return jax.tree.map(
        lambda u, g: None if absent(u) else g, updates, grads, is_leaf=is_none
    )
