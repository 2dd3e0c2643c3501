"""Transformations in words."""

from collections.abc import Iterator
from typing import Any

from gradtx.core.call import show
from gradtx.core.types import GradientTransformation


def describe(tx: Any) -> str:
    """Say what a transformation does: one line a step, every hyperparameter shown.

    Args:
      tx: any transformation; aliases and inner transformations are expanded.

    Returns:
      Lines of text; what is inside is indented.

    Example:
      >>> import gradtx
      >>> print(gradtx.describe(gradtx.adagrad(0.1)))
      adagrad(0.1)
        scale_by_rss(initial_accumulator_value=0.1, eps=1e-07, eps_in_sqrt=True)
        scale_by_learning_rate(learning_rate=0.1, flip_sign=True)
    """
    return "\n".join(_lines(tx, "", ""))


def _lines(tx: Any, indent: str, label: str) -> Iterator[str]:
    call = getattr(tx, "call", None)
    if call is None:
        yield f"{indent}{label}{tx!r}"
        return
    if tx.made_of is not None:  # the expansion has all the numbers
        yield f"{indent}{label}{call!r}"
        for inner_label, inner in _expanded(tx.made_of):
            yield from _lines(inner, indent + "  ", inner_label)
        return
    inside: list[tuple[str, Any]] = []
    shown: list[str] = []
    for name, value in call.bound.arguments.items():
        members = list(_members(name, value))
        inside += members
        if not members and not _is_empty(value):  # a *args that was not given
            shown.append(f"{name}={show(value)}")
    bare = inside and not shown
    yield f"{indent}{label}{call.name}" + ("" if bare else f"({', '.join(shown)})")
    for inner_label, inner in inside:
        yield from _lines(inner, indent + "  ", inner_label)


def _expanded(made_of: GradientTransformation) -> list[tuple[str, Any]]:
    """What an alias stands for: the members of a chain without the word chain."""
    if made_of.call is not None and made_of.call.name == "chain":
        return [("", member) for member in made_of.call.args]
    return [("", made_of)]


def _members(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The transformations in an argument, each with a label."""
    if isinstance(value, GradientTransformation) or _is_pair(value):
        yield f"{name}: ", value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _members(str(key), inner)
    elif type(value) in (tuple, list):
        if len(value) == 2 and isinstance(value[0], str):  # named_chain
            yield from _members(*value)
        else:
            for inner in value:
                for label, tx in _members("", inner):
                    yield label.removeprefix(": "), tx


def _is_empty(value: Any) -> bool:
    return type(value) is tuple and not value


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple) and getattr(value, "_fields", ()) == (
        "init",
        "update",
    )
