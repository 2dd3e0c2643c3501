"""Numerical pieces that rules share."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gradtx.core import check
from gradtx.core.trees import as_array


def safe_increment(count: Any) -> jax.Array:
    """Add one, stopping at the largest number of the dtype instead of wrapping.

    Args:
      count: of integers, signed or not, or floating.

    Raises:
      ValueError: of bools or complex numbers.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.safe_increment(jnp.int32(2**31 - 1))
      Array(2147483647, dtype=int32)
    """
    count = as_array(count)
    if jnp.issubdtype(count.dtype, jnp.integer):
        info: Any = jnp.iinfo(count.dtype)
    elif jnp.issubdtype(count.dtype, jnp.floating):
        info = jnp.finfo(count.dtype)
    else:
        raise ValueError(f"count must be whole or floating, got {count.dtype}.")
    # Of the dtype: as an int the largest of uint32 is beyond JAX's.
    return jnp.where(count < np.asarray(info.max, count.dtype), count + 1, count)


def abs_sq(x: jax.Array) -> jax.Array:
    """|x|^2, real for complex x and without the square root of `jnp.abs`."""
    if jnp.iscomplexobj(x):
        return x.real * x.real + x.imag * x.imag
    return x * x


def one_minus_power(decay: Any, count: jax.Array) -> jax.Array:
    """1 - decay**count, to the last digits also where decay is close to 1.

    Written as it stands it loses what float32 rounds off decay: with 0.999 the first
    value is wrong by 5e-5. Taken as -expm1(count log(decay)), with the logarithm in
    double precision when decay is a Python number, it is wrong by 1e-7. The count is
    a whole number, by which there is no derivative.
    """
    if isinstance(decay, float | int | np.generic):
        log = math.log(float(decay)) if float(decay) > 0 else -math.inf
        return -jnp.expm1(as_float(count) * log)
    return _one_minus_power(as_float(decay), as_float(count))


@jax.custom_jvp
def _one_minus_power(decay: jax.Array, count: jax.Array) -> jax.Array:
    return -jnp.expm1(count * jnp.log(decay))


@_one_minus_power.defjvp
def _(primals: Any, tangents: Any) -> Any:
    # Not through the logarithm, which at a decay of 0 is infinite.
    decay, count = primals
    value, power = _one_minus_power(decay, count), decay**count
    log = jnp.log(jnp.where(decay > 0, decay, 1))
    slopes = -count * decay ** (count - 1), -power * log
    change = slopes[0] * tangents[0] + slopes[1] * tangents[1]
    return value, change.astype(value.dtype)


def select(where: jax.Array, x: Any, other: Any) -> jax.Array:
    """One or the other, entry by entry; one of both may be a number.

    As jnp.where does, which is a call of its own, with a conversion and a broadcast, to
    be traced for every leaf.
    """
    like = x if isinstance(x, jax.Array) else other
    x, other = (
        v if isinstance(v, jax.Array) else lax.full_like(like, v) for v in (x, other)
    )
    return lax.select(where, x, other)


def root(x: jax.Array, eps: Any = 0.0) -> jax.Array:
    """The square root of x + eps, whose derivative at 0 is taken to be 0.

    There it is infinite, and times the 0 of a square's derivative NaN: one entry
    without a gradient would spoil every derivative through an optimizer.
    """
    return _root(x if isinstance(eps, float | int) and eps == 0 else x + eps)


@jax.custom_jvp
def _root(x: jax.Array) -> jax.Array:
    return jnp.sqrt(x)


@_root.defjvp
def _(primals: Any, tangents: Any) -> Any:
    value = _root(primals[0])
    return value, _half_over(value) * tangents[0]


def again(x: Any) -> Any:
    """The same arrays, from which XLA computes again what it would store for two uses.

    A sum over entries takes what it sums in as it computes it, but for what has another
    use, be it a number or a row made as large as a matrix: that is stored in full. What
    is made of arrays that seem to be others has one use.

    Of several leaves take each by itself: under `shard_map` all that go in together
    come out as varying over the axes that one of them varies over.
    """
    return lax.optimization_barrier(x)


@jax.custom_jvp
def inverse_root(x: jax.Array) -> jax.Array:
    """1 / sqrt(x), and 0, as its derivative, where x is 0: nothing has been seen."""
    zero = x == 0
    return select(zero, 0, 1 / jnp.sqrt(select(zero, 1, x)))


@inverse_root.defjvp
def _(primals: Any, tangents: Any) -> Any:
    value = inverse_root(primals[0])
    return value, -0.5 * value**3 * tangents[0]


@jax.custom_jvp
def norm_of(total: jax.Array, size: jax.Array) -> jax.Array:
    """A norm `size`, with the derivative of root(total): 0 where it is 0.

    The two are the same, but for a sum of squares that is out of range.
    """
    return size


@norm_of.defjvp
def _(primals: Any, tangents: Any) -> Any:
    value = norm_of(*primals)
    return value, _half_over(value) * tangents[0]


def _half_over(x: jax.Array) -> jax.Array:
    """1 / (2 x), and 0 where x is 0."""
    zero = x == 0
    return select(zero, 0, 0.5 / select(zero, 1, x))


def window(limit: Any, entries: int, dtype: Any) -> Any:
    """What to scale entries by before they are squared, to compare with a limit.

    Squares are in range for entries over 38 powers of ten only in float32, and entries
    are over 76. Scaled by this, those that are lost below add up to less than the last
    digit of the limit, and those above may be larger than it by 34 powers of ten less
    those of their number. So one look is enough for whether, and by how much, a norm is
    above a limit; a norm below may be wrong.

    Args:
      limit: of the norm, above 0; as an array it may be 0.
      entries: how many are squared.
      dtype: that they are squared in.
    """
    info = jnp.finfo(dtype)
    least = (float(info.tiny) * max(entries, 1) / float(info.eps)) ** 0.5
    most = 2.0 ** (info.maxexp * 3 // 4)
    if isinstance(limit, float | int):
        # A power of two: multiplication with it does not round.
        exact = 2.0 ** math.floor(math.log2(least / limit))
        return min(max(exact, 1 / most), most)
    given = jnp.asarray(limit, dtype)
    return jnp.clip(least / jnp.where(given > 0, given, 1), 1 / most, most)


def shrinking(size: jax.Array, limit: Any, given: Any) -> jax.Array:
    """The factor that brings a size down to a limit: min(1, limit / size).

    Both as `window` scales them: then it is in range. A limit of 0 is a factor of 0.

    Args:
      size, limit: at least 0, finite but for the size.
      given: what the user gave for a limit; as a number it is above 0.
    """
    limit = jnp.asarray(limit, size.dtype)
    return _shrinking(size, limit, isinstance(given, float | int))


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _shrinking(size: jax.Array, limit: jax.Array, positive: bool) -> jax.Array:
    largest = jnp.maximum(size, limit)
    return limit / (largest if positive else select(largest == 0, 1, largest))


@_shrinking.defjvp
def _(positive: bool, primals: Any, tangents: Any) -> Any:
    # 0 within the limit, where that of a quotient would be a difference.
    size, limit = primals
    value, inside = _shrinking(size, limit, positive), size <= limit
    change = (tangents[1] - value * tangents[0]) / select(inside, 1, size)
    return value, select(inside, 0, change)


def after(value: Any, *known: jax.Array) -> jax.Array:
    """The value, in a program not before others are known; NaN where one is NaN.

    A whole number is 0 there.

    What writes over a buffer has to wait for what reads it (a sum over it, other new
    state), or XLA copies it first, 4 bytes of memory for each parameter. A barrier does
    not do: on a CPU it is gone before that is decided. Arrays among the others must be
    stored anyway, or XLA computes them twice.
    """
    if not isinstance(value, jax.Array):
        value = jnp.asarray(value, known[0].dtype)
    whole = jnp.issubdtype(value.dtype, jnp.integer)
    lost = 0 if whole else jnp.nan  # no array, which JAX's search for NaN would find
    for x in known:
        # NaN is what differs from itself: few equations, for each leaf is traced.
        alike = (x.shape, x.dtype) == (value.shape, value.dtype)
        broken = x != x
        value = (
            lax.select_n(broken, value, x) if alike else jnp.where(broken, lost, value)
        )
    return value


def settled(x: jax.Array, known: jax.Array) -> jax.Array:
    """The array, computed once and stored; NaN where another is NaN.

    XLA computes what is cheap anew in each use, and then copies the buffers that it
    needs for that, if they are donated. A division is dear.
    """
    return x / select(jnp.isnan(known), known, 1)


def as_float(count: Any) -> jax.Array:
    """A count as a floating scalar: float32, or float64 under x64."""
    return jnp.asarray(count, jax.dtypes.canonicalize_dtype(float))


def strong(x: Any) -> Any:
    """A Python number as an array, which no leaf has to convert."""
    return np.asarray(x, as_float(0).dtype) if isinstance(x, float) else x


def value_at(name: str, schedule: Any, count: Any) -> jax.Array:
    """What a schedule says for a count, as a floating scalar.

    Raises:
      ValueError: if it is no scalar; the name says whose schedule it is.
    """
    value = schedule(count)
    check.scalar(f"{name}(count)", value)
    return as_float(value)


def now(name: str, value: Any, count: Any) -> Any:
    """A number as it is, or what a schedule says for a count; see `value_at`."""
    return value_at(name, value, count) if callable(value) else value


def divide(a: Any, b: jax.Array, eps: Any) -> jax.Array:
    """a / b, and 0 where b is 0; eps is what keeps b above 0, if it is above 0."""
    if isinstance(eps, float | int) and eps > 0:
        return a / b
    zero = b == 0
    return select(zero, 0, a / select(zero, 1, b))
