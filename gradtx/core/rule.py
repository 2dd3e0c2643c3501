"""A rule for one array, and how it is run on one leaf."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.numerics import after
from gradtx.core.outcome import results
from gradtx.core.trees import compute_dtype


class Rule(NamedTuple):
    """A rule for one array."""

    fn: Callable[..., Any]  # (g, [p,] *slots, *scalars) -> update or (update, *slots)
    with_params: bool = False  # whether it takes the parameter, second
    slots: tuple[str, ...] = ()  # their names, as far as they have some
    within: tuple[str, ...] = ()  # names of what it is in, the outermost first
    last: tuple[str, ...] = ()  # slots whose old values the parameters are made of
    whole: bool = False  # whether it takes whole numbers, as float32


def ordered(rule: Rule, row: tuple, p: Any) -> tuple:
    """Its new slots, those that are written last after the parameter."""
    if not rule.last:
        return row
    names = zip(rule.slots, row, strict=True)
    return tuple(after(x, p) if name in rule.last else x for name, x in names)


def evaluate(rule: Rule, g: Any, p: Any, slots: tuple, scalars: tuple) -> Any:
    """One rule on one leaf, in at least float32; its slots keep their dtypes."""
    arrays = (g, p, *slots) if rule.with_params else (g, *slots)
    dtypes = map(_real_dtype, jax.tree.leaves(arrays))  # a slot may be a small tree
    width = functools.reduce(jnp.promote_types, dtypes)

    def up(x: Any) -> Any:  # also a scalar: it must not promote what it meets
        if x is None:  # a slot that this leaf has not
            return None
        dtype = jnp.result_type(x)
        if not jnp.issubdtype(dtype, jnp.inexact):
            return x
        if jnp.issubdtype(dtype, jnp.complexfloating):
            return jnp.asarray(x, jnp.promote_types(width, jnp.complex64))
        return jnp.asarray(x, width)

    out = rule.fn(*jax.tree.map(up, arrays), *map(up, scalars))
    new_g, *new = results(out, g, slots, rule.slots)
    new = jax.tree.map(lambda s, n: jnp.asarray(n, s.dtype), tuple(slots), tuple(new))
    return jnp.asarray(new_g, up(g).dtype), new


def _real_dtype(x: Any) -> Any:
    """The real dtype to compute in, at least float32."""
    return jnp.finfo(compute_dtype(jnp.result_type(x))).dtype
