"""A loss from a maximum."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.losses.inputs import compute_dtype, real


def make_fenchel_young_loss(
    max_fun: Callable[..., ArrayLike],
) -> Callable[..., jax.Array]:
    """The Fenchel-Young loss of a convex function of scores.

        L(s, y) = M(s) - <y, s>

    Its gradient is grad M(s) - y. With M = logsumexp it is the softmax cross entropy of
    one-hot labels; with a maximum that is smoothed by noise, a loss for structures. It
    is at least 0 up to a constant, the negative of M's conjugate at y.

    Args:
      max_fun: M, from scores of shape (n,) to a number.

    Returns:
      A function `loss(scores, targets, *args, **kwargs)`. scores s and targets y are
      real, of one shape; the last axis is that of M, which is mapped over the others.
      It gives one loss for each, in the promoted dtype of both, computed in float32 at
      least. Further arguments go to M as they are: a key is the same for all. A target
      0 with the score -inf counts as 0. ValueError where the shapes of scores and
      targets differ, or are those of scalars; TypeError where scores are not floating
      point.

    Source: Blondel, Martins and Niculae, Learning with Fenchel-Young losses, 2020,
    equation 14, without the conjugate of y, as in Optax.

    Example:
      >>> import jax, jax.numpy as jnp, gradtx
      >>> loss = gradtx.make_fenchel_young_loss(jax.nn.logsumexp)
      >>> loss(jnp.array([[0.0, 0.0], [3.0, 3.0]]), jnp.array([[1.0, 0.0], [0.0, 1.0]]))
      Array([0.6931472, 0.6931472], dtype=float32)
    """

    def fenchel_young_loss(
        scores: ArrayLike, targets: ArrayLike, *args: Any, **kwargs: Any
    ) -> jax.Array:
        function = "fenchel_young_loss"
        s = real(function, "scores", scores)
        y = real(function, "targets", targets, integers=True)
        if s.shape != y.shape or not s.ndim:
            raise ValueError(
                f"{function}: targets has shape {y.shape}, scores has {s.shape}: they "
                f"must be equal, with an axis for max_fun; they are not broadcast."
            )
        dtype, wide = jnp.result_type(s, y), compute_dtype(s, y)
        s, y = s.astype(wide), y.astype(wide)

        def maximum(one: jax.Array) -> jax.Array:
            return jnp.asarray(max_fun(one, *args, **kwargs))

        for _ in range(s.ndim - 1):
            maximum = jax.vmap(maximum)
        found = maximum(s)
        if found.shape != s.shape[:-1]:
            raise ValueError(
                f"{function}: max_fun gives shape {found.shape[s.ndim - 1 :]} for "
                f"scores of shape {s.shape[-1:]}: it must give a number."
            )
        product = y * jnp.where((y == 0) & (s == -jnp.inf), 0, s)
        return (found - jnp.sum(product, -1)).astype(dtype)

    return fenchel_young_loss
