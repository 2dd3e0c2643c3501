"""Axes of devices: over which a leaf is split, and sums across them.

Inside of `pmap`, `shard_map` or `vmap(axis_name=...)` a function sees the part of its
device. What looks at a whole leaf or a whole tree has to add up over the devices that
have the other parts.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec

from gradtx.core.masking import spread_list
from gradtx.core.stacks import is_cut
from gradtx.core.trees import (
    absent,
    as_array,
    failure,
    is_function,
    leaves_of,
    paths_of,
)

Names = tuple[str, ...]
AxisName = str | Sequence[str] | None
AxisNames = AxisName | Callable[[Any], Any]  # a function: from updates to a tree

# Axes over which a wrapper has split every leaf but 0-d ones (zero1).
_splits: ContextVar[Names] = ContextVar("gradtx_splits", default=())


@contextmanager
def splitting(names: Names) -> Iterator[None]:
    """Inside of it every leaf, but a 0-d one, is split over these axes."""
    token = _splits.set((*_splits.get(), *names))
    try:
        yield
    finally:
        _splits.reset(token)


# Whether each device runs a program of its own, in which none can add up over others.
_apart: ContextVar[bool] = ContextVar("gradtx_apart", default=False)


@contextmanager
def apart() -> Iterator[None]:
    """Inside of it devices have different leaves, and do not meet."""
    token = _apart.set(True)
    try:
        yield
    finally:
        _apart.reset(token)


def splits() -> Names:
    """The axes over which a wrapper has split the leaves, if we are inside of one."""
    return _splits.get()


def surroundings() -> Any:
    """What a rule may ask of where it runs: programs for others are not its own."""
    return splits(), _apart.get()


_OWN = "Give zero1(..., whole_leaves=True): each device then has some of them."


class SplitLeafError(ValueError):
    """Leaves are split, and a rule has to see whole ones."""


def need_whole() -> None:
    """Raise if leaves are split: for a rule that has to see a whole leaf."""
    if splits():
        raise failure(
            f"looks at whole leaves, which zero1 has split over {splits()}. {_OWN}",
            SplitLeafError,
        )


def check_alone(axis_name: Any) -> None:
    """Raise unless it is None or (): for a rule that adds up nothing over devices.

    Raises:
      SplitLeafError: the name of an axis.
    """
    if names_of(axis_name):
        raise SplitLeafError(
            f"axis_name must be None or (), got {axis_name!r}: which rows and columns "
            f"of a leaf the devices have is not known here, so that nothing is added "
            f"up over them. {_WHOLE}"
        )


_WHOLE = "Use jit with sharded arrays, which sees whole leaves."


def need_all(x: Any, axis_name: Any, path: str = "") -> None:
    """Raise if the type of a leaf says that each device has its own part, or other one.

    For a rule that adds up nothing over devices. With `()` each device goes by itself.
    """
    found = varying(x)
    if axis_name is None and found and not _apart.get():
        which = f"updates{path}" if path else "this one"
        raise failure(
            f"looks at whole leaves, and {which}, of shape {jnp.shape(x)}, differs "
            f"between devices along {sorted(found)}. {_WHOLE} Average first "
            f"(average_across) if these are gradients of different data, or give "
            f"axis_name=() if each device has a whole one of its own.",
            SplitLeafError,
        )


def varying(x: Any) -> frozenset[str]:
    """The mesh axes along which devices may hold other values, as the type says.

    Nothing under `pmap`, `vmap` and `shard_map(check_vma=False)`: there types are
    silent.
    """
    aval: Any = jax.typeof(x)
    manual = getattr(aval, "mat", None)
    return frozenset(getattr(aval, "vma", ()) if manual is None else manual.varying)


def names_of(axis_name: Any) -> Names:
    """One name, several, those of a `PartitionSpec`, or none, as a tuple.

    Raises:
      TypeError: something else.
    """
    if axis_name is None:
        return ()
    if isinstance(axis_name, str):
        return (axis_name,)
    if isinstance(axis_name, PartitionSpec | tuple | list):
        return tuple(name for part in axis_name for name in names_of(part))
    raise TypeError(
        f"axis_name must be the name of a mesh axis or a tuple of names, got "
        f"{axis_name!r}."
    )


def check_axis_name(axis_name: Any) -> None:
    """Raise unless it is a name, several, or a function to a tree of them."""
    if not is_function(axis_name):
        names_of(axis_name)


class MissingAxisError(ValueError):
    """An axis was named that is not there."""


def size_of(names: Names) -> int:
    """How many devices there are along the axes together.

    Raises:
      MissingAxisError: an axis that is not there.
    """
    size = 1
    for name in names:
        try:
            size *= lax.axis_size(name)
        except NameError:
            here = jax.sharding.get_abstract_mesh().axis_names
            known = f"the mesh has {here}" if here else "there is no mesh here"
            raise failure(
                f"there is no axis {name!r}: {known}. Call it inside of pmap or "
                f"shard_map over that axis, with its name.",
                MissingAxisError,
            ) from None
    return size


def axes_of(x: Any, axis_name: AxisName, path: str = "") -> Names:
    """The axes over which a leaf is split: those named, of which its type may know.

    Raises:
      ValueError: an axis that is not there, or the leaf varies along one that is not
        named: then devices would decide differently, and no error would say so.
    """
    names = names_of(axis_name)
    if is_cut():
        raise failure(
            f"looks at layers, whose stack zero1 has split over {splits()}. {_OWN}",
            SplitLeafError,
        )
    if _apart.get():
        if not names:
            return ()  # a whole leaf, which only this device has
        raise failure(
            f"cannot add up over axis_name={axis_name!r} inside of "
            f"zero1(..., whole_leaves=True), where devices do not meet."
        )
    alone = axis_name is not None and not names  # (): each device by itself
    if jnp.ndim(x):
        names += tuple(name for name in splits() if name not in names)
    found = varying(x)
    if not alone and not found <= {*names}:
        raise failure(
            f"updates{path} differs between devices along {sorted(found - {*names})}, "
            f"which axis_name={axis_name!r} does not name, so that they would not "
            f"agree. Name the axis if the leaf is split over it, average over it "
            f"first (average_across) if these are gradients of different data, or "
            f"give axis_name=() to have each device go by itself."
        )
    size_of(names)
    return tuple(name for name in names if name in found or not types_tell((name,)))


def types_tell(names: Names) -> bool:
    """Whether types know along which axes values vary: with check_vma, they do."""
    return set(names) <= varying(lax.axis_index(names))


def need_together() -> None:
    """Raise if devices have different leaves: for what decides for all of them."""
    if _apart.get():
        raise failure(
            "looks at all leaves, of which zero1(..., whole_leaves=True) gives each "
            "device some. Leave it out, or do without whole_leaves."
        )


def axes_of_each(tree: Any, axis_name: AxisNames) -> list[Names]:
    """The axes over which each leaf is split; none of a leaf that is not there."""
    need_together()
    leaves = leaves_of(tree)[0]
    if not axis_name and not splits() and not any(map(_varies, leaves)):
        return [()] * len(leaves)  # as on one device
    each = _each(tree, axis_name)
    return [
        () if absent(x) else axes_of(x, name, path)
        for (path, x), name in zip(paths_of(tree), each, strict=True)
    ]


def axes_of_any(tree: Any, axis_name: AxisNames) -> Names:
    """All axes over which some leaf may be split: for what is not of one leaf."""
    each = _each(tree, axis_name) if is_function(axis_name) else [axis_name]
    named = (name for names in each for name in names_of(names))
    return tuple(dict.fromkeys((*named, *splits())))


def _each(tree: Any, axis_name: AxisNames) -> list[Any]:
    """What is named for each leaf."""
    if is_function(axis_name):
        return spread_list("axis_name", axis_name(tree), tree, _is_axis_name)
    return [axis_name] * len(leaves_of(tree)[0])


def by_axes(tree: Any, axis_name: AxisNames) -> dict[Names, list[jax.Array]]:
    """The leaves that are there, by the axes that they are split over."""
    groups: dict[Names, list[jax.Array]] = {}
    each = axes_of_each(tree, axis_name)
    for x, axes in zip(leaves_of(tree)[0], each, strict=True):
        if not absent(x):
            groups.setdefault(axes, []).append(as_array(x))
    return groups


def _varies(x: Any) -> bool:
    return not absent(x) and bool(varying(x))


def _is_axis_name(x: Any) -> bool:
    if isinstance(x, tuple | list):
        return all(isinstance(name, str) for name in x)
    return x is None or isinstance(x, str | PartitionSpec)


def across(x: Any, names: Iterable[str]) -> Any:
    """The sum over the devices along the axes."""
    names = tuple(names)
    return lax.psum(x, names) if names else x


def mean_across(name: str, x: jax.Array, axis_name: AxisName, hint: str) -> jax.Array:
    """The mean over devices of a number; itself where it is the same on all of them.

    Args:
      name: of the number, for the error.
      x: a scalar.
      axis_name: the axes along which it may differ; with () each device has its own.
      hint: what to say where it differs along another.

    Raises:
      ValueError: it differs along an axis that is not named, or an axis is not there.
    """
    names, found = names_of(axis_name), varying(x)
    left = sorted(found - {*names})
    if left and (names or axis_name is None):
        raise failure(f"{name} differs between devices along {left}, which {hint}")
    size_of(names)  # an axis that is not there is told
    names = tuple(n for n in names if n in found or not types_tell((n,)))
    return across(x, names) / size_of(names) if names else x


def as_varying(x: jax.Array, names: Names) -> jax.Array:
    """The same, of the type that varies along the axes; where types tell."""
    more = tuple(set(names) - varying(x)) if types_tell(names) else ()
    return lax.pcast(x, more, to="varying") if more else x


def gathered(x: jax.Array, names: Names, tiled: bool = False) -> jax.Array:
    """What all devices have, the same on each: side by side, or end to end (tiled)."""
    to = "invarying" if types_tell(names) else "varying"
    return lax.all_gather(x, names, tiled=tiled, to=to)


def alike(x: jax.Array, *others: Any) -> jax.Array:
    """The same, of the type that varies along every axis that another varies along.

    Both branches of a `lax.cond` have to give one type.
    """
    return varied(x, frozenset[str]().union(*map(varying, others)))


def varied(x: jax.Array, axes: frozenset[str]) -> jax.Array:
    """The same, of the type that varies along these axes too."""
    more = tuple(axes - varying(x))
    return lax.pcast(x, more, to="varying") if more else x
