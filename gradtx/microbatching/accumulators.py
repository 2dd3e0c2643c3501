"""How the results of micro-batches become one."""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradtx.core.masking import spread_list
from gradtx.core.trees import compute_dtype, paths_of


class AccumulationType(enum.Enum):
    """What becomes of the results of micro-batches.

    Sums and means are kept in float32 at least, and come back in the dtype of the
    function's own results; sums of integers as `jnp.sum` has them.

    Example:
      >>> import gradtx
      >>> [kind.name for kind in gradtx.microbatching.AccumulationType]
      ['MEAN', 'SUM', 'RUNNING_MEAN', 'CONCAT']
    """

    MEAN = 1  # the sum, divided at the end by how many there were
    SUM = 2
    RUNNING_MEAN = 3  # m_i = m_{i-1} + (x_i - m_{i-1}) / i, in range where a sum is not
    CONCAT = 4  # one behind the other, in the order of the batch


@dataclass(frozen=True)
class Accumulator:
    """A way of your own to make one result of those of micro-batches.

        carry = init(shape and dtype of x_0)
        carry = update(carry, x_i, i),   i = 0, 1, ...
        result = finalize(carry)

    Args:
      init: from a `jax.ShapeDtypeStruct` to the carry, arrays whose shapes and dtypes
        `update` must keep.
      update: `update(carry, value, index)`, the index an int32 counted from 0.
      finalize: from the last carry to the result.
      aggregate: from values with an axis of examples in front to one value, of which
        `micro_vmap` makes use.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> largest = gradtx.microbatching.Accumulator(
      ...     init=lambda x: jnp.full(x.shape, -jnp.inf, x.dtype),
      ...     update=lambda carry, value, index: jnp.maximum(carry, value),
      ...     finalize=lambda carry: carry,
      ...     aggregate=lambda values: values.max(0),
      ... )
      >>> top = gradtx.microbatching.microbatch(jnp.max, 0, 2, largest)
      >>> top(jnp.array([1.0, 7.0, 3.0, 5.0]))
      Array(7., dtype=float32)
    """

    init: Callable[[Any], Any]
    update: Callable[[Any, Any, Any], Any]
    finalize: Callable[[Any], Any]
    aggregate: Callable[[Any], Any]


MEANS = (AccumulationType.MEAN, AccumulationType.RUNNING_MEAN)


def kinds_of(name: str, accumulator: Any, results: Any) -> list[Any]:
    """The kind for each leaf of a function's results, checked.

    Args:
      name: of who asks, for errors.
      accumulator: an `AccumulationType` or `Accumulator`, or a tree of them that is a
        prefix of the results.
      results: shapes and dtypes.

    Raises:
      TypeError: something else among them, or a mean of what is not floating.
      ValueError: a tree that does not fit.
    """
    kinds = spread_list(f"{name}: accumulator", accumulator, results)
    for kind, (path, x) in zip(kinds, paths_of(results), strict=True):
        if not isinstance(kind, AccumulationType | Accumulator):
            raise TypeError(
                f"{name}: accumulator must be of AccumulationType or an Accumulator, "
                f"or a tree of them, got {kind!r} for the result{path}."
            )
        if kind in MEANS and x is not None and not jnp.issubdtype(x.dtype, jnp.inexact):
            raise TypeError(
                f"{name}: the result{path} is {x.dtype}, of which there is no mean: "
                f"sum or concatenate it, or have the function give a float."
            )
    return kinds


def made_for(kind: Any, x: Any, most: int, ran: Any, weighted: bool) -> Accumulator:
    """The accumulator of a kind for one array of the results.

    Args:
      kind: of `AccumulationType`, or an `Accumulator`.
      x: shape and dtype of what a micro-batch gives.
      most: how many micro-batches the batch has.
      ran: how many of them run.
      weighted: whether values of means come as pairs, (value, weight).
    """
    if isinstance(kind, Accumulator):
        return kind
    if kind is AccumulationType.CONCAT:
        return _concat(most)
    if kind in MEANS and weighted:
        build = _weighted if kind is AccumulationType.MEAN else _running_weighted
        return build(x.dtype)
    if kind is AccumulationType.RUNNING_MEAN:
        return _running(x.dtype)
    if kind is AccumulationType.MEAN:
        return _sum(_wide(x.dtype), x.dtype, jnp.maximum(ran, 1))
    summed = jax.eval_shape(jnp.sum, x).dtype
    return _sum(_wide(summed), summed)


def aggregate(kind: Any, values: jax.Array) -> jax.Array:
    """What a micro-batch gives, of values with an axis of examples in front."""
    if isinstance(kind, Accumulator):
        return kind.aggregate(values)
    if kind is AccumulationType.CONCAT:
        return values
    if kind is AccumulationType.SUM:
        return jnp.sum(values, 0)
    return jnp.mean(values, 0)


def _wide(dtype: Any) -> Any:
    """What to add up in."""
    return compute_dtype(dtype) if jnp.issubdtype(dtype, jnp.inexact) else dtype


def _zeros(dtype: Any) -> Callable[[Any], Any]:
    return lambda x: jnp.zeros(x.shape, dtype)


def _unused(values: Any) -> Any:
    raise AssertionError("micro_vmap aggregates by the kind")


def _sum(wide: Any, dtype: Any, divisor: Any = None) -> Accumulator:
    def finalize(total: jax.Array) -> jax.Array:
        mean = (
            total if divisor is None else total / jnp.asarray(divisor, total.real.dtype)
        )
        return mean.astype(dtype)

    return Accumulator(
        init=_zeros(wide),
        update=lambda total, value, index: total + value.astype(wide),
        finalize=finalize,
        aggregate=_unused,
    )


def _running(dtype: Any) -> Accumulator:
    wide = _wide(dtype)

    def update(mean: jax.Array, value: jax.Array, index: Any) -> jax.Array:
        seen = jnp.asarray(index + 1, mean.real.dtype)
        return mean + (value.astype(wide) - mean) / seen

    return Accumulator(_zeros(wide), update, lambda mean: mean.astype(dtype), _unused)


def _weighted(dtype: Any) -> Accumulator:
    """sum_i w_i x_i / sum_i w_i; a value of weight 0, be it NaN, is left out."""
    wide = _wide(dtype)

    def init(x: Any) -> Any:
        return jnp.zeros(x.shape, wide), jnp.zeros([], jnp.finfo(wide).dtype)

    def update(carry: Any, pair: Any, index: Any) -> Any:
        total, weights = carry
        value, weight = pair
        weight = weight.astype(weights.dtype)
        part = jnp.where(weight == 0, 0, weight * value.astype(wide))
        return total + part, weights + weight

    def finalize(carry: Any) -> jax.Array:
        total, weights = carry
        return (total / jnp.where(weights == 0, 1, weights)).astype(dtype)

    return Accumulator(init, update, finalize, _unused)


def _running_weighted(dtype: Any) -> Accumulator:
    """m_i = m_{i-1} + (x_i - m_{i-1}) w_i / sum_{j <= i} w_j."""
    plain, wide = _weighted(dtype), _wide(dtype)

    def update(carry: Any, pair: Any, index: Any) -> Any:
        mean, weights = carry
        value, weight = pair
        weight = weight.astype(weights.dtype)
        weights = weights + weight
        share = weight / jnp.where(weights == 0, 1, weights)
        return mean + jnp.where(
            weight == 0, 0, share * (value.astype(wide) - mean)
        ), weights

    return Accumulator(
        plain.init, update, lambda carry: carry[0].astype(dtype), _unused
    )


def _concat(most: int) -> Accumulator:
    # As they are read: the micro-batch i has the examples i, i + most, i + 2 most, ...
    def init(x: Any) -> jax.Array:
        return jnp.zeros((*x.shape[:1], most, *x.shape[1:]), x.dtype)

    def update(all_of_them: jax.Array, value: jax.Array, index: Any) -> jax.Array:
        axis = min(value.ndim, 1)
        return lax.dynamic_update_index_in_dim(all_of_them, value, index, axis)

    def finalize(all_of_them: jax.Array) -> jax.Array:
        shape = all_of_them.shape
        return all_of_them if len(shape) == 1 else all_of_them.reshape(-1, *shape[2:])

    return Accumulator(init, update, finalize, _unused)
