"""Gradients of each example, made one update, and an optimizer behind."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec

import jax
import jax.numpy as jnp

from gradtx.core.branches import one_of
from gradtx.core.call import Call
from gradtx.core.compose import check_states
from gradtx.core.examples import example_axes, of_examples
from gradtx.core.pair import GradientTransformationExtraArgs
from gradtx.core.transformation import (
    hands_on,
    inner_of,
    takes_extra,
    transformation,
    with_extra_args_support,
)
from gradtx.core.trees import at_work, failure
from gradtx.core.types import State, Updates
from gradtx.core.widths import widened
from gradtx.tree.access import get
from gradtx.wrappers.inner import as_wide_as, zeros_for

P = ParamSpec("P")

PerElementUpdates = Updates  # with the axes of the examples beside the parameters'
AggregatedUpdates = Updates  # of the parameters' shapes
# From gradients of each example, state and parameters to updates and state.
AggregatorUpdateFn = Callable[..., tuple[AggregatedUpdates, State]]
MaybeAxis = int | Sequence[int] | None  # of the examples; None if there is none


class Aggregator(GradientTransformationExtraArgs):
    """A transformation of the gradients of each example to one update.

        init(params) -> state
        update(per_elt_updates, state, params=None, **extra) -> (updates, state)

    One put together by hand, `Aggregator(init, update)`, takes its examples along any
    axes, and is not checked for them.
    """


jax.tree_util.register_static(Aggregator)


def aggregator(
    factory: Callable[P, Any],
) -> Callable[P, Aggregator | GradientTransformationExtraArgs]:
    """As `transformation`; an `Aggregator` if it takes gradients of each example."""
    plain = transformation(factory)

    @functools.wraps(factory)
    def build(*args: P.args, **kwargs: P.kwargs) -> Any:
        pair = plain(*args, **kwargs)
        one_each = example_axes(pair.update) == ()
        tx = (GradientTransformationExtraArgs if one_each else Aggregator)(*pair)
        tx.call, tx._step = Call(build, args, kwargs), pair._step
        tx.made_of = pair.made_of
        return tx

    build.__dict__["is_transformation"] = True
    return build


@aggregator
def process(
    preprocessor: Any,
    aggregator: Any,
    postprocessor: Any,
    aggregator_has_aux: bool = False,
):
    """Transform gradients of each example, aggregate them, and transform the result.

        u = post(agg(pre(g)))

    An aggregator whose state has an entry `ready`, one bool, may need several steps
    for one update: until it is ready the update is zero, and the postprocessor does not
    run and keeps its state; `step` then leaves the parameters alone.

    State: a tuple of the three's.

    Args:
      preprocessor: from gradients of each example to updates of each.
      aggregator: from these to one update, as `average_per_element_updates`. A pair of
        functions will do: `Aggregator(init, update)`.
      postprocessor: what is done with that: an optimizer.
      aggregator_has_aux: whether the aggregator gives `(updates, aux)`, where aux is a
        dict of extra arguments for the postprocessor.

    Returns:
      A transformation: an `Aggregator` if the aggregator is one.

    Raises:
      TypeError: an argument is no transformation; in `update`, aux is missing.

    Example:
      >>> import jax, jax.numpy as jnp, gradtx
      >>> from gradtx import aggregating
      >>> def loss(p, x):
      ...     return jnp.sum((p - x) ** 2)
      >>> tx = aggregating.process(
      ...     gradtx.clip(1.0),  # each entry of each example's gradient
      ...     aggregating.average_per_element_updates(),
      ...     gradtx.sgd(0.5),
      ... )
      >>> params, batch = jnp.zeros(2), jnp.array([[4.0, 0.25], [4.0, -1.0]])
      >>> grads = jax.vmap(jax.grad(loss), (None, 0))(params, batch)
      >>> tx.step(grads, tx.init(params), params)[0]
      Array([ 0.5  , -0.125], dtype=float32)
    """
    before = inner_of("process: preprocessor", preprocessor)
    between = _aggregator_of(aggregator)
    behind = inner_of("process: postprocessor", postprocessor)

    @hands_on
    def init(params):
        return tuple(tx.init(params) for tx in (before, between, behind))

    # Branches of lax.cond, defined here, once: see one_of.
    def move(mean, state, params, **extra):
        new, state = behind.update(mean, state, params, **extra)
        return as_wide_as(mean, params, new), state

    def wait(mean, state, params):
        return zeros_for(mean, params), state

    def step_move(mean, state, params, **extra):
        return behind.step(mean, state, params, **extra)

    def step_wait(mean, state, params):
        return params, state

    def run(move, wait, updates, states, params, extra):
        check_states(states, 3)
        updates, first = before.update(updates, states[0], params, **extra)
        mean, second = between.update(updates, states[1], params, **extra)
        if aggregator_has_aux:
            mean, aux = _parted(mean)
            extra = {**extra, **aux}
        # Not a parameter of that name, of which a state may have several copies.
        ready = get(second, "ready", None, lambda _, x: _is_flag(x))
        if ready is None:
            result, third = move(mean, states[2], params, **extra)
        else:
            result, third = one_of(ready, move, wait, mean, states[2], params, **extra)
        return result, (first, second, third)

    def update(updates, state, params=None, **extra):
        return run(move, wait, updates, state, params, extra)

    def step(updates, state, params, **extra):
        return run(step_move, step_wait, updates, state, params, extra)

    return init, of_examples(update, example_axes(between.update)), step


def _aggregator_of(tx: Any) -> GradientTransformationExtraArgs:
    """The argument as a transformation; one put together by hand takes any axes."""
    try:
        made = with_extra_args_support(tx)
    except TypeError as error:
        raise TypeError(f"process: aggregator: {error}") from None
    if made.call is not None:
        return made
    takes_all = takes_extra(made.update)

    def init(params: Any) -> Any:
        return made.init(widened(params))

    def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> Any:
        return takes_all(widened(updates), state, widened(params), **extra)

    known = example_axes(made.update)
    by_hand = isinstance(tx, Aggregator) and not known
    of_examples(update, None if by_hand else known)
    return GradientTransformationExtraArgs(init, update)


def _parted(out: Any) -> tuple[Any, dict[str, Any]]:
    if isinstance(out, tuple) and len(out) == 2 and isinstance(out[1], dict):
        return out[0], out[1]
    with at_work("aggregator"):
        raise failure(
            "aggregator_has_aux=True needs one that gives (updates, aux), aux a dict "
            "of extra arguments.",
            TypeError,
        )


def _is_flag(x: Any) -> bool:
    found = getattr(x, "shape", None) == () and getattr(x, "dtype", None) == jnp.bool_
    return isinstance(x, bool) or found
