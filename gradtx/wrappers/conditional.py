"""Steps of a transformation that are taken on a condition."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.apply import apply_updates
from gradtx.core.numerics import safe_increment
from gradtx.core.transformation import inner_of, transformation
from gradtx.linesearch.objective import bound, need_extra
from gradtx.wrappers.inner import as_wide_as, sometimes

# (step, **extra) -> whether to take the step: a bool, or a scalar array of bool.
ConditionFn = Callable[..., Any]


class ConditionallyTransformState(NamedTuple):
    inner_state: Any  # the inner transformation's, of the last step taken
    step: jax.Array  # how often update was called, int32


class ConditionallyMaskState(NamedTuple):
    step: jax.Array  # how often update was called, int32
    inner_state: Any  # the inner transformation's, of the last step taken


@transformation
def conditionally_transform(
    inner: Any, should_transform_fn: ConditionFn, forward_extra_args: bool = False
):
    """Transform the updates in some steps, and hand them on as they are in the others.

        u_t = inner(g_t) if the condition holds at t, else g_t,   t = 0, 1, 2, ...

    For what stands in front of others: `conditionally_transform(centralize(), early)`.
    Around an optimizer it is a trap: in the other steps the raw gradients are added
    to the parameters, uphill. Take `conditionally_mask` there.

    The inner transformation runs inside of `lax.cond`, and its state stays as it was
    in a step that is left out. `step` has the application inside, too.

    State: the inner state and one int32.

    Args:
      inner: the transformation for the steps in which the condition holds.
      should_transform_fn: `f(step) -> bool`, of how often `update` was called before;
        traced once under `jit`, so written with `jax.numpy`.
      forward_extra_args: whether the condition is given the extra arguments of
        `update` that it names (`f(step, *, value)`), all of them if it takes `**extra`.

    Raises:
      TypeError: if inner is not a transformation, should_transform_fn is no function,
        or one with more required arguments without forward_extra_args.
      ValueError: in `update`, a condition that is no scalar, or an extra argument that
        it needs and that is missing.

    Example:
      >>> import gradtx
      >>> tx = gradtx.conditionally_transform(gradtx.scale(0.5), lambda step: step >= 1)
      >>> state = tx.init(0.0)
      >>> for _ in range(2):
      ...     update, state = tx.update(1.0, state)
      ...     print(float(update))
      1.0
      0.5
    """

    def as_they_are(updates, params):
        return as_wide_as(updates, params, updates)

    def applied(updates, params):
        return apply_updates(params, updates)

    return _conditional(
        ConditionallyTransformState,
        inner_of("conditionally_transform: inner", inner),
        should_transform_fn,
        forward_extra_args,
        otherwise=(as_they_are, applied),
    )


@transformation
def conditionally_mask(
    inner: Any, should_transform_fn: ConditionFn, forward_extra_args: bool = False
):
    """Transform the updates in some steps; in the others they are zero.

        u_t = inner(g_t) if the condition holds at t, else 0,   t = 0, 1, 2, ...

    A step that is left out leaves the inner state as it was; through `step` it does not
    even read the parameters. The gradients of these steps are lost: `MultiSteps` is
    what gathers them.

    State: the inner state and one int32.

    Args:
      inner: the transformation for the steps in which the condition holds.
      should_transform_fn, forward_extra_args: see `conditionally_transform`.

    Raises:
      TypeError, ValueError: as `conditionally_transform` does.

    Example:
      >>> import gradtx
      >>> calm = lambda step, *, value: value < 10.0
      >>> tx = gradtx.conditionally_mask(gradtx.sgd(0.5), calm, forward_extra_args=True)
      >>> params, state = 1.0, tx.init(1.0)
      >>> for value in (3.0, 1e6):
      ...     params, state = tx.step(1.0, state, params, value=value)
      >>> float(params), int(state.step)
      (0.5, 2)
    """
    return _conditional(
        ConditionallyMaskState,
        inner_of("conditionally_mask: inner", inner),
        should_transform_fn,
        forward_extra_args,
    )


def _conditional(
    State: Any,
    tx: Any,
    should_transform_fn: ConditionFn,
    forward_extra_args: bool,
    otherwise: Any = None,
) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    """Run the inner one where the condition holds; otherwise see `sometimes`."""
    if not callable(should_transform_fn):
        raise TypeError(
            f"should_transform_fn must be a function of the step, got "
            f"{should_transform_fn!r:.60}."
        )
    needed = _needed(should_transform_fn)
    if needed and not forward_extra_args:
        raise TypeError(
            f"should_transform_fn needs {', '.join(needed)} besides the step: say "
            f"forward_extra_args=True, and give them to update."
        )

    def init(params):
        return State(inner_state=tx.init(params), step=jnp.zeros([], jnp.int32))

    def judge(updates, state, params, extra):
        need_extra(**{key: extra.get(key) for key in needed})
        given = extra if forward_extra_args else {}
        take = bound(should_transform_fn, given)(state.step)
        check.scalar("should_transform_fn(step)", take)
        new = state._replace(step=safe_increment(state.step))
        return jnp.asarray(take, bool), new

    return init, *sometimes(State, tx, judge, otherwise=otherwise)


def _needed(condition: ConditionFn) -> list[str]:
    """The extra arguments that a condition cannot do without."""
    parameters = list(inspect.signature(condition).parameters.values())[1:]
    by_name = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    return [p.name for p in parameters if p.default is p.empty and p.kind in by_name]
