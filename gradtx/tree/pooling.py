"""Small leaves together: a reduction costs milliseconds to compile, however short."""

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.trees import absent, leaves_of

# Leaves up to this size are looked at together: 1,200 vectors took 3.7 s to compile one
# by one, 0.6 s as one. Larger ones would cost a copy that is felt.
SMALL = 4096


def pooled(tree: Any) -> list[jax.Array]:
    """The leaves that are there; the small ones joined, a vector for each dtype."""
    found: list[jax.Array] = []
    small: dict[Any, list[jax.Array]] = {}
    for leaf in leaves_of(tree)[0]:
        if absent(leaf):
            continue
        x = jnp.asarray(leaf)
        aval: Any = jax.typeof(x)
        # One that is sharded explicitly cannot be joined with one that is not.
        if x.size > SMALL or any(axis is not None for axis in aval.sharding.spec):
            found.append(x)
        else:
            small.setdefault(x.dtype, []).append(_ravel(x))
    return found + [jnp.concatenate(parts) for parts in small.values()]


_ravel = jax.jit(jnp.ravel)  # traced once a shape
