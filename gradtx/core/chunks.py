"""A leaf whose state is stored as codes: decoded, updated, encoded, chunk by chunk.

Decoded at once, a leaf would need 10 bytes more for each parameter. So a large one is
walked through in place. The loop is a pipeline: what an iteration writes was computed
in the one before, and it reads the next chunk from the arrays just written. If it read
an array that it writes to later, XLA would copy that in each iteration.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradtx.core.encoded import (
    SPARE,
    Encoded,
    Tile,
    blocked,
    reshaped,
    seed_of,
    whole,
)

CHUNK = 2**16  # entries, about; on a CPU they stay in its cache

# From blocks of the arrays that are read, and of those that are kept, to what is to be
# stored; and from that to blocks of those that are kept.
Load = Callable[[list[jax.Array], list[jax.Array]], Any]
Store = Callable[[Any], list[jax.Array]]


def is_encoded(x: Any) -> bool:
    return isinstance(x, Encoded)


def has_codes(columns: Any) -> bool:
    """Whether a slot of some leaf is stored as codes."""
    return any(is_encoded(x) for column in columns for x in column)


def slots_of(rows: Any) -> list[Any]:
    """The arrays of a leaf's slots, encoded ones whole."""
    return jax.tree.leaves(rows, is_leaf=is_encoded)


def decoded(rows: Any) -> Any:
    """The slots as the rules take them."""
    return jax.tree.map(
        lambda x: x.decode() if is_encoded(x) else x, rows, is_leaf=is_encoded
    )


def encoded_like(rows: Any, new: Any, count: jax.Array) -> Any:
    """New slots, stored as the old ones are."""
    old, treedef = jax.tree.flatten(rows, is_leaf=is_encoded)
    found = [
        x.encode(y, seed_of(count, i)) if is_encoded(x) else y
        for i, (x, y) in enumerate(zip(old, treedef.flatten_up_to(new), strict=True))
    ]
    return treedef.unflatten(found)


def over_codes(
    rules: Callable[..., tuple[Any, Any]],
    leaf: tuple[Any, Any, Any],
    count: jax.Array,
    entrywise: bool,
    apply: bool,
) -> tuple[tuple[Any, Any], jax.Array]:
    """Rules on a leaf that has slots stored as codes.

    Args:
      rules: from such a leaf, with decoded slots, to the result and new slots; with
        `tiled=True` from blocks of it.
      leaf: the gradient, the parameter or None, and the slots.
      count: of this step.
      entrywise: whether the rules look at one entry at a time.
      apply: whether the result is the new parameter; else it is the update.

    Returns:
      The result and the new slots; and the count again, which XLA knows when the leaf
      is done. Leaves that take it from each other go in turn, and share their memory.
    """
    g, p, rows = leaf
    flat, treedef = jax.tree.flatten(rows, is_leaf=is_encoded)
    alike = all(x.shape == g.shape for x in (g, p, *flat) if x is not None)
    tile, *others = {x.tile for x in flat if is_encoded(x)}
    if others or not (entrywise and alike):
        result, new = rules((g, p, decoded(rows)))
        return (result, encoded_like(rows, new, count)), count
    like = jax.eval_shape(lambda *x: rules(x)[0], g, p, decoded(rows))
    first = p if apply else jnp.zeros_like(like)
    given = [(g, tile)] + ([] if p is None or apply else [(p, tile)])
    kept = [(first, tile)]
    for x in flat:
        arrays = (x.codes, x.scales) if is_encoded(x) else (x,)
        tiles = x.tiles if is_encoded(x) else (tile,)
        kept += zip(arrays, tiles, strict=True)

    def load(given: list[jax.Array], kept: list[jax.Array]) -> Any:
        here = kept[0] if apply else (given[1] if len(given) > 1 else None)
        parts, slots = iter(kept[1:]), []
        for x in flat:
            if is_encoded(x):
                codes, scales = next(parts), next(parts)
                slots.append(x.from_blocks(codes, scales))
            else:
                slots.append(next(parts))
        leaf = given[0], here, treedef.unflatten(slots)
        result, new = rules(leaf, tiled=True)
        return result, treedef.flatten_up_to(new)

    def store(carry: Any) -> list[jax.Array]:
        result, new = carry
        parts = [result]
        for i, (x, y) in enumerate(zip(flat, new, strict=True)):
            if is_encoded(x):
                parts += x.to_blocks(y, seed_of(count, i))
            else:
                parts.append(y)
        return parts

    (result, *parts), count = in_place(load, store, given, kept, tile, count)
    arrays, new = iter(parts), []
    for x in flat:
        if is_encoded(x):
            x = Encoded(next(arrays), next(arrays), x.codec, x.shape, x.dtype)
            new.append(x)
        else:
            new.append(next(arrays))
    return (result, treedef.unflatten(new)), count


def in_place(
    load: Load,
    store: Store,
    given: Sequence[tuple[jax.Array, Tile]],
    kept: Sequence[tuple[jax.Array, Tile]],
    tile: Tile,
    count: jax.Array,
) -> tuple[list[jax.Array], jax.Array]:
    """What `store(load(...))` makes of a leaf's arrays, in chunks where it is large.

    Args:
      given: arrays that are only read, each with its tile.
      kept: arrays that are read and written, each with its tile; the first is shaped
        like the leaf.
      tile: the leaf's.
      count: a number that is at least 1, which XLA does not know.
    """
    shape = kept[0][0].shape
    axis, groups, rows = chunks_of(shape, tile)
    steps = shape[axis] // groups // rows if shape else 0

    def at_once(given: list[jax.Array], kept: list[jax.Array]) -> list[jax.Array]:
        tiles = [t for _, t in [*gives, *keeps]]
        blocks = [blocked(x, t) for x, t in zip([*given, *kept], tiles, strict=True)]
        found = store(load(blocks[: len(given)], blocks[len(given) :]))
        return [whole(x, y.shape) for x, y in zip(found, kept, strict=True)]

    gives, keeps = list(given), list(kept)
    if steps < 2:
        return at_once([x for x, _ in given], [x for x, _ in kept]), count

    def split(x: jax.Array) -> jax.Array:
        sizes = (*x.shape[:axis], groups, x.shape[axis] // groups, *x.shape[axis + 1 :])
        axes = (*range(axis + 1), None, *range(axis + 1, x.ndim))
        return reshaped(x, sizes, axes)

    def joined_shape(x: jax.Array) -> tuple[int, ...]:
        long = x.shape[axis] * x.shape[axis + 1]
        return (*x.shape[:axis], long, *x.shape[axis + 2 :])

    def joined(x: jax.Array) -> jax.Array:
        axes = (*range(axis + 1), *range(axis + 2, x.ndim))
        return reshaped(x, joined_shape(x), axes)

    units = [t[axis] for _, t in (*given, *kept)]
    chunk = [rows // tile[axis] * n for n in units]

    def part(xs: Sequence[jax.Array], j: Any, sizes: Sequence[int]) -> Any:
        """What is computed of the arrays from place j on."""
        cut = [
            lax.dynamic_slice_in_dim(x, j * k, n, axis + 1)
            for x, k, n in zip([*reads, *xs], chunk, sizes, strict=True)
        ]
        blocks = [
            blocked(joined(x), t)
            for x, (_, t) in zip(cut, (*given, *kept), strict=True)
        ]
        return load(blocks[: len(given)], blocks[len(given) :])

    def written(xs: Sequence[jax.Array], carry: Any, j: Any, sizes: Any) -> Any:
        found = store(carry)
        own = chunk[len(given) :]
        pairs = zip(xs, found, own, sizes[len(given) :], strict=True)
        return [
            lax.dynamic_update_slice_in_dim(
                x,
                split(whole(y, _cut(joined_shape(x), axis, n * groups))),
                j * k,
                axis + 1,
            )
            for x, y, k, n in pairs
        ]

    reads = [split(x) for x, _ in given]
    arrays = [split(x) for x, _ in kept]

    def body(j: Any, carry: Any) -> Any:
        arrays, computed, count = carry
        arrays = written(arrays, computed, j, chunk)
        count = jnp.where(j < shape[axis], count, 0)  # as it was; XLA does not see it
        return arrays, part(arrays, jnp.minimum(j + 1, steps - 1), chunk), count

    first = part(arrays, jnp.minimum(count, 0), chunk)
    arrays, _, count = lax.fori_loop(0, steps, body, (arrays, first, count))
    pairs = zip([*reads, *arrays], chunk, strict=True)
    rest = [x.shape[axis + 1] - steps * k for x, k in pairs]
    if rest[0]:
        # Once, but XLA must not know: it would compute anew what it writes over.
        def last(_: Any, carry: Any) -> Any:
            arrays, computed = carry
            return written(arrays, computed, steps, rest), computed

        end = part(arrays, steps, rest)
        arrays, _ = lax.fori_loop(0, jnp.minimum(count, 1), last, (arrays, end))
    return [joined(x) for x in arrays], count


def _cut(shape: tuple[int, ...], axis: int, n: int) -> tuple[int, ...]:
    return (*shape[:axis], n, *shape[axis + 1 :])


def chunks_of(shape: tuple[int, ...], tile: Tile) -> tuple[int, int, int]:
    """Along which axis a leaf is cut, in how many groups of rows, and rows of each.

    A chunk has some rows of each group, so that devices which share out the axis have
    some of each chunk. All of it is one chunk where JAX runs on something else than a
    CPU: there is nothing to gain in small ones.
    """
    best = 0, 1, max(shape[:1], default=1)
    size, most = math.prod(shape), 1
    if jax.default_backend() != "cpu":
        return best
    for i, (n, k) in enumerate(zip(shape, tile, strict=True)):
        groups = math.gcd(n // k, SPARE) if n % k == 0 else 1
        least = size // n * groups * k
        many = max(1, CHUNK // least)
        steps = n // groups // (many * k)
        if steps > most:
            best, most = (i, groups, many * k), steps
    return best
