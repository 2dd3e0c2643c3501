"""One update out of the gradients of each example, or of each micro-batch.

An `Aggregator` takes gradients with an axis more than the parameters have, as
`jax.vmap(jax.grad(loss), (None, 0))(params, batch)` gives them; `process` puts one
between what comes before, for each example, and an optimizer behind.
"""

from gradtx.aggregating.averages import (
    AccumulateAvgUpdatesState as AccumulateAvgUpdatesState,
    accumulate_avg_updates as accumulate_avg_updates,
    average_incrementally_updates as average_incrementally_updates,
    average_per_element_updates as average_per_element_updates,
    get_batch_size_from_per_elt_updates as get_batch_size_from_per_elt_updates,
)
from gradtx.aggregating.process import (
    AggregatedUpdates as AggregatedUpdates,
    Aggregator as Aggregator,
    AggregatorUpdateFn as AggregatorUpdateFn,
    MaybeAxis as MaybeAxis,
    PerElementUpdates as PerElementUpdates,
    process as process,
)
from gradtx.aggregating.spread import (
    PerElementMeanAndSumSqDiffGradsState as PerElementMeanAndSumSqDiffGradsState,
    get_per_element_mean_and_sum_sq_diff_grads as get_per_element_mean_and_sum_sq_diff_grads,  # noqa: E501  Optax's name
)
from gradtx.aggregating.tracking import (
    PerElementMeanAndVarianceEMAState as PerElementMeanAndVarianceEMAState,
    add_mean_variance_to_opt as add_mean_variance_to_opt,
    get_unbiased_mean_and_variance_ema as get_unbiased_mean_and_variance_ema,
    track_per_element_mean_and_variance_with_ema as track_per_element_mean_and_variance_with_ema,  # noqa: E501  Optax's name
)
