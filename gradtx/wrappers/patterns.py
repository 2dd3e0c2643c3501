"""Patterns: which leaves of a tree are meant, by path."""

import difflib
import re
from collections.abc import Callable, Sequence
from typing import Any

import jax

from gradtx.core.call import show
from gradtx.core.trees import failure
from gradtx.core.types import MaskedNode

Pattern = str | re.Pattern[str] | Callable[[str, Any], bool]
Matches = Callable[[str, Any], bool]  # from a path and its leaf

NEAREST = 3  # paths that an error names


def matcher(place: str, pattern: Any) -> tuple[str, Matches]:
    """The name of a pattern, and what says whether it matches."""
    if isinstance(pattern, str):
        glob = _glob(pattern)
        return pattern, lambda path, leaf: glob.fullmatch(f"{path}/") is not None
    if isinstance(pattern, re.Pattern):
        return pattern.pattern, lambda path, leaf: pattern.search(path) is not None
    if callable(pattern):

        def matches(path: str, leaf: Any) -> bool:
            return leaf is not None and bool(pattern(path, leaf))

        return show(pattern), matches
    raise TypeError(
        f"{place}: a pattern is a string, a regular expression or a function "
        f"(path, leaf) -> bool, got {pattern!r:.60}."
    )


def _glob(pattern: str) -> re.Pattern[str]:
    """For a path with a slash behind each step."""
    found = ""
    for step in pattern.strip("/").split("/"):
        if step == "**":
            found += "(?:[^/]*/)*"
        else:
            one = re.escape(step).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
            found += f"{one}/"
    return re.compile(f"{found}(?:[^/]*/)*")


def firsts(
    matchers: dict[str, Matches], paths: Sequence[tuple[str, Any]]
) -> list[str | None]:
    """For each leaf the name of the first pattern that matches, or None."""
    return [
        next((name for name, matches in matchers.items() if matches(path, leaf)), None)
        for path, leaf in paths
    ]


def check_used(
    matchers: dict[str, Matches],
    first: Sequence[str | None],
    paths: Sequence[tuple[str, Any]],
    what: str = "",
) -> None:
    """Raise unless each pattern is the first to match a leaf."""
    for name in matchers.keys() - {*first}:
        rows = zip(paths, first, strict=True)
        before = {other for row, other in rows if matchers[name](*row)}
        if before:
            raise failure(
                f"{what}{name!r} has nothing to do: all that it matches is taken by "
                f"{', '.join(sorted(map(repr, before)))} before it. The first wins."
            )
        known = [path for path, _ in paths]
        near = difflib.get_close_matches(name, known, NEAREST, cutoff=0)
        raise failure(
            f"{what}{name!r} matches no parameter. The nearest: {', '.join(near)}."
        )


def is_part(tree: Any) -> bool:
    """Whether a mask around has taken something out of the tree."""
    hidden = jax.tree.leaves(tree, is_leaf=lambda x: isinstance(x, MaskedNode))
    return any(isinstance(x, MaskedNode) for x in hidden)
