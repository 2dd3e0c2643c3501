"""A function called once for every leaf: traced once a shape, dispatched together."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.core import Tracer

# Leaves of one shape that go into a call together. A call costs 50 us to trace and as
# much to lower, however short it is; 2,404 leaves are 300 calls.
TOGETHER = 8


class PerLeaf:
    """A function of one leaf, compiled; many leaves take it in few calls.

    Leaves of one shape are handed on together, inside of which the function is called
    for each: it is traced once for each distinct shape, and the calls are traced and
    lowered once for each distinct group. XLA inlines all of them. Outside of `jit`
    every leaf has its own call: a group would be compiled as a whole.

    Args:
      fn: `fn(leaf, shared) -> result`; `leaf` is a tuple of arrays or trees of them.
    """

    def __init__(self, fn: Callable[[Any, Any], Any]):
        one = jax.jit(fn)

        def some(leaves: Any, shared: Any) -> Any:
            return tuple(one(leaf, shared) for leaf in leaves)

        self.one = one
        self.some = jax.jit(some)

    def __call__(self, leaves: Sequence[Any], shared: Any = ()) -> list[Any]:
        """The results, in the leaves' order.

        Args:
          leaves: tuples whose first entry is an array.
          shared: for every leaf the same.
        """
        results: list[Any] = [None] * len(leaves)
        waiting: dict[Any, list[int]] = {}
        for i, leaf in enumerate(leaves):
            first = leaf[0]
            if not isinstance(first, Tracer):
                results[i] = self.one(leaf, shared)
                continue
            places = waiting.setdefault((first.shape, first.dtype), [])
            places.append(i)
            if len(places) == TOGETHER:
                found = self.some(tuple(leaves[j] for j in places), shared)
                for j, result in zip(places, found, strict=True):
                    results[j] = result
                places.clear()
        for places in waiting.values():
            for i in places:
                results[i] = self.one(leaves[i], shared)
        return results

    def in_turn(
        self, leaves: Sequence[Any], shared: Any, token: Any
    ) -> tuple[list[Any], Any]:
        """The results of a function that hands a token on from leaf to leaf.

        Args:
          leaves, shared: as above.
          token: `fn(leaf, shared, token) -> (result, token)`.

        Returns:
          The results, and the token that the last one gave.
        """
        results = []
        for leaf in leaves:
            result, token = self.one(leaf, shared, token)
            results.append(result)
        return results, token
