"""Losses of the order of a list."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.losses.inputs import (
    class_mask,
    compute_dtype,
    must_fit,
    not_empty,
    real,
)
from gradtx.losses.softmax import costs


def ranking_softmax_loss(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    where: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    reduce_fn: Callable[..., Any] | None = jnp.mean,
) -> jax.Array:
    """The cross entropy of relevances and a softmax over the items of a list.

        L = -sum_i w_i y_i log(exp(s_i) / sum_j exp(s_j))

    Args:
      logits: s, floating point, the items of a list along the last axis.
      labels: y, the relevance of each item, real, of the shape of logits; not
        normalized.
      where: boolean, the items that exist, with as many axes as logits, to which it
        broadcasts; or the lists that do, of the loss's shape. What is masked has no
        loss and a gradient of exactly 0, even if it is NaN.
      weights: w, broadcastable to logits; None means 1.
      reduce_fn: what is made of the losses of the lists, called with `where=`, which
        leaves out the lists without any item. `jnp.mean` of no list is 0. None gives
        the losses, 0 for a list without any item.

    Returns:
      A number, or the losses, in the dtype of logits.

    Raises:
      ValueError: the shapes of logits and labels differ, where or weights do not fit,
        or there is no list and `reduce_fn=jnp.mean`.
      TypeError: logits are not floating point, or where is not boolean.

    Source: Cao et al., Learning to rank: from pairwise approach to listwise approach,
    2007, with top-one probabilities.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> logits, labels = jnp.array([[0.0, 0.0, 9.0]]), jnp.array([[1.0, 0.0, 0.0]])
      >>> gradtx.ranking_softmax_loss(logits, labels, where=logits < 9)
      Array(0.6931472, dtype=float32)
    """
    function = "ranking_softmax_loss"
    s = real(function, "logits", logits)
    if not s.ndim or jnp.shape(labels) != s.shape:
        raise ValueError(
            f"{function}: labels has shape {jnp.shape(labels)}, logits has {s.shape}: "
            f"give one label for each item of a list, they are not broadcast."
        )
    kept = lists = None
    if where is not None:
        kept = class_mask(function, where, "logits", s.shape, (s.ndim - 1,))
        lists = jnp.any(kept, -1)
    y = real(function, "labels", labels, integers=True)
    if weights is not None:
        w = real(function, "weights", weights, integers=True)
        must_fit(function, "weights", w, "logits", s.shape)
        y = y.astype(compute_dtype(s, y)) * w
    found = costs(function, s, y, -1, kept)
    loss = jnp.sum(found.y * found.cost, -1)
    if reduce_fn is None:
        return loss.astype(s.dtype)
    if reduce_fn is jnp.mean:
        not_empty(function, "logits", loss, "list")
        count = loss.size if lists is None else jnp.maximum(lists.sum(), 1)
        return (jnp.sum(loss) / count).astype(s.dtype)
    return jnp.asarray(reduce_fn(loss, where=lists)).astype(s.dtype)
