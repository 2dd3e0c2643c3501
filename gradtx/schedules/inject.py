"""Hyperparameters as arrays in the state: read, changed and scheduled there."""

import inspect
import sys
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

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
from gradtx.tree.access import fit


class Hyperparams(dict):
    """The hyperparameters of a state: a dict with fixed names, shapes and dtypes.

    What is assigned takes the dtype of the old value, so that nothing compiles again.

    Raises:
      KeyError: a name that is not there.
      ValueError, TypeError: a value that the old shape or dtype cannot hold.
    """

    def __setitem__(self, name: str, value: Any) -> None:
        if name not in self:
            raise KeyError(f"there is no hyperparameter {name!r}; there are {[*self]}.")
        super().__setitem__(name, fit(value, self[name], f"hyperparams[{name!r}]"))

    def update(self, *args: Any, **kwargs: Any) -> None:
        for name, value in dict(*args, **kwargs).items():
            self[name] = value

    def __ior__(self, other: Any):
        self.update(other)
        return self

    def copy(self):
        return Hyperparams(self)

    def __reduce__(self) -> Any:  # pickle would assign item by item
        return Hyperparams, (dict(self),)


jax.tree_util.register_pytree_with_keys(
    Hyperparams,
    lambda h: (
        [(jax.tree_util.DictKey(name), h[name]) for name in sorted(h)],
        tuple(sorted(h)),
    ),
    lambda names, values: Hyperparams(zip(names, values, strict=True)),
    lambda h: ([h[name] for name in sorted(h)], tuple(sorted(h))),
)


class InjectHyperparamsState(NamedTuple):
    count: jax.Array  # steps taken, int32
    hyperparams: Hyperparams  # name to scalar, float32 at least (or a whole number)
    inner_state: Any  # of the transformation that they make


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
    `count` and stored there too, over what may have been set by hand.

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
    return Injected(inner_factory, static_args, hyperparam_dtype)


class Injected(Remembered):
    """The factory that `inject_hyperparams` makes."""

    def __init__(self, inner_factory: Any, static_args: Any, hyperparam_dtype: Any):
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
        self.call = Call(inject_hyperparams, (inner_factory,), kwargs)
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

        def make(hyperparams: dict[str, Any]) -> GradientTransformationExtraArgs:
            by_place, by_name = gather(signature, arguments | hyperparams)
            return inner_of(repr(self), self.inner_factory(*by_place, **by_name))

        def array(name: str, value: Any, dtype: Any) -> jax.Array:
            check.scalar(name, value)
            return as_hyperparam(value, dtype, parameters.get(name))

        @hands_on
        def init(params):
            _tell_flax()
            dtype = self.hyperparam_dtype
            dtype = _widest(params) if dtype is None else dtype
            count = jnp.zeros([], jnp.int32)
            values = numbers | {name: fn(count) for name, fn in schedules.items()}
            hyperparams = Hyperparams(
                {name: array(name, values[name], dtype) for name in names}
            )
            with _hint(self):
                inner_state = make(hyperparams).init(params)
            return InjectHyperparamsState(count, hyperparams, inner_state)

        def now(state):
            check_state(state, InjectHyperparamsState)
            old = state.hyperparams
            if sorted(old) != sorted(names):
                raise failure(
                    f"state.hyperparams must have {names}, got {[*old]}.", ValueError
                )
            values = old | {name: fn(state.count) for name, fn in schedules.items()}
            dtypes = {n: compute_dtype(jnp.result_type(x)) for n, x in old.items()}
            return Hyperparams({n: array(n, values[n], dtypes[n]) for n in names})

        def inner(name, hyperparams, updates, inner_state, params, extra):
            call = getattr(make(hyperparams), name)
            return call(updates, inner_state, params, **extra)

        # Outside of jit a transformation that is made anew compiles its rules anew,
        # 300 ms a step against 1 ms; compiled whole, it is made once.
        compiled = {n: jax.jit(partial(inner, n)) for n in ("update", "step")}

        def run(name, updates, state, params, extra):
            hyperparams = now(state)
            given = (hyperparams, updates, state.inner_state, params, extra)
            call = compiled[name] if _concrete(given) else partial(inner, name)
            with _hint(self):
                out, inner_state = call(*given)
            count = safe_increment(state.count)
            return out, InjectHyperparamsState(count, hyperparams, inner_state)

        def update(updates, state, params=None, **extra):
            return run("update", updates, state, params, extra)

        def step(updates, state, params, **extra):
            return run("step", updates, state, params, extra)

        # Once as it was written, with a schedule's first value in its place: a number
        # out of range is refused here and now.
        values = [(fn, _first_value(self, name, fn)) for name, fn in schedules.items()]

        def first(given: Any) -> Any:
            return next((value for fn, value in values if fn is given), given)

        made = inner_of(
            repr(self),
            self.inner_factory(
                *map(first, args), **{name: first(x) for name, x in kwargs.items()}
            ),
        )
        return (init, like(update, made), step), made


def _widest(params: Any) -> Any:
    """The widest real dtype among the parameters, at least float32."""
    dtype = jnp.dtype(jnp.float32)
    for leaf in jax.tree.leaves(params):
        kind = getattr(leaf, "dtype", dtype)
        if jnp.issubdtype(kind, jnp.inexact):
            dtype = wider(dtype, jnp.finfo(kind).dtype)
    return dtype


def _first_value(factory: Injected, name: str, fn: Callable[[Any], Any]) -> Any:
    """The value at step 0: it shows whether this is a schedule, and is in range."""
    text = (
        f"{factory}: {name} is a function and so is taken for a schedule, but "
        f"{{}} If it is none, give static_args={name!r}."
    )
    try:
        value = jnp.asarray(fn(jnp.zeros([], jnp.int32)))
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


def _tell_flax() -> None:
    """Flax serializes the types that it was told of, not their subclasses."""
    flax = sys.modules.get("flax.serialization")
    if flax is not None and not flax.is_serializable(Hyperparams):
        flax.register_serialization_state(
            Hyperparams,
            dict,
            lambda old, saved: Hyperparams({name: saved[name] for name in old}),
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
