"""Groups of parameters by path, each with its own optimizer or its own numbers."""

import difflib
import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax

from gradtx.core import check
from gradtx.core.call import show
from gradtx.core.compose import chain, partition
from gradtx.core.masking import stands_for_all
from gradtx.core.transformation import inner_of, transformation
from gradtx.core.trees import failure, is_none, leaves_of
from gradtx.core.types import MaskedNode
from gradtx.transforms.scale import scale
from gradtx.transforms.stateless import set_to_zero

Pattern = str | re.Pattern[str] | Callable[[str, Any], bool]

DEFAULT = "default"
NEAREST = 3  # paths that an error names


@transformation
def groups(rules: Sequence[tuple[Pattern, Any]], default: Any = None):
    """Give each group of parameters, chosen by path, its own optimizer or numbers.

    A path is what leads to a parameter, with slashes: "encoder/0/kernel". Of the rules
    the first that matches wins. What looks at all parameters stands in front:
    `chain(clip_by_global_norm(1.0), groups(...))`; inside, each group has a norm of
    its own. `tx.table(params)` shows who is where, before anything runs.

    State: that of `partition`, by the groups' names; each optimizer's for its own
    parameters, and none for frozen ones.

    Args:
      rules: pairs of a pattern and what is done with the parameters that it matches.
        A pattern is

        - a string, which names a parameter or a node and all below it: `*` stands for
          any part of a step, `?` for a letter of it, `**` for any number of steps;
        - a regular expression, which is searched for in the path (so `^` and `$` say
          where it begins and ends);
        - a function `(path, leaf) -> bool`.

        What is done is a transformation; or a dict of arguments in which it differs
        from the default, and with `multiplier` how many times as long its steps are;
        or `None`, which freezes.
      default: the transformation of all parameters that no rule matches. Without one
        there must be none.

    Returns:
      A transformation that has the state `PartitionState`, whose groups are named for
      their patterns: `tree.get(state, "learning_rate", group="head")`.

    Raises:
      ValueError: a parameter without a group, or a pattern that matches none, or none
        that is left: the nearest paths follow. Two groups of one name.
      TypeError: a rule that is none, or an argument that the default does not have.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.groups(
      ...     [("*/bias", dict(weight_decay=0.0)), ("embed", None)],
      ...     default=gradtx.adamw(1e-3, weight_decay=0.1),
      ... )
      >>> params = {
      ...     "embed": jnp.ones((9, 2)),
      ...     "head": {"bias": jnp.ones(3), "kernel": jnp.ones((2, 3))},
      ... }
      >>> print(tx.table(params))
      group    leaves  parameters  optimizer
      */bias        1           3  adamw(learning_rate=0.001, weight_decay=0.0)
      embed         1          18  frozen
      default       1           6  adamw(0.001, weight_decay=0.1)
      all           3          27
    """
    if default is not None:
        default = inner_of("groups: default", default)
    members, matchers = {}, {}
    for i, rule in enumerate(rules):
        if not (isinstance(rule, tuple | list) and len(rule) == 2):
            raise TypeError(
                f"groups: rule {i} must be (pattern, transformation, dict or None), "
                f"got {show(rule):.60}."
            )
        name, matches = _matcher(f"groups: rule {i}", rule[0])
        if name in members or name == DEFAULT:
            raise ValueError(
                f"groups: the name {name!r} comes twice. Groups are named for their "
                f"patterns (the rest is {DEFAULT!r})."
            )
        matchers[name] = matches
        members[name] = _member(f"groups: {name!r}", rule[1], default)
    if default is not None:
        members[DEFAULT] = default

    def table(params: Any) -> str:
        return _table(members, params, labels(params))

    def labels(params: Any) -> Any:
        if stands_for_all(params):
            return next(iter(members), None)
        return _labels(matchers, params, DEFAULT if DEFAULT in members else None)

    labels.__dict__["table"] = table
    return partition(members, labels)


def _matcher(place: str, pattern: Any) -> tuple[str, Callable[[str, Any], bool]]:
    """The name of a pattern, and what says whether it matches."""
    if isinstance(pattern, str):
        glob = _glob(pattern)
        return pattern, lambda path, leaf: glob.fullmatch(f"{path}/") is not None
    if isinstance(pattern, re.Pattern):
        return pattern.pattern, lambda path, leaf: pattern.search(path) is not None
    if callable(pattern):
        return show(pattern), lambda path, leaf: bool(pattern(path, leaf))
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


def _member(place: str, given: Any, default: Any) -> Any:
    """The transformation of a group."""
    if given is None:
        return set_to_zero()
    if not isinstance(given, dict):
        return inner_of(place, given)
    changes = dict(given)
    multiplier = changes.pop("multiplier", None)
    tx = _changed(place, default, changes) if changes else default
    if tx is None:
        raise TypeError(f"{place}: a dict changes the default, and there is none.")
    if multiplier is None:
        return tx
    check.nonnegative(f"{place}: multiplier", multiplier)
    return chain(tx, scale(multiplier))


def _changed(place: str, tx: Any, changes: dict[str, Any]) -> Any:
    """A transformation with some arguments of its call replaced."""
    call = getattr(tx, "call", None)
    if call is None:
        raise TypeError(
            f"{place}: a dict changes the default's arguments, and "
            + ("there is no default." if tx is None else f"{tx!r:.60} has no call.")
        )
    parameters = inspect.signature(call.factory).parameters.values()
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        raise TypeError(
            f"{place}: a dict changes the arguments of one optimizer, and the default "
            f"is {tx!r}. What it stands in chain with goes in front of groups."
        )
    known = [p.name for p in parameters]
    for name in changes:
        if name not in known:
            raise TypeError(
                f"{place}: {call.name} has no argument {name!r}, only "
                f"{', '.join(known)}."
            )
    bound = inspect.signature(call.factory).bind(*call.args, **call.kwargs)
    return call.factory(**{**bound.arguments, **changes})


def _paths(params: Any) -> Iterator[tuple[str, Any]]:
    leaves = jax.tree_util.tree_flatten_with_path(params, is_leaf=is_none)[0]
    for path, leaf in leaves:
        yield jax.tree_util.keystr(path, simple=True, separator="/"), leaf


def _labels(matchers: dict[str, Any], params: Any, default: str | None) -> Any:
    """The tree of names, after a look at who has nothing to do."""
    paths = list(_paths(params))
    matched = [[n for n, m in matchers.items() if m(path, x)] for path, x in paths]
    alone = [path for (path, _), names in zip(paths, matched, strict=True) if not names]
    if alone and default is None:
        raise failure(
            f"no rule matches {alone[0]!r}{_more(alone)}, and there is no default. "
            f"Give one, or a last rule ('**', None), which freezes the rest."
        )
    if paths and not _is_part(params):
        for name in matchers:
            _check_used(name, matched, [path for path, _ in paths])
    first = [names[0] if names else default for names in matched]
    return leaves_of(params)[1].unflatten(first)


def _check_used(name: str, matched: list[list[str]], paths: list[str]) -> None:
    """Raise unless a rule has a parameter."""
    before = {names[0] for names in matched if name in names}
    if name in before:
        return
    if before:
        raise failure(
            f"{name!r} has nothing to do: all that it matches is taken by "
            f"{', '.join(map(repr, sorted(before)))} before it. The first rule wins."
        )
    near = difflib.get_close_matches(name, paths, NEAREST, cutoff=0)
    raise failure(f"{name!r} matches no parameter. The nearest: {', '.join(near)}.")


def _more(paths: list[str]) -> str:
    return f" and {len(paths) - 1} more" if len(paths) > 1 else ""


def _is_part(tree: Any) -> bool:
    """Whether a mask around has taken something out of the tree."""
    hidden = jax.tree.leaves(tree, is_leaf=lambda x: isinstance(x, MaskedNode))
    return any(isinstance(x, MaskedNode) for x in hidden)


def _table(members: dict[str, Any], params: Any, labels: Any) -> str:
    names = jax.tree.leaves(labels, is_leaf=is_none)
    sizes: dict[str, list[int]] = {name: [] for name in members}
    for (_, leaf), name in zip(_paths(params), names, strict=True):
        if leaf is not None:
            sizes[name].append(leaf.size if hasattr(leaf, "size") else 1)
    rows = [("group", "leaves", "parameters", "optimizer")]
    rows += [
        (name, f"{len(sizes[name])}", f"{sum(sizes[name]):,}", _setting(tx))
        for name, tx in members.items()
    ]
    every = [size for group in sizes.values() for size in group]
    rows.append(("all", f"{len(every)}", f"{sum(every):,}", ""))
    wide = [max(len(row[i]) for row in rows) for i in range(3)]
    return "\n".join(
        f"{a:<{wide[0]}}  {b:>{wide[1]}}  {c:>{wide[2]}}  {d}".rstrip()
        for a, b, c, d in rows
    )


def _setting(tx: Any) -> str:
    return "frozen" if tx == set_to_zero() else repr(tx)
