"""Read and change the entries of a state: by name, or those like the parameters."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gradtx.core.trees import is_none, leaves_like, leaves_of, paths_of
from gradtx.core.types import MaskedNode
from gradtx.tree.paths import (
    Filter,
    NamedTupleKey,
    Path,
    children,
    entries,
    in_group,
    name_of,
)

_MISSING: Any = object()


def get_all_with_path(
    tree: Any, key: Any, filtering: Filter | None = None
) -> list[tuple[Path, Any]]:
    """All entries of a name, anywhere in a tree, each with its path.

    Args:
      tree: a state, or any tree.
      key: a field of a NamedTuple, a key of a dict, an attribute of a registered
        class, or the name of a NamedTuple itself.
      filtering: `filtering(path, value)` says which to keep. The path's last step is
        a `NamedTupleKey`, which has `tuple_name` and `name`, or a key of
        `jax.tree_util`.

    Returns:
      Pairs of path and entry, the outer before the inner.

    Example:
      >>> import jax, gradtx
      >>> state = gradtx.adam(gradtx.constant_schedule(0.1)).init(1.0)
      >>> found = gradtx.tree.get_all_with_path(state, "count")
      >>> [jax.tree_util.keystr(path) for path, _ in found]
      ['[0].count', '[1].count']
    """
    return [
        (path, value)
        for path, value in entries(tree)
        if _is_called(path, value, key)
        and (filtering is None or filtering(path, value))
    ]


def get(
    tree: Any,
    key: Any,
    default: Any = _MISSING,
    filtering: Filter | None = None,
    *,
    group: Any = _MISSING,
) -> Any:
    """The one entry of a name, anywhere in a tree.

    What `inject_hyperparams` holds goes before entries of the same name in the state
    that it wraps: it is the value that the next step uses. What `with_metrics` has
    measured counts where there is nothing else of that name.

    Args:
      tree: a state, or any tree.
      key: a field, a dict key or the name of a NamedTuple.
      default: what to return where there is none.
      filtering: `filtering(path, value)` says which to look at, see
        `get_all_with_path`.
      group: look in the state of this group of `groups` or `partition` only; the same
        as `filtering=in_group(group)`.

    Raises:
      KeyError: there is none and no default (the names that there are follow), or
        there are several (their paths follow).

    Example:
      >>> import gradtx
      >>> state = gradtx.adam(gradtx.constant_schedule(0.5)).init(1.0)
      >>> float(gradtx.tree.get(state, "learning_rate"))
      0.5
    """
    if group is not _MISSING:
        filtering = _both(in_group(group), filtering)
    found = _unshadowed(get_all_with_path(tree, key, filtering))
    if len(found) == 1:
        return found[0][1]
    if not found:
        if default is _MISSING:
            raise KeyError(_none_found(tree, key))
        return default
    raise KeyError(
        f"{key!r} is at several places: {_written(found)}. Choose with "
        f"filtering=lambda path, value: ..., or take get_all_with_path."
    )


def _both(one: Filter, other: Filter | None) -> Filter:
    if other is None:
        return one
    return lambda path, value: one(path, value) and other(path, value)


def set(tree: Any, filtering: Filter | None = None, /, **changes: Any) -> Any:
    """A copy of a tree with the entries of some names replaced.

    A new entry takes the shape and dtype of the old, so that nothing compiles again.
    All entries of a name are replaced, also in inner states. One that a schedule
    writes is written again at the next step.

    Args:
      tree: a state, or any tree.
      filtering: `filtering(path, value)` says which to replace, see
        `get_all_with_path`.
      **changes: from name to new entry, an array or a tree like the old one.

    Raises:
      KeyError: a name that is not there, or of a metric only, which is measured; the
        names that there are follow.
      ValueError: an entry of another structure or shape; its path follows.
      TypeError: a number that the old dtype cannot hold (0.5 for a count).

    Example:
      >>> import gradtx
      >>> state = gradtx.inject_hyperparams(gradtx.adam)(0.1).init(1.0)
      >>> state = gradtx.tree.set(state, learning_rate=0.01)
      >>> state.hyperparams["learning_rate"]
      Array(0.01, dtype=float32)
    """
    filtering = _both(_not_measured, filtering)
    for name in changes:
        if not get_all_with_path(tree, name, filtering):
            raise KeyError(_none_found(tree, name))

    def replaced(path: Path, node: Any) -> Any:
        for name, new in changes.items():
            if _is_called(path, node, name) and filtering(path, node):
                return fit(new, node, jax.tree_util.keystr(path))
        below, treedef = children(node)
        if treedef is None:
            return node
        return treedef.unflatten([replaced((*path, k), x) for k, x in below])

    return replaced((), tree)


def fit(new: Any, old: Any, name: str) -> Any:
    """A new entry, in the structure, shapes and dtypes of the old, and in its place.

    Raises:
      ValueError, TypeError: where it does not fit; `name` is in the message.
    """
    structure = jax.tree.structure(old, is_leaf=is_none)
    if jax.tree.structure(new, is_leaf=is_none) != structure:
        raise ValueError(
            f"{name} is a tree {structure}, got {jax.tree.structure(new)}."
        )
    pairs = zip(paths_of(old), jax.tree.leaves(new, is_leaf=is_none), strict=True)
    return structure.unflatten(_fit_leaf(x, y, name + path) for (path, y), x in pairs)


def _fit_leaf(new: Any, old: Any, name: str) -> Any:
    dtype = getattr(old, "dtype", None)
    if dtype is None:
        return new
    try:
        shape, given = jnp.shape(new), jnp.result_type(new)
    except TypeError:
        raise TypeError(f"{name} must be an array of {dtype}, got {new!r}.") from None
    if shape != old.shape:
        raise ValueError(f"{name} has shape {old.shape}, got one of shape {shape}.")
    whole = isinstance(new, float) and new.is_integer()
    if not (whole or _holds(dtype, given)):
        raise TypeError(
            f"{name} is {dtype}, which cannot hold {new!r}. To have it floating, "
            f"give a float in the first place: 1.0 for 1."
        )
    # A copy: the state may be donated, and the given array with it.
    value = jnp.array(new, dtype)
    traced = isinstance(old, Tracer) or isinstance(value, Tracer)
    if not traced and getattr(old, "committed", False):
        value = jax.device_put(value, old.sharding)  # or jit would compile again
    return value


def _holds(dtype: Any, given: Any) -> bool:
    """Whether a number of the one kind goes into the other."""
    if jnp.issubdtype(given, jax.dtypes.extended) or jnp.issubdtype(
        dtype, jax.dtypes.extended
    ):
        return given == dtype
    kinds = (np.bool_, jnp.integer, jnp.floating, jnp.complexfloating)
    rank = [
        max(i for i, k in enumerate(kinds) if jnp.issubdtype(d, k))
        for d in (given, dtype)
    ]
    return rank[0] <= rank[1]


def _is_called(path: Path, value: Any, key: Any) -> bool:
    if path and name_of(path[-1]) == key:
        # A field of None is one that this state has not: a rate that is a number.
        return not (value is None and isinstance(path[-1], NamedTupleKey))
    return hasattr(value, "_fields") and type(value).__name__ == key


def _unshadowed(found: list[tuple[Path, Any]]) -> list[tuple[Path, Any]]:
    """Without what lies in a state whose hyperparams have an entry of that name.

    And without metrics, if there is anything else.
    """
    found = [entry for entry in found if _not_measured(*entry)] or found
    wrapped = [
        (*path[:-2], NamedTupleKey(path[-2].tuple_name, "inner_state"))
        for path, _ in found
        if len(path) > 1
        and isinstance(path[-2], NamedTupleKey)
        and path[-2].name == "hyperparams"
    ]
    return [
        (path, value)
        for path, value in found
        if not any(path[: len(inner)] == inner for inner in wrapped)
    ]


def _not_measured(path: Path, value: Any) -> bool:
    """Whether it is not among the metrics of `with_metrics`."""
    return NamedTupleKey("WithMetricsState", "metrics") not in path[:-1]


def _written(found: list[tuple[Path, Any]]) -> str:
    return ", ".join(jax.tree_util.keystr(path) or "(the whole)" for path, _ in found)


def _none_found(tree: Any, key: Any) -> str:
    names = dict.fromkeys(
        str(name_of(path[-1]))
        for path, _ in entries(tree)
        if path and name_of(path[-1]) not in (None, key)
    )
    shown = ", ".join(list(names)[:20]) + (", ..." if len(names) > 20 else "")
    text = f"there is no {key!r}; there are {shown or 'no names'}."
    if isinstance(key, str) and "hyperparams" not in names:
        text += (
            " A number that an optimizer was built with is not in its state: "
            "inject_hyperparams(adam)(...) keeps it there"
        )
        rate = ", and so does a schedule, constant_schedule(0.1) too."
        text += rate if key == "learning_rate" else "."
    return text


class Placeholder:
    """A node without leaves that stands for parameters; `index` says for which."""

    def __init__(self, index: int | None):
        self.index = index
        self.stands_for_all = index is None  # whichever the parameters are


jax.tree_util.register_static(Placeholder)


def map_params(
    initable: Any,
    f: Callable[..., Any],
    state: Any,
    /,
    *rest: Any,
    transform_non_params: Callable[[Any], Any] | None = None,
    is_leaf: Callable[[Any], bool] | None = None,
) -> Any:
    """Map over what in a state is shaped like the parameters.

    Made for shardings: `map_params(tx, lambda _, s: s, state, shardings,
    transform_non_params=lambda _: replicated)`. It looks where `init` puts its
    parameters when it is given placeholders; what a mask has taken out stays out.

    Args:
      initable: a transformation, or its `init`.
      f: `f(leaf, *rest_leaves)` for each leaf of the state that a parameter made.
      state: the state, or a tree like it (of shapes, of shardings).
      *rest: trees like the parameters. An `init` that looks at them needs at least one:
        it tells what they look like.
      transform_non_params: applied to the other leaves; by default they stay.
      is_leaf: what else is a leaf of the state; if `MaskedNode()` is, `f` gets it.

    Returns:
      A tree like the state.

    Raises:
      TypeError: `init` cannot work on placeholders.
      ValueError: the state is not one of this `init`.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.trace(0.9)
      >>> gradtx.tree.map_params(tx, lambda m: m + 1, tx.init(jnp.zeros(2)))
      TraceState(trace=Array([1., 1.], dtype=float32))
    """
    init = getattr(initable, "init", initable)
    treedef = leaves_of(rest[0])[1] if rest else None
    columns = [leaves_like(treedef, tree, "rest", rest[0]) for tree in rest]
    params: Any = Placeholder(None)
    # One for all where f wants what a mask has taken out, which has no place there.
    whole = is_leaf is not None and is_leaf(MaskedNode())
    if treedef is not None and not whole:
        params = treedef.unflatten(map(Placeholder, range(len(columns[0]))))
    try:
        made = init(params)
    except Exception as error:
        hint = "" if rest else "; give rest, which says what they look like"
        raise TypeError(
            f"map_params: init does not work on placeholders for the parameters{hint}."
        ) from error

    def stop(x: Any) -> bool:
        return isinstance(x, MaskedNode) or (is_leaf is not None and is_leaf(x))

    def each(place: Any, part: Any) -> Any:
        if not isinstance(place, Placeholder):
            return part if transform_non_params is None else transform_non_params(part)
        if whole:
            return jax.tree.map(f, part, *rest, is_leaf=is_leaf)
        row = [] if place.index is None else [column[place.index] for column in columns]
        return jax.tree.map(
            lambda x: x if isinstance(x, MaskedNode) else f(x, *row), part, is_leaf=stop
        )

    return jax.tree.map(each, made, state, is_leaf=lambda x: isinstance(x, Placeholder))
