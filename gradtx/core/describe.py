"""Transformations in words."""

import textwrap
from collections.abc import Iterator
from typing import Any

from gradtx.core.call import Remembered, show
from gradtx.core.pair import GradientTransformation
from gradtx.core.transformation import inner_of

_MORE = "    "  # a line that goes on: deeper than what is inside


def describe(tx: Any, width: int = 100) -> str:
    """Say what a transformation does: one line a step, every hyperparameter shown.

    A schedule is written out where it was given; in the steps that it is handed on to
    it is `name(...)`.

    Args:
      tx: any transformation; aliases and inner transformations are expanded.
      width: columns that a line may have. Only one without a space is longer.

    Returns:
      Lines of text; what is inside is indented by two more, a line that goes on by
      four.

    Raises:
      TypeError: if it is no transformation.

    Example:
      >>> import gradtx
      >>> print(gradtx.describe(gradtx.lion(1e-4)))
      lion(0.0001)
        scale_by_lion(b1=0.9, b2=0.99, mu_dtype=None, mode='hard', smooth_beta=1.0)
        add_decayed_weights(weight_decay=0.001, mask=None)
        scale_by_learning_rate(learning_rate=0.0001, flip_sign=True)
    """
    if hasattr(tx, "is_transformation"):
        raise TypeError(
            f"describe: {show(tx)} makes transformations and is none: call it, "
            f"describe({show(tx)}(...))."
        )
    inner_of("describe", tx)
    return "\n".join(_wrapped(*line, width) for line in _lines(tx, "", "", ()))


def _lines(tx: Any, indent: str, label: str, known: tuple) -> Iterator[tuple[str, str]]:
    """Each line and its indent; `known` are the schedules that those around it show."""
    call = getattr(tx, "call", None)
    if call is None:
        yield f"{label}{_unnamed(tx)}", indent
        return
    if tx.made_of is not None:  # the expansion has all the numbers
        yield f"{label}{call!r}", indent
        known += tuple(_schedules([call.args, call.kwargs]))
        for inner_label, inner in _expanded(tx):
            yield from _lines(inner, indent + "  ", inner_label, known)
        return
    inside: list[tuple[str, Any]] = []
    shown: list[str] = []
    for name, value in call.bound.arguments.items():
        members = list(members_in(name, value))
        inside += members
        if not members and not _is_empty(value):  # a *args that was not given
            shown.append(f"{name}={_brief(value, known)}")
    bare = inside and not shown
    yield f"{label}{call.name}" + ("" if bare else f"({', '.join(shown)})"), indent
    for inner_label, inner in inside:
        yield from _lines(inner, indent + "  ", inner_label, known)


def _wrapped(text: str, indent: str, width: int) -> str:
    return textwrap.fill(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=indent + _MORE,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _unnamed(tx: Any) -> str:
    """A pair that no factory of ours made: where its functions are from."""
    if not _is_one(tx):
        return repr(tx)
    functions = zip(tx._fields, tx, strict=True)
    parts = [f"{name}={getattr(f, '__qualname__', show(f))}" for name, f in functions]
    return f"{type(tx).__name__}({', '.join(parts)})"


def _brief(value: Any, known: tuple) -> str:
    """An argument; a schedule that can be seen above, by its name only."""
    if _is_schedule(value):
        same_name = [s for s in known if s.call.name == value.call.name]
        if same_name and all(s == value for s in same_name):
            return f"{value.call.name}(...)"
    return show(value)


def _schedules(value: Any) -> Iterator[Remembered]:
    """The schedules of gradtx in an argument; not those inside of transformations."""
    if _is_schedule(value):
        yield value
    elif isinstance(value, dict):
        yield from _schedules([*value.values()])
    elif type(value) in (tuple, list):
        for inner in value:
            yield from _schedules(inner)


def _is_schedule(value: Any) -> bool:
    """Whether it is a function that knows its call, as those of gradtx.schedules."""
    return (
        isinstance(value, Remembered)
        and value.call is not None
        and callable(value)
        and not hasattr(value, "is_transformation")
    )


def _expanded(tx: Any) -> list[tuple[str, Any]]:
    """What an alias stands for: the members of a chain without the word chain."""
    made_of = tx.made_of
    if isinstance(tx.call.factory, Remembered):  # injected numbers: the state has them
        return [("at step 0: ", made_of)]
    if made_of.call is not None and made_of.call.name == "chain":
        return [("", member) for member in made_of.call.args]
    return [("", made_of)]


def members_in(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The transformations in an argument, each with a label."""
    if _is_one(value):
        yield f"{name}: ", value
    elif isinstance(value, dict):
        # One with functions among them (of monitor) is shown where it is.
        inside = value.items() if all(map(_is_one, value.values())) else ()
        yield from ((f"{key}: ", inner) for key, inner in inside)
    elif type(value) in (tuple, list):
        if len(value) == 2 and isinstance(value[0], str):  # named_chain
            yield from members_in(*value)
        else:
            for inner in value:
                for label, tx in members_in("", inner):
                    yield label.removeprefix(": "), tx


def _is_empty(value: Any) -> bool:
    return type(value) is tuple and not value


def _is_one(value: Any) -> bool:
    return isinstance(value, GradientTransformation) or _is_pair(value)


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple) and getattr(value, "_fields", ()) == (
        "init",
        "update",
    )
