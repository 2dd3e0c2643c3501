"""Margins between the score of a label and those of the other classes.

The arithmetic is done in float32 at least, the loss has the dtype of the scores. A
class with the score -inf is excluded; as the label it makes the loss inf, if there is
another class.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.core import check
from gradtx.losses.inputs import (
    class_mask,
    compute_dtype,
    finish,
    floats,
    integer_labels,
    pick,
)


def _checked(function: str, scores: ArrayLike, labels: ArrayLike):
    s = floats(function, "scores", scores)
    if not s.ndim:
        raise ValueError(f"{function}: scores is a scalar: give it a class axis.")
    return s, integer_labels(function, "scores", s, labels)


def _kept(function: str, s: jax.Array, where: ArrayLike | None):
    if where is None:
        return None
    return class_mask(function, where, "scores", s.shape, (s.ndim - 1,))


def _leads(function: str, s: jax.Array, y: jax.Array, where, margin):
    """s_j - s_y + margin, and 0 for the label itself and what is not there."""
    kept = _kept(function, s, where)
    wide = s.astype(compute_dtype(s))
    # A class with the score -inf leads nothing, even where the label's is -inf too.
    rival = (jnp.arange(s.shape[-1]) != y[..., None]) & (s != -jnp.inf)
    if kept is not None:
        rival &= kept
        wide = jnp.where(kept, wide, 0)
    lead = jnp.where(rival, wide, 0) - pick(wide, y)[..., None]
    return jnp.where(rival, lead + jnp.asarray(margin, wide.dtype), 0), kept


def multiclass_hinge_loss(
    scores: ArrayLike,
    labels: ArrayLike,
    *,
    margin: ArrayLike = 1.0,
    over: str = "sum",
    where: ArrayLike | None = None,
) -> jax.Array:
    """The hinge loss of many classes: the multiclass SVM.

        L = sum_{j != y} max(0, s_j - s_y + m)

    Optax's loss of this name is the largest of these margins, not their sum: ask for
    its numbers with `over="max"`. For two classes, both are the same.

    Args:
      scores: s, real, the classes along the last axis.
      labels: y, integers, shaped like scores without the last axis.
      margin: m, by how much the score of the label must lead, at least 0.
      over: "sum" adds the margins of all other classes; "max" takes the largest.
      where: boolean, the classes that exist, or the examples, as in
        `softmax_cross_entropy_with_integer_labels`.

    Returns:
      The losses, shaped like labels, in the dtype of scores; NaN for a label below 0
      or beyond the classes.

    Raises:
      ValueError: labels or where do not fit the shape of scores, margin is below 0, or
        over is unknown.
      TypeError: scores are not real, labels not integers, or where not boolean.

    Source: sum: Weston and Watkins, Support vector machines for multi-class pattern
    recognition, 1999; max: Crammer and Singer, On the algorithmic implementation of
    multiclass kernel-based vector machines, 2001.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> scores = jnp.array([[2.0, 2.5, 1.25, -3.0]])
      >>> gradtx.multiclass_hinge_loss(scores, jnp.array([0]))
      Array([1.75], dtype=float32)
    """
    function = "multiclass_hinge_loss"
    check.nonnegative("margin", margin)
    check.choice("over", over, ("sum", "max"))
    s, y = _checked(function, scores, labels)
    lead, kept = _leads(function, s, y, where, margin)
    # The label's own margin, 0, is the floor of the maximum; so is an empty sum.
    loss = jnp.maximum(0, lead).sum(-1) if over == "sum" else jnp.max(lead, -1)
    return finish(loss, y, s.shape[-1], kept).astype(s.dtype)


def multiclass_perceptron_loss(
    scores: ArrayLike, labels: ArrayLike, *, where: ArrayLike | None = None
) -> jax.Array:
    """The perceptron's loss of many classes: by how much another one leads.

        L = max_j s_j - s_y

    Args:
      scores: s, real, the classes along the last axis.
      labels: y, integers, shaped like scores without the last axis.
      where: boolean, the classes that exist, or the examples, as in
        `softmax_cross_entropy_with_integer_labels`.

    Returns:
      The losses, shaped like labels, in the dtype of scores; NaN for a label below 0
      or beyond the classes.

    Raises:
      ValueError: labels or where do not fit the shape of scores.
      TypeError: scores are not real, labels not integers, or where not boolean.

    Source: Collins, Discriminative training methods for hidden Markov models, 2002,
    whose updates are its gradient descent. Optax reads a label beyond the classes as
    one with the score 0.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> scores = jnp.array([[2.0, 2.5, 1.25, -3.0]])
      >>> gradtx.multiclass_perceptron_loss(scores, jnp.array([0]))
      Array([0.5], dtype=float32)
    """
    function = "multiclass_perceptron_loss"
    s, y = _checked(function, scores, labels)
    lead, kept = _leads(function, s, y, where, 0.0)
    return finish(jnp.max(lead, -1), y, s.shape[-1], kept).astype(s.dtype)


def multiclass_sparsemax_loss(
    scores: ArrayLike, labels: ArrayLike, *, where: ArrayLike | None = None
) -> jax.Array:
    """The loss whose gradient is the sparsemax: p - e_y.

        L = <p, s> + (1 - |p|^2) / 2 - s_y
        p = argmin |p - s|^2 over p >= 0, sum p = 1

    It is 0 once the label's score leads all others by 1.

    Args:
      scores: s, real, the classes along the last axis.
      labels: y, integers, shaped like scores without the last axis.
      where: boolean, the classes that exist, or the examples, as in
        `softmax_cross_entropy_with_integer_labels`.

    Returns:
      The losses, shaped like labels, in the dtype of scores; NaN for a label below 0
      or beyond the classes.

    Raises:
      ValueError: labels or where do not fit the shape of scores.
      TypeError: scores are not real, labels not integers, or where not boolean.

    Source: Martins and Astudillo, From softmax to sparsemax, 2016, equations 2 and 17,
    and p by sorting, algorithm 1.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> scores = jnp.array([[0.5, 0.0, -2.0], [3.0, 0.0, -2.0]])
      >>> gradtx.multiclass_sparsemax_loss(scores, jnp.array([0, 0]))
      Array([0.0625, 0.    ], dtype=float32)
    """
    function = "multiclass_sparsemax_loss"
    s, y = _checked(function, scores, labels)
    kept = _kept(function, s, where)
    z = s.astype(compute_dtype(s))
    if kept is not None:
        z = jnp.where(kept, z, -jnp.inf)
    # The loss does not see a shift: by the largest score all of p's are in [-1, 0].
    top = jax.lax.stop_gradient(jnp.max(z, -1, keepdims=True))
    z -= jnp.where(top == -jnp.inf, 0, top)
    support = jax.lax.stop_gradient(_support(z))
    inside = jnp.where(support, z, 0)
    count = jnp.maximum(support.sum(-1, keepdims=True), 1)
    threshold = (inside.sum(-1, keepdims=True) - 1) / count
    p = jnp.where(support, z - threshold, 0)
    loss = jnp.sum(p * inside, -1) + 0.5 * (1 - jnp.sum(p * p, -1))
    loss -= pick(z, y)
    loss *= jnp.where(jnp.any(z != z, -1), jnp.nan, 1).astype(loss.dtype)
    return finish(loss, y, s.shape[-1], kept).astype(s.dtype)


def _support(z: jax.Array) -> jax.Array:
    """Where the sparsemax of z is above 0; nowhere if all are -inf."""
    ordered = -jnp.sort(-z, -1)
    total = jnp.cumsum(ordered, -1)
    size = jnp.arange(1, z.shape[-1] + 1)
    last = jnp.sum(1 + size * ordered > total, -1, keepdims=True)
    last = jnp.maximum(last, 1)
    return z > (jnp.take_along_axis(total, last - 1, -1) - 1) / last
