"""Two sets of weights: fast ones explore, slow ones follow."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.apply import apply_updates
from gradtx.core.masking import is_placeholder
from gradtx.core.plan import check_state, lift, need_params
from gradtx.core.transformation import inner_of, transformation
from gradtx.core.trees import (
    absent,
    check_arrays,
    failure,
    is_abstract,
    is_none,
    map_present,
)
from gradtx.core.types import Params, Scalar, State
from gradtx.wrappers.inner import one_of


class LookaheadParams(NamedTuple):
    """The parameters of `lookahead`: take gradients at `fast`, evaluate `slow`.

    Example:
      >>> import jax, jax.numpy as jnp, gradtx
      >>> params = gradtx.LookaheadParams.init_synced(jnp.ones(2))
      >>> jax.grad(jnp.sum)(params.fast)
      Array([1., 1.], dtype=float32)
    """

    fast: Params  # moved by every step
    slow: Params  # moved by every sync_period-th, towards the fast

    @classmethod
    def init_synced(cls, params: Params) -> "LookaheadParams":
        """Both sets from one; the slow are a copy, so that both can be donated."""
        check_arrays(params)
        copied = map_present(lambda p: p if is_abstract(p) else jnp.array(p), params)
        return cls(fast=params, slow=copied)

    @staticmethod
    def __updates_for__(params: "LookaheadParams") -> Params:
        """The part that gradients are for: they are checked against it."""
        return params.fast


class LookaheadState(NamedTuple):
    fast_state: State  # the fast optimizer's
    steps_since_sync: jax.Array  # from 0 to sync_period - 1, int32


@transformation
def lookahead(
    fast_optimizer: Any,
    sync_period: int,
    slow_step_size: Scalar,
    reset_state: bool = False,
):
    """Let an optimizer run for some steps, then go a part of that way and start again.

        fast_t = fast_{t-1} + u_t
        slow_t = slow_{t-1} + slow_step_size (fast_t - slow_{t-1})

    with the fast optimizer's u_t, and the second line every sync_period steps: then the
    fast weights start again from the slow, fast_t = slow_t. The slow weights average
    over the path of the fast: less variance from the same gradients, and less harm from
    too large a learning rate.

    The parameters are `LookaheadParams.init_synced(params)`; the gradients are those
    of the fast ones. `update` gives updates for both. `step` touches the slow ones
    only in a synchronization, inside `lax.cond`, and makes both then equal to the
    last bit; where `update` and `apply_updates` round the way there, they differ in
    the last place.

    State: one int32 and the fast optimizer's; and the slow parameters.

    Args:
      fast_optimizer: the optimizer of the fast weights.
      sync_period: steps from one synchronization to the next, a whole number from 1;
        the paper uses 5 and 10.
      slow_step_size: the part of the way that is kept, in [0, 1]; the paper uses 0.5
        and 0.8. With 1 this is the fast optimizer, but for `reset_state`.
      reset_state: whether the fast optimizer starts anew after each synchronization;
        the paper keeps its state for most tasks.

    Raises:
      ValueError: a number out of range, or no params in `update`.
      TypeError: parameters that are not `LookaheadParams`, or a fast_optimizer that is
        no transformation.

    Source: Zhang et al., Lookahead optimizer: k steps forward, 1 step back (2019),
    algorithm 1.

    Example:
      >>> import gradtx
      >>> tx = gradtx.lookahead(gradtx.sgd(1.0), sync_period=2, slow_step_size=0.5)
      >>> params = gradtx.LookaheadParams.init_synced(0.0)
      >>> state = tx.init(params)
      >>> for gradient in (-1.0, -3.0):
      ...     params, state = tx.step(gradient, state, params)
      >>> float(params.fast), float(params.slow)
      (2.0, 2.0)
    """
    check.count("sync_period", sync_period, 1)
    check.fraction("slow_step_size", slow_step_size)
    tx = inner_of("lookahead: fast_optimizer", fast_optimizer)

    # Updates that lead to the new slow weights: of the fast ones, and of the slow.
    def fast_rule(u, p, s, sync):
        return jnp.where(sync, _towards(p + u, s) - p, u), s

    def slow_rule(u, p, s, sync):
        return jnp.where(sync, _towards(p + u, s) - s, 0), s

    fast_way = lift(fast_rule, with_params=True)
    slow_way = lift(slow_rule, with_params=True)
    meet = lift(lambda s, p: (s, _towards(p, s)))  # rounded like a slot

    def _towards(fast, slow):
        return slow + jnp.asarray(slow_step_size, slow.real.dtype) * (fast - slow)

    def init(params):
        fast = params
        if not _are_places(params):
            _check_params(params)
            fast = params.fast
        return LookaheadState(tx.init(fast), jnp.zeros([], jnp.int32))

    def count(state):
        steps = state.steps_since_sync + 1
        sync = steps >= sync_period
        return sync, jnp.where(sync, 0, steps)

    def update(updates, state, params: Any = None, **extra):
        check_state(state, LookaheadState)
        need_params(params)
        _check_params(params)
        updates, fast_state = tx.update(updates, state.fast_state, params.fast, **extra)
        sync, steps = count(state)
        fast, _ = fast_way(updates, (params.slow,), params.fast, (sync,))
        slow, _ = slow_way(updates, (params.slow,), params.fast, (sync,))
        if reset_state:
            met = apply_updates(params.fast, fast)
            fast_state = one_of(sync, init_again, keep_state, met, fast_state)
        return LookaheadParams(fast, slow), LookaheadState(fast_state, steps)

    def init_again(params, state):
        return tx.init(params)

    def keep_state(params, state):
        return state

    def sync_params(updates, state, params):
        here = jax.tree.map(_where_present, updates, params.slow, is_leaf=is_none)
        _, [fast] = meet(here, (params.fast,))
        slow = jax.tree.map(_if_there, here, fast, params.slow, is_leaf=is_none)
        return LookaheadParams(fast, slow), tx.init(fast) if reset_state else state

    def keep_params(updates, state, params):
        return params, state

    def step(updates, state, params, **extra):
        check_state(state, LookaheadState)
        _check_params(params)
        fast, fast_state = tx.step(updates, state.fast_state, params.fast, **extra)
        params = LookaheadParams(fast, params.slow)
        sync, steps = count(state)
        params, fast_state = one_of(
            sync, sync_params, keep_params, updates, fast_state, params
        )
        return params, LookaheadState(fast_state, steps)

    return init, update, step


def _are_places(params: Any) -> bool:
    """Whether they stand for parameters, of which the fast ones make the state."""
    if isinstance(params, LookaheadParams):
        return False
    leaves = jax.tree.leaves(params, is_leaf=is_placeholder)
    return bool(leaves) and all(map(is_placeholder, leaves))


def _check_params(params: Any) -> None:
    if not isinstance(params, LookaheadParams):
        raise failure(
            f"params must be LookaheadParams, got {type(params).__name__}. Begin with "
            f"params = LookaheadParams.init_synced(params), and take the gradients at "
            f"params.fast.",
            TypeError,
        )


def _where_present(u: Any, p: Any) -> Any:
    return None if absent(u) else p


def _if_there(here: Any, x: Any, y: Any) -> Any:
    return y if here is None else x
