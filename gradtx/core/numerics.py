"""Numerical pieces that rules share."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def safe_increment(count: jax.Array) -> jax.Array:
    """Add one, stopping at the largest number of the dtype instead of wrapping.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.safe_increment(jnp.int32(2**31 - 1))
      Array(2147483647, dtype=int32)
    """
    return jnp.where(count < jnp.iinfo(count.dtype).max, count + 1, count)


def abs_sq(x: jax.Array) -> jax.Array:
    """|x|^2, real for complex x and without the square root of `jnp.abs`."""
    if jnp.iscomplexobj(x):
        return x.real * x.real + x.imag * x.imag
    return x * x


def one_minus_power(decay: Any, count: jax.Array) -> jax.Array:
    """1 - decay**count, to the last digits also where decay is close to 1.

    Written as it stands it loses what float32 rounds off decay: with 0.999 the first
    value is wrong by 5e-5. Taken as -expm1(count log(decay)), with the logarithm in
    double precision when decay is a Python number, it is wrong by 1e-7.
    """
    if isinstance(decay, float | int | np.generic):
        log = math.log(float(decay)) if float(decay) > 0 else -math.inf
    else:
        log = jnp.log(as_float(decay))
    return -jnp.expm1(as_float(count) * log)


def as_float(count: Any) -> jax.Array:
    """A count as a floating scalar: float32, or float64 under x64."""
    return jnp.asarray(count, jax.dtypes.canonicalize_dtype(float))


def divide(a: jax.Array, b: jax.Array, eps: Any) -> jax.Array:
    """a / b, and 0 where b is 0; eps is what keeps b above 0, if it is above 0."""
    if isinstance(eps, float | int) and eps > 0:
        return a / b
    zero = b == 0
    return jnp.where(zero, 0, a / jnp.where(zero, 1, b))
