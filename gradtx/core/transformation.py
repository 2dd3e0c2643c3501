"""Factories of transformations, decorated so that a pair knows what it is."""

import functools
import inspect
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, ParamSpec

import jax

from gradtx.core import trees
from gradtx.core.apply import apply_updates
from gradtx.core.call import Call, show
from gradtx.core.examples import Axes, example_axes, of_examples, one_of_each
from gradtx.core.hints import bind, is_sweep, no_transformation
from gradtx.core.outcome import checked
from gradtx.core.pair import GradientTransformation, GradientTransformationExtraArgs
from gradtx.core.plan import Plan, plan_of
from gradtx.core.widths import inside, outermost, widened

P = ParamSpec("P")


def transformation(
    factory: Callable[P, tuple[Any, ...]],
) -> Callable[P, GradientTransformationExtraArgs]:
    """Decorate a factory that returns `init, update`, or `init, update, step`.

    What it builds remembers the call: it prints and compares by value, pickles, and
    is a static argument of `jit`. Its `update` and `step` pass unknown keyword
    arguments by, and check on entry that updates and parameters have the same
    structure and shapes. The factory must depend on its arguments only.

    Args:
      factory: called with hyperparameters; returns two or three functions, or
        another transformation (then it is an alias, which `describe` expands).

    Example:
      >>> import jax, gradtx
      >>> @gradtx.transformation
      ... def double():
      ...     def init(params):
      ...         return gradtx.EmptyState()
      ...     def update(updates, state, params=None):
      ...         return jax.tree.map(lambda g: 2 * g, updates), state
      ...     return init, update
      >>> double()
      double()
    """

    signature, name = inspect.signature(factory), show(factory)

    @functools.wraps(factory)
    def build(*args: P.args, **kwargs: P.kwargs) -> GradientTransformationExtraArgs:
        bind(signature, name, args, kwargs)
        call = Call(build, args, kwargs)
        with trees.at_work(name):
            made = made_by(call, factory)
        return remember(made, call)

    build.__dict__["is_transformation"] = True
    return build


def made_by(call: Call, factory: Callable[..., Any]) -> Any:
    """What the factory returns for a call; for an equal one, the same again.

    Rules are compiled for the functions that they are: outside of `jit`, a
    transformation built anew in each step would be compiled in each. Calls with arrays
    in them are not kept, nor are those with functions that close over more than
    numbers: they might not mean the same again.
    """
    # Copies of lists and dicts: changing them later changes nothing that is kept.
    make = _in_place(call) or functools.partial(factory, *call.args, **call.kwargs)
    if not call.is_plain:
        return make()
    try:
        key = call.key, *_flags()
    except TypeError:  # arguments that do not fit: the factory says which
        return make()
    with _lock:
        if key in _made:
            _made.move_to_end(key)
            return _made[key]
    with jax.ensure_compile_time_eval():  # inside of jit, too, arrays are arrays
        made = make()
    with _lock:
        _made[key] = made
        while len(_made) > MOST_KEPT:
            _made.popitem(last=False)
    return made


def _in_place(call: Call) -> Callable[[], Any] | None:
    """What builds instead of the factory, where an argument says so (a `decay`)."""
    given = (*call.args, *call.kwargs.values())
    if not any(hasattr(value, "in_place_of") for value in given):
        return None
    if not inspect.isfunction(call.factory):  # inject_hyperparams hands it on
        return None
    for name, value in call.bound.arguments.items():
        if hasattr(value, "in_place_of"):
            return functools.partial(value.in_place_of, name, call)
    return None  # among *args, where the factory sees it


MOST_KEPT = 512
_made: OrderedDict[Any, Any] = OrderedDict()
_lock = threading.Lock()


def _flags() -> tuple[Any, ...]:
    """What a factory's own arrays, if it makes any, depend on beside its arguments."""
    config: Any = jax.config
    return config.jax_enable_x64, config.jax_numpy_dtype_promotion


def remember(made: tuple[Any, ...], call: Call) -> GradientTransformationExtraArgs:
    """Attach a call to what it made."""
    check_made(call.name, made)
    made_of = None
    if isinstance(made, GradientTransformation):  # an alias, under its own name
        init, update, step = made.init, made.update, made._step
        made_of = made if made.call is not None else None
    else:
        init, update, *rest = made
        step = takes_extra(rest[0]) if rest else None
    init, update = unguarded(init), unguarded(update)
    update, plan = takes_extra(update), plan_of(update)
    looks = made_of is None and not getattr(update, "hands_on", False)
    if plan is None and looks:
        update = checked(update, "updates")
    if step is not None and looks:
        step = checked(unguarded(step), "params")
    if step is None:
        step = _step_of(update) if plan is None else functools.partial(_apply, plan)
    axes = example_axes(update)
    guarded = outermost(_guard_update(call, update, axes))
    if plan is not None:
        guarded.__dict__["plan"] = plan.named(call.name)
    tx = GradientTransformationExtraArgs(_guard_init(call, init), guarded)
    tx.call = call
    tx.made_of = made_of
    tx._step = _guard_update(call, unguarded(step), axes)
    return tx


def check_made(name: str, made: Any) -> None:
    """Raise unless a factory gave what a transformation is made of.

    Raises:
      TypeError: if it is neither two or three functions nor a transformation.
    """
    if isinstance(made, GradientTransformation) or (
        isinstance(made, tuple) and len(made) in (2, 3) and all(map(callable, made))
    ):
        return
    returned = f"{made!r:.60}" if made is not None else "None: is there no return?"
    raise TypeError(
        f"{name}: a factory must return init, update (and step, if it has one), or a "
        f"transformation; it returned {returned}"
    )


def _apply(plan: Plan, updates: Any, state: Any, params: Any, **extra: Any) -> Any:
    return plan(updates, state, params, apply=True)


def _step_of(update: Callable[..., Any]) -> Callable[..., Any]:
    """The step of what has none of its own: update, then apply."""

    def step(updates: Any, state: Any, params: Any, **extra: Any) -> Any:
        updates, state = update(updates, state, params, **extra)
        return apply_updates(params, updates), state

    return step


def unguarded(fn: Callable[..., Any]) -> Callable[..., Any]:
    """What a guard guards: an alias guards what its expansion would."""
    return getattr(fn, "unguarded", fn)


def hands_on(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Mark an `init` that leaves it to others to look at the parameters' leaves.

    A mask may take a leaf away from them that is no array. An `update` (and with it the
    `step`) that is marked gives what others gave, who have looked at it.
    """
    fn.__dict__["hands_on"] = True
    return fn


def _guard_init(call: Call, init: Callable[..., Any]) -> Callable[..., Any]:
    name = call.name
    looks = not getattr(init, "hands_on", False)

    def guarded(params: Any) -> Any:
        with trees.at_work(name):
            if looks:
                trees.check_arrays(params)
            return init(params)

    guarded.__dict__["unguarded"] = init
    return guarded


def _guard_update(
    call: Call, update: Callable[..., Any], axes: Axes
) -> Callable[..., Any]:
    """Names in errors, and on entry a look at updates, with axes more, and params."""
    name = call.name

    def guarded(updates: Any, state: Any, params: Any = None, **extra: Any) -> Any:
        outer = trees.callers.get()
        token = trees.callers.set((*outer, name))
        try:
            # Only the outermost looks: what it hands inside fits by construction.
            if params is not None and not outer and axes is not None:
                # Parameters may be more than the gradients are for (LookaheadParams).
                part = getattr(type(params), "__updates_for__", None)
                trained = params if part is None else part(params)
                one = one_of_each(updates, axes)
                try:
                    trees.check_match("updates", one, "params", trained)
                except ValueError:
                    trees.check_not_swapped(updates, state, trained)
                    raise
            with inside():  # what is called from here is not the outermost
                return update(updates, state, params, **extra)
        finally:
            trees.callers.reset(token)

    guarded.__name__ = "update"
    guarded.__qualname__ = f"{name}.update"  # in Python's own errors of arguments
    guarded.__dict__["unguarded"] = update
    return guarded


def takes_extra(update: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, taking any keyword and passing on those it knows."""
    parameters = inspect.signature(update).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return update
    known = {p.name for p in parameters if p.kind is not p.POSITIONAL_ONLY}

    def adapted(updates: Any, state: Any, params: Any = None, **extra: Any) -> Any:
        extra = {k: v for k, v in extra.items() if k in known}
        return update(updates, state, params, **extra)

    return of_examples(adapted, example_axes(update))


def with_extra_args_support(tx: Any) -> GradientTransformationExtraArgs:
    """Make the pair's `update` take any extra keyword arguments.

    Args:
      tx: a transformation, or any pair `init, update` (one from Optax too).

    Returns:
      `tx` itself where it does already.

    Raises:
      TypeError: if it is not a pair of functions.

    Example:
      >>> import gradtx
      >>> def update(updates, state, params=None):
      ...     return updates, state
      >>> pair = gradtx.GradientTransformation(lambda params: (), update)
      >>> gradtx.with_extra_args_support(pair).update(1.0, (), value=2.0)
      (1.0, ())
    """
    if isinstance(tx, GradientTransformationExtraArgs):
        return tx
    if isinstance(tx, type) or not (
        isinstance(tx, tuple) and len(tx) == 2 and callable(tx[0]) and callable(tx[1])
    ):
        init, update = getattr(tx, "init", None), getattr(tx, "update", None)
        if isinstance(tx, type) or is_sweep(tx):
            raise TypeError(no_transformation(tx))
        if not (callable(init) and callable(update)):
            raise TypeError(no_transformation(tx))
    else:
        init, update = tx
    made = GradientTransformationExtraArgs(init, takes_extra(update))
    made._step = getattr(tx, "_step", None)
    return made


def inner_of(place: str, tx: Any) -> GradientTransformationExtraArgs:
    """The argument as a transformation that takes extra arguments.

    Raises:
      TypeError: if it is none; `place` names the argument.
    """
    try:
        made = with_extra_args_support(tx)
    except TypeError as error:
        raise TypeError(f"{place}: {error}") from None
    if made.call is not None or plan_of(made.update) is not None:
        return made
    return _from_elsewhere(place, made)


def _from_elsewhere(
    place: str, tx: GradientTransformationExtraArgs
) -> GradientTransformationExtraArgs:
    """One that computes in the dtypes it is given: they are float32.

    Its state too: what `init` makes of bfloat16 parameters `update` would give back in
    float32, and no `scan` takes a state that changes.
    """

    @functools.wraps(tx.init)  # by whose name its state is stored
    def init(params: Any) -> Any:
        return tx.init(widened(params))

    def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> Any:
        return tx.update(widened(updates), state, widened(params), **extra)

    return GradientTransformationExtraArgs(init, checked(update, "updates", place))
