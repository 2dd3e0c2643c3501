"""Norms of whole trees."""

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.numerics import abs_sq
from gradtx.core.per_leaf import PerLeaf
from gradtx.core.trees import absent, compute_dtype, leaves_of
from gradtx.tree import arithmetic
from gradtx.tree.pooling import pooled


def sum_of_squares(tree: Any) -> jax.Array:
    """The sum of |x|^2 over all entries of all leaves, in at least float32.

    Small or bfloat16 leaves lose nothing: each is widened before it is squared, so a
    float16 leaf cannot overflow. An empty tree has 0.
    """
    total = jnp.zeros([], jnp.float32)
    for part in _sum_of_squares([(x,) for x in pooled(tree)]):
        total += part
    return total


_sum_of_squares = PerLeaf(
    lambda leaf, _: jnp.sum(abs_sq(leaf[0].astype(compute_dtype(leaf[0].dtype))))
)


def norm(
    tree: Any, ord: int | float | str | None = None, squared: bool = False
) -> jax.Array:
    """The norm of a tree, as of one long vector.

        sqrt(sum over leaves and entries of |x|^2)    ord 2, the default
        sum over leaves and entries of |x|            ord 1
        max over leaves and entries of |x|            ord inf

    Args:
      tree: arrays, real or complex; `None` is passed over.
      ord: 1, 2 (or `None`) or infinity (or "inf").
      squared: return the square of it.

    Returns:
      A scalar, at least float32; 0 for an empty tree.

    Raises:
      ValueError: another order.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tree = {"a": jnp.array([3.0]), "b": jnp.array(4.0)}
      >>> float(gradtx.tree.norm(tree)), float(gradtx.tree.norm(tree, 1))
      (5.0, 7.0)
    """
    if ord is None or ord == 2:
        total = sum_of_squares(tree)
        return total if squared else jnp.sqrt(total)
    sizes = [
        jnp.abs(jnp.asarray(x, compute_dtype(jnp.result_type(x))))
        for x in leaves_of(tree)[0]
        if not absent(x)
    ]
    if ord == 1:
        total = arithmetic.sum(sizes)
    elif ord in (jnp.inf, "inf", "infinity"):
        total = jnp.maximum(arithmetic.max(sizes), 0)  # an empty tree has -inf there
    else:
        raise ValueError(f"ord must be 1, 2 or inf, got {ord!r}.")
    return total * total if squared else total
