"""What wrappers share: running the inner transformation only sometimes."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.axes import varying
from gradtx.core.branches import one_of as one_of
from gradtx.core.plan import check_state
from gradtx.core.trees import absent, check_match, leaves_like, leaves_of
from gradtx.core.widths import on_the_way


def sometimes(
    State: Any,
    tx: Any,
    judge: Callable[..., tuple[jax.Array, Any]],
    before: Callable[[Any, Any], Any] = lambda updates, state: updates,
    otherwise: tuple[Callable[..., Any], Callable[..., Any]] | None = None,
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """`update` and `step` of a wrapper that leaves out some steps of another.

    The inner one runs inside of `lax.cond`, in `step` with the application. What is
    left out leaves its state as it was, and `step` does not read the parameters.

    Args:
      State: of the wrapper, with the inner one's in its field `inner_state`.
      tx: the inner transformation.
      judge: `(updates, state, params, extra) -> (take, state)`: whether to take the
        step, and the wrapper's new state, but for the inner one's.
      before: `(updates, state)` gives what the inner one sees of the updates, from the
        state before; in the branch, where XLA does not store it.
      otherwise: `(updates, params)` of a step that is left out, for `update` and for
        `step`: zero updates and the same parameters if it is None.
    """
    updates_left, params_left = otherwise or (zeros_for, lambda updates, params: params)

    # The branches of lax.cond are defined here, once: see one_of.
    def taken(updates, state, params, **extra):
        given = before(updates, state)
        new, inner = tx.update(given, state.inner_state, params, **extra)
        return as_wide_as(updates, params, new), inner

    def left_out(updates, state, params):
        return updates_left(updates, params), state.inner_state

    def step_taken(updates, state, params, **extra):
        return tx.step(before(updates, state), state.inner_state, params, **extra)

    def step_left_out(updates, state, params):
        return params_left(updates, params), state.inner_state

    def either(yes, no, updates, state, params, extra):
        check_state(state, State)
        take, new = judge(updates, state, params, extra)
        result, inner = one_of(take, yes, no, updates, state, params, **extra)
        return result, new._replace(inner_state=inner)

    def update(updates, state, params=None, **extra):
        return either(taken, left_out, updates, state, params, extra)

    def step(updates, state, params, **extra):
        return either(step_taken, step_left_out, updates, state, params, extra)

    return update, step


def zeros_for(updates: Any, params: Any = None) -> Any:
    """The updates of a step that is not taken, as wide as those of one that is."""
    made: dict[Any, jax.Array] = {}  # one shape shares its zeros

    def zero(g: Any, dtype: Any) -> jax.Array:
        kind = jax.typeof(g), dtype  # shape, and how it lies on devices
        if kind not in made:
            # Zeros are the same on all devices, wherever the gradient varies.
            shape, like = jnp.shape(g), jnp.zeros_like
            made[kind] = jnp.zeros(shape, dtype) if varying(g) else like(g, dtype)
        return made[kind]

    leaves, dtypes, treedef = _on_the_way(updates, params)
    pairs = zip(leaves, dtypes, strict=True)
    return treedef.unflatten(g if absent(g) else zero(g, dtype) for g, dtype in pairs)


def as_wide_as(updates: Any, params: Any, new: Any) -> Any:
    """The new updates in the dtypes of `zeros_for(updates, params)`.

    Both branches of a `lax.cond` have to agree.
    """
    check_match("updates", updates, "what the inner transformation gives", new)
    leaves, dtypes, treedef = _on_the_way(updates, params)
    rows = zip(leaves, dtypes, leaves_of(new)[0], strict=True)
    return treedef.unflatten(
        g if absent(g) else _in_dtype(dtype, u) for g, dtype, u in rows
    )


def _on_the_way(updates: Any, params: Any) -> tuple[list[Any], list[Any], Any]:
    """The updates, the dtype that each travels in, and their structure."""
    leaves, treedef = leaves_of(updates)
    own = leaves if params is None else leaves_like(treedef, params, "params", updates)
    dtypes = [
        None if absent(g) else on_the_way(g, p)
        for g, p in zip(leaves, own, strict=True)
    ]
    return leaves, dtypes, treedef


def _in_dtype(dtype: Any, u: Any) -> jax.Array:
    if isinstance(u, jax.Array) and u.dtype == dtype and not u.weak_type:
        return u  # a conversion that does nothing is an equation to trace
    return jnp.asarray(u, dtype)
