"""Where along a line a function may be lowest, from a few points of it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Point(NamedTuple):
    """What is known of the function along the line, at one step; scalars."""

    step: jax.Array  # how far along the updates
    value: jax.Array  # inf where the function is not finite
    slope: jax.Array  # derivative by the step


# No closer to the end of an interval than this share of it: each step then shortens it.
MARGIN = 0.1
# So much of an interval is kept where the far end is not finite: what is finite may be
# a very small part of it.
FAR = 0.1
# How far inside the minimum of a cubic through three values must be, to be believed.
INSIDE = 0.2


def by_slopes(lo: Point, hi: Point, noise: jax.Array) -> jax.Array:
    """The step to try between two others.

    The minimum of the cubic through both values and slopes (eq. 3.59); of the parabola
    through two values and a slope (eq. 3.57) where that cubic has none; where the
    values differ by less than they are rounded, the zero of the line through both
    slopes.

    Args:
      lo, hi: the ends, in either order; lo is finite.
      noise: how large a difference of values means nothing.

    Source: Nocedal & Wright, Numerical optimization (2006), section 3.5.
    """
    length = hi.step - lo.step
    finite = jnp.isfinite(hi.value)
    value = jnp.where(finite, hi.value, lo.value)
    slope = jnp.where(finite, hi.slope, lo.slope)
    rise = value - lo.value
    d1 = lo.slope + slope - 3 * rise / length
    square = d1 * d1 - lo.slope * slope
    d2 = jnp.sign(length) * jnp.sqrt(jnp.maximum(square, 0))
    below = slope - lo.slope + 2 * d2
    cubic = hi.step - length * (slope + d2 - d1) / _nonzero(below)
    bend = rise - lo.slope * length
    parabola = lo.step - lo.slope * length * length / _nonzero(2 * bend)
    secant = lo.step - lo.slope * length / _nonzero(slope - lo.slope)
    best = jnp.where((square >= 0) & (below != 0), cubic, parabola)
    best = jnp.where(jnp.abs(rise) <= noise, secant, best)
    nearest, farthest = lo.step + MARGIN * length, hi.step - MARGIN * length
    best = jnp.clip(
        best, jnp.minimum(nearest, farthest), jnp.maximum(nearest, farthest)
    )
    best = jnp.where(jnp.isfinite(best), best, lo.step + length / 2)
    return jnp.where(finite, best, lo.step + FAR * length)


def by_values(lo: Point, hi: Point, third: Point, noise: jax.Array) -> jax.Array:
    """The step to try between two others.

    The minimum of the cubic through the slope at `lo` and all three values (the one
    below eq. 3.58); where that is not well inside, of the parabola through the slope
    and the values of `lo` and `hi` (eq. 3.57); else halfway. Where the values of the
    ends differ by less than they are rounded, the zero of the line through their
    slopes, or halfway.

    Args:
      lo, hi: the ends, in either order; lo is finite.
      third: the end that was given up last; `lo` while there is none.
      noise: how large a difference of values means nothing.

    Source: Nocedal & Wright, Numerical optimization (2006), section 3.5.
    """
    length, reach = hi.step - lo.step, third.step - lo.step
    # Above the tangent at lo, by square: each is B + A length for A x^3 + B x^2.
    bend = (hi.value - lo.value - lo.slope * length) / _nonzero(length**2)
    other = (third.value - lo.value - lo.slope * reach) / _nonzero(reach**2)
    a = (bend - other) / _nonzero(length - reach)
    b = bend - a * length
    # As the root with its sum below: nothing cancels for a small A.
    cubic = -lo.slope / _nonzero(b + jnp.sqrt(jnp.maximum(b * b - 3 * a * lo.slope, 0)))
    parabola = -lo.slope / _nonzero(2 * bend)
    secant = -lo.slope * length / _nonzero(hi.slope - lo.slope)

    def inside(step: jax.Array, margin: float) -> jax.Array:
        share = step / _nonzero(length)
        return (share > margin) & (share < 1 - margin)

    real = (b * b >= 3 * a * lo.slope) & (reach != 0)
    best = jnp.where(inside(parabola, MARGIN), parabola, length / 2)
    best = jnp.where(real & inside(cubic, INSIDE), cubic, best)
    level = jnp.abs(hi.value - lo.value) <= noise
    flat = jnp.where(inside(secant, MARGIN), secant, length / 2)
    return lo.step + jnp.where(level, flat, best)


def _nonzero(x: jax.Array) -> jax.Array:
    return jnp.where(x == 0, 1, x)
