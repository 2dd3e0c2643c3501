"""The cross entropy of a large vocabulary, whose logits are never there at once."""

import functools
import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.core import check
from gradtx.losses.inputs import compute_dtype, integer_labels, mask, real


def chunked_softmax_cross_entropy(
    hidden: ArrayLike,
    embedding: ArrayLike,
    labels: ArrayLike,
    *,
    chunk_size: int = 4096,
    where: ArrayLike | None = None,
    z_loss: ArrayLike = 0.0,
) -> jax.Array:
    """The cross entropy of a class and a softmax, from hidden states and an embedding.

        L = -log(exp(s_y) / Z) + z log(Z)^2,   s = E h,   Z = sum_k exp(s_k)

    It is `softmax_cross_entropy_with_integer_labels(hidden @ embedding.T, labels)`, and
    so are its gradients, but logits exist for `chunk_size` classes at a time alone: the
    sums go on from chunk to chunk, and the gradient computes each chunk once more. Of
    50,257 classes and 8,192 tokens the logits take 1.6 GB, and so does their gradient;
    a chunk of the default takes 134 MB. The price is one product of matrices more: four
    for a gradient, where three are needed.

    Args:
      hidden: h, floating point, of shape (..., features).
      embedding: E, floating point, of shape (classes, features), as it is looked up in.
      labels: y, integers, shaped like hidden without its last axis.
      chunk_size: of how many classes logits are computed at a time, at least 1. Memory
        grows with it; time falls little beyond some thousands.
      where: boolean, broadcastable to labels; where it is False the loss and its
        gradients are exactly 0, whatever the label, even if a hidden state is NaN.
      z_loss: z, at least 0, as in `softmax_cross_entropy`.

    Returns:
      The losses, shaped like labels, in float32 at least. Logits are summed and kept in
      float32 at least, also where hidden and embedding are narrower. A label below 0 or
      beyond the classes gives NaN, in the loss and in the gradients.

    Raises:
      ValueError: hidden, embedding, labels or where do not fit each other, there is no
        class, or chunk_size or z_loss is out of range.
      TypeError: hidden or embedding are not floating point, labels not integers, or
        where not boolean.

    It has gradients, and these have derivatives in forward mode, as a product with the
    Hessian needs them: `jvp` of `grad`. `jvp` alone, JAX refuses.

    Source: Milakov and Gimelshein, Online normalizer calculation for softmax, 2018,
    algorithm 3, for the sum; Wijmans et al., Cut your losses in large-vocabulary
    language models, 2024, for the gradient. z: Chowdhery et al., PaLM, 2022, section 5.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> h, e, y = jnp.ones((2, 3)), jnp.zeros((10, 3)), jnp.array([4, 9])
      >>> gradtx.chunked_softmax_cross_entropy(h, e, y, chunk_size=4)  # log 10
      Array([2.3025851, 2.3025851], dtype=float32)
    """
    function = "chunked_softmax_cross_entropy"
    check.count("chunk_size", chunk_size, 1)
    check.nonnegative("z_loss", z_loss)
    h, e = real(function, "hidden", hidden), real(function, "embedding", embedding)
    if not h.ndim or e.ndim != 2 or e.shape[1] != h.shape[-1]:
        raise ValueError(
            f"{function}: embedding has shape {e.shape}, hidden has {h.shape}: they "
            f"must be (classes, features) and (..., features)."
        )
    scores = jax.ShapeDtypeStruct((*h.shape[:-1], e.shape[0]), h.dtype)
    y = integer_labels(function, "hidden @ embedding.T", scores, labels)
    wrong = (y < 0) | (y >= e.shape[0])
    kept = None if where is None else mask(function, where, "labels", y.shape)
    if kept is not None:
        h, wrong = jnp.where(kept[..., None], h, 0), wrong & kept
    size, tokens = min(int(chunk_size), e.shape[0]), math.prod(y.shape)
    flat = h.reshape(tokens, h.shape[-1]), e, y.reshape(tokens)
    z = jnp.asarray(z_loss, compute_dtype(h, e))
    loss = jnp.reshape(_losses(size, z, *flat), y.shape)
    # A factor, since a where would leave the gradient finite and plausible.
    loss *= jnp.where(wrong, jnp.nan, 1).astype(loss.dtype)
    return loss if kept is None else jnp.where(kept, loss, 0)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _losses(size: int, z: jax.Array, h: jax.Array, e: jax.Array, y: jax.Array):
    return _forward(size, z, h, e, y)[0]


def _starts(size: int, classes: int) -> jax.Array:
    """The first class of each chunk; the last chunk begins earlier, to be as large."""
    return jnp.arange(0, classes, size)


def _chunk(size: int, h: jax.Array, e: jax.Array, start: jax.Array):
    """A chunk of E, its logits, the classes they are of, and which of them are new."""
    first = jnp.minimum(start, e.shape[0] - size)
    part = jax.lax.dynamic_slice_in_dim(e, first, size)
    wide = compute_dtype(h, e)
    s = jnp.einsum("td,cd->tc", h, part, preferred_element_type=wide)
    classes = first + jnp.arange(size)
    return first, part, s, classes, classes >= start


def _forward(size: int, z: jax.Array, h: jax.Array, e: jax.Array, y: jax.Array):
    def chunk(carry, start):
        top, total, own = carry
        _, _, s, classes, new = _chunk(size, h, e, start)
        s = jnp.where(new, s, -jnp.inf)
        higher = jnp.maximum(top, jnp.max(s, 1))
        # While all logits are -inf there is nothing to rescale.
        shift = jnp.where(higher == -jnp.inf, 0, higher)
        total = total * jnp.exp(top - shift) + jnp.exp(s - shift[:, None]).sum(1)
        own += jnp.sum(jnp.where(new & (classes == y[:, None]), s, 0), 1)
        return (higher, total, own), None

    zero = jnp.zeros(y.shape, compute_dtype(h, e))
    start = zero - jnp.inf, zero, zero
    (top, total, own), _ = jax.lax.scan(chunk, start, _starts(size, e.shape[0]))
    log_z = top + jnp.log(total)
    loss = jnp.log(total) - (own - top) + z * jnp.square(log_z)
    return loss, (z, h, e, y, log_z)


def _backward(size: int, saved, slope: jax.Array):
    z, h, e, y, log_z = saved
    wide = slope.dtype

    def chunk(carry, start):
        to_h, to_e = carry
        first, part, s, classes, new = _chunk(size, h, e, start)
        p = jnp.exp(s - log_z[:, None])
        to_s = p * (1 + 2 * z * log_z)[:, None] - (classes == y[:, None])
        to_s = jnp.where(new, to_s * slope[:, None], 0)
        to_h += jnp.einsum("tc,cd->td", to_s, part.astype(wide))
        to_part = jnp.einsum("tc,td->cd", to_s, h.astype(wide))
        # Where the last chunk begins earlier, the rows that it repeats are 0 in it.
        to_part += jax.lax.dynamic_slice_in_dim(to_e, first, size)
        to_e = jax.lax.dynamic_update_slice_in_dim(to_e, to_part, first, 0)
        return (to_h, to_e), None

    start = jnp.zeros(h.shape, wide), jnp.zeros(e.shape, wide)
    (to_h, to_e), _ = jax.lax.scan(chunk, start, _starts(size, e.shape[0]))
    to_z = jnp.sum(slope * jnp.square(log_z))
    return to_z, to_h.astype(h.dtype), to_e.astype(e.dtype), None


_losses.defvjp(_forward, _backward)
