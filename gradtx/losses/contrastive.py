"""Losses of embeddings: what belongs together is near, the rest is far."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.core import check
from gradtx.losses.cosine import unit
from gradtx.losses.inputs import (
    axes as axes_of,
    compute_dtype,
    mask,
    not_empty,
    real,
)
from gradtx.losses.softmax import shift_and_log_sum


def ntxent(
    embeddings: ArrayLike,
    labels: ArrayLike,
    temperature: ArrayLike = 0.07,
    *,
    where: ArrayLike | None = None,
) -> jax.Array:
    """The normalized, temperature-scaled cross entropy of pairs (NT-Xent).

        L = mean over pairs i != j of one label of
            -log(exp(c_ij / T) / (exp(c_ij / T) + sum_k exp(c_ik / T)))

    c are cosines, and k are the examples of other labels than i's.

    Args:
      embeddings: floating point, of shape (examples, features).
      labels: of shape (examples,); equal ones belong together.
      temperature: T, above 0: the smaller, the more the nearest negatives count. The
        cosines are divided by it; the source finds 0.1 to 0.5 best.
      where: boolean, of shape (examples,), the examples that exist; the others have no
        gradient, even if they are NaN.

    Returns:
      A number, in the dtype of embeddings; 0 if no two examples belong together.

    Raises:
      ValueError: embeddings has not two axes or no example, labels or where do not fit,
        or temperature is not above 0.
      TypeError: embeddings are not floating point, or where is not boolean.

    Source: Chen et al., A simple framework for contrastive learning of visual
    representations, 2020, equation 1; there the other positives of i are among k, too,
    where it has more than one. Squared norms below the dtype's epsilon count as that,
    as in Optax.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> x = jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
      >>> gradtx.ntxent(x, jnp.array([0, 0, 1]), temperature=1.0)  # log(1 + 1 / e)
      Array(0.3132617, dtype=float32)
    """
    function = "ntxent"
    check.positive("temperature", temperature)
    x, y = real(function, "embeddings", embeddings), jnp.asarray(labels)
    if x.ndim != 2:
        raise ValueError(
            f"{function}: embeddings has shape {x.shape}: it must have two axes, "
            f"examples and features."
        )
    not_empty(function, "embeddings", x, "example")
    if y.shape != x.shape[:1]:
        raise ValueError(
            f"{function}: labels has shape {y.shape}, embeddings has {x.shape}: give "
            f"one label for each example."
        )
    kept = jnp.full(y.shape, True)
    if where is not None:
        kept = mask(function, where, "labels", y.shape)
    wide = jnp.where(kept[:, None], x, 0).astype(compute_dtype(x))
    units, _ = unit(wide, (1,), float(jnp.finfo(x.dtype).eps))
    # All bits of float32 on every device: 1 / T makes errors of cosines larger.
    score = jnp.matmul(units, units.T, precision=jax.lax.Precision.HIGHEST)
    score = score / jnp.asarray(temperature, score.dtype)
    same = y[:, None] == y
    both = kept[:, None] & kept
    positive = same & both & ~jnp.eye(len(y), dtype=bool)
    top, log_sum = shift_and_log_sum(jnp.where(both & ~same, score, -jnp.inf), (1,))
    # Without a negative the pair has nothing to tell apart: its loss is 0.
    lonely = ~jnp.any(both & ~same, 1, keepdims=True)
    lead = jnp.where(lonely, -jnp.inf, top + log_sum - score)
    total = jnp.sum(jnp.where(positive, jax.nn.softplus(lead), 0))
    return (total / jnp.maximum(positive.sum(), 1)).astype(x.dtype)


def triplet_margin_loss(
    anchors: ArrayLike,
    positives: ArrayLike,
    negatives: ArrayLike,
    axis: int | tuple[int, ...] | None = -1,
    norm_degree: ArrayLike = 2,
    margin: ArrayLike = 1.0,
    eps: ArrayLike = 1e-6,
    *,
    where: ArrayLike | None = None,
) -> jax.Array:
    """By how much a positive is not nearer than a negative by a margin.

        L = max(0, d(a, p) - d(a, n) + m),   d(x, y) = (sum_i |x_i - y_i|^k + eps)^(1/k)

    Args:
      anchors: a, floating point, any shape.
      positives: p, floating point, of the shape of anchors: what is like the anchor.
      negatives: n, floating point, of the shape of anchors: what is not.
      axis: of the embeddings, a tuple of axes, or None for all of them.
      norm_degree: k, at least 1.
      margin: m, at least 0, in the units of d.
      eps: at least 0; it keeps the gradient small near d = 0. With 0 the gradient of a
        distance of 0 is 0.
      where: boolean, broadcastable to the loss; where it is False the loss and its
        gradients are exactly 0, even if an embedding is NaN.

    Returns:
      The losses, shaped like anchors without axis, in the promoted dtype of the three.

    Raises:
      ValueError: the shapes differ, axis or where do not fit, or a number is out of
        range.
      TypeError: embeddings are not floating point, or where is not boolean.

    Source: Balntas et al., Learning local feature descriptors with triplets and shallow
    convolutional neural networks, 2016, section 3. Optax takes the powers of the
    differences with their signs, which for an odd k is no distance.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> a, p, n = jnp.zeros(2), jnp.array([3.0, 4.0]), jnp.array([0.0, 5.5])
      >>> gradtx.triplet_margin_loss(a, p, n)
      Array(0.5, dtype=float32)
    """
    function = "triplet_margin_loss"
    check.at_least("norm_degree", norm_degree, 1)
    check.nonnegative("margin", margin)
    check.nonnegative("eps", eps)
    names = ("anchors", "positives", "negatives")
    given = [
        real(function, name, x)
        for name, x in zip(names, (anchors, positives, negatives), strict=True)
    ]
    for name, x in zip(names, given, strict=True):
        if x.shape != given[0].shape:
            raise ValueError(
                f"{function}: {name} has shape {x.shape}, anchors has "
                f"{given[0].shape}: reshape one of them, they are not broadcast."
            )
    axes = axes_of(function, given[0], axis, "anchors")
    dtype, wide = jnp.result_type(*given), compute_dtype(*given)
    own = tuple(n for i, n in enumerate(given[0].shape) if i not in axes)
    kept = None
    if where is not None:
        kept = mask(function, where, "the loss", own)
        inside = jnp.expand_dims(kept, axes)
        given = [jnp.where(inside, x, 0) for x in given]
    a, p, n = (x.astype(wide) for x in given)
    k, floor = jnp.asarray(norm_degree, wide), jnp.asarray(eps, wide)

    def distance(x):
        size = x * jnp.sign(x)  # not abs: its gradient at 0 is 1
        # No power overflows. The result does not depend on it, nor does its gradient.
        top = jax.lax.stop_gradient(
            jnp.maximum(jnp.max(size, axes, keepdims=True, initial=0), 1)
        )
        total = jnp.sum(jnp.power(size / top, k), axes) + floor * jnp.squeeze(
            jnp.power(top, -k), axes
        )
        root = jnp.power(jnp.where(total == 0, 1, total), 1 / k)
        return jnp.where(total == 0, 0, root * jnp.squeeze(top, axes))

    lead = distance(a - p) - distance(a - n) + jnp.asarray(margin, wide)
    loss = jnp.maximum(lead, 0)
    if kept is not None:
        loss = jnp.where(kept, loss, 0)
    return loss.astype(dtype)
