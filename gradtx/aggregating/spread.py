"""How far the gradients of the examples lie from their mean."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.aggregating.averages import axes_of, examples_in, nothing_for, wide
from gradtx.aggregating.process import AggregatedUpdates, aggregator
from gradtx.core import check
from gradtx.core.examples import of_examples
from gradtx.core.numerics import abs_sq, as_float
from gradtx.core.plan import check_shapes, check_state, lift
from gradtx.core.trees import filled, map_present
from gradtx.core.types import EmptyState, Updates


class PerElementMeanAndSumSqDiffGradsState(NamedTuple):
    micro_step: jax.Array  # micro-batches so far, 0 after the last, int32
    ready: jax.Array  # whether the last update was of all of them, bool
    mean_grads: AggregatedUpdates  # mean of their examples, float32 at least
    sum_sq_diff_grads: AggregatedUpdates  # squared distances from it, summed, real


class WithAux(NamedTuple):
    """What an aggregator with more to say than updates gives."""

    updates: Updates
    aux: dict[str, Any]  # extra arguments for what comes behind

    @staticmethod
    def __updates_for__(made: "WithAux") -> Updates:
        return made.updates

    __as_computed__ = True  # the sums would not survive the gradients' dtype


@aggregator
def get_per_element_mean_and_sum_sq_diff_grads(
    per_elt_axis: int | Sequence[int] = 0, accumulation_steps: int = 1
):
    """Average over the examples, and sum up their squared distances from the mean.

        m = (g_1 + ... + g_N) / N,   s = |g_1 - m|^2 + ... + |g_N - m|^2

    for each entry. Over k micro-batches of B examples each, with means b_i and sums
    c_i, so that N = k B:

        d_i = b_i - m_{i-1},   m_i = m_{i-1} + d_i / i
        s_i = s_{i-1} + c_i + |d_i|^2 B (i - 1) / i

    `update` gives `(m, {"sum_sq_diff_grads": s, "sample_size": N})`, and zeros before
    the k-th micro-batch. It is for `process(..., aggregator_has_aux=True)`, before
    `track_per_element_mean_and_variance_with_ema`.

    State: two arrays per parameter (`None` for one of integers), an int32 and a bool;
    none for a single micro-batch. A gradient that is `None` in one of several
    micro-batches counts as zero.

    Args:
      per_elt_axis: the axis that the examples lie along, or several, in every leaf.
      accumulation_steps: k, a whole number from 1.

    Raises:
      TypeError, ValueError: as `average_per_element_updates` does, or
        accumulation_steps is below 1 or not whole.

    Source: Chan, Golub and LeVeque, Updating formulae and a pairwise algorithm for
    computing sample variances (1979), equation 2.1.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.aggregating.get_per_element_mean_and_sum_sq_diff_grads()
      >>> (mean, aux), _ = tx.update(jnp.array([1.0, 2.0, 6.0]), tx.init(0.0))
      >>> float(mean), float(aux["sum_sq_diff_grads"]), int(aux["sample_size"])
      (3.0, 14.0, 3)
    """
    axes = axes_of(per_elt_axis)
    check.count("accumulation_steps", accumulation_steps, 1)

    def of_batch(updates):
        means = map_present(lambda g: jnp.mean(wide(g), axes), updates)

        def sums(g):
            g = wide(g)
            return jnp.sum(abs_sq(g - jnp.mean(g, axes, keepdims=True)), axes)

        return means, map_present(sums, updates), examples_in(updates, axes)

    def given(means, sums, size):
        aux = {"sum_sq_diff_grads": sums, "sample_size": jnp.asarray(size, jnp.int32)}
        return WithAux(means, aux)

    def init_none(params):
        return EmptyState()

    def update_one(updates, state, params=None):
        return given(*of_batch(updates)), state

    if accumulation_steps == 1:
        return init_none, of_examples(update_one, axes)

    def rule(b, c, mean, total, seen, share, last):
        d = b - mean
        mean, total = mean + d / seen, total + c + share * abs_sq(d)
        now = jnp.where(last, mean, 0), jnp.where(last, total, 0)
        return *now, jnp.where(last, 0, mean), jnp.where(last, 0, total)

    add = lift(rule)

    def init(params):
        return PerElementMeanAndSumSqDiffGradsState(
            micro_step=jnp.zeros([], jnp.int32),
            ready=jnp.zeros([], bool),
            mean_grads=nothing_for(params),
            sum_sq_diff_grads=nothing_for(params, real=True),
        )

    def update(updates, state, params=None):
        check_state(state, PerElementMeanAndSumSqDiffGradsState)
        means, sums, size = of_batch(updates)
        check_shapes(means, state.mean_grads)
        old = state.mean_grads, state.sum_sq_diff_grads
        seen = state.micro_step + 1
        last = seen >= accumulation_steps
        before = as_float(state.micro_step)
        scalars = as_float(seen), size * before / as_float(seen), last
        means, (sums, *new) = add(
            filled(means, old[0], 0), [filled(sums, old[1], 0), *old], scalars=scalars
        )
        state = PerElementMeanAndSumSqDiffGradsState(
            jnp.where(last, 0, seen), last, *new
        )
        return given(means, sums, jnp.where(last, size * seen, 0)), state

    return init, of_examples(update, axes)
