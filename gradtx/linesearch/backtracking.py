"""Backtracking: shorten the step until the value falls."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gradtx.core import check
from gradtx.core.once import compiled_once
from gradtx.core.transformation import transformation
from gradtx.core.trees import check_arrays
from gradtx.core.types import Scalar, Updates
from gradtx.linesearch import objective


class BacktrackingLinesearchInfo(NamedTuple):
    num_linesearch_steps: jax.Array  # values computed in the last search, int32
    # By how much the last step misses the condition, float32 at least; 0 where a step
    # was found, above 0 where none was and the parameters stay.
    decrease_error: jax.Array


class ScaleByBacktrackingLinesearchState(NamedTuple):
    learning_rate: jax.Array  # the last step, 0 where none was found; 1 at first
    value: jax.Array  # of the function after the last step; inf at first
    grad: Updates | None  # gradient there, shaped like params; None without store_grad
    info: BacktrackingLinesearchInfo


@transformation
def scale_by_backtracking_linesearch(
    max_backtracking_steps: int,
    slope_rtol: Scalar = 1e-4,
    decrease_factor: Scalar = 0.8,
    increase_factor: Scalar = 1.5,
    max_learning_rate: Scalar = 1.0,
    atol: Scalar = 0.0,
    rtol: Scalar = 0.0,
    store_grad: bool = False,
    verbose: bool = False,
):
    """Multiply the updates by a step that lowers the value: the first of a falling row.

        t_0 = min(increase_factor t, max_learning_rate),   t_{i+1} = decrease_factor t_i
        f(p + t_i u) <= f(p) + slope_rtol t_i g.u + rtol |f(p)| + atol    (Armijo)

    with t the step before (1 at first). The updates must lead down, g.u < 0: gradients
    after `scale(-1.0)` or `sgd`; Adam's need not. The last condition met, the step is
    taken. A value that is NaN or infinite does not meet it, so that a search that
    begins outside of the function's domain comes back. Where no step meets it, or the
    updates lead up, the step is 0 and `info.decrease_error` is above 0; the next search
    begins from 1 again.

        update(updates, state, params, value=, grad=, value_fn=, **extra)

    takes the value and gradient at `params` and the function, which it calls with
    parameters and those of the extra arguments that it names. It runs last in a chain.
    Inside of `masked` and `partition` the function is called with the whole tree, the
    other leaves as they are before the step; not inside of `flatten`, where it would be
    given other parameters than its own. For complex parameters `grad` may be
    what `jax.grad` gives or its conjugate, of which updates are made: the derivative
    along the updates, one gradient more in each search, says which it is.

    State: four numbers; with `store_grad` one array per parameter. Each step computes
    at most max_backtracking_steps + 1 values.

    Args:
      max_backtracking_steps: how often a step is shortened at most, a whole number
        from 0.
      slope_rtol: share of the decrease along the tangent that is asked for, in [0, 1);
        c_1 of the source. Small: a value that falls at all mostly passes.
      decrease_factor: how a step is shortened, in (0, 1).
      increase_factor: how the next search begins above the last step, at least 1; inf
        begins each at max_learning_rate.
      max_learning_rate: the longest step, above 0. 1 is what Newton's method wants.
      atol, rtol: how much the value may rise, absolutely and relative to it, at least
        0; for values that are noisy, or close to the rounding error.
      store_grad: whether to compute the gradient after the step, and keep it for
        `value_and_grad_from_state`.
      verbose: whether to print where no step is found.

    Raises:
      ValueError: a number out of range; in `update`, an argument that is missing.

    Source: Nocedal & Wright, Numerical optimization (2006), algorithm 3.1 and eq. 3.4.
    The steps over several updates are those of Vaswani et al., Painless stochastic
    gradient (2019), section 6. rtol is relative to |f(p)|, where Optax has f(p): a
    negative value would be asked for more.

    Example:
      >>> import jax, jax.numpy as jnp, gradtx
      >>> tx = gradtx.chain(
      ...     gradtx.sgd(1.0), gradtx.scale_by_backtracking_linesearch(15)
      ... )
      >>> def f(p, scale):
      ...     return scale * jnp.sum(p**2)
      >>> p = jnp.array([1.0, -2.0])
      >>> value, grad = jax.value_and_grad(f)(p, 3.0)
      >>> updates, state = tx.update(
      ...     grad, tx.init(p), p, value=value, grad=grad, value_fn=f, scale=3.0
      ... )
      >>> new = gradtx.apply_updates(p, updates)
      >>> bool(f(new, 3.0) < value), int(state[-1].info.num_linesearch_steps)
      (True, 6)
    """
    check.count("max_backtracking_steps", max_backtracking_steps)
    check.decay("slope_rtol", slope_rtol)
    check.inside("decrease_factor", decrease_factor, 0, 1)
    objective.check_unless_infinite(
        check.at_least, "increase_factor", increase_factor, 1
    )
    check.positive("max_learning_rate", max_learning_rate)
    check.nonnegative("atol", atol)
    check.nonnegative("rtol", rtol)

    def init(params):
        check_arrays(params)
        dtype = objective.scalar_dtype(params)
        return ScaleByBacktrackingLinesearchState(
            learning_rate=jnp.ones([], dtype),
            value=jnp.full([], jnp.inf, dtype),
            grad=objective.no_gradient(params) if store_grad else None,
            info=BacktrackingLinesearchInfo(
                num_linesearch_steps=jnp.zeros([], jnp.int32),
                decrease_error=jnp.full([], jnp.inf, dtype),
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
            *(ScaleByBacktrackingLinesearchState, updates, state, params, extra),
            **{"value": value, "grad": grad, "value_fn": value_fn},
        )
        dtype = value.dtype
        allowance = rtol * jnp.abs(value) + atol

        def shorten(carry):
            steps, step, _, _ = carry
            step = jnp.where(steps == 0, step, decrease_factor * step)
            new = jnp.asarray(fn(objective.moved(params, step, updates)), dtype)
            # The difference first: the rest is lost when added to a large value.
            excess = (new - value) - (slope_rtol * step * slope + allowance)
            error = jnp.where(jnp.isfinite(new), jnp.maximum(excess, 0), jnp.inf)
            error = jnp.where(jnp.isnan(error), jnp.inf, error)
            return steps + 1, step.astype(dtype), new, error.astype(dtype)

        def goes_on(carry):
            steps, _, _, error = carry
            return (error > 0) & (steps <= max_backtracking_steps) & (slope < 0)

        last = jnp.where(state.learning_rate > 0, state.learning_rate, 1)
        guess = jnp.minimum(increase_factor * last, max_learning_rate).astype(dtype)
        start = (jnp.int32(0), guess, value, jnp.full([], jnp.inf, dtype))
        steps, step, new, error = lax.while_loop(goes_on, shorten, start)
        error = jnp.where(slope < 0, error, objective.not_downhill(slope))
        found = (error == 0) & (slope < 0)
        step = jnp.where(found, step, 0)
        if verbose:
            objective.say(
                error > 0,
                "no step of {steps} lowers the value {value}, the slope is {slope}",
                steps=steps,
                value=value,
                slope=slope,
            )
        kept = None
        if store_grad:
            at = objective.moved(params, step, updates)
            kept = objective.stored(jax.grad(fn, allow_int=True)(at), state.grad)
        return objective.scaled(step, updates), ScaleByBacktrackingLinesearchState(
            learning_rate=step,
            value=jnp.where(found, new, value),
            grad=kept,
            info=BacktrackingLinesearchInfo(steps, error),
        )

    return init, update
