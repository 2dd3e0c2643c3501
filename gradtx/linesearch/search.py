"""The search for a step that satisfies the strong Wolfe conditions."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gradtx.core.types import Updates
from gradtx.linesearch.interpolation import Point, by_slopes, by_values

# An interval of which two steps have left more than this is halved next, as More and
# Thuente do: interpolation alone may creep.
SHORTENED = 0.66
# Differences of values below so many units in the last place tell nothing.
ROUNDING = 8


class Conditions(NamedTuple):
    """When a step is long enough and not too long."""

    slope_rtol: Any  # c_1
    curv_rtol: Any  # c_2
    approx_dec_rtol: Any  # epsilon of Hager & Zhang; None is without their condition
    tol: Any  # added to what is allowed

    def errors(self, start: Point, at: Point) -> tuple[jax.Array, jax.Array]:
        """By how much a point misses sufficient decrease and small slope; 0 if not."""
        along = self.slope_rtol * start.slope
        # The difference first: the rest is lost when added to a large value.
        decrease = (at.value - start.value) - at.step * along
        if self.approx_dec_rtol is not None:
            near = start.value + self.approx_dec_rtol * jnp.abs(start.value)
            approximate = at.slope - (2 * along - start.slope)
            # Where the values agree but for rounding, slopes tell more.
            either = jnp.minimum(decrease, approximate)
            decrease = jnp.where(at.value <= near, either, decrease)
        curvature = jnp.abs(at.slope) - self.curv_rtol * jnp.abs(start.slope)

        def error(missed: jax.Array) -> jax.Array:
            above = jnp.maximum(missed - self.tol, 0)
            above = jnp.where(jnp.isfinite(at.value), above, jnp.inf)
            return above.astype(at.value.dtype)

        return error(decrease), error(curvature)


class Found(NamedTuple):
    """The best step so far."""

    step: jax.Array  # 0 while there is none
    value: jax.Array
    grad: Updates
    decrease_error: jax.Array  # while there is none, of the last that was tried
    curvature_error: jax.Array


class Search(NamedTuple):
    """The state of the search; scalars but for the gradient."""

    steps: jax.Array  # values and gradients computed, int32
    done: jax.Array
    guess: jax.Array  # the step to try next
    lo: Point  # the lowest that satisfies sufficient decrease; the start at first
    hi: Point  # other end of an interval that has a good step; infinite until found
    before: jax.Array  # length of the interval before the last step
    third: Point  # the end that was given up last; lo while there is no interval
    found: Found


def search(
    evaluate: Callable[[jax.Array], tuple[jax.Array, Any, jax.Array]],
    start: Point,
    grad: Any,
    guess: jax.Array,
    conditions: Conditions,
    *,
    max_steps: Any,
    max_step: Any,
    increase_factor: Any,
    precision: Any,
    interpolation: str,
) -> Search:
    """Look for a step that satisfies the strong Wolfe conditions.

    Bracketing (algorithm 3.5) and zooming (3.6) are one loop: until a step is found
    beyond which the function rises, the far end of the interval is at infinity.

    Args:
      evaluate: from a step to value, gradient and slope.
      start: value and slope where the line begins.
      grad: the gradient there.
      guess: the first step to try.
      conditions: when a step is good.
      max_steps: how many are tried at most.
      max_step: the longest that is tried.
      increase_factor: how a step is lengthened that is not long enough.
      precision: an interval this short ends the search, if it has a step that
        satisfies sufficient decrease.
      interpolation: "slopes" or "values", what is known where an interval is zoomed.

    Source: Nocedal & Wright, Numerical optimization (2006), algorithms 3.5 and 3.6.
    """
    dtype = start.value.dtype
    eps = float(jnp.finfo(dtype).eps)
    noise = ROUNDING * eps * jnp.abs(start.value)

    def body(s: Search) -> Search:
        value, g, slope = evaluate(s.guess)
        sound = jnp.isfinite(value) & jnp.isfinite(slope)
        at = Point(
            s.guess, jnp.where(sound, value, jnp.inf), jnp.where(sound, slope, jnp.inf)
        )
        decrease_error, curvature_error = conditions.errors(start, at)
        decreases = decrease_error == 0
        good = decreases & (curvature_error == 0)
        none = s.found.step == 0
        better = decreases & (good | none | (at.value < s.found.value))
        this = Found(at.step, at.value, g, decrease_error, curvature_error)
        found = _choose(better, this, s.found)
        found = found._replace(
            decrease_error=jnp.where(none, decrease_error, found.decrease_error),
            curvature_error=jnp.where(none, curvature_error, found.curvature_error),
        )

        worse = ~decreases | (at.value > s.lo.value + noise)
        back = at.slope * jnp.sign(s.hi.step - s.lo.step) >= 0
        hi = _choose(worse, at, _choose(back, s.lo, s.hi))
        lo = _choose(worse, s.lo, at)

        given_up = _choose(worse | back, s.hi, s.lo)
        third = _choose(jnp.isfinite(s.hi.step), given_up, lo)

        bracketed = jnp.isfinite(hi.step)
        before, length = jnp.abs(s.hi.step - s.lo.step), jnp.abs(hi.step - lo.step)
        inner = _finite_or(hi, lo)
        if interpolation == "values":
            zoomed = by_values(lo, inner, third, noise)
            length = before  # Optax looks at it before the step
        else:
            creeping = jnp.isfinite(hi.value) & (length > SHORTENED * s.before)
            middle = (lo.step + inner.step) / 2
            zoomed = jnp.where(creeping, middle, by_slopes(lo, inner, noise))
        longer = jnp.minimum(increase_factor * at.step, max_step)
        guess = jnp.where(bracketed, zoomed, longer).astype(dtype)

        at_end = ~bracketed & (at.step >= max_step)
        short = bracketed & (length <= precision) & (found.step > 0)
        # Nothing is left between the ends.
        closed = bracketed & (length <= 2 * eps * jnp.maximum(lo.step, hi.step))
        overflows = ~jnp.isfinite(guess)
        done = good | at_end | short | closed | overflows
        return Search(s.steps + 1, done, guess, lo, hi, before, third, found)

    infinite = jnp.full([], jnp.inf, dtype)
    first = Search(
        steps=jnp.zeros([], jnp.int32),
        done=~((start.slope < 0) & ~jnp.isnan(start.value)),
        guess=guess,
        lo=start,
        hi=Point(infinite, infinite, infinite),
        before=infinite,
        third=start,
        found=Found(jnp.zeros([], dtype), start.value, grad, infinite, infinite),
    )
    return lax.while_loop(lambda s: ~s.done & (s.steps < max_steps), body, first)


def _choose(condition: jax.Array, yes: Any, no: Any) -> Any:
    return jax.tree.map(functools.partial(jnp.where, condition), yes, no)


def _finite_or(hi: Point, lo: Point) -> Point:
    """The far end, or, while there is none, one that nothing divides by zero at."""
    stand_in = Point(lo.step + 1, lo.value, lo.slope)
    return _choose(jnp.isfinite(hi.step), hi, stand_in)
