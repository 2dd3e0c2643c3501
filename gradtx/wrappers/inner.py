"""What wrappers share: running the inner transformation only sometimes."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import Tracer

from gradtx.core.axes import varied, varying
from gradtx.core.once import compiled_once
from gradtx.core.trees import absent, check_match, failure, leaves_like, leaves_of
from gradtx.core.widths import on_the_way


def one_of(
    take: jax.Array,
    yes: Callable[..., Any],
    no: Callable[..., Any],
    *operands: Any,
    **extra: Any,
) -> Any:
    """`yes(*operands, **extra)` if it is taken, else `no(*operands)`; one of them runs.

    Extra arguments need not be arrays.
    """
    leaves, treedef = jax.tree.flatten(operands)
    if not any(isinstance(x, Tracer) for x in leaves):
        # Outside of jit each function not seen before is compiled: 100 ms, not 0.4.
        if extra:
            return _with_extra(take, yes, no, operands, extra)
        return lax.cond(take, yes, no, *operands)
    seen: list[Any] = []

    # As lists: JAX writes a path for each operand and result, and those of a deep tree
    # take more than half of the time to trace.
    def as_lists(fn: Callable[..., Any], extra: dict[str, Any]) -> Callable[..., Any]:
        def branch(leaves: list[Any]) -> list[Any]:
            result, structure = jax.tree.flatten(
                fn(*treedef.unflatten(leaves), **extra)
            )
            if not seen:
                # Of the results their types only: kept, a tracer would leak.
                seen.extend((structure, list(map(varying, result))))
            elif structure != seen[0]:
                raise failure(
                    f"the inner transformation gives a tree {seen[0]}, a step that is "
                    f"not taken gives {structure}.",
                    TypeError,
                )
            return [varied(x, axes) for x, axes in zip(result, seen[1], strict=True)]

        return branch

    result = lax.cond(take, as_lists(yes, extra), as_lists(no, {}), leaves)
    return seen[0].unflatten(result)


@compiled_once
def _with_extra(take: Any, yes: Any, no: Any, operands: Any, extra: Any) -> Any:
    return lax.cond(take, functools.partial(yes, **extra), no, *operands)


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
