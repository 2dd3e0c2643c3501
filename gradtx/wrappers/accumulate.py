"""Gradients accumulated over micro-batches."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.call import Call
from gradtx.core.numerics import as_float, safe_increment
from gradtx.core.pair import GradientTransformationExtraArgs
from gradtx.core.plan import check_state, lift
from gradtx.core.transformation import inner_of, transformation
from gradtx.core.trees import (
    absent,
    check_arrays,
    compute_dtype,
    dtype_of,
    filled,
    is_inexact,
    leaves_of,
    map_present,
    or_else,
)
from gradtx.core.types import Updates
from gradtx.wrappers.inner import as_wide_as, one_of, zeros_for
from gradtx.wrappers.skip_rules import ShouldSkipUpdateFunction

P = ParamSpec("P")

# The sum of no gradients: minus zero, which changes nothing that is added to it. A sum
# of gradients that are zero is plus zero.
NOTHING = -0.0


class MultiStepsState(NamedTuple):
    mini_step: jax.Array  # micro-batches in the accumulator, 0 after a step, int32
    gradient_step: jax.Array  # steps of the inner transformation so far, int32
    inner_opt_state: Any  # the inner transformation's
    # Sum of the gradients, shaped like params, in accumulator_dtype. While mini_step
    # is 0 what the last step was taken with: it is begun anew, not cleared.
    acc_grads: Updates
    skip_state: Any = ()  # what should_skip_update_fn said of the last micro-batch


class MultiStepsTransformation(GradientTransformationExtraArgs):
    """What `MultiSteps` builds: a transformation that knows when it has moved."""

    def gradient_transformation(self) -> GradientTransformationExtraArgs:
        """Itself: it goes wherever a transformation does."""
        return self

    @property
    def inner_opt(self) -> GradientTransformationExtraArgs:
        """The transformation that takes the steps."""
        assert self.call is not None
        return inner_of("MultiSteps: opt", self.call.bound.arguments["opt"])

    def has_updated(self, state: MultiStepsState) -> jax.Array:
        """Whether the last micro-batch completed a step and moved the parameters."""
        moved = (state.mini_step == 0) & (state.gradient_step > 0)
        skip = state.skip_state
        if isinstance(skip, dict) and "should_skip" in skip:
            # One left out right after a step has moved nothing either.
            moved &= ~jnp.asarray(skip["should_skip"], bool)
        return moved


jax.tree_util.register_static(MultiStepsTransformation)


def _with_methods(
    factory: Callable[P, tuple[Any, ...]],
) -> Callable[P, MultiStepsTransformation]:
    """As `transformation`, building a `MultiStepsTransformation`."""
    plain = transformation(factory)

    @functools.wraps(factory)
    def build(*args: P.args, **kwargs: P.kwargs) -> MultiStepsTransformation:
        pair = plain(*args, **kwargs)
        tx = MultiStepsTransformation(*pair)
        tx.call, tx._step = Call(build, args, kwargs), pair._step
        return tx

    build.__dict__["is_transformation"] = True
    return build


@_with_methods
def MultiSteps(  # noqa: N802  the name that training scripts know
    opt: Any,
    every_k_schedule: int | Callable[[jax.Array], Any],
    use_grad_mean: bool = True,
    should_skip_update_fn: ShouldSkipUpdateFunction | None = None,
    accumulator_dtype: Any = None,
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

    State: one array per parameter (`None` for one of integers), two int32, and the
    inner state.

    Args:
      opt: the transformation that takes the steps; it sees the mean as it was gathered,
        in the accumulator's dtype, and its schedules count steps, not micro-batches.
      every_k_schedule: k, a whole number from 1, or a function from the number of
        steps taken before to one (below 1 counts as 1).
      use_grad_mean: whether `opt` sees the mean, or else the sum.
      should_skip_update_fn: `f(updates, gradient_step, params) -> (skip, skip_state)`;
        see `skip_not_finite` and `skip_large_updates`.
      accumulator_dtype: dtype of the accumulator. bfloat16 halves it and loses
        gradients from about the 256th on; `None` is each parameter's own, at least
        float32 (for float64). A complex parameter has a complex one.

    Returns:
      A transformation, with `has_updated(state)` besides.

    Raises:
      ValueError: if every_k_schedule is below 1 or not whole, or accumulator_dtype is
        not floating.
      TypeError: if opt is not a transformation, or should_skip_update_fn no function.

    Example:
      >>> import gradtx
      >>> tx = gradtx.MultiSteps(gradtx.sgd(1.0), every_k_schedule=2)
      >>> params, state = 0.0, tx.init(0.0)
      >>> for gradient in (1.0, 3.0):
      ...     params, state = tx.step(gradient, state, params)
      >>> float(params), bool(tx.has_updated(state))
      (-2.0, True)
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

    def gather(g, acc, first, share, skip=False):
        # Begun anew by where: a product with 0 would keep a NaN for good.
        return g, jnp.where(skip, acc, share * (jnp.where(first, NOTHING, acc) + g))

    add = lift(gather)

    def init(params):
        check_arrays(params)
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
            inner_opt_state=tx.init(params),
            acc_grads=nothing,
            skip_state=skip_state,
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
        late = _missing(given, mean)
        if not late:
            return all_of_them(*operands, **extra)
        those_given = functools.partial(those_given, **extra)
        return one_of(_gathered(late), all_of_them, those_given, *operands, **extra)

    def either(move, wait, updates, state, params, extra):
        check_state(state, MultiStepsState)
        k = every_k_schedule
        if callable(k):
            k = k(state.gradient_step)
            check.scalar("every_k_schedule(count)", k)
        seen = safe_increment(state.mini_step)
        last, skips, skip_state = seen >= k, (), state.skip_state
        if should_skip_update_fn is not None:
            skip, said = should_skip_update_fn(updates, state.gradient_step, params)
            check.scalar("should_skip_update_fn(...)[0]", skip)
            skip = jnp.asarray(skip, bool)
            seen, last = jnp.where(skip, state.mini_step, seen), last & ~skip
            skips, skip_state = (skip,), _in_dtypes(said, skip_state)
        # Divided while it is stored, not while it is read: a clip would store it again.
        share = jnp.where(last, 1 / as_float(seen), 1.0) if use_grad_mean else 1.0
        _, [acc] = add(
            filled(updates, state.acc_grads, NOTHING),
            (state.acc_grads,),
            scalars=(state.mini_step == 0, share, *skips),
        )
        given = _given(updates, acc)
        result, inner_state = one_of(
            last, move, wait, acc, given, state.inner_opt_state, params, **extra
        )
        return result, MultiStepsState(
            mini_step=jnp.where(last, 0, seen),
            gradient_step=jnp.where(
                last, safe_increment(state.gradient_step), state.gradient_step
            ),
            inner_opt_state=inner_state,
            acc_grads=acc,
            skip_state=skip_state,
        )

    def update(updates, state, params=None, **extra):
        return either(move, wait, updates, state, params, extra)

    def step(updates, state, params, **extra):
        return either(step_move, step_wait, updates, state, params, extra)

    return init, update, step


def _given(updates: Any, acc: Any) -> Any:
    """What was gathered, without the leaves that are missing in this micro-batch."""
    leaves, treedef = leaves_of(updates)
    pairs = zip(leaves, leaves_of(acc)[0], strict=True)
    return treedef.unflatten(None if absent(g) else a for g, a in pairs)


def _missing(given: Any, mean: Any) -> list[jax.Array]:
    """What was gathered for leaves that are missing in the last micro-batch."""
    pairs = zip(leaves_of(given)[0], leaves_of(mean)[0], strict=True)
    return [a for g, a in pairs if g is None and a is not None]


def _gathered(late: list[jax.Array]) -> jax.Array:
    """Whether any micro-batch has had a gradient for these leaves."""
    found = jnp.zeros([], bool)
    for a in late:
        sign = jnp.signbit(a.real)  # a real factor may turn the sign of a complex zero
        found |= jnp.any((a != 0) if jnp.iscomplexobj(a) else (a != 0) | ~sign)
    return found


def _in_dtypes(new: Any, old: Any) -> Any:
    """What a rule said, in the dtypes of the state: a state does not change its."""
    return jax.tree.map(lambda x, y: jnp.asarray(x, jnp.result_type(y)), new, old)
