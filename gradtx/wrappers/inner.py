"""What wrappers share: running the inner transformation only sometimes."""

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.axes import varying
from gradtx.core.branches import one_of as one_of
from gradtx.core.trees import absent, check_match, leaves_like, leaves_of
from gradtx.core.widths import on_the_way


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
