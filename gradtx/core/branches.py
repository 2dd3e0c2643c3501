"""One of two ways to go on, in a branch of `lax.cond`."""

import functools
from collections.abc import Callable
from typing import Any

import jax
from jax import lax
from jax.core import Tracer

from gradtx.core.axes import varied, varying
from gradtx.core.once import compiled_once
from gradtx.core.trees import failure


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
