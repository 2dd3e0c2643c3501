"""Averages over time of the mean and the variance of the examples' gradients."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.aggregating.averages import nothing_for
from gradtx.aggregating.process import AggregatedUpdates, aggregator, process
from gradtx.aggregating.spread import get_per_element_mean_and_sum_sq_diff_grads
from gradtx.core import check
from gradtx.core.compose import chain
from gradtx.core.extra import need_extra
from gradtx.core.numerics import as_float, safe_increment
from gradtx.core.plan import check_shapes, check_state, lift
from gradtx.core.transformation import inner_of, transformation
from gradtx.core.types import Scalar, State, Updates
from gradtx.transforms.stateless import identity
from gradtx.tree.access import get
from gradtx.tree.moments import bias_correction


class PerElementMeanAndVarianceEMAState(NamedTuple):
    count: jax.Array  # steps so far, int32
    ema_decay: jax.Array  # the weight of the past, a floating scalar
    mean_grads_ema: AggregatedUpdates  # of the means, from 0, float32 at least
    variance_grads_ema: AggregatedUpdates  # of the variances, from 0, real


@transformation
def track_per_element_mean_and_variance_with_ema(ema_decay: Scalar = 0.9):
    """Keep averages over time of the mean and the variance of each gradient's entry.

        v_t = s_t / (N_t - 1)
        M_t = d M_{t-1} + (1 - d) m_t,   V_t = d V_{t-1} + (1 - d) v_t

    with the mean m_t, which is handed on as it is, and the sum of squares s_t over N_t
    examples of `get_per_element_mean_and_sum_sq_diff_grads`: `update` needs the extra
    arguments `sum_sq_diff_grads` and `sample_size`, which `process` hands on. A single
    example counts as one without variance. `get_unbiased_mean_and_variance_ema` reads
    the averages.

    State: two arrays per parameter, a count and a number.

    Args:
      ema_decay: d, in [0, 1).

    Raises:
      ValueError: ema_decay out of range; in `update`, an extra argument is missing.

    Example:
      >>> import gradtx
      >>> tx = gradtx.aggregating.track_per_element_mean_and_variance_with_ema(0.5)
      >>> extra = {"sum_sq_diff_grads": 14.0, "sample_size": 3}
      >>> update, state = tx.update(3.0, tx.init(0.0), **extra)
      >>> float(state.mean_grads_ema), float(state.variance_grads_ema)
      (1.5, 3.5)
    """
    check.decay("ema_decay", ema_decay)

    def rule(g, total, mean, variance, decay, degrees):
        mean = decay * mean + (1 - decay) * g
        variance = decay * variance + (1 - decay) * (total / degrees)
        return g, total, mean, variance

    average = lift(rule)

    def init(params):
        return PerElementMeanAndVarianceEMAState(
            count=jnp.zeros([], jnp.int32),
            ema_decay=jnp.array(as_float(ema_decay), copy=True),
            mean_grads_ema=nothing_for(params),
            variance_grads_ema=nothing_for(params, real=True),
        )

    def update(
        updates, state, params=None, *, sum_sq_diff_grads=None, sample_size=None
    ):
        need_extra(sum_sq_diff_grads=sum_sq_diff_grads, sample_size=sample_size)
        check_state(state, PerElementMeanAndVarianceEMAState)
        check.scalar("sample_size", sample_size)
        check_shapes(updates, state.mean_grads_ema)
        check_shapes(updates, sum_sq_diff_grads)
        decay = as_float(ema_decay)  # rounded once: what is divided by fits it
        degrees = jnp.maximum(as_float(sample_size) - 1, 1)
        _, (_, mean, variance) = average(
            updates,
            [sum_sq_diff_grads, state.mean_grads_ema, state.variance_grads_ema],
            scalars=(decay, degrees),
        )
        return updates, PerElementMeanAndVarianceEMAState(
            safe_increment(state.count), jnp.array(decay, copy=True), mean, variance
        )

    return init, update


def get_unbiased_mean_and_variance_ema(state: State) -> tuple[Updates, Updates]:
    """The averages that a state has of the mean and the variance, without their bias.

        M^_t = M_t / (1 - d^t),   V^_t = V_t / (1 - d^t)

    Args:
      state: of an optimizer that has `track_per_element_mean_and_variance_with_ema` in
        it, once.

    Returns:
      Both, shaped like the parameters; zeros before the first step.

    Raises:
      ValueError: there is none in it.
      KeyError: there are several in it.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.aggregating.add_mean_variance_to_opt(gradtx.sgd(0.1))
      >>> _, state = tx.update(jnp.array([1.0, 2.0, 6.0]), tx.init(0.0))
      >>> mean, variance = gradtx.aggregating.get_unbiased_mean_and_variance_ema(state)
      >>> round(float(mean), 4), round(float(variance), 4)
      (3.0, 7.0)
    """
    found = get(state, "PerElementMeanAndVarianceEMAState", None)
    if found is None:
        raise ValueError(
            "the state has no PerElementMeanAndVarianceEMAState: it is that of "
            "add_mean_variance_to_opt, or of a chain with "
            "track_per_element_mean_and_variance_with_ema."
        )
    decay, count = found.ema_decay, found.count
    return (
        bias_correction(found.mean_grads_ema, decay, count),
        bias_correction(found.variance_grads_ema, decay, count),
    )


@aggregator
def add_mean_variance_to_opt(
    opt: Any,
    ema_decay: Scalar = 0.9,
    per_elt_axis: int | Sequence[int] = 0,
    accumulation_steps: int = 1,
):
    """Have an optimizer take gradients of each example, and keep their statistics.

    `get_per_element_mean_and_sum_sq_diff_grads`, then
    `track_per_element_mean_and_variance_with_ema` and the optimizer, in `process`:
    the optimizer is given the mean, and `get_unbiased_mean_and_variance_ema` reads mean
    and variance from the state.

    State: two arrays per parameter, two more for several micro-batches, and that of
    the optimizer.

    Args:
      opt: the optimizer.
      ema_decay: the weight of the past, in [0, 1).
      per_elt_axis: the axis that the examples lie along, or several, in every leaf.
      accumulation_steps: how many micro-batches make one step.

    Raises:
      TypeError: opt is no transformation.
      ValueError: a number out of range.

    Example:
      >>> import jax, jax.numpy as jnp, gradtx
      >>> def loss(p, x):
      ...     return jnp.sum((p - x) ** 2)
      >>> tx = gradtx.aggregating.add_mean_variance_to_opt(gradtx.sgd(0.5))
      >>> params, batch = jnp.zeros(2), jnp.array([[1.0, 0.0], [3.0, 1.0]])
      >>> grads = jax.vmap(jax.grad(loss), (None, 0))(params, batch)
      >>> tx.step(grads, tx.init(params), params)[0]
      Array([2. , 0.5], dtype=float32)
    """
    inner_of("add_mean_variance_to_opt: opt", opt)
    return process(
        identity(),
        get_per_element_mean_and_sum_sq_diff_grads(per_elt_axis, accumulation_steps),
        chain(track_per_element_mean_and_variance_with_ema(ema_decay), opt),
        aggregator_has_aux=True,
    )
