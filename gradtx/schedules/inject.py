"""Hyperparameters as arrays in the state: read, changed and scheduled there."""

import inspect
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gradtx.core import check
from gradtx.core.call import Call, Remembered, show
from gradtx.core.examples import like
from gradtx.core.numerics import safe_increment
from gradtx.core.pair import GradientTransformation, GradientTransformationExtraArgs
from gradtx.core.plan import check_state
from gradtx.core.transformation import hands_on, inner_of, made_by, remember
from gradtx.core.trees import absent, compute_dtype, failure, wider
from gradtx.schedules.arguments import as_hyperparam, collector, gather, sort, spread
from gradtx.schedules.hyperparams import (
    Hyperparams,
    InjectHyperparamsState as InjectHyperparamsState,
    InjectStatefulHyperparamsState as InjectStatefulHyperparamsState,
    tell_flax,
)
from gradtx.schedules.stateful import (
    WrappedSchedule,
    WrappedScheduleState,
    is_stateful,
)


def inject_hyperparams(
    inner_factory: Callable[..., Any],
    static_args: str | Iterable[str] = (),
    hyperparam_dtype: Any = None,
) -> "Injected":
    """Keep the hyperparameters of a transformation in its state.

    Called like `inner_factory`, the result makes a transformation whose state has
    `hyperparams`, a dict from name to array. There they can be read, and set between
    steps without compiling again: `state.hyperparams["learning_rate"] = 0.01`. Any of
    them may be given as a schedule. Its value for the step at hand is computed from
    `count` and stored there too, over what may have been set by hand. One that keeps a
    state, see `StatefulSchedule`, has it in `hyperparams_states`, a field that the
    state has only then; `inject_stateful_hyperparams` gives it always.

    What becomes of an argument depends on what it is. Numbers and scalar arrays become
    hyperparameters, also where they are defaults. Functions are taken for schedules,
    unless they are defaults, classes, factories of transformations, or named in
    static_args. Bools, strings, `None`, dtypes, trees and transformations stay what
    they are. An int stays one where the annotation says int (a size, a seed), and
    becomes a float where the annotation or the default is a float.

    State: one int32, and a scalar for each hyperparameter.

    Args:
      inner_factory: makes the transformation from its arguments, gradtx's or another.
        It is called anew in every trace, with arrays; these no check can see.
      static_args: names of arguments to leave alone: functions that are not
        schedules (a mask), numbers that must stay Python's.
      hyperparam_dtype: dtype of the floating ones, at least float32: in bfloat16 a
        b2 of 0.999 is 1. By default that of the parameters, at least float32.

    Returns:
      A factory with the arguments of `inner_factory`.

    Raises:
      TypeError: unknown arguments; a function that is not a schedule.
      ValueError: a number out of range, a dtype below float32, unknown static_args.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.inject_hyperparams(gradtx.adam)(learning_rate=0.1)
      >>> params = jnp.array([1.0, 2.0])
      >>> state = tx.init(params)
      >>> state.hyperparams["learning_rate"] = 0.5
      >>> tx.step(jnp.ones(2), state, params)[0]
      Array([0.5, 1.5], dtype=float32)
    """
    return Injected(inject_hyperparams, inner_factory, static_args, hyperparam_dtype)


def inject_stateful_hyperparams(
    inner_factory: Callable[..., Any],
    static_args: str | Iterable[str] = (),
    hyperparam_dtype: Any = None,
) -> "Injected":
    """As `inject_hyperparams`; every schedule has a state, plain ones their count.

    State: as there, and that of each schedule.

    Args:
      inner_factory, static_args, hyperparam_dtype: see `inject_hyperparams`.

    Returns:
      A factory with the arguments of `inner_factory`.

    Raises:
      TypeError, ValueError: see `inject_hyperparams`.

    Example:
      >>> import gradtx
      >>> factory = gradtx.inject_stateful_hyperparams(gradtx.sgd)
      >>> tx = factory(gradtx.linear_schedule(1.0, 0.0, 4))
      >>> update, state = tx.update(1.0, tx.init(0.0))
      >>> {name: int(s.count) for name, s in state.hyperparams_states.items()}
      {'learning_rate': 1}
    """
    made_by = inject_stateful_hyperparams
    return Injected(made_by, inner_factory, static_args, hyperparam_dtype)


class Injected(Remembered):
    """The factory that `inject_hyperparams` makes; `inject` is which of the two."""

    def __init__(
        self, inject: Any, inner_factory: Any, static_args: Any, hyperparam_dtype: Any
    ):
        if not callable(inner_factory) or isinstance(
            inner_factory, GradientTransformation
        ):
            raise TypeError(
                f"inject_hyperparams needs a factory, as in "
                f"inject_hyperparams(adam)(0.1), got {inner_factory!r}."
            )
        names = [static_args] if isinstance(static_args, str) else list(static_args)
        kwargs: dict[str, Any] = {"static_args": tuple(names)} if names else {}
        if hyperparam_dtype is not None:
            kwargs["hyperparam_dtype"] = hyperparam_dtype
            if not jnp.issubdtype(hyperparam_dtype, jnp.floating) or (
                jnp.promote_types(hyperparam_dtype, jnp.float32) != hyperparam_dtype
            ):
                raise ValueError(
                    f"hyperparam_dtype must be float32 or wider, got "
                    f"{jnp.dtype(hyperparam_dtype)}: in bfloat16 a b2 of 0.999 is 1."
                )
        self.call = Call(inject, (inner_factory,), kwargs)
        self.stateful = inject is inject_stateful_hyperparams
        self.is_transformation = True  # what it makes; so it is no schedule
        self.inner_factory = inner_factory
        self.static_args = names
        self.hyperparam_dtype = hyperparam_dtype
        self.__signature__ = inspect.signature(inner_factory)
        known = self.__signature__.parameters
        unknown = [name for name in names if name not in known]
        if unknown and collector(self.__signature__) is None:
            raise ValueError(
                f"static_args must be arguments of {show(inner_factory)}, which has "
                f"{[*known]}, got {unknown}."
            )

    def __call__(self, *args: Any, **kwargs: Any) -> GradientTransformationExtraArgs:
        call = Call(self, args, kwargs)
        functions, made = made_by(call, self._build)
        tx = remember(functions, call)
        tx.made_of = made if made.call is not None else None
        return tx

    def _build(self, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """The three functions, and what the inner factory makes of the arguments."""
        signature = self.__signature__
        parameters = signature.parameters
        arguments = spread(signature, repr(self), args, kwargs)
        numbers, schedules = sort(signature, arguments, self.static_args)
        names = [name for name in arguments if name in numbers or name in schedules]
        # A schedule without a state goes by the count of the whole.
        stateful = self.stateful or any(map(is_stateful, schedules.values()))
        running: dict[str, Any] = {
            name: fn if is_stateful(fn) else WrappedSchedule(fn)
            for name, fn in schedules.items()
        }
        State = InjectStatefulHyperparamsState if stateful else InjectHyperparamsState

        def make(hyperparams: dict[str, Any]) -> GradientTransformationExtraArgs:
            by_place, by_name = gather(signature, arguments | hyperparams)
            return inner_of(repr(self), self.inner_factory(*by_place, **by_name))

        def state_of(count: Any, hyperparams: Any, states: Any, inner: Any) -> Any:
            if stateful:
                return InjectStatefulHyperparamsState(count, hyperparams, states, inner)
            return InjectHyperparamsState(count, hyperparams, inner)

        def array(name: str, value: Any, dtype: Any) -> jax.Array:
            check.scalar(name, value)
            return as_hyperparam(value, dtype, parameters.get(name))

        @hands_on
        def init(params):
            tell_flax()
            dtype = self.hyperparam_dtype
            dtype = widest(params) if dtype is None else dtype
            count = jnp.zeros([], jnp.int32)
            states = {name: fn.init() for name, fn in running.items()}
            values = numbers | {name: fn(states[name]) for name, fn in running.items()}
            hyperparams = Hyperparams(
                {name: array(name, values[name], dtype) for name in names}
            )
            with _hint(self):
                inner_state = make(hyperparams).init(params)
            return state_of(count, hyperparams, states, inner_state)

        def now(state, states, extra):
            old = state.hyperparams
            if sorted(old) != sorted(names):
                raise failure(
                    f"state.hyperparams must have {names}, got {[*old]}.", ValueError
                )
            values = old | {n: fn(states[n], **extra) for n, fn in running.items()}
            dtypes = {n: compute_dtype(jnp.result_type(x)) for n, x in old.items()}
            return Hyperparams({n: array(n, values[n], dtypes[n]) for n in names})

        def inner(name, hyperparams, updates, inner_state, params, extra):
            call = getattr(make(hyperparams), name)
            return call(updates, inner_state, params, **extra)

        # Outside of jit a transformation that is made anew compiles its rules anew,
        # 300 ms a step against 1 ms; compiled whole, it is made once.
        compiled = {n: jax.jit(partial(inner, n)) for n in ("update", "step")}

        def run(name, updates, state, params, extra):
            check_state(state, State)
            states = {name: WrappedScheduleState(state.count) for name in running}
            states = state.hyperparams_states if stateful else states
            hyperparams = now(state, states, extra)
            given = (hyperparams, updates, state.inner_state, params, extra)
            call = compiled[name] if _concrete(given) else partial(inner, name)
            with _hint(self):
                out, inner_state = call(*given)
            count = safe_increment(state.count)
            after = {n: fn.update(states[n], **extra) for n, fn in running.items()}
            return out, state_of(count, hyperparams, after, inner_state)

        def update(updates, state, params=None, **extra):
            return run("update", updates, state, params, extra)

        def step(updates, state, params, **extra):
            return run("step", updates, state, params, extra)

        # Once as it was written, with a schedule's first value in its place: a number
        # out of range is refused here and now.
        values = [
            (fn, _first_value(self, n, running[n])) for n, fn in schedules.items()
        ]

        def first(given: Any) -> Any:
            return next((value for fn, value in values if fn is given), given)

        made = inner_of(
            repr(self),
            self.inner_factory(
                *map(first, args), **{name: first(x) for name, x in kwargs.items()}
            ),
        )
        return (init, like(update, made), step), made


def widest(params: Any) -> Any:
    """The widest real dtype among the parameters, at least float32."""
    dtype = jnp.dtype(jnp.float32)
    for leaf in jax.tree.leaves(params):
        kind = getattr(leaf, "dtype", dtype)
        if jnp.issubdtype(kind, jnp.inexact):
            dtype = wider(dtype, jnp.finfo(kind).dtype)
    return dtype


def _first_value(factory: Injected, name: str, fn: Any) -> Any:
    """The value at step 0: it shows whether this is a schedule, and is in range."""
    text = (
        f"{factory}: {name} is a function and so is taken for a schedule, but "
        f"{{}} If it is none, give static_args={name!r}."
    )
    try:
        value = jnp.asarray(fn(fn.init()))
    except Exception as error:
        raise TypeError(text.format(f"{name}(0) fails: {error!r}.")) from error
    if value.ndim or not jnp.issubdtype(value.dtype, jnp.number):
        raise TypeError(text.format(f"{name}(0) is {value!r}, not a number."))
    if isinstance(value, Tracer) or not jnp.issubdtype(value.dtype, jnp.floating):
        return value
    return float(str(value))  # as it prints: 0.1, not 0.10000000149011612


def _concrete(tree: Any) -> bool:
    """Whether all leaves are arrays with values, not tracers or Python objects."""
    return all(
        isinstance(x, jax.Array | np.ndarray)
        and not isinstance(x, Tracer)
        and not absent(x)
        for x in jax.tree.leaves(tree)
    )


@contextmanager
def _hint(factory: Injected):
    """Say what to do where a hyperparameter had to be a Python number."""
    try:
        yield
    except jax.errors.JAXTypeError as error:
        error.add_note(
            f"{factory}: hyperparameters are arrays here. Name those that have to be "
            f"Python numbers in static_args."
        )
        raise
