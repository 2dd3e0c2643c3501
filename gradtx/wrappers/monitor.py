"""Measurements of the updates that pass by, kept in the state."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, ParamSpec

import jax
import jax.numpy as jnp

from gradtx.core.call import Call, show
from gradtx.core.hints import bind
from gradtx.core.pair import GradientTransformationExtraArgs
from gradtx.core.plan import check_state
from gradtx.core.transformation import transformation, with_extra_args_support
from gradtx.core.trees import (
    absent,
    check_inexact,
    compute_dtype,
    dtype_of,
    failure,
    leaves_of,
    map_present,
)
from gradtx.core.types import EmptyState, Scalar
from gradtx.core.widths import widened
from gradtx.transforms.momentum import ema
from gradtx.tree.access import fit

P = ParamSpec("P")

Measure = Callable[[Any], Any]  # from updates to an array, or a tree of arrays


class SnapshotState(NamedTuple):
    measurement: dict[str, Any]  # by its name, of the last updates; zeros at first


class MonitorState(NamedTuple):
    measurements: dict[str, Any]  # by name, of the last updates; zeros at first
    measure_states: tuple[Any, ...]  # one a measurement, in their order


@transformation
def snapshot(measure_name: str, measure: Measure):
    """Hand the updates on as they are, and keep a measurement of them.

    Its place in the chain says which updates: behind `clip_by_global_norm(1.0)` a norm
    is at most 1. Read it with `tree.get(state, measure_name)`.

    State: what measure returns: zeros before the first step, and from then on of the
    same structure, shapes and dtypes. A leaf for which it returns `None`, as for an
    update that is not there, stays as it was.

    Args:
      measure_name: by which it is found again.
      measure: `measure(updates)` returns an array or a tree of arrays; of updates in at
        least float32. It is called in `init`, too, with parameters in their place and
        without numbers, for the shapes.

    Raises:
      TypeError: if measure is no function, or returns nothing.
      ValueError: if what it returns has another structure or shape than in `init`.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.chain(gradtx.snapshot("norm", gradtx.tree.norm), gradtx.sgd(0.1))
      >>> params = jnp.ones(2)
      >>> _, state = tx.update(jnp.array([3.0, 4.0]), tx.init(params), params)
      >>> float(gradtx.tree.get(state, "norm"))
      5.0
    """
    if not callable(measure):
        raise TypeError(f"measure must be a function of updates, got {measure!r:.60}.")

    def init(params):
        made = _shapes(measure_name, measure, widened(params))
        return SnapshotState({measure_name: _nothing(made)})

    def update(updates, state, params=None):
        check_state(state, SnapshotState)
        check_inexact(leaves_of(updates)[0], updates)
        new = measure(widened(updates))
        old = state.measurement[measure_name]
        return updates, SnapshotState({measure_name: _like(measure_name, new, old)})

    return init, update


@transformation
def monitor(measures: Mapping[str, Any]):
    """Hand the updates on as they are, and keep several measurements of them.

    As `snapshot`, for measurements that need a state of their own, too: an average over
    the steps is `measure_with_ema(measure, decay)`. Read one with
    `tree.get(state, name)`.

    State: what each measure returns, zeros before the first step, and what each needs.

    Args:
      measures: from a name to a measure: a function of the updates, as `snapshot` takes
        it, or a transformation, of which the updates are what is kept. It gets the
        extra arguments of `update`, but has to do without them in `init`, where it is
        called for the shapes.

    Raises:
      TypeError: if a measure is neither, or returns nothing.
      ValueError: if what it returns has another structure or shape than in `init`.

    Example:
      >>> import gradtx
      >>> size = gradtx.tree.norm
      >>> mean = gradtx.measure_with_ema(size, decay=0.5)
      >>> tx = gradtx.monitor({"size": size, "mean": mean})
      >>> state = tx.init(0.0)
      >>> for gradient in (1.0, 4.0):
      ...     _, state = tx.update(gradient, state)
      >>> float(gradtx.tree.get(state, "size")), float(gradtx.tree.get(state, "mean"))
      (4.0, 3.0)
    """
    if not isinstance(measures, Mapping):
        raise TypeError(
            f"measures must be a dict from a name to a measure, got {measures!r:.60}."
        )
    members = {name: _member(name, measure) for name, measure in measures.items()}

    def init(params):
        params = widened(params)
        states, seen = [], {}
        for name, tx in members.items():
            state = tx.init(params)
            made = _shapes(name, lambda *a, tx=tx: tx.update(*a)[0], params, state)
            states.append(state)
            seen[name] = _nothing(made)
        return MonitorState(seen, tuple(states))

    def update(updates, state, params=None, **extra):
        check_state(state, MonitorState)
        check_inexact(leaves_of(updates)[0], updates)
        given, wide, states, seen = widened(updates), widened(params), [], {}
        pairs = zip(members.items(), state.measure_states, strict=True)
        for (name, tx), inner in pairs:
            new, inner = tx.update(given, inner, wide, **extra)
            states.append(inner)
            seen[name] = _like(name, new, state.measurements[name])
        return updates, MonitorState(seen, tuple(states))

    return init, update


def _remembered(
    factory: Callable[P, tuple[Any, Any]],
) -> Callable[P, GradientTransformationExtraArgs]:
    """As `transformation`, for a pair whose `update` does not give updates."""
    signature = inspect.signature(factory)

    @functools.wraps(factory)
    def build(*args: P.args, **kwargs: P.kwargs) -> GradientTransformationExtraArgs:
        bind(signature, show(factory), args, kwargs)
        tx = GradientTransformationExtraArgs(*factory(*args, **kwargs))
        tx.call = Call(build, args, kwargs)
        return tx

    return build


@_remembered
def measure_with_ema(
    measure: Measure,
    decay: Scalar,
    debias: bool = True,
    accumulator_dtype: Any = None,
):
    """Average a measurement over the steps: a measure for `monitor`.

    The average is that of `ema`. Bools and whole numbers are averaged as floats:
    `measure_with_ema(lambda u: tree.norm(u) > 1.0, 0.99)` is how often that was so. A
    NaN stays in the average; with `apply_if_finite` around the chain none comes in.

    State: what `ema` has, for an array of the measurement's shape.

    Args:
      measure: see `snapshot`.
      decay, debias, accumulator_dtype: see `ema`.

    Returns:
      A pair `init, update` whose `update` gives the average in place of updates.

    Raises:
      ValueError: if decay is out of range.
      TypeError: if measure is no function.

    Example:
      >>> import gradtx
      >>> tx = gradtx.monitor({"norm": gradtx.measure_with_ema(gradtx.tree.norm, 0.9)})
      >>> tx
      monitor({'norm': measure_with_ema(norm, 0.9)})
    """
    if not callable(measure):
        raise TypeError(f"measure must be a function of updates, got {measure!r:.60}.")
    average = ema(decay, debias, accumulator_dtype)

    def measured(updates):
        found = measure(widened(updates))
        return map_present(lambda x: jnp.asarray(x, compute_dtype(dtype_of(x))), found)

    def init(params):
        return EmptyState(), average.init(jax.eval_shape(measured, params))

    def update(updates, state, params=None, **extra):
        nothing, inner = state
        found, inner = average.update(measured(updates), inner)
        return found, (nothing, inner)

    return init, update


def _member(name: str, measure: Any) -> GradientTransformationExtraArgs:
    """A measure as a pair whose `update` gives the measurement."""
    if callable(measure):

        def update(updates, state, params=None, **extra):
            return measure(updates), state

        return GradientTransformationExtraArgs(lambda params: EmptyState(), update)
    try:
        return with_extra_args_support(measure)
    except TypeError:
        raise TypeError(
            f"measures[{name!r}] must be a function of updates or a transformation, "
            f"got {measure!r:.60}."
        ) from None


def _shapes(name: str, measure: Callable[..., Any], *args: Any) -> Any:
    """What a measure gives, as shapes."""
    try:
        made = jax.eval_shape(measure, *args)
    except Exception as error:
        error.add_note(
            f"raised by the measure {name!r} in init, which calls it for the shapes: "
            f"with updates like the parameters, without extra arguments."
        )
        raise
    if made is None:
        raise failure(f"the measure {name!r} returns None, not an array.", TypeError)
    return made


def _nothing(shapes: Any) -> Any:
    return map_present(lambda x: jnp.zeros_like(x, x.dtype), shapes)


def _like(name: str, new: Any, old: Any) -> Any:
    """A measurement in the structure, shapes and dtypes of the one before."""
    if leaves_of(new)[1] == leaves_of(old)[1]:
        pairs = zip(leaves_of(new)[0], leaves_of(old)[0], strict=True)
        kept = [y if absent(x) else x for x, y in pairs]
        new = leaves_of(new)[1].unflatten(kept)
    try:
        return fit(new, old, f"the measurement {name!r}")
    except (ValueError, TypeError) as error:
        raise failure(str(error), type(error)) from None
