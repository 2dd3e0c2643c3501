"""Batches cut into micro-batches, without a copy."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradtx.core import check
from gradtx.core.trees import paths_of

# Arguments with a batch axis, each by its place or its name, and the axis.
Places = list[tuple[int | str, int]]


def reshape_batch_axis(tree: Any, microbatch_size: int, axis: int = 0) -> Any:
    """Cut the batch axis of every leaf in two: micro-batches, and what is in one.

        y[i, j] = x[i + n j],   n micro-batches

    Not in blocks: where the batch axis is split over devices, each then has a part of
    every micro-batch, and none has to send its examples to others.

    Args:
      tree: arrays with a batch axis; `None` stays.
      microbatch_size: examples in a micro-batch, which must divide the batch.
      axis: the batch axis, of which there are two afterwards.

    Returns:
      The tree, its leaves of shape (..., n, microbatch_size, ...).

    Raises:
      ValueError: a leaf without that axis, batches of different sizes, an empty one,
        or one that cannot be divided.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.microbatching.reshape_batch_axis(jnp.arange(6), 2).tolist()
      [[0, 3], [1, 4], [2, 5]]
    """
    name = "reshape_batch_axis"
    batch = batch_size(name, [("tree", tree, axis)])
    size = size_of(name, batch, microbatch_size)

    def cut(x: Any) -> jax.Array:
        at = axis % x.ndim
        return jnp.swapaxes(_in_two(x, size, at), at, at + 1)

    return jax.tree.map(lambda x: cut(as_batch(x)), tree)


def as_batch(x: Any) -> jax.Array:
    """A leaf as an array; one of random keys is one already."""
    return x if isinstance(x, jax.Array) else jnp.asarray(x)


def _in_two(x: jax.Array, size: int, axis: int) -> jax.Array:
    """The batch axis as (size, micro-batches): nothing moves in memory."""
    shape = x.shape
    return x.reshape(*shape[:axis], size, shape[axis] // size, *shape[axis + 1 :])


def batch_size(name: str, arguments: Sequence[tuple[str, Any, int]]) -> int:
    """How many examples there are, the same in all leaves of all arguments.

    Args:
      name: of who asks, for errors.
      arguments: names, trees and batch axes.

    Raises:
      ValueError: see `reshape_batch_axis`; or no array at all.
    """
    sizes: dict[str, int] = {}
    for argument, tree, axis in arguments:
        for path, x in paths_of(tree):
            if x is None:
                continue
            shape = jnp.shape(x)
            if not -len(shape) <= axis < len(shape):
                raise ValueError(
                    f"{name}: {argument}{path} has shape {shape}, and no batch axis "
                    f"{axis}. Leave out what is the same for all examples."
                )
            sizes[f"{argument}{path}"] = shape[axis]
    if not sizes:
        names = ", ".join(argument for argument, _, _ in arguments)
        raise ValueError(f"{name}: there is no array in {names}, and so no batch.")
    first, batch = next(iter(sizes.items()))
    for other, size in sizes.items():
        if size != batch:
            raise ValueError(
                f"{name}: {first} has a batch of {batch}, {other} one of {size}."
            )
    if batch == 0:
        raise ValueError(f"{name}: the batch of {first} is empty.")
    return batch


def size_of(name: str, batch: int, microbatch_size: int | None) -> int:
    """How many examples a micro-batch has, checked."""
    if microbatch_size is None:
        return batch
    check.count(f"{name}: microbatch_size", microbatch_size, 1)
    if batch % microbatch_size:
        raise ValueError(
            f"{name}: a batch of {batch} cannot be divided into micro-batches of "
            f"{microbatch_size}. Take a size that divides it, or pad the batch and "
            f"mask the loss."
        )
    return int(microbatch_size)


def cut(
    places: Places, size: int, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Callable[[Any], tuple[tuple[Any, ...], dict[str, Any]]]:
    """From the index of a micro-batch to the arguments for it."""
    whole: dict[int | str, Any] = {}
    for place, axis in places:
        given = args[place] if isinstance(place, int) else kwargs[place]
        whole[place] = jax.tree.map(
            lambda x, axis=axis: _in_two(as_batch(x), size, axis % jnp.ndim(x)), given
        )
    axes = dict(places)

    def one(place: int | str, i: Any) -> Any:
        def part(x: jax.Array) -> jax.Array:
            # One axis more than before, which is behind the batch axis.
            at = axes[place] % (x.ndim - 1) + 1
            return lax.dynamic_index_in_dim(x, i, at, keepdims=False)

        return jax.tree.map(part, whole[place])

    def take(i: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (
            tuple(one(j, i) if j in whole else x for j, x in enumerate(args)),
            {k: one(k, i) if k in whole else x for k, x in kwargs.items()},
        )

    return take
