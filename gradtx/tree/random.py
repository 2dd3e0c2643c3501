"""Random trees."""

import inspect
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax import lax

from gradtx.core.axes import AxisNames, axes_of_each
from gradtx.core.trees import absent, leaves_of, wider


def _keys(rng_key: chex.PRNGKey, leaves: list[Any]) -> list[Any]:
    """A key for each leaf that is there, by its place among these; else the leaf."""
    n = sum(not absent(x) for x in leaves)
    keys = iter(jax.random.split(rng_key, n) if n else ())
    return [x if absent(x) else next(keys) for x in leaves]


def split_key_like(rng_key: chex.PRNGKey, target_tree: Any) -> Any:
    """A random key for each leaf.

    Args:
      rng_key: a random key.
      target_tree: any tree; `None` stays `None`.

    Example:
      >>> import jax, gradtx
      >>> keys = gradtx.tree.split_key_like(jax.random.key(0), {"w": 1.0, "b": None})
      >>> keys["w"].shape, keys["b"]
      ((), None)
    """
    leaves, treedef = leaves_of(target_tree)
    return treedef.unflatten(_keys(rng_key, leaves))


def random_like(
    rng_key: chex.PRNGKey,
    target_tree: Any,
    sampler: Callable[..., Any] = jax.random.normal,
    dtype: Any = None,
    *,
    axis_name: AxisNames = (),
) -> Any:
    """Random arrays in the shapes and dtypes of a tree.

    Args:
      rng_key: a random key; each leaf gets its own, by its place.
      target_tree: arrays; `None` stays `None`.
      sampler: `sampler(key, shape, dtype)`, by default standard normal. One that
        takes `out_sharding` gets that of a leaf on a mesh with explicit axes.
      dtype: of all arrays, in place of each leaf's own.
      axis_name: mesh axes over which leaves are split, see `clip_by_global_norm`: each
        part has numbers of its own. By default devices with one key draw the same.

    Example:
      >>> import jax, jax.numpy as jnp, gradtx
      >>> tree = {"w": jnp.ones((2, 3)), "b": None}
      >>> noise = gradtx.tree.random_like(jax.random.key(0), tree)
      >>> noise["w"].shape, noise["b"]
      ((2, 3), None)
    """
    placed = "out_sharding" in inspect.signature(sampler).parameters

    def sample(key: Any, x: Any) -> Any:
        kind = jnp.result_type(x) if dtype is None else dtype
        if wider(kind) != kind:  # float8, which is drawn in float32
            return draw(key, x, wider(kind)).astype(kind)
        return draw(key, x, kind)

    def draw(key: Any, x: Any, kind: Any) -> Any:
        sharding = jax.typeof(x).sharding if placed else None
        if sharding is not None and sharding.mesh.are_all_axes_explicit:
            return sampler(key, jnp.shape(x), kind, out_sharding=sharding)
        return sampler(key, jnp.shape(x), kind)

    leaves, treedef = leaves_of(target_tree)
    keys = _keys(rng_key, leaves)
    for i, names in enumerate(axes_of_each(target_tree, axis_name)):
        if names:
            keys[i] = jax.random.fold_in(keys[i], lax.axis_index(names))
    return treedef.unflatten(
        x if absent(x) else sample(key, x) for key, x in zip(keys, leaves, strict=True)
    )


def unwrap_random_key_data(input_tree: Any) -> Any:
    """The tree with its random keys as the numbers that they are made of.

    For what takes numbers only: comparing two states, say, or storing one.

    Args:
      input_tree: arrays, and keys of `jax.random.key`.

    Example:
      >>> import jax, gradtx
      >>> gradtx.tree.unwrap_random_key_data({"key": jax.random.key(7), "n": 1})
      {'key': Array([0, 7], dtype=uint32), 'n': 1}
    """

    def data(x: Any) -> Any:
        if isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            return jax.random.key_data(x)
        return x

    return jax.tree.map(data, input_tree)
