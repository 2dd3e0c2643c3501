"""Rounding float32 to 16 bits with integers: nothing of it can be simplified away.

XLA may take (a + b) - a for b, and a number that goes to bfloat16 and back for itself.
Sums of bits it leaves alone.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gradtx.core.encoded import _ODD, _mixed, random_bits

_MAGNITUDE = 0x7FFFFFFF
_INFINITY = 0x7F800000  # of float32; what is above is NaN
_PERIOD = 32  # of places, which are counted along the last axis first


class Narrow(NamedTuple):
    """A dtype of 16 bits, as seen from float32."""

    drop: int  # bits of the mantissa that it has not
    largest: int  # bits of the largest finite number
    beyond: int  # bits of the next, which would be infinite
    least: int  # bits of the smallest normal number, 0 if it is float32's


def _bits_of(x: float) -> int:
    return int(np.float32(x).view(np.uint32))


NARROW = {
    jnp.dtype(jnp.bfloat16): Narrow(16, 0x7F7F0000, _INFINITY, 0),
    jnp.dtype(jnp.float16): Narrow(
        13, _bits_of(65504.0), _bits_of(65536.0), _bits_of(2.0**-14)
    ),
}


def bits_of(x: jax.Array) -> jax.Array:
    return lax.bitcast_convert_type(x, jnp.uint32)


def float_of(bits: jax.Array) -> jax.Array:
    return lax.bitcast_convert_type(bits, jnp.float32)


def noise(x: jax.Array, seed: jax.Array, tiled: bool) -> jax.Array:
    """32 bits for each entry, from its value, its place and a seed.

    A place is counted in a row, as in memory, and modulo 32: where shares of a leaf are
    multiples of that, they have the bits of the whole leaf. Blocks have places of their
    own, those within a tile.

    Args:
      x: of float32, the leaf or a part of it.
      seed: a uint32, another one for each step.
      tiled: whether x is blocks of a leaf, whose tiles lie along every second axis.
    """
    if tiled:
        return random_bits(x, seed)
    place, stride = jnp.zeros([1] * x.ndim, jnp.uint32), 1
    for i in reversed(range(x.ndim)):
        if stride % _PERIOD:
            along = lax.broadcasted_iota(jnp.uint32, x.shape, i)
            place = place + along * jnp.uint32(stride % _PERIOD)
        stride *= x.shape[i]
    return _mixed(bits_of(x) + (place % _PERIOD) * jnp.uint32(_ODD) + seed)


def rounded(x: jax.Array, dtype: Any, random: jax.Array | None = None) -> jax.Array:
    """The number of a narrower dtype next to x, as float32.

    To the nearest, ties to even; or with random bits up or down with the probability
    of the distance, so that the mean is x (to 2^-21 of a step for float16's
    denormals). What is finite in the dtype's range is not rounded up to infinity; NaN,
    infinity, and what is out of float16's range, stay as they are.

    Args:
      x: of float32.
      dtype: bfloat16 or float16.
      random: 32 bits for each entry.
    """
    kind = NARROW[jnp.dtype(dtype)]
    bits = bits_of(x)
    size = bits & _MAGNITUDE
    if random is None:
        up = (1 << (kind.drop - 1)) - 1 + ((size >> kind.drop) & 1)
    else:
        up = random >> (32 - kind.drop)
    new = jnp.minimum((size + up) >> kind.drop << kind.drop, kind.largest)
    if kind.least:  # below, steps are all of 2^-24
        new = jnp.where(size < kind.least, _denormal(float_of(size), random), new)
    new = jnp.where(size >= kind.beyond, size, new)
    return float_of((bits & ~jnp.uint32(_MAGNITUDE)) | new)


def _denormal(size: jax.Array, random: jax.Array | None) -> jax.Array:
    if random is None:
        return bits_of(jnp.round(size * 2.0**24) * 2.0**-24)
    fine = (size * 2.0**45).astype(jnp.uint32)  # below 2^31, where it is asked for
    steps = (fine + (random >> 11)) >> 21
    return bits_of(steps.astype(jnp.float32) * 2.0**-24)


def joined(p: jax.Array, residual: jax.Array) -> jax.Array:
    """Of a bfloat16 number, as float32, and 8 bits: the float of 24 bits."""
    bits = bits_of(p)
    near = lax.bitcast_convert_type(bits, jnp.int32) + (residual.astype(jnp.int32) << 8)
    return float_of(jnp.where(residual == 0, bits, near.astype(jnp.uint32)))


def parted(x: jax.Array, random: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The nearest bfloat16, as float32, and what is left in 8 bits.

    The upper 24 bits of float32, rounded up or down at random; what is left is counted
    in the 256th part of a step of bfloat16, from -128 to 127.
    """
    bits = bits_of(x)
    size = bits & _MAGNITUDE
    fine = jnp.minimum((size + (random >> 24)) >> 8 << 8, _INFINITY - 256)
    new = jnp.minimum((fine + 0x8000) >> 16 << 16, 0x7F7F0000)
    left = (fine - new).astype(jnp.int32) >> 8
    known = size < _INFINITY
    left = jnp.where(known, jnp.minimum(left, 127), 0)
    new = jnp.where(known, new, size)
    return float_of((bits & ~jnp.uint32(_MAGNITUDE)) | new), left.astype(jnp.int8)
