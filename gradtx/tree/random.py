"""Random trees."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.trees import absent, leaves_of


def random_like(
    key: jax.Array,
    tree: Any,
    sampler: Callable[..., jax.Array] = jax.random.normal,
    dtype: Any = None,
) -> Any:
    """Random arrays in the shapes and dtypes of a tree.

    Args:
      key: a random key; each leaf gets its own, by its place.
      tree: arrays; `None` stays `None`.
      sampler: `sampler(key, shape, dtype)`, by default standard normal.
      dtype: of all arrays, in place of each leaf's own.

    Example:
      >>> import jax, jax.numpy as jnp, gradtx
      >>> tree = {"w": jnp.ones((2, 3)), "b": None}
      >>> noise = gradtx.tree.random_like(jax.random.key(0), tree)
      >>> noise["w"].shape, noise["b"]
      ((2, 3), None)
    """
    leaves, treedef = leaves_of(tree)
    keys = jax.random.split(key, max(len(leaves), 1))
    return (
        treedef.unflatten(
            x
            if absent(x)
            else sampler(
                k, jnp.shape(x), jnp.result_type(x) if dtype is None else dtype
            )
            for k, x in zip(keys, leaves, strict=True)
        )
        if leaves
        else tree
    )
