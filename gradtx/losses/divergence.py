"""Divergences of predicted probabilities, given by their logarithms, from targets.

The arithmetic is done in float32 at least. A term with the target 0 is 0, also where
the prediction is 0, too; a target above 0 where the prediction is 0 makes the loss inf.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.losses.inputs import axes as axes_of, class_mask, compute_dtype, real


def _summed(
    function: str,
    rule: Callable[[jax.Array, jax.Array], jax.Array],
    log_predictions: ArrayLike,
    targets: ArrayLike,
    axis: int | tuple[int, ...] | None,
    where: ArrayLike | None,
    name: str = "targets",
) -> jax.Array:
    """Check the inputs and sum a rule for one entry over the axes."""
    whole = "log_predictions"
    q, p = real(function, whole, log_predictions), real(function, name, targets)
    if q.shape != p.shape:
        raise ValueError(
            f"{function}: {name} has shape {p.shape}, {whole} has {q.shape}: reshape "
            f"one of them, they are not broadcast."
        )
    axes = axes_of(function, q, axis, whole)
    dtype, wide = jnp.result_type(q, p), compute_dtype(q, p)
    q, p = q.astype(wide), p.astype(wide)
    if where is None:
        return jnp.sum(rule(q, p), axes).astype(dtype)
    kept = class_mask(function, where, whole, q.shape, axes)
    # Masked twice: the outer mask alone would send 0 * NaN back through the rule.
    terms = rule(jnp.where(kept, q, 0), jnp.where(kept, p, 0))
    return jnp.sum(jnp.where(kept, terms, 0), axes).astype(dtype)


def _term(log_q: jax.Array, p: jax.Array) -> jax.Array:
    """p log(p / q)."""
    gone = p == 0
    log_p = jnp.log(jnp.where(gone, 1, p))
    return p * (log_p - jnp.where(gone & (log_q == -jnp.inf), 0, log_q))


def kl_divergence(
    log_predictions: ArrayLike,
    targets: ArrayLike,
    axis: int | tuple[int, ...] | None = -1,
    where: ArrayLike | None = None,
) -> jax.Array:
    """The Kullback-Leibler divergence of predictions from targets.

        L = sum_j p_j (log p_j - log q_j)

    Args:
      log_predictions: log q, floating point, any shape.
      targets: p, probabilities, floating point, of the shape of log_predictions.
      axis: of the distributions, a tuple of axes, or None for all of them.
      where: boolean, the entries that exist, with the axes of log_predictions; or the
        distributions that do, of the loss's shape. What is masked has no loss and a
        gradient of exactly 0, even if it is NaN.

    Returns:
      The losses, shaped like log_predictions without axis, in the promoted dtype of
      both.

    Raises:
      ValueError: the shapes differ, or axis or where do not fit.
      TypeError: an argument is not floating point, or where is not boolean.

    Source: Kullback and Leibler, On information and sufficiency, 1951, equation 2.4.
    Optax has NaN where both p and q are 0.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> log_q, p = jnp.log(jnp.array([0.5, 0.5, 0.0])), jnp.array([1.0, 0.0, 0.0])
      >>> gradtx.kl_divergence(log_q, p)
      Array(0.6931472, dtype=float32)
    """
    return _summed("kl_divergence", _term, log_predictions, targets, axis, where)


def kl_divergence_with_log_targets(
    log_predictions: ArrayLike,
    log_targets: ArrayLike,
    axis: int | tuple[int, ...] | None = -1,
    where: ArrayLike | None = None,
) -> jax.Array:
    """The Kullback-Leibler divergence from targets that are logarithms, too.

        L = sum_j exp(log p_j) (log p_j - log q_j)

    Args, returns and errors are those of `kl_divergence`, with log_targets for targets;
    a log target of -inf is a target of 0.

    Source: as there.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> log_q, log_p = jnp.log(jnp.array([0.5, 0.5])), jnp.array([0.0, -jnp.inf])
      >>> gradtx.kl_divergence_with_log_targets(log_q, log_p)
      Array(0.6931472, dtype=float32)
    """

    def rule(log_q, log_p):
        gone = log_p == -jnp.inf
        return jnp.exp(log_p) * jnp.where(gone, 0, log_p - jnp.where(gone, 0, log_q))

    function = "kl_divergence_with_log_targets"
    names = log_predictions, log_targets, axis, where, "log_targets"
    return _summed(function, rule, *names)


def generalized_kl_divergence(
    log_predictions: ArrayLike,
    targets: ArrayLike,
    axis: int | tuple[int, ...] | None = -1,
    where: ArrayLike | None = None,
) -> jax.Array:
    """The Kullback-Leibler divergence of measures that do not sum to 1.

        L = sum_j (p_j (log p_j - log q_j) + q_j - p_j)

    Each term is at least 0, and 0 only for equal entries. `convex_kl_divergence` is its
    old name.

    Args, returns and errors are those of `kl_divergence`.

    Source: Csiszár, Why least squares and maximum entropy?, 1991, equation 1.7.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> log_q, p = jnp.log(jnp.array([2.0, 1.0])), jnp.array([1.0, 1.0])
      >>> gradtx.generalized_kl_divergence(log_q, p).round(4)  # 1 - log 2
      Array(0.3069, dtype=float32)
    """

    def rule(log_q, p):
        return _term(log_q, p) + (jnp.exp(log_q) - p)

    function = "generalized_kl_divergence"
    return _summed(function, rule, log_predictions, targets, axis, where)


convex_kl_divergence = generalized_kl_divergence
