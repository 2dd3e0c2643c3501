"""States without their classes: what Orbax and Flax restore where no template is given.

A NamedTuple has become a dict by field, a chain a list or a dict by place ("0", "1"),
and what is empty `None`, an empty dict or nothing at all.
"""

from collections import namedtuple
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp


def is_raw(state: Any) -> bool:
    """Whether there are arrays, and no class that says what they are."""

    def known(x: Any) -> bool:
        return hasattr(x, "_fields")

    nodes = jax.tree.leaves(state, is_leaf=known)
    plain = isinstance(state, Mapping | list | tuple) and not known(state)
    return plain and bool(nodes) and not any(map(known, nodes))


def is_left_out(source: Any) -> bool:
    """Whether it may stand for what has no arrays."""
    return source is None or (isinstance(source, Mapping | list) and not source)


def revived(target: Any, source: Any) -> Any:
    """The source as the container that it was, told by what is wanted there."""
    if not isinstance(source, Mapping) or not all(isinstance(k, str) for k in source):
        return source
    fields = getattr(target, "_fields", ())
    if fields and set(source) == {"inner_state"} != set(fields):
        return _named("MaskedState", source)  # a mask that gradtx keeps inside, say
    if fields:
        given = {k: _unwrapped(getattr(target, k, None), x) for k, x in source.items()}
        return _named(type(target).__name__, given)
    return source


def _unwrapped(target: Any, source: Any) -> Any:
    """A variable of NNX as its value, where an array is wanted."""
    wrapped = isinstance(source, Mapping) and [*source] == ["value"]
    return source["value"] if wrapped and hasattr(target, "dtype") else source


def in_order(source: Any) -> Any:
    """The members of a chain, from a dict by place; a list as it is."""
    if isinstance(source, Mapping) and all(str(k).isdigit() for k in source):
        return [source[k] for k in sorted(source, key=int)]
    return source


def _named(name: str, entries: Mapping[str, Any]) -> Any:
    if not all(map(str.isidentifier, entries)):
        return entries
    return namedtuple(name, entries)(**entries)


def as_key(value: Any, like: Any) -> Any:
    """A random key of the newer kind for the older, or the other way."""
    new, wanted = (
        jnp.issubdtype(jnp.result_type(x), jax.dtypes.prng_key) for x in (value, like)
    )
    if new == wanted:
        return value
    return jax.random.key_data(value) if new else jax.random.wrap_key_data(value)


def as_one(new: Any, old: Any) -> Any:
    """One number in the shape that it has on the other side, () or (1,)."""
    alike = {jnp.shape(new), jnp.shape(old)} == {(), (1,)}
    return jnp.reshape(new, jnp.shape(old)) if alike else new
