"""Zoom: bracket a step that satisfies the strong Wolfe conditions, and close in."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.once import compiled_once
from gradtx.core.transformation import transformation
from gradtx.core.trees import check_arrays
from gradtx.core.types import Scalar, Updates
from gradtx.linesearch import objective
from gradtx.linesearch.interpolation import Point
from gradtx.linesearch.search import Conditions, search

# What `verbose=True` says of a search that did not meet both conditions.
NOT_FOUND = "no step was found"
NOT_DOWN = "the updates do not lead down"
STEEP = "the step meets the first condition only, its slope is still large"
SHORT = "the interval is shorter than stepsize_precision"
LONGEST = "up to max_learning_rate there may be no better step: raise it"


class ZoomLinesearchInfo(NamedTuple):
    num_linesearch_steps: jax.Array  # values and gradients computed last, int32
    # By how much the last step misses each condition, float32 at least; 0 where it is
    # met. decrease_error is above 0 where no step was found and the parameters stay.
    decrease_error: jax.Array
    curvature_error: jax.Array


class ScaleByZoomLinesearchState(NamedTuple):
    learning_rate: jax.Array  # the last step, 0 where none was found; 1 at first
    value: jax.Array  # of the function after the last step; inf at first
    grad: Updates  # gradient there, shaped like params, float32 at least
    info: ZoomLinesearchInfo


@transformation
def scale_by_zoom_linesearch(
    max_linesearch_steps: int,
    max_learning_rate: Scalar | None = None,
    tol: Scalar = 0.0,
    increase_factor: Scalar = 2.0,
    slope_rtol: Scalar = 1e-4,
    curv_rtol: Scalar = 0.9,
    approx_dec_rtol: Scalar | None = 1e-6,
    stepsize_precision: Scalar = 1e-5,
    initial_guess_strategy: str = "keep",
    verbose: bool = False,
    *,
    interpolation: str = "slopes",
):
    """Multiply the updates by a step after which value and slope are much smaller.

        f(p + t u) <= f(p) + slope_rtol t g.u            (sufficient decrease)
        |g(p + t u).u| <= curv_rtol |g.u|                (small slope)

    together the strong Wolfe conditions. Where the value has changed by less than
    approx_dec_rtol |f(p)|, the first may be replaced by

        g(p + t u).u <= (2 slope_rtol - 1) g.u           (approximate decrease)

    the same for a parabola, and free of the cancellation in f(p + t u) - f(p): near a
    minimum the value tells where it is to half of the digits, the slope to all.

    The step is lengthened until the function rises, then narrowed down: to the minimum
    of the cubic through the values and slopes of both ends, halving where that creeps.
    A value that is NaN or infinite counts as very large, so that the search comes back
    from there. If no step meets both conditions in time, the lowest is taken that meets
    the first; if none does, or the updates lead up (g.u > 0), the step is 0 and
    `info.decrease_error` is above 0.

        update(updates, state, params, value=, grad=, value_fn=, **extra)

    takes the value and gradient at `params` and the function, which it calls with
    parameters and those of the extra arguments that it names. It runs last in a chain.
    Inside of `masked` and `partition` the function is called with the whole tree, the
    other leaves as they are before the step; not inside of `flatten`, where it would be
    given other parameters than its own. For complex parameters `grad` may be
    what `jax.grad` gives or its conjugate, of which updates are made: the derivative
    along the updates, one gradient more in each search, says which it is.

    State: one array per parameter and five numbers; in a step, one more array. The
    gradient is that of the new parameters: `value_and_grad_from_state` saves computing
    it again, so that the evaluations of a run are 1 + the sum of
    `info.num_linesearch_steps`.

    Args:
      max_linesearch_steps: evaluations of value and gradient at most, from 1.
      max_learning_rate: the longest step, above 0; `None` is without a limit. With one,
        the slope may still be large there.
      tol: how much both conditions may be missed by, at least 0.
      increase_factor: how a step that is too short is lengthened, above 1.
      slope_rtol: c_1 of the source, in [0, 1), below curv_rtol. Below 1/2, or the
        minimum of a parabola is refused.
      curv_rtol: c_2 of the source, above 0. 0.9 for directions with a length of their
        own (L-BFGS, Newton), 0.1 for gradients; inf is without this condition.
      approx_dec_rtol: see above, at least 0; `None` is without this condition.
      stepsize_precision: an interval this short is not narrowed further if it has a
        step that meets the first condition; at least 0.
      initial_guess_strategy: "keep" begins from the last step, as gradient descent
        wants, "one" from 1, as L-BFGS and Newton want.
      verbose: whether to print where no step is found, or one that meets the first
        condition only, and why.
      interpolation: "slopes" is as above. "values" takes Optax's steps: to the minimum
        of the cubic through one slope and the last three values, or of the parabola
        through a slope and two, halving where neither is well inside; up to an eighth
        more evaluations for L-BFGS on the functions of the tests.

    Raises:
      ValueError: a number out of range; in `update`, an argument that is missing.

    Source: Nocedal & Wright, Numerical optimization (2006), algorithms 3.5 and 3.6, eq.
    3.57 to 3.59; Hager & Zhang, Algorithm 851: CG_DESCENT (2006), eq. 4.1, for the
    approximate decrease; the halving is that of More & Thuente, Line search algorithms
    with guaranteed sufficient decrease (1994), section 4.

    Example:
      >>> import jax, jax.numpy as jnp, gradtx
      >>> tx = gradtx.chain(gradtx.scale(-1.0), gradtx.scale_by_zoom_linesearch(15))
      >>> def f(p):
      ...     return 10 * jnp.sum(p**2)
      >>> p = jnp.array([1.0, -2.0])
      >>> value, grad = jax.value_and_grad(f)(p)
      >>> updates, state = tx.update(
      ...     grad, tx.init(p), p, value=value, grad=grad, value_fn=f
      ... )
      >>> p + updates, int(state[-1].info.num_linesearch_steps)
      (Array([0., 0.], dtype=float32), 3)
    """
    check.count("max_linesearch_steps", max_linesearch_steps, 1)
    if max_learning_rate is not None:
        check.positive("max_learning_rate", max_learning_rate)
    check.nonnegative("tol", tol)
    check.inside("increase_factor", increase_factor, 1, float("inf"))
    check.decay("slope_rtol", slope_rtol)
    objective.check_unless_infinite(check.positive, "curv_rtol", curv_rtol)
    numbers = isinstance(slope_rtol, float | int) and isinstance(curv_rtol, float | int)
    if numbers and slope_rtol >= curv_rtol:
        raise ValueError(
            f"slope_rtol must be below curv_rtol, or no step may satisfy both, got "
            f"{slope_rtol} and {curv_rtol}."
        )
    if approx_dec_rtol is not None:
        check.nonnegative("approx_dec_rtol", approx_dec_rtol)
    check.nonnegative("stepsize_precision", stepsize_precision)
    check.choice("initial_guess_strategy", initial_guess_strategy, ("one", "keep"))
    check.choice("interpolation", interpolation, ("slopes", "values"))
    conditions = Conditions(slope_rtol, curv_rtol, approx_dec_rtol, tol)
    longest = float("inf") if max_learning_rate is None else max_learning_rate

    def init(params):
        check_arrays(params)
        dtype = objective.scalar_dtype(params)
        return ScaleByZoomLinesearchState(
            learning_rate=jnp.ones([], dtype),
            value=jnp.full([], jnp.inf, dtype),
            grad=objective.no_gradient(params),
            info=ZoomLinesearchInfo(
                num_linesearch_steps=jnp.zeros([], jnp.int32),
                decrease_error=jnp.full([], jnp.inf, dtype),
                curvature_error=jnp.full([], jnp.inf, dtype),
            ),
        )

    @compiled_once
    def update(
        updates,
        state,
        params=None,
        *,
        value=None,
        grad=None,
        value_fn: Any = None,
        **extra,
    ):
        fn, value, slope, grad = objective.begin(
            *(ScaleByZoomLinesearchState, updates, state, params, extra),
            **{"value": value, "grad": grad, "value_fn": value_fn},
        )
        dtype = value.dtype

        def evaluate(step: jax.Array) -> tuple[jax.Array, Any, jax.Array]:
            at = objective.moved(params, step, updates)
            new, g = jax.value_and_grad(fn, allow_int=True)(at)
            g = objective.stored(g, state.grad)
            return jnp.asarray(new, dtype), g, objective.slope(updates, g, dtype)

        start = Point(jnp.zeros([], dtype), value, slope)
        last = jnp.where(state.learning_rate > 0, state.learning_rate, 1)
        guess = last if initial_guess_strategy == "keep" else 1.0
        result = search(
            evaluate,
            start,
            objective.stored(grad, state.grad),
            jnp.minimum(guess, longest).astype(dtype),
            conditions,
            max_steps=max_linesearch_steps,
            max_step=longest,
            increase_factor=increase_factor,
            precision=stepsize_precision,
            interpolation=interpolation,
        )
        found = result.found
        downhill = start.slope < 0
        still = objective.not_downhill(start.slope)
        decrease_error = jnp.where(downhill, found.decrease_error, still)
        curvature_error = jnp.where(downhill, found.curvature_error, still)
        if verbose:
            length = jnp.abs(result.hi.step - result.lo.step)
            steep = (found.step > 0) & (curvature_error > 0)
            objective.say(
                decrease_error > 0,
                NOT_FOUND
                + ": none of {steps} lowers the value {value}, the slope is {slope}",
                steps=result.steps,
                value=start.value,
                slope=start.slope,
            )
            objective.say(start.slope > 0, NOT_DOWN)
            objective.say(
                steep,
                STEEP + ": {step}, after {steps} steps",
                step=found.step,
                steps=result.steps,
            )
            objective.say(steep & (length <= stepsize_precision), SHORT)
            objective.say(steep & (found.step >= longest), LONGEST)
        return objective.scaled(found.step, updates), ScaleByZoomLinesearchState(
            learning_rate=found.step,
            value=found.value,
            grad=found.grad,
            info=ZoomLinesearchInfo(result.steps, decrease_error, curvature_error),
        )

    return init, update
