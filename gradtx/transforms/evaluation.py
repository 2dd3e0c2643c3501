"""Parameters to evaluate: read from a state that keeps them, wherever it lies."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.trees import (
    absent,
    as_array,
    compute_dtype,
    is_inexact,
    leaves_like,
    leaves_of,
)
from gradtx.core.types import MaskedNode, Params, State
from gradtx.tree.access import get_all_with_path


class Reader(NamedTuple):
    """How the parameters to evaluate are read from one kind of state."""

    fields: tuple[str, ...]  # trees like the parameters; the first has all its leaves
    read: Callable[..., jax.Array]  # (state, p, *arrays) -> array, float32 at least


def between(field: str) -> Callable[..., jax.Array]:
    """How x is read, if y = part x + (1 - part) z are the parameters.

    It is stored, or had from y and z.

    Args:
      field: of the state, where the part is.
    """

    def read(state: Any, p: jax.Array, z: jax.Array, x: jax.Array | None) -> jax.Array:
        if x is not None:
            return x
        dtype = compute_dtype(p.dtype)
        part = getattr(state, field).astype(jnp.finfo(dtype).dtype)
        return (p.astype(dtype) - (1 - part) * z.astype(dtype)) / part

    return read


def evaluated(
    name: str,
    readers: Mapping[str, Reader],
    makers: str,
    state: State,
    params: Params,
    part: Any = 1,
) -> Params:
    """The parameters to evaluate, those that no state is about as they are.

    Args:
      name: of the function that is asked, for errors.
      readers: by name of a state's class.
      makers: what makes such states, for errors.
      state: one with such a state inside.
      params: of that step.
      part: of what is read; the rest is of the parameters.

    Raises:
      ValueError: there is no such state, two are about one parameter, or one is about
        parameters of another shape.
    """
    found = [
        (path, inner, reader)
        for kind, reader in readers.items()
        for path, inner in get_all_with_path(state, kind)
    ]
    if not found:
        names = ", ".join(readers)
        kinds = f"a {names}" if len(readers) == 1 else f"one of {names}"
        raise ValueError(
            f"{name} needs a state with {kinds} in it, as {makers} makes it, got a "
            f"{type(state).__name__}."
        )
    leaves, treedef = leaves_of(params)
    given = list(leaves)
    owner: dict[int, str] = {}
    for path, inner, reader in found:
        place = jax.tree_util.keystr(path) or "(the whole)"
        trees = [getattr(inner, field) for field in reader.fields]
        columns = [leaves_like(treedef, tree, "the state", params) for tree in trees]
        for i, (p, *row) in enumerate(zip(given, *columns, strict=True)):
            if absent(p) or absent(row[0]) or isinstance(row[0], MaskedNode):
                continue
            if i in owner:
                raise ValueError(
                    f"{name}: the states at {owner[i]} and {place} are both about the "
                    f"same parameters. Give one of them."
                )
            owner[i] = place
            leaves[i] = _of_one(name, reader, inner, as_array(p), row, part)
    return treedef.unflatten(leaves)


def _of_one(
    name: str, reader: Reader, state: Any, p: jax.Array, row: list[Any], part: Any
) -> jax.Array:
    if not is_inexact(p.dtype):
        return p
    x = reader.read(state, p, *(_joined(name, x, p) for x in row))
    if not (isinstance(part, int | float) and part == 1):
        wide = p.astype(x.dtype)
        x = wide + jnp.asarray(part, x.real.dtype) * (x - wide)
    return x.astype(p.dtype)


def _joined(name: str, x: Any, p: jax.Array) -> Any:
    """An array in the parameter's shape, if it is the shares of it, laid side by side.

    So the state of `zero1` leaves `shard_map`: flat, with zeros at the end.
    """
    if x is None or x.shape in (p.shape, (*x.shape[:1], *p.shape)):
        return x
    flat = x.ndim == p.ndim and x.shape[1:] == (1,) * (x.ndim - 1)
    if not flat or x.size < p.size:
        raise ValueError(
            f"{name}: an array of the state has shape {x.shape}, its parameter "
            f"{p.shape}. Shares that zero1 keeps are put together outside of shard_map "
            f"only; with whole_leaves=True or a window, put the average around zero1."
        )
    return jnp.ravel(x)[: p.size].reshape(p.shape)
