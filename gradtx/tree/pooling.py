"""Small leaves together: a reduction costs milliseconds to compile, however short."""

import functools
import operator
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from gradtx.core.per_leaf import TOGETHER
from gradtx.core.trees import absent, as_array, leaves_of

# Leaves up to this size are looked at together: 1,200 vectors took 3.7 s to compile one
# by one, 0.6 s as one.
SMALL = 512
# Leaves up to this size share a reduction with others of their shape; a larger one has
# its own, which XLA splits over cores: on GPT-2 a norm takes 14 ms then, not 21.
MIDDLING = 2**16
# Joining copies, so no more is joined than this many entries, or a tenth of the tree.
ALLOWANCE = 2**20


def pooled(tree: Any) -> list[jax.Array]:
    """The leaves that are there; small ones joined, a vector for each dtype."""
    arrays = [as_array(x) for x in leaves_of(tree)[0] if not absent(x)]
    allowance = max(ALLOWANCE, sum(x.size for x in arrays) // 10)
    found: list[jax.Array] = []
    small: dict[Any, list[jax.Array]] = {}
    for x in sorted(arrays, key=lambda x: x.size):
        if x.size > min(SMALL, allowance) or is_sharded(x):
            found.append(x)
        else:
            allowance -= x.size
            small.setdefault(x.dtype, []).append(x if x.ndim == 1 else _ravel(x))
    return found + [jnp.concatenate(parts) for parts in small.values()]


class Totals:
    """Sums over all entries, leaves of one shape in few reductions.

    Up to eight traced leaves of one shape, not large, are added entry by entry and
    reduced once: XLA fuses the additions into the reduction, stores nothing, and has
    fewer reductions to compile.

    Args:
      entrywise: from an array, and numbers that all share, to what is summed, entry
        by entry.
    """

    def __init__(self, entrywise: Callable[..., jax.Array]):
        def total(arrays: tuple[jax.Array, ...], *shared: jax.Array) -> jax.Array:
            terms = (entrywise(x, *shared) for x in arrays)
            return jnp.sum(functools.reduce(operator.add, terms))

        self._total = jax.jit(total)

    def __call__(
        self, arrays: Iterable[jax.Array], *shared: jax.Array
    ) -> list[jax.Array]:
        """The sums of groups of arrays; together they are of all entries."""
        found: list[jax.Array] = []
        groups: dict[Any, list[jax.Array]] = {}
        for x in arrays:
            # Without jit each group would be compiled by itself.
            if x.size > MIDDLING or not isinstance(x, Tracer):
                found.append(self._total((x,), *shared))
                continue
            group = groups.setdefault(jax.typeof(x), [])
            group.append(x)
            if len(group) == TOGETHER:
                found.append(self._total(tuple(group), *shared))
                group.clear()
        rest = [self._total(tuple(g), *shared) for g in groups.values() if g]
        return found + rest


def is_sharded(x: jax.Array) -> bool:
    """Whether its type says how: then it cannot be joined with one that is not."""
    aval: Any = jax.typeof(x)
    return any(axis is not None for axis in aval.sharding.spec)


_ravel = jax.jit(jnp.ravel)  # traced once a shape
