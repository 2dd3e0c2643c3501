"""Dtypes of whole trees."""

from functools import reduce
from typing import Any

import jax.numpy as jnp

from gradtx.core.trees import absent, check_match, leaves_of, paths_of


def _cast(x: Any, dtype: Any, path: str) -> Any:
    x = jnp.asarray(x)
    if jnp.issubdtype(x.dtype, jnp.complexfloating) and not jnp.issubdtype(
        dtype, jnp.complexfloating
    ):
        raise TypeError(
            f"tree{path} is {x.dtype}: as {jnp.dtype(dtype)} it would lose its "
            f"imaginary part. Take gradtx.tree.real first."
        )
    return x.astype(dtype)


def cast(tree: Any, dtype: Any) -> Any:
    """Cast every leaf to a dtype.

    Args:
      tree: arrays; `None` stays `None`.
      dtype: of all leaves; `None` leaves the tree as it is.

    Raises:
      TypeError: a complex leaf and a real dtype.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.tree.cast({"w": jnp.ones(2), "b": None}, jnp.bfloat16)
      {'b': None, 'w': Array([1, 1], dtype=bfloat16)}
    """
    if dtype is None:
        return tree
    treedef = leaves_of(tree)[1]
    return treedef.unflatten(
        x if absent(x) else _cast(x, dtype, path) for path, x in paths_of(tree)
    )


def cast_like(tree: Any, other_tree: Any) -> Any:
    """Cast every leaf to the dtype of its counterpart.

    Args:
      tree: arrays; `None` stays `None`.
      other_tree: a tree with the same structure; a leaf without a dtype (a Python
        number) casts nothing.

    Raises:
      ValueError: structure or shape of a leaf differ; it is named.
      TypeError: a complex leaf and a real dtype.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.tree.cast_like({"w": 0.5}, {"w": jnp.ones([], jnp.float16)})
      {'w': Array(0.5, dtype=float16)}
    """
    check_match("tree", tree, "other_tree", other_tree)
    others, treedef = leaves_of(other_tree)
    return treedef.unflatten(
        x if absent(x) or not hasattr(like, "dtype") else _cast(x, like.dtype, path)
        for (path, x), like in zip(paths_of(tree), others, strict=True)
    )


def dtype(tree: Any, mixed_dtype_handler: str | None = None) -> Any:
    """The dtype of a tree.

    Args:
      tree: arrays; `None` is passed over. An empty tree has JAX's default, float32.
      mixed_dtype_handler: what to do where leaves differ: `None` raises, "promote"
        gives the dtype of a sum, "highest" and "lowest" that leaf's dtype to which
        the others promote, or which promotes to the others.

    Raises:
      ValueError: leaves differ, or have no highest or lowest; or another handler.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tree = {"w": jnp.ones(2, jnp.bfloat16), "b": jnp.ones(2)}
      >>> gradtx.tree.dtype(tree, "highest")
      dtype('float32')
    """
    options = (None, "promote", "highest", "lowest")
    if mixed_dtype_handler not in options:
        raise ValueError(
            f"mixed_dtype_handler must be one of {options}, "
            f"got {mixed_dtype_handler!r}."
        )
    found = [(p, jnp.result_type(x)) for p, x in paths_of(tree) if not absent(x)]
    if not found:
        return jnp.zeros([]).dtype
    if mixed_dtype_handler == "promote":
        return reduce(jnp.promote_types, (kind for _, kind in found))
    path, chosen = found[0]
    for other_path, other in found[1:]:
        if other == chosen:
            continue
        joint = jnp.promote_types(chosen, other)
        if mixed_dtype_handler is None or joint not in (chosen, other):
            raise ValueError(
                f"tree{path} is {chosen}, tree{other_path} is {other}: "
                f"give mixed_dtype_handler, or cast one of them."
            )
        if (joint == other) == (mixed_dtype_handler == "highest"):
            path, chosen = other_path, other
    return chosen
