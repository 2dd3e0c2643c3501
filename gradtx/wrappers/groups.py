"""Groups of parameters by path, each with its own optimizer or its own numbers."""

import inspect
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.call import show
from gradtx.core.compose import chain, partition
from gradtx.core.masking import stands_for_all
from gradtx.core.stacks import layers_of, named_leaves, stack_axes, stacking
from gradtx.core.transformation import inner_of, transformation
from gradtx.core.trees import failure, is_none, leaves_of
from gradtx.transforms.scale import scale
from gradtx.transforms.stateless import set_to_zero
from gradtx.wrappers.each_layer import Stacked, declared, each_layer
from gradtx.wrappers.patterns import Pattern, check_used, firsts, is_part, matcher

DEFAULT = "default"


@transformation
def groups(
    rules: Sequence[tuple[Pattern, Any]],
    default: Any = None,
    *,
    stacked: Stacked | None = None,
):
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
        - a function `(path, leaf) -> bool`; of a leaf whose layers are stacked it is
          given a layer's shape.

        What is done is a transformation; or a dict of arguments in which it differs
        from the default, and with `multiplier` how many times as long its steps are;
        or `None`, which freezes.
      default: the transformation of all parameters that no rule matches. Without one
        there must be none.
      stacked: for a model whose layers are stacked, as `scan` wants them: a pair of a
        pattern (a string or a regular expression) and the axis along which the leaves
        that it matches count layers, `("layers/*", 0)`, or a list of such pairs. What
        looks at a whole leaf (a trust ratio, factored moments, `clip_by_block_rms`,
        a projection, masks that are functions of shapes) then sees one layer, as if
        each were a leaf; what looks at all leaves (a global norm) does as before. The
        state stays stacked: what there is for a layer lies along the same axis, or
        the last where it has fewer dimensions. A transformation of another library,
        and a function given to `stateless`, see the stacks as they are.

    Returns:
      A transformation that has the state `PartitionState`, whose groups are named for
      their patterns: `tree.get(state, "learning_rate", group="head")`.

    Raises:
      ValueError: a parameter without a group, or a pattern that matches none, or none
        that is left: the nearest paths follow. Two groups of one name. A stacked leaf
        without that axis, or inside of `flatten`, or split by `zero1` in front of a
        rule that looks at layers.
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
        name, matches = matcher(f"groups: rule {i}", rule[0])
        if name in members or name == DEFAULT:
            raise ValueError(
                f"groups: the name {name!r} comes twice. Groups are named for their "
                f"patterns (the rest is {DEFAULT!r})."
            )
        matchers[name] = matches
        members[name] = _member(f"groups: {name!r}", rule[1], default)
    if default is not None:
        members[DEFAULT] = default

    axis_at, check_stacked = declared("groups: stacked", stacked or [])

    def table(params: Any) -> str:
        with stacking(axis_at):
            check_stacked(params)
            return _table(members, params, labels(layers_of(params)))

    def labels(params: Any) -> Any:
        if stands_for_all(params):
            return next(iter(members), None)
        return _labels(matchers, params, DEFAULT if DEFAULT in members else None)

    labels.__dict__["table"] = table
    tx = partition(members, labels)
    return tx if stacked is None else each_layer(tx, stacked)


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


def _labels(matchers: dict[str, Any], params: Any, default: str | None) -> Any:
    """The tree of names, after a look at who has nothing to do."""
    paths = list(named_leaves(params))
    first = firsts(matchers, paths)
    rows = zip(paths, first, strict=True)
    alone = [path for (path, x), name in rows if name is None and x is not None]
    if alone and default is None:
        raise failure(
            f"no rule matches {alone[0]!r}{_more(alone)}, and there is no default. "
            f"Give one, or a last rule ('**', None), which freezes the rest."
        )
    if paths and not is_part(params):
        check_used(matchers, first, paths)
    return leaves_of(params)[1].unflatten(name or default for name in first)


def _more(paths: list[str]) -> str:
    return f" and {len(paths) - 1} more" if len(paths) > 1 else ""


def _table(members: dict[str, Any], params: Any, labels: Any) -> str:
    names = jax.tree.leaves(labels, is_leaf=is_none)
    axes = stack_axes(params)
    shapes: dict[str, list[tuple[int, ...]]] = {name: [] for name in members}
    layers: dict[str, set[int]] = {name: set() for name in members}
    for leaf, name, axis in zip(leaves_of(params)[0], names, axes, strict=True):
        if leaf is None:
            continue
        shapes[name].append(jnp.shape(leaf))
        if axis is not None:
            layers[name].add(jnp.shape(leaf)[axis])

    def row(name: str, shapes: list[tuple[int, ...]], layers: set[int], last: str):
        size = sum(math.prod(shape) for shape in shapes)
        lengths = ", ".join(map(str, sorted(layers)))
        return name, f"{len(shapes)}", f"{size:,}", lengths, last

    rows = [("group", "leaves", "parameters", "layers", "optimizer")]
    rows += [
        row(name, shapes[name], layers[name], _setting(tx))
        for name, tx in members.items()
    ]
    rows.append(row("all", [x for some in shapes.values() for x in some], set(), ""))
    if not any(layers.values()):
        rows = [(*cells[:3], cells[4]) for cells in rows]
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            [
                f"{first:<{wide[0]}}",
                *(f"{cell:>{n}}" for cell, n in zip(cells, wide[1:-1], strict=True)),
                last,
            ]
        ).rstrip()
        for first, *cells, last in rows
    )


def _setting(tx: Any) -> str:
    return "frozen" if tx == set_to_zero() else repr(tx)
