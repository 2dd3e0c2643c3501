"""Outcomes: what a rule or an `update` gave back, looked at while it is traced.

A rule is traced once for each distinct shape, by all leaves of that shape, so that
inside of it there are no names. What is wrong is found there and named outside.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.examples import example_axes, one_of_each
from gradtx.core.trees import (
    absent,
    at_work,
    dtype_of,
    failure,
    first_difference,
    leaf_problem,
    leaves_of,
    paths_of,
)


class OutcomeError(Exception):
    """What a rule gave cannot be used; {leaf} in the text is the leaf's path."""

    def __init__(self, text: str, kind: type[Exception]):
        super().__init__(text)
        self.kind = kind


class Place(NamedTuple):
    """Where an error was raised."""

    rule: int  # its place in the plan
    shape: tuple[int, ...]  # of the leaf
    dtype: Any


def results(out: Any, g: Any, slots: Sequence[Any], names: Sequence[str]) -> list[Any]:
    """What a rule gave, as a list of the update and the new slots.

    Args:
      out: what it returned.
      g: the gradient, as the rule took it.
      slots: the old ones.
      names: of the slots, as far as they are known.

    Raises:
      OutcomeError: another number of results, another shape or kind of numbers.
    """
    names = [*names, *(f"slot {i}" for i in range(len(names), len(slots)))]
    given = [out]
    if slots:
        if not isinstance(out, tuple | list) or len(out) != 1 + len(slots):
            listed = ", ".join(["update", *names])
            found = f"{len(out)}" if isinstance(out, tuple | list) else _kind(out)
            raise OutcomeError(
                f"the rule must return ({listed}), {1 + len(slots)} results; for the "
                f"leaf {{leaf}} it returned {found}.",
                TypeError,
            )
        given = list(out)
    elif isinstance(out, tuple | list):
        raise OutcomeError(
            f"the rule has no slots and must return the update alone; for the leaf "
            f"{{leaf}} it returned a {type(out).__name__} of {len(out)}.",
            TypeError,
        )
    _compare("update", given[0], g, "the gradient")
    for name, new, old in zip(names, given[1:], slots, strict=True):
        for path, one, other in _pairs(name, new, old):
            _compare(path, one, other, "the slot")
    return given


def _pairs(name: str, new: Any, old: Any) -> Iterator[tuple[str, Any, Any]]:
    """The arrays of a slot, of which it may have several, with their names."""
    if _is_array(old):
        yield name, new, old
        return
    if jax.tree.structure(new) != jax.tree.structure(old):
        raise OutcomeError(
            f"the rule's {name} for the leaf {{leaf}} is a tree "
            f"{jax.tree.structure(new)}, the slot is {jax.tree.structure(old)}.",
            ValueError,
        )
    for (path, one), (_, other) in zip(paths_of(new), paths_of(old), strict=True):
        if other is not None:
            yield f"{name}{path}", one, other


def _compare(name: str, new: Any, old: Any, like: str) -> None:
    text = f"the rule's {name} for the leaf {{leaf}}"
    if not _is_array(new):
        raise OutcomeError(f"{text} is {_kind(new)}, not an array.", TypeError)
    dtype = dtype_of(new)
    shape, wanted = jnp.shape(new), dtype_of(old)
    if shape != jnp.shape(old):
        raise OutcomeError(
            f"{text} has shape {shape}, {like} has {jnp.shape(old)}.", ValueError
        )
    loses = _all(jnp.complexfloating, dtype) and not _all(jnp.complexfloating, wanted)
    alike = any(_all(kind, dtype, wanted) for kind in (jnp.inexact, jnp.integer))
    if dtype == wanted or (alike and not loses):
        return
    hint = ": the imaginary part would be lost" if loses else ""
    raise OutcomeError(f"{text} is {dtype}, {like} is {wanted}{hint}.", TypeError)


def _all(kind: Any, *dtypes: Any) -> bool:
    return all(jnp.issubdtype(dtype, kind) for dtype in dtypes)


def _is_array(x: Any) -> bool:
    """Whether it is an array or a number."""
    if x is None:  # which jnp.result_type takes for a float, with a warning
        return False
    try:
        dtype_of(x)
    except TypeError:
        return False
    return True


def _kind(x: Any) -> str:
    if x is None:
        return "None (is there no return?)"
    if isinstance(x, jax.Array):
        return f"an array of shape {x.shape}"
    return f"a {type(x).__name__}"


@contextmanager
def blaming(rule: int, g: Any) -> Iterator[None]:
    """Leave on an error where it was raised; `explain` reads it."""
    try:
        yield
    except Exception as error:
        error.__dict__.setdefault("gradtx_place", Place(rule, g.shape, g.dtype))
        raise


def explain(
    error: Exception,
    within: Sequence[tuple[str, ...]],
    leaves: Sequence[tuple[str, Any]],
) -> None:
    """Say where an error was raised, if it was in a rule.

    Args:
      error: as it was raised.
      within: for each rule the transformations that it is in, below those at work.
      leaves: the arrays that the rules were given, with their paths.

    Raises:
      TypeError, ValueError: what is wrong with a rule's results, by name. Any other
        error has a note added, to be raised again.
    """
    place = error.__dict__.pop("gradtx_place", None)
    if place is None:
        return
    _, shape, dtype = place
    # Of blocks or of one layer the shape is that of no leaf: then it is said alone.
    paths = [p for p, x in leaves if (x.shape, x.dtype) == (shape, dtype)]
    path = (paths or [f"in parts of {len(leaves)}"])[0] or "(the only one)"
    with at_work(*within[place.rule]):
        if isinstance(error, OutcomeError):
            raise failure(str(error).format(leaf=path), error.kind) from None
        at = f"{dtype}{[*shape]}"
        error.add_note(str(failure(f"raised in the rule, for the leaf {path}, {at}.")))


def checked(fn: Callable[..., Any], what: str, name: str = "") -> Callable[..., Any]:
    """An `update` or `step` written by hand, whose results are looked at.

    Args:
      fn: the function.
      what: "updates" or "params", which it returns first.
      name: put in front of errors; none if the transformation is at work already.

    Raises:
      TypeError: it returned no pair.
      ValueError: it returned another structure or shape than it was given, or complex
        numbers for real ones.
    """
    names, axes = (name,) if name else (), example_axes(fn)

    @functools.wraps(fn)
    def run(updates: Any, state: Any, params: Any = None, **extra: Any) -> Any:
        out = fn(updates, state, params, **extra)
        with at_work(*names):
            if not isinstance(out, tuple) or len(out) != 2:
                raise failure(
                    f"must return a pair, ({what}, state); it returned {_kind(out)}.",
                    TypeError,
                )
            like = params
            if what == "updates" and axes is not None:
                like = one_of_each(updates, axes)
            if like is not None:
                _fit(what, out[0], like)
        return out

    return run


def _fit(what: str, new: Any, given: Any) -> None:
    """Raise unless new updates or parameters fit those that they were made from."""
    names = f"returned {what}", f"given {what}"
    treedef = leaves_of(given)[1]
    if leaves_of(new)[1] != treedef:
        # More than one copy of the parameters may be moved (LookaheadParams).
        part = getattr(type(new), "__updates_for__", None)
        new = new if part is None else part(new)
        if leaves_of(new)[1] != treedef:
            raise failure(first_difference(names[0], new, names[1], given))
    for i, (u, g) in enumerate(
        zip(leaves_of(new)[0], leaves_of(given)[0], strict=True)
    ):
        if u is g or absent(u) or absent(g):
            continue
        problem = leaf_problem(names[0], u, names[1], g)
        if problem:
            raise failure(problem.format(path=paths_of(given)[i][0]))
