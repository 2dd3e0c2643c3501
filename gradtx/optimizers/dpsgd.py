"""DP-SGD: gradients of examples clipped, added up, and hidden in noise."""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax import lax

from gradtx.core import check
from gradtx.core.axes import AxisNames, axes_of_each, check_axis_name, need_whole
from gradtx.core.compose import chain
from gradtx.core.examples import of_examples
from gradtx.core.plan import check_state, lift
from gradtx.core.transformation import transformation
from gradtx.core.trees import absent, check_inexact, failure, leaves_of
from gradtx.core.types import Scalar, ScalarOrSchedule
from gradtx.transforms.momentum import trace
from gradtx.transforms.per_example import batch_size, per_example_global_norm_clip
from gradtx.transforms.scale import scale_by_learning_rate
from gradtx.transforms.stateless import identity


class DifferentiallyPrivateAggregateState(NamedTuple):
    rng_key: chex.PRNGKey  # the key of the next step


@transformation
def differentially_private_aggregate(
    l2_norm_clip: Scalar,
    noise_multiplier: Scalar,
    key: chex.PRNGKey | int | None = None,
    *,
    seed: int | None = None,
    axis_name: AxisNames = None,
):
    """Make one private gradient of those of the examples.

        u_t = (sum_i g_i min(1, C / |g_i|_2) + sigma C n_t) / B,   n_t ~ N(0, 1)

    for B examples. `update` takes their gradients side by side, with an axis more in
    front than the parameters have: `jax.vmap(jax.grad(loss), (None, 0))(params,
    batch)`. It stands first in a chain. `MultiSteps` around it has no meaning: it
    would add up gradients of different examples.

    What that says about privacy, an accountant computes from noise_multiplier, the
    part of the data that a batch is of, and the number of steps. It holds for batches
    drawn at random, and for a key that nobody knows.

    State: one random key.

    Args:
      l2_norm_clip: C, the largest norm of an example's gradient that counts, above 0.
      noise_multiplier: sigma, the noise's standard deviation over C, at least 0. Both
        parts of a complex number have it.
      key: a random key, or an int as a seed.
      seed: the older name of an int for `key`.
      axis_name: mesh axes over which leaves are split, see `clip_by_global_norm`; each
        part has noise of its own. Where the examples are split use `jit` with sharded
        arrays: devices with parts of the batch would each add the noise of the whole.

    Raises:
      ValueError: a number out of range, or not exactly one of key and seed; in
        `update`, gradients that are not of the same examples, an axis that is not
        there, or a leaf that differs along one that is not named.

    Source: Abadi et al., Deep learning with differential privacy (2016), algorithm 1.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.differentially_private_aggregate(1.0, 0.0, key=0)
      >>> grads = jnp.array([[3.0, 4.0], [0.0, 0.5]])  # of two examples
      >>> tx.update(grads, tx.init(jnp.ones(2)))[0]
      Array([0.3 , 0.65], dtype=float32)
    """
    check.positive("l2_norm_clip", l2_norm_clip)
    check.nonnegative("noise_multiplier", noise_multiplier)
    if (key is None) == (seed is None):
        raise ValueError(
            "differentially_private_aggregate needs a random key: give either key or "
            "seed."
        )
    check_axis_name(axis_name)
    start: Any = seed if key is None else key

    def rule(total, noise, deviation, examples):
        if jnp.iscomplexobj(noise):
            noise = 2**0.5 * noise  # both parts together have a variance of 1
        return (total + deviation * noise) / examples, noise

    noised = lift(rule)

    def init(params):
        made = jax.random.key(start) if isinstance(start, int) else jnp.copy(start)
        return DifferentiallyPrivateAggregateState(made)

    def update(updates, state, params=None):
        need_whole()
        check_state(state, DifferentiallyPrivateAggregateState)
        check_inexact(leaves_of(updates)[0], updates)
        examples = batch_size(updates)
        axes = axes_of_each(updates, axis_name)
        totals, _ = per_example_global_norm_clip(
            updates, l2_norm_clip, axis_name=axis_name
        )
        leaves, treedef = leaves_of(totals)
        there = [i for i, x in enumerate(leaves) if not absent(x)]
        if there and not examples:
            raise failure("there are gradients of no examples, which have no mean.")
        following, *keys = jax.random.split(state.rng_key, len(there) + 1)
        noise = list(leaves)
        for i, own in zip(there, keys, strict=True):
            x = leaves[i]
            if axes[i]:
                own = jax.random.fold_in(own, lax.axis_index(axes[i]))
            noise[i] = jax.random.normal(own, x.shape, x.dtype)
        deviation = l2_norm_clip * noise_multiplier
        new, _ = noised(
            totals, [treedef.unflatten(noise)], scalars=(deviation, examples)
        )
        return new, DifferentiallyPrivateAggregateState(following)

    return init, of_examples(update)


@transformation
def dpsgd(
    learning_rate: ScalarOrSchedule,
    l2_norm_clip: Scalar,
    noise_multiplier: Scalar,
    seed: chex.PRNGKey | int,
    momentum: Scalar | None = None,
    nesterov: bool = False,
    *,
    axis_name: AxisNames = None,
):
    """DP-SGD: `differentially_private_aggregate`, momentum, then the learning rate.

    `update` takes the gradients of the examples, with an axis more in front than the
    parameters have. State: one random key; one array per parameter with momentum.

    Args:
      learning_rate: a finite number or a schedule.
      l2_norm_clip, noise_multiplier, axis_name: see
        `differentially_private_aggregate`.
      seed: an int, or a random key.
      momentum: part of the velocity kept, in [0, 1); `None` for none. It is computed
        from what is private already, and costs no privacy.
      nesterov: whether to look ahead, see `trace`.

    Raises:
      ValueError: a number out of range; in `update`, gradients that are not of the
        same examples.

    Source: Abadi et al., Deep learning with differential privacy (2016), algorithm 1.

    Example:
      >>> import jax, jax.numpy as jnp, gradtx
      >>> def loss(p, x):
      ...     return jnp.sum((p - x) ** 2)
      >>> tx = gradtx.dpsgd(0.1, l2_norm_clip=1.0, noise_multiplier=1.1, seed=0)
      >>> params, batch = jnp.ones(2), jnp.zeros((8, 2))
      >>> grads = jax.vmap(jax.grad(loss), (None, 0))(params, batch)
      >>> params, state = tx.step(grads, tx.init(params), params)
      >>> params.shape
      (2,)
    """
    velocity = identity() if momentum is None else trace(momentum, nesterov)
    return chain(
        differentially_private_aggregate(
            l2_norm_clip, noise_multiplier, key=seed, axis_name=axis_name
        ),
        velocity,
        scale_by_learning_rate(learning_rate),
    )
