"""Norms of whole trees."""

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.numerics import abs_sq
from gradtx.core.trees import absent, compute_dtype, leaves_of


def sum_of_squares(tree: Any) -> jax.Array:
    """The sum of |x|^2 over all entries of all leaves, in at least float32.

    Small or bfloat16 leaves lose nothing: each is widened before it is squared, so a
    float16 leaf cannot overflow. An empty tree has 0.
    """
    total = jnp.zeros([], jnp.float32)
    for leaf in leaves_of(tree)[0]:
        if not absent(leaf):
            x = jnp.asarray(leaf)
            total += jnp.sum(abs_sq(x.astype(compute_dtype(x.dtype))))
    return total


def norm(tree: Any, *, squared: bool = False) -> jax.Array:
    """The Euclidean norm of a tree, as of one long vector.

        sqrt(sum over leaves and entries of |x|^2)

    Args:
      tree: arrays, real or complex; `None` is passed over.
      squared: return the square of it.

    Returns:
      A scalar, at least float32; 0 for an empty tree.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> float(gradtx.tree.norm({"a": jnp.array([3.0]), "b": jnp.array(4.0)}))
      5.0
    """
    total = sum_of_squares(tree)
    return total if squared else jnp.sqrt(total)
