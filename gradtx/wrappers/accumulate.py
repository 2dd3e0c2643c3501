"""Gradients accumulated over micro-batches."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.axes import AxisName, names_of
from gradtx.core.numerics import as_float, safe_increment
from gradtx.core.plan import check_state, lift
from gradtx.core.transformation import inner_of
from gradtx.core.trees import (
    check_arrays,
    compute_dtype,
    dtype_of,
    failure,
    filled,
    is_inexact,
    map_present,
    or_else,
)
from gradtx.wrappers.inner import as_wide_as, one_of, zeros_for
from gradtx.wrappers.loss_scaling import check_not_scaled
from gradtx.wrappers.micro_steps import (
    NOTHING,
    MultiStepsState,
    gathered,
    given_of,
    in_dtypes,
    missing_of,
    weight_of,
    with_methods,
)
from gradtx.wrappers.skip_rules import ShouldSkipUpdateFunction


@with_methods
def MultiSteps(  # noqa: N802  the name that training scripts know
    opt: Any,
    every_k_schedule: int | Callable[[jax.Array], Any],
    use_grad_mean: bool = True,
    should_skip_update_fn: ShouldSkipUpdateFunction | None = None,
    accumulator_dtype: Any = None,
    *,
    weighted: bool = False,
    weight_axes: AxisName = None,
):
    """Gather the gradients of k micro-batches, then take one step with their mean.

        a_i = a_{i-1} + g_i,   a_0 = 0,   for i = 1 .. k
        u_i = 0 for i < k,   u_k = opt(a_k / k)

    The same as one batch k times as large, for a loss that is a mean over the batch
    (and a model without batch statistics), in the memory of one micro-batch. Without
    `use_grad_mean` it is opt of the sum, a_k.

    Between, `update` gives zeros and the inner transformation does not run: both are
    in the branches of a `lax.cond`. `step` has the application there too, so that
    between steps it reads the gradient, adds it to the accumulator and touches nothing
    else: 12 bytes a parameter in float32.

    A micro-batch that `should_skip_update_fn` rejects does not count and never enters
    the accumulator. Without such a function a NaN reaches `opt` in its own step, and
    the accumulator is clean again in the next; in Optax it stays for good.

    A leaf whose gradient is `None` in a micro-batch counts as zero there: another may
    have had one, so that `update` gives it zeros between, not `None`. One that is
    missing in all k of them is missing for `opt`, too, and stays as it is.

    Micro-batches need not count alike: of texts of different lengths the mean over all
    tokens is not the mean of the means. With `weighted=True` each call brings its
    number of tokens, `step(grads, state, params, weight=tokens)`, and

        u_k = opt(sum_i w_i g_i / sum_i w_i),   g_i the gradient of the mean over w_i

    A micro-batch of weight 0 is one of the k, and its gradient, be it NaN, is left out;
    a cycle without any weight takes no step.

    What is left when the data ends before a cycle does is applied by `flush`, a method:
    `params, state = tx.flush(state, params)`.

    State: one array per parameter (`None` for one of integers), two int32, with weights
    one float32, and the inner state.

    Args:
      opt: the transformation that takes the steps; it sees the mean as it was gathered,
        in the accumulator's dtype, and its schedules count steps, not micro-batches.
      every_k_schedule: k, a whole number from 1, or a function from the number of
        steps taken before to one (below 1 counts as 1).
      use_grad_mean: whether `opt` sees the mean, or else the sum.
      should_skip_update_fn: `f(updates, gradient_step, params) -> (skip, skip_state)`;
        see `skip_not_finite` and `skip_large_updates`. `loss_scaling` is then around,
        not inside, where it would not see what is skipped.
      accumulator_dtype: dtype of the accumulator. bfloat16 halves it and loses
        gradients from about the 256th on; `None` is each parameter's own, at least
        float32 (for float64). A complex parameter has a complex one.
      weighted: whether `update` and `step` take the extra argument `weight`, a number
        at least 0; it is not handed on. A sum is then one of w_i g_i.
      weight_axes: mesh axes whose devices have tokens of their own. Their weights are
        averaged (one number each time), so that an average over devices inside, as
        `MultiSteps(chain(average_across("data"), opt), ...)` has it, is the mean over
        the tokens of all.

    Returns:
      A transformation, with `has_updated(state)` and `flush(state, params)` besides.

    Raises:
      ValueError: if every_k_schedule is below 1 or not whole, accumulator_dtype is not
        floating, weight_axes is given without weights; in a call, if weight is missing
        or negative, given without weighted=True, or differs between devices along an
        axis that is not named.
      TypeError: if opt is not a transformation, or should_skip_update_fn no function.

    Example:
      >>> import gradtx
      >>> tx = gradtx.MultiSteps(gradtx.sgd(1.0), every_k_schedule=2)
      >>> params, state = 0.0, tx.init(0.0)
      >>> for gradient in (1.0, 3.0):
      ...     params, state = tx.step(gradient, state, params)
      >>> float(params), bool(tx.has_updated(state))
      (-2.0, True)

      Three tokens and one:

      >>> tx = gradtx.MultiSteps(gradtx.sgd(1.0), 2, weighted=True)
      >>> params, state = 0.0, tx.init(0.0)
      >>> for gradient, tokens in ((1.0, 3), (5.0, 1)):
      ...     params, state = tx.step(gradient, state, params, weight=tokens)
      >>> float(params)
      -2.0
    """
    tx = inner_of("MultiSteps: opt", opt)
    if not callable(every_k_schedule):
        check.count("every_k_schedule", every_k_schedule, 1)
    if should_skip_update_fn is not None and not callable(should_skip_update_fn):
        raise TypeError(
            f"should_skip_update_fn must be a function of updates, gradient_step and "
            f"params, or None, got {should_skip_update_fn!r}."
        )
    if accumulator_dtype is not None and not jnp.issubdtype(
        accumulator_dtype, jnp.inexact
    ):
        raise ValueError(
            f"accumulator_dtype must be floating, got {accumulator_dtype}."
        )
    if names_of(weight_axes) and not weighted:
        raise ValueError(
            f"MultiSteps: weight_axes={weight_axes!r} is for weights, of which there "
            f"are none: give weighted=True, or leave it out."
        )

    def gather(g, acc, first, share, skip=False):
        # Begun anew by where: a product with 0 would keep a NaN for good.
        return g, jnp.where(skip, acc, share * (jnp.where(first, NOTHING, acc) + g))

    def gather_weighted(g, acc, first, share, weight, skip=False):
        g = jnp.where(weight == 0, jnp.asarray(NOTHING, g.dtype), weight * g)
        return gather(g, acc, first, share, skip)

    add = lift(gather_weighted if weighted else gather, entrywise=True)

    def init(params):
        check_arrays(params)
        inner_state = tx.init(params)
        if should_skip_update_fn is not None:
            check_not_scaled("MultiSteps", inner_state)
        nothing = map_present(_nothing_for, params)
        skip_state = ()
        if should_skip_update_fn is not None:
            count = jnp.zeros([], jnp.int32)
            _, seen = should_skip_update_fn(zeros_for(params), count, params)
            skip_state = jax.tree.map(
                lambda x: jnp.array(x, jnp.result_type(x), copy=True), seen
            )
        return MultiStepsState(
            mini_step=jnp.zeros([], jnp.int32),
            gradient_step=jnp.zeros([], jnp.int32),
            inner_opt_state=inner_state,
            acc_grads=nothing,
            skip_state=skip_state,
            weight=as_float(0) if weighted else (),
        )

    def _nothing_for(p):
        own = dtype_of(p)
        if not is_inexact(own):
            return None
        dtype = compute_dtype(own) if accumulator_dtype is None else accumulator_dtype
        if jnp.issubdtype(own, jnp.complexfloating):
            dtype = jnp.promote_types(dtype, jnp.complex64)
        return jnp.full_like(p, NOTHING, dtype)

    # Branches of lax.cond, defined here, once: see one_of. `given` is the mean without
    # the leaves that are missing in the last micro-batch.
    def move(mean, given, state, params, **extra):
        return branch(update_all, update_given, mean, given, state, params, extra)

    def update_all(mean, given, state, params, **extra):
        new, state = tx.update(mean, state, params, **extra)
        return as_wide_as(mean, params, new), state

    def update_given(mean, given, state, params, **extra):
        new, state = tx.update(given, state, params, **extra)
        new = as_wide_as(given, params, new)
        return or_else(new, zeros_for(mean, params)), state

    def wait(mean, given, state, params):
        return zeros_for(mean, params), state

    def step_move(mean, given, state, params, **extra):
        return branch(step_all, step_given, mean, given, state, params, extra)

    def step_all(mean, given, state, params, **extra):
        return tx.step(mean, state, params, **extra)

    def step_given(mean, given, state, params, **extra):
        return tx.step(given, state, params, **extra)

    def step_wait(mean, given, state, params):
        return params, state

    def branch(all_of_them, those_given, mean, given, state, params, extra):
        operands = mean, given, state, params
        late = missing_of(given, mean)
        if not late:
            return all_of_them(*operands, **extra)
        those_given = functools.partial(those_given, **extra)
        return one_of(gathered(late), all_of_them, those_given, *operands, **extra)

    def either(move, wait, updates, state, params, extra):
        check_state(state, MultiStepsState)
        k = every_k_schedule
        if callable(k):
            k = k(state.gradient_step)
            check.scalar("every_k_schedule(count)", k)
        seen = safe_increment(state.mini_step)
        first, last = state.mini_step == 0, seen >= k
        skips, skip_state = (), state.skip_state
        if should_skip_update_fn is not None:
            skip, said = should_skip_update_fn(updates, state.gradient_step, params)
            check.scalar("should_skip_update_fn(...)[0]", skip)
            skip = jnp.asarray(skip, bool)
            seen, last = jnp.where(skip, state.mini_step, seen), last & ~skip
            skips, skip_state = (skip,), in_dtypes(said, skip_state)
        size, total, moved, weights = as_float(seen), (), last, ()
        if weighted:
            weight, here = weight_of(extra, weight_axes)
            size = total = jnp.where(first, 0, state.weight) + here
            if skips:
                size = total = jnp.where(skips[0], state.weight, total)
            moved, weights = last & (total != 0), (weight,)
        elif "weight" in extra:
            raise failure(
                "weight= is for weights: build MultiSteps(..., weighted=True)."
            )
        # Divided while it is stored, not while it is read: a clip would store it again.
        share = jnp.where(moved, 1 / size, 1.0) if use_grad_mean else 1.0
        _, [acc] = add(
            filled(updates, state.acc_grads, NOTHING),
            (state.acc_grads,),
            scalars=(first, share, *weights, *skips),
        )
        given = given_of(updates, acc)
        result, inner_state = one_of(
            moved, move, wait, acc, given, state.inner_opt_state, params, **extra
        )
        return result, MultiStepsState(
            mini_step=jnp.where(last, 0, seen),
            gradient_step=jnp.where(
                moved, safe_increment(state.gradient_step), state.gradient_step
            ),
            inner_opt_state=inner_state,
            acc_grads=acc,
            skip_state=skip_state,
            weight=total,
        )

    def update(updates, state, params=None, **extra):
        return either(move, wait, updates, state, params, extra)

    def step(updates, state, params, **extra):
        return either(step_move, step_wait, updates, state, params, extra)

    return init, update, step
