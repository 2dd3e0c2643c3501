"""Gradients of each example: updates with one axis more, in front.

What aggregates them says so by `of_examples`; its updates are then compared with the
parameters without that axis.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.trees import absent, dtype_of, failure, leaves_of, paths_of


def of_examples(update: Callable[..., Any], axes: int = 1) -> Callable[..., Any]:
    """Mark an `update` that takes gradients of each example.

    Args:
      update: the function, which is given back.
      axes: how many axes there are in front of the parameters' own.
    """
    update.__dict__["example_axes"] = axes
    return update


def example_axes(update: Callable[..., Any]) -> int:
    """How many axes an `update` takes in front of the parameters' own: mostly none."""
    update = getattr(update, "unguarded", update)
    return getattr(update, "example_axes", 0)


def like(update: Callable[..., Any], *inner: Any) -> Callable[..., Any]:
    """Mark the `update` of what hands its updates on to an inner transformation."""
    return of_examples(update, example_axes(inner[0].update) if inner else 0)


def one_of_each(updates: Any, axes: int) -> Any:
    """The shapes of the updates without the axes in front.

    Raises:
      ValueError: a leaf does not have as many.
    """
    if not axes:
        return updates
    leaves, treedef = leaves_of(updates)
    for i, g in enumerate(leaves):
        if absent(g):
            continue
        if jnp.ndim(g) < axes:
            raise failure(
                f"updates{paths_of(updates)[i][0]} has shape {jnp.shape(g)}. It takes "
                f"the gradient of each example, side by side along {axes} axis more "
                f"in front: jax.vmap(jax.grad(loss), (None, 0))(params, batch)."
            )
        leaves[i] = jax.ShapeDtypeStruct(jnp.shape(g)[axes:], dtype_of(g))
    return treedef.unflatten(leaves)
