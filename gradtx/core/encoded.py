"""Slots that are stored as codes: decoded before a rule, encoded behind it.

A codec works on blocks of a leaf. In memory a leaf's blocks are tiles of it, so that
codes lie on a mesh as the leaf does: its axes alternate here with the tile's, as in
(rows / 8, 8, columns / 32, 32), which moves nothing.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

Tile = tuple[int, ...]  # how many entries along each axis of a leaf are in one block

SPARE = 8  # devices that a leaf's axis can be split over without splitting a tile
NARROW = 32  # XLA adds up, or compares, so many neighbours in one go
LEAST = 64  # entries of a block


class Codec:
    """How blocks of numbers are stored. Codecs are static: they compare by value."""

    block: int = 256  # entries
    per_byte: int = 1  # codes; two lie a half tile apart

    def encode(self, x: jax.Array, seed: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Codes, one for each entry, and scales, one for each block.

        Args:
          x: blocks, of float32.
          seed: a uint32, another one for each step and slot.
        """
        raise NotImplementedError

    def decode(self, codes: jax.Array, scales: jax.Array) -> jax.Array:
        """The numbers again, in float32."""
        raise NotImplementedError

    def zeros(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """What blocks of zeros are stored as; both are filled with zeros."""
        raise NotImplementedError


@functools.cache
def tile_of(shape: tuple[int, ...], block: int) -> Tile:
    """The tile of a leaf's blocks: whole ones on each of up to eight devices.

    The last axes are taken first, as far as each of eight devices would have whole
    tiles, or an axis is odd, which no two devices share out evenly.
    """
    tile = [1] * len(shape)

    def spare(i: int) -> int:
        if shape[i] % 2:
            return SPARE if shape[i] >= 16 * tile[i] else 0
        return (shape[i] & -shape[i]) // tile[i]

    def narrow(i: int) -> bool:
        return i < len(shape) - 1 or tile[i] < NARROW or len(shape) == 1

    axes = range(len(shape))
    while math.prod(tile) < block:
        free = [i for i in axes if narrow(i) and spare(i) > SPARE] or [
            i for i in axes if narrow(i) and shape[i] % 2 and spare(i)
        ]
        best = free[-1] if free else max(axes, key=lambda i: (spare(i), i), default=0)
        if not shape or (not free and spare(best) <= 1):
            break
        tile[best] *= 2
    while shape and math.prod(tile) < min(LEAST, block):
        tile[max(axes, key=lambda i: (shape[i] / tile[i], i))] *= 2
    return tuple(tile)


def pairs(sizes: Sequence[int], tile: Sequence[int]) -> list[int]:
    """Axes of a leaf, in turn with its tile's."""
    return [n for pair in zip(sizes, tile, strict=True) for n in pair]


def reshaped(x: jax.Array, sizes: Sequence[int], axes: Sequence[int | None]) -> Any:
    """The array in another shape.

    Args:
      axes: for each new axis the old one whose place on an explicit mesh it has. Those
        within a tile have none: no device has a part of one.
    """
    where = jax.typeof(x).sharding
    if all(axis is None for axis in where.spec):
        return x.reshape(sizes)
    spec = PartitionSpec(*(None if i is None else where.spec[i] for i in axes))
    return lax.reshape(x, tuple(sizes), out_sharding=NamedSharding(where.mesh, spec))


def along(i: int, n: int, ndim: int, dtype: Any) -> jax.Array:
    """0 to n - 1 along an axis; the others have length 1."""
    sizes = [n if j == i else 1 for j in range(ndim)]
    return lax.broadcasted_iota(dtype, sizes, i)


def blocked(x: jax.Array, tile: Tile) -> jax.Array:
    """A leaf as blocks, with zeros at the ends where a tile is not full."""
    gaps = [(0, -n % k) for n, k in zip(x.shape, tile, strict=True)]
    if any(end for _, end in gaps):
        x = jnp.pad(x, gaps)
    sizes = pairs([n // k for n, k in zip(x.shape, tile, strict=True)], tile)
    return reshaped(x, sizes, [y for i in range(x.ndim) for y in (i, None)])


def whole(x: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """The leaf again, without what its blocks have too much."""
    sizes = [n * k for n, k in zip(x.shape[::2], x.shape[1::2], strict=True)]
    x = reshaped(x, sizes, range(0, x.ndim, 2))
    if x.shape != shape:
        x = x[tuple(slice(0, n) for n in shape)]
    return x


def inner_axes(x: jax.Array) -> tuple[int, ...]:
    """Of blocks the axes within a block."""
    return tuple(range(1, x.ndim, 2))


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("codes", "scales"),
    meta_fields=("codec", "shape", "dtype"),
)
@dataclasses.dataclass(frozen=True)
class Encoded:
    """An array of state, stored as codes.

    Attributes:
      codes: shaped like the array; where two share a byte, one axis is half as long.
      scales: one for each block.
      codec, shape, dtype: how it is stored, and of what it was made.
    """

    codes: Any
    scales: Any
    codec: Codec
    shape: tuple[int, ...]
    dtype: Any

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def tile(self) -> Tile:
        return tile_of(self.shape, self.codec.block)

    @property
    def tiles(self) -> tuple[Tile, Tile]:
        """Those of the codes and of the scales."""
        codes = list(self.tile)
        if self.codec.per_byte == 2:
            codes[half_axis(self.shape, self.tile)] //= 2
        return tuple(codes), (1,) * self.ndim

    def from_blocks(self, codes: jax.Array, scales: jax.Array) -> jax.Array:
        """Blocks of numbers, of blocks of the codes and of the scales."""
        if self.codec.per_byte == 2:
            # Shifted by 0 and 4 along a new axis: XLA would branch in a concatenation.
            i, sizes = self._half, list(codes.shape)
            shift = 4 * along(i, 2, codes.ndim + 1, codes.dtype)
            both = (jnp.expand_dims(codes, i) >> shift) & 15
            sizes[i] *= 2
            axes = [None if j == i else j + (j > i) for j in range(codes.ndim)]
            codes = reshaped(both, sizes, axes)
        return self.codec.decode(codes, scales).astype(self.dtype)

    def to_blocks(self, x: jax.Array, seed: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Blocks of the codes and of the scales, of blocks of numbers."""
        codes, scales = self.codec.encode(x.astype(jnp.float32), seed)
        if self.codec.per_byte == 2:
            one, two = jnp.split(codes.astype(jnp.uint8), 2, self._half)
            codes = (one & 15) | (two << 4)
        return codes, scales

    @property
    def _half(self) -> int:
        return 2 * half_axis(self.shape, self.tile) + 1

    def decode(self) -> jax.Array:
        """The array, as it is computed with."""
        parts = map(blocked, (self.codes, self.scales), self.tiles)
        return whole(self.from_blocks(*parts), self.shape)

    def encode(self, x: jax.Array, seed: jax.Array) -> "Encoded":
        """Another array of the same shape, stored in the same way."""
        codes, scales = self.to_blocks(blocked(x, self.tile), seed)
        return dataclasses.replace(
            self,
            codes=whole(codes, jnp.shape(self.codes)),
            scales=whole(scales, jnp.shape(self.scales)),
        )


def half_axis(shape: tuple[int, ...], tile: Tile) -> int:
    """The axis along which two codes share a byte: the first that can be halved."""
    even = [i for i, (n, k) in enumerate(zip(shape, tile, strict=True)) if n % k == 0]
    usable = [i for i in even if tile[i] > 1]
    return (usable or [i for i, k in enumerate(tile) if k > 1])[0]


def encoded_zeros(x: Any, codec: Codec, dtype: Any) -> Encoded:
    """A slot of zeros, stored as codes, which lie on a mesh as the leaf does."""
    shape = jnp.shape(x)
    tile = tile_of(shape, codec.block)
    sizes, i = list(shape), 0
    if codec.per_byte == 2:
        i = half_axis(shape, tile)
        full = shape[i] % tile[i] == 0
        sizes[i] = (shape[i] if full else -(-shape[i] // tile[i]) * tile[i]) // 2
    grid = tuple(-(-n // k) for n, k in zip(shape, tile, strict=True))

    def parts(x: Any) -> Any:
        codes, scales = codec.zeros(blocked(x, tile))
        if codec.per_byte == 2:
            codes = jnp.split(codes.astype(jnp.uint8), 2, 2 * i + 1)[0]
        return whole(codes, tuple(sizes)), whole(scales, grid)

    if isinstance(x, jax.Array) and any(jax.typeof(x).sharding.spec):
        # Only from an array is it known how the codes lie on an explicit mesh.
        codes, scales = jax.jit(parts)(jnp.zeros_like(x))
    else:
        codes, scales = map(jnp.zeros_like, jax.eval_shape(parts, x))
    return Encoded(codes, scales, codec, shape, jnp.dtype(dtype))


# What makes slots inside: from the slot, its name, a leaf's path and the leaf, to an
# array or to an encoded one.
Policy = Callable[[Any, str, str, Any], Any]

_policy: ContextVar[Policy | None] = ContextVar("gradtx_encoding", default=None)


@contextmanager
def encoding(policy: Policy) -> Iterator[None]:
    """Inside of it slots are made as codes where the policy says so."""
    token = _policy.set(policy)
    try:
        yield
    finally:
        _policy.reset(token)


def policy() -> Policy | None:
    """How slots are to be stored, if they are."""
    return _policy.get()


# The number of the step, from which codes are rounded one way or the other.
_step: ContextVar[jax.Array | None] = ContextVar("gradtx_step", default=None)


@contextmanager
def stepping(count: jax.Array) -> Iterator[None]:
    """Inside of it codes are rounded for this step, which counts from 1."""
    token = _step.set(count)
    try:
        yield
    finally:
        _step.reset(token)


def step_number() -> Any:
    """The number of the step, 1 where nobody counts."""
    found = _step.get()
    return jnp.ones([], jnp.int32) if found is None else found


def seed_of(count: jax.Array, slot: int) -> jax.Array:
    """For each step and slot its own."""
    return _mixed(count.astype(jnp.uint32) * jnp.uint32(_ODD) + jnp.uint32(slot + 1))


_ODD = 0x9E3779B9  # 2^32 over the golden ratio: multiples of it lie far apart


def _mixed(h: jax.Array) -> jax.Array:
    """A hash of 32 bits: each bit of the argument turns half of the result's."""
    h = (h ^ (h >> 16)) * jnp.uint32(0x7FEB352D)
    h = (h ^ (h >> 15)) * jnp.uint32(0x846CA68B)
    return h ^ (h >> 16)


def random_bits(x: jax.Array, seed: jax.Array) -> jax.Array:
    """32 bits for each entry of blocks, from its value, its place in the block, a seed.

    The same on every mesh and after each start: nothing of it is kept, and a place is
    that within its block.
    """
    place, stride = jnp.zeros([1] * x.ndim, jnp.uint32), 1
    for i in inner_axes(x):
        here = along(i, x.shape[i], x.ndim, jnp.uint32)
        place = place + here * jnp.uint32(stride * _ODD % 2**32)
        stride *= x.shape[i]
    return _mixed(lax.bitcast_convert_type(x, jnp.uint32) + place + seed)
