"""Codes with steps that grow with the number: piecewise logarithmic, as floats are."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradtx.core.encoded import Codec, inner_axes, random_bits

# Of a float32.
_MANTISSA = 23
_MAGNITUDE = 2**31 - 1
_ONE = 1 << _MANTISSA
_INFINITY = 255 << _MANTISSA
_LARGEST = 254  # exponent of the largest finite numbers, with its bias; 255 is NaN


@dataclasses.dataclass(frozen=True)
class LogCodec(Codec):
    """A code for the place between the powers of two below a block's largest number.

        x = sign 2^(E - R + floor(k / K)) (1 + (k mod K) / K),   k = 0, ..., R K

    Each octave has K codes, R octaves below 2^E; E belongs to the block, of which no
    number is above 2^E. A signed code has K more, evenly between 0 and the lowest
    octave, so that 0 is one. An unsigned one has no 0 but in a block of zeros: what is
    below the lowest is taken for it, since a second moment stands below a fraction
    line. So that between two codes x is as far as its distance says, a code is rounded
    up with the probability of that: on average a number comes back as it was.

    A block's scale is E, one byte. All is done with the bits of float32, by sums and
    products of integers; a number comes and goes without a root or a quotient.

    Attributes:
      steps: K, codes in an octave.
      octaves: R.
      signed: whether numbers may be negative.
      block: entries of a block.
      per_byte: codes in a byte, 1 or 2.
      stochastic: whether codes are rounded up or down at random; else to the nearest.
    """

    steps: int
    octaves: int
    signed: bool
    block: int = 256
    per_byte: int = 1
    stochastic: bool = True

    def to_nearest(self) -> "LogCodec":
        """The same codes, each number rounded to the nearest."""
        return dataclasses.replace(self, stochastic=False)

    @property
    def largest(self) -> int:
        """The largest code."""
        return self.steps * (self.octaves + self.signed)

    def zeros(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        scales = jnp.max(x, inner_axes(x), keepdims=True)
        return x.astype(self._dtype), scales.astype(jnp.uint8)

    @property
    def _dtype(self) -> Any:
        return jnp.int8 if self.signed else jnp.uint8

    def encode(self, x: jax.Array, seed: jax.Array) -> tuple[jax.Array, jax.Array]:
        bits = lax.bitcast_convert_type(x, jnp.int32)
        size = bits & _MAGNITUDE
        top = jnp.max(size, inner_axes(x), keepdims=True)
        exponent = jnp.minimum((top + (_ONE - 1)) >> _MANTISSA, _LARGEST)
        exponent = jnp.where(top > _INFINITY, _LARGEST + 1, exponent)
        low = self._lowest(exponent)
        above = jnp.maximum(size - low, 0).astype(jnp.uint32) * jnp.uint32(self.steps)
        if self.signed:
            share = _float(size) * _float((_LARGEST << _MANTISSA) - low)  # of low
            even = (share * float(self.steps * _ONE)).astype(jnp.int32)
            above = above + jnp.uint32(self.steps * _ONE)
            above = jnp.where(size < low, even.astype(jnp.uint32), above)
        up = random_bits(x, seed) >> 9 if self.stochastic else jnp.uint32(_ONE // 2)
        k = jnp.minimum((above + up) >> _MANTISSA, self.largest).astype(jnp.int32)
        if self.signed:
            k = jnp.where(bits < 0, -k, k)
        return k.astype(self._dtype), exponent.astype(jnp.uint8)

    def decode(self, codes: jax.Array, scales: jax.Array) -> jax.Array:
        exponent = scales.astype(jnp.int32)
        low = self._lowest(exponent)
        k = codes.astype(jnp.int32)
        if self.signed and self.per_byte == 2:
            k = (k ^ 8) - 8  # half a byte, with its sign
        n = jnp.abs(k) if self.signed else k
        above = n - self.steps if self.signed else n
        value = _float(low + self._bits(above))
        if self.signed:
            even = n.astype(jnp.float32) * (_float(low) * (1 / self.steps))
            value = jnp.where(n < self.steps, even, value)
            value = jnp.where(k < 0, -value, value)
        special = jnp.where(exponent == 0, 0.0, jnp.nan)
        return jnp.where((exponent == 0) | (exponent > _LARGEST), special, value)

    def _lowest(self, exponent: jax.Array) -> jax.Array:
        """The bits of the number where the lowest octave begins."""
        return jnp.maximum(exponent - self.octaves, 1) << _MANTISSA

    def _bits(self, k: jax.Array) -> jax.Array:
        """k 2^23 / K, rounded down."""
        per, left = divmod(_ONE, self.steps)
        return k * per + (k * (left * -(-(1 << 16) // self.steps)) >> 16)


def _float(bits: jax.Array) -> jax.Array:
    return lax.bitcast_convert_type(bits, jnp.float32)


# K and R such that the root mean square of the error is smallest for numbers whose
# logarithm has a standard deviation of 2 within a block.
CODECS = {
    (8, True): LogCodec(steps=11, octaves=10, signed=True),
    (8, False): LogCodec(steps=9, octaves=28, signed=False),
    (4, True): LogCodec(steps=1, octaves=6, signed=True, per_byte=2),
    (4, False): LogCodec(steps=1, octaves=15, signed=False, per_byte=2),
}
