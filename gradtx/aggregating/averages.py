"""Means over examples, and over micro-batches."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.aggregating.process import (
    AggregatedUpdates,
    MaybeAxis,
    PerElementUpdates,
    aggregator,
)
from gradtx.core import check
from gradtx.core.compose import chain
from gradtx.core.examples import of_examples
from gradtx.core.leafwise import slot_dtype
from gradtx.core.numerics import as_float
from gradtx.core.plan import check_shapes, check_state, lift
from gradtx.core.transformation import transformation
from gradtx.core.trees import (
    absent,
    as_array,
    check_inexact,
    compute_dtype,
    dtype_of,
    failure,
    filled,
    is_inexact,
    leaves_of,
    map_present,
    paths_of,
)
from gradtx.core.types import EmptyState
from gradtx.transforms.stateless import identity


@aggregator
def average_per_element_updates(per_elt_axis: int | Sequence[int] = 0):
    """Average over the examples.

        u = (g_1 + ... + g_B) / B

    in float32 at least. State: none.

    Args:
      per_elt_axis: the axis that the examples lie along, or several, in every leaf.

    Raises:
      TypeError: an axis that is no int.
      ValueError: axes that repeat, or none; in `update`, a leaf that does not have
        them, leaves of different numbers of examples, or of no examples.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.aggregating.average_per_element_updates()
      >>> grads = jnp.array([[1.0, 0.0], [3.0, 1.0]])  # of two examples
      >>> tx.update(grads, tx.init(jnp.zeros(2)))[0]
      Array([2. , 0.5], dtype=float32)
    """
    axes = axes_of(per_elt_axis)

    def init(params):
        return EmptyState()

    def update(updates, state, params=None):
        examples_in(updates, axes)
        return map_present(lambda g: jnp.mean(wide(g), axes), updates), state

    return init, of_examples(update, axes)


class AccumulateAvgUpdatesState(NamedTuple):
    micro_step: jax.Array  # micro-batches in the mean so far, 0 after the last, int32
    ready: jax.Array  # whether the last update was a mean of all, bool
    avg_grad: AggregatedUpdates  # their mean, shaped like params, float32 at least


@transformation
def accumulate_avg_updates(accumulation_steps: int):
    """Average over micro-batches: zeros, and in every k-th step the mean of k updates.

        a_i = a_{i-1} + (g_i - a_{i-1}) / i,   a_0 = 0,   for i = 1 .. k
        u_i = 0 for i < k,   u_k = a_k

    In `process` the optimizer behind runs in every k-th step only. `MultiSteps` does
    the same around one optimizer; this one goes with aggregators.

    State: one array per parameter (`None` for one of integers), an int32 and a bool;
    none for a single micro-batch. An update that is `None` counts as zero.

    Args:
      accumulation_steps: k, a whole number from 1.

    Raises:
      ValueError: accumulation_steps is below 1 or not whole.

    Example:
      >>> import gradtx
      >>> tx = gradtx.aggregating.accumulate_avg_updates(2)
      >>> state = tx.init(0.0)
      >>> for gradient in (1.0, 3.0):
      ...     update, state = tx.update(gradient, state)
      ...     print(update, state.ready)
      0.0 False
      2.0 True
    """
    check.count("accumulation_steps", accumulation_steps, 1)
    if accumulation_steps == 1:
        return identity()

    def rule(g, mean, seen, last):
        new = mean + (g - mean) / seen
        return jnp.where(last, new, 0), jnp.where(last, 0, new)

    add = lift(rule)

    def init(params):
        return AccumulateAvgUpdatesState(
            micro_step=jnp.zeros([], jnp.int32),
            ready=jnp.zeros([], bool),
            avg_grad=nothing_for(params),
        )

    def update(updates, state, params=None):
        check_state(state, AccumulateAvgUpdatesState)
        check_shapes(updates, state.avg_grad)
        seen = state.micro_step + 1
        last = seen >= accumulation_steps
        updates = filled(updates, state.avg_grad, 0)
        new, [mean] = add(updates, [state.avg_grad], scalars=(as_float(seen), last))
        return new, AccumulateAvgUpdatesState(jnp.where(last, 0, seen), last, mean)

    return init, update


@aggregator
def average_incrementally_updates(per_elt_axis: MaybeAxis, accumulation_steps: int):
    """Average over the examples, if there are any, then over micro-batches.

    `average_per_element_updates`, then `accumulate_avg_updates`. With examples it is an
    `Aggregator`, without another transformation of gradients. State: that of the two.

    Args:
      per_elt_axis: the axis that the examples lie along, or several; `None` for
        gradients of a whole micro-batch.
      accumulation_steps: how many micro-batches, a whole number from 1.

    Raises:
      TypeError, ValueError: as the two raise.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> mean = gradtx.aggregating.average_incrementally_updates(0, 2)
      >>> tx = gradtx.aggregating.process(gradtx.identity(), mean, gradtx.sgd(1.0))
      >>> params, state = 0.0, tx.init(0.0)
      >>> for grads in (jnp.array([1.0, 3.0]), jnp.array([4.0, 8.0])):
      ...     params, state = tx.step(grads, state, params)
      >>> float(params)
      -4.0
    """
    if per_elt_axis is None:
        return accumulate_avg_updates(accumulation_steps)
    return chain(
        average_per_element_updates(per_elt_axis),
        accumulate_avg_updates(accumulation_steps),
    )


def get_batch_size_from_per_elt_updates(
    per_elt_updates: PerElementUpdates, per_elt_axis: int | Sequence[int]
) -> int:
    """How many examples there are, a Python int; 0 if there are no leaves.

    Args:
      per_elt_updates: gradients of each example; `None` is passed over.
      per_elt_axis: the axis that they lie along, or several, whose product counts.

    Raises:
      ValueError: a leaf without these axes, or with another number than the first.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> grads = {"w": jnp.zeros((4, 2, 3)), "b": jnp.zeros((4, 2))}
      >>> gradtx.aggregating.get_batch_size_from_per_elt_updates(grads, (0, 1))
      8
    """
    axes = axes_of(per_elt_axis)
    found: dict[str, int] = {}
    for path, x in paths_of(per_elt_updates):
        if absent(x):
            continue
        shape = jnp.shape(x)
        if not all(-len(shape) <= axis < len(shape) for axis in axes):
            raise failure(f"updates{path} has shape {shape}, without the axes {axes}.")
        found[path] = math.prod(shape[axis] for axis in axes)
        first, size = next(iter(found.items()))
        if found[path] != size:
            raise failure(
                f"updates must be of the same batch size: updates{first} has {size} "
                f"examples, updates{path} has {found[path]}."
            )
    return next(iter(found.values()), 0)


def axes_of(per_elt_axis: Any) -> tuple[int, ...]:
    """The axes as a tuple of ints."""
    one = isinstance(per_elt_axis, int)
    axes = (per_elt_axis,) if one else per_elt_axis
    if not isinstance(axes, Sequence) or not all(type(axis) is int for axis in axes):
        raise TypeError(f"per_elt_axis must be an int or ints, got {per_elt_axis!r}.")
    if not axes or len(set(axes)) < len(axes):
        raise ValueError(
            f"per_elt_axis must be one axis or several different, got {per_elt_axis!r}."
        )
    return tuple(axes)


def examples_in(updates: Any, axes: tuple[int, ...]) -> int:
    """How many examples there are; raises if their mean cannot be taken."""
    leaves = leaves_of(updates)[0]
    check_inexact(leaves, updates)
    size = get_batch_size_from_per_elt_updates(updates, axes)
    if not size and not all(map(absent, leaves)):
        raise failure("there are gradients of no examples, which have no mean.")
    return size


def wide(x: Any) -> jax.Array:
    """As an array, in float32 at least."""
    x = as_array(x)
    return x.astype(compute_dtype(x.dtype))


def nothing_for(params: Any, real: bool = False) -> Any:
    """Zeros for every parameter that is trained, `None` for others."""

    def zeros(p: Any) -> Any:
        if not is_inexact(dtype_of(p)):
            return None
        return jnp.zeros_like(p, slot_dtype(p, real=real))

    return map_present(zeros, params)
