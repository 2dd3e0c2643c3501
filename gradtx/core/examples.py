"""Gradients of each example: updates with axes more, mostly one in front.

What aggregates them says so by `of_examples`; its updates are then compared with the
parameters without these axes.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.trees import absent, dtype_of, failure, leaves_of, paths_of

Axes = tuple[int, ...] | None  # of the updates; None if nobody knows


def of_examples(
    update: Callable[..., Any], axes: int | tuple[int, ...] | None = 1
) -> Callable[..., Any]:
    """Mark an `update` that takes gradients of each example.

    Args:
      update: the function, which is given back.
      axes: how many axes there are in front of the parameters' own, or which axes of
        the updates they are. `None` says that it is not known, so that nothing is
        compared.
    """
    axes = tuple(range(axes)) if isinstance(axes, int) else axes
    update.__dict__["example_axes"] = axes
    return update


def example_axes(update: Callable[..., Any]) -> Axes:
    """Which axes the parameters do not have, of what `update` takes: mostly none."""
    update = getattr(update, "unguarded", update)
    return getattr(update, "example_axes", ())


def like(update: Callable[..., Any], *inner: Any) -> Callable[..., Any]:
    """Mark the `update` of what hands its updates on to an inner transformation."""
    return of_examples(update, example_axes(inner[0].update) if inner else ())


def one_of_each(updates: Any, axes: Axes) -> Any:
    """The shapes of the updates without the axes of the examples.

    Raises:
      ValueError: a leaf does not have them.
    """
    if not axes:
        return updates
    leaves, treedef = leaves_of(updates)
    for i, g in enumerate(leaves):
        if absent(g):
            continue
        shape = jnp.shape(g)
        there = {axis % len(shape) for axis in axes if -len(shape) <= axis < len(shape)}
        if len(there) < len(axes):
            more = (
                f"{len(axes)} axis more in front"
                if axes == tuple(range(len(axes)))
                else f"the axes {axes}"
            )
            raise failure(
                f"updates{paths_of(updates)[i][0]} has shape {shape}. It takes "
                f"the gradient of each example, side by side along {more}: "
                f"jax.vmap(jax.grad(loss), (None, 0))(params, batch)."
            )
        own = tuple(n for axis, n in enumerate(shape) if axis not in there)
        leaves[i] = jax.ShapeDtypeStruct(own, dtype_of(g))
    return treedef.unflatten(leaves)
