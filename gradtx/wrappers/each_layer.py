"""A transformation that sees the layers of stacked leaves singly."""

import re
from collections.abc import Callable
from typing import Any

from gradtx.core.call import show
from gradtx.core.stacks import named_leaves, stacking
from gradtx.core.transformation import hands_on, inner_of, transformation
from gradtx.wrappers.patterns import check_used, firsts, is_part, matcher

Stacked = Any  # (pattern, axis), or a list of such pairs


@transformation
def each_layer(inner: Any, stacked: Stacked):
    """Let an optimizer see singly the layers that lie stacked in a leaf.

    Args:
      inner: the transformation.
      stacked: see `groups`.

    Raises:
      TypeError: inner is none, or there is something else in stacked.
      ValueError: a pattern that matches nothing, or a leaf without the axis.
    """
    tx = inner_of("each_layer: inner", inner)
    axis_at, check = declared("each_layer: stacked", stacked)

    @hands_on
    def init(params):
        with stacking(axis_at):
            check(params)
            return tx.init(params)

    @hands_on
    def update(updates, state, params=None, **extra):
        with stacking(axis_at):
            return tx.update(updates, state, params, **extra)

    def step(updates, state, params, **extra):
        with stacking(axis_at):
            return tx.step(updates, state, params, **extra)

    return init, update, step


def declared(
    place: str, stacked: Stacked
) -> tuple[Callable[[str], int | None], Callable[[Any], None]]:
    """From a path to the axis that counts layers there; and a check of a tree.

    Raises:
      TypeError: what is no pair of a pattern and an axis.
      ValueError: a pattern twice.
    """
    matchers, axes = {}, {}
    for pair in [stacked] if _is_pair(stacked) else stacked:
        if not (_is_pair(pair) and type(pair[1]) is int):
            raise TypeError(
                f"{place} must be (pattern, axis), or a list of such pairs, where the "
                f"pattern is a string or a regular expression and the axis counts "
                f"layers: ('layers/*', 0); got {show(pair):.60}."
            )
        name, matches = matcher(place, pair[0])
        if name in matchers:
            raise ValueError(f"{place}: the pattern {name!r} comes twice.")
        matchers[name], axes[name] = matches, pair[1]

    def axis_at(path: str) -> int | None:
        return next((axes[n] for n, m in matchers.items() if m(path, None)), None)

    def check(params: Any) -> None:
        paths = list(named_leaves(params))
        if paths and not is_part(params):
            check_used(matchers, firsts(matchers, paths), paths, "stacked: ")

    return axis_at, check


def _is_pair(x: Any) -> bool:
    pair = isinstance(x, tuple | list) and len(x) == 2
    return pair and isinstance(x[0], str | re.Pattern)
