"""What wrappers share: running the inner transformation only sometimes."""

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from gradtx.core.trees import absent, check_match, leaves_of, map_present


def given(branch: Callable[..., Any], extra: dict[str, Any]) -> Callable[..., Any]:
    """A branch of a `lax.cond` with extra arguments, which need not be arrays.

    Without any it is the branch itself: `lax.cond` outside of `jit` compiles each
    function that it has not seen before (measured: 100 ms a call against 0.4 ms).
    """
    return functools.partial(branch, **extra) if extra else branch


def zeros_for(updates: Any) -> Any:
    """The updates of a step that is not taken."""
    return map_present(jnp.zeros_like, updates)


def in_dtypes_of(updates: Any, new: Any) -> Any:
    """The new updates in the dtypes of the old, absent where those are.

    Both branches of a `lax.cond` have to agree. Transformations of gradtx keep dtypes
    anyway; one from elsewhere may have widened them.
    """
    check_match("updates", updates, "what the inner transformation gives", new)
    leaves, treedef = leaves_of(updates)
    pairs = zip(leaves, leaves_of(new)[0], strict=True)
    return treedef.unflatten(
        g if absent(g) else jnp.asarray(u, jnp.result_type(g)) for g, u in pairs
    )
