"""A small byte-level language model in plain JAX: text, weights, loss, samples."""

from functools import partial
from pydoc_data.topics import topics
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gradtx

BYTES = 256
HEAD_WIDTH = 32
HELD_OUT = 0.1  # the last part of the text


class Text(NamedTuple):
    train: np.ndarray  # (bytes,) uint8
    validation: np.ndarray  # (bytes,) uint8, what comes after

    @property
    def unigram_bits(self) -> float:
        """Bits per byte for who knows how often each byte comes, and nothing else."""
        counts = np.bincount(self.train, minlength=256) + 1
        return float(-np.log2(counts / counts.sum())[self.validation].mean())


def load_text() -> Text:
    text = np.frombuffer("\n\n".join(topics.values()).encode(), np.uint8)
    cut = int(len(text) * (1 - HELD_OUT))
    return Text(text[:cut], text[cut:])


def windows(text: np.ndarray, starts: np.ndarray, context: int) -> np.ndarray:
    """Take a window from each start, and the byte after it: the last to predict."""
    return text[starts[:, None] + np.arange(context + 1)]


class Sizes(NamedTuple):
    layers: int = 3
    width: int = 128  # a multiple of HEAD_WIDTH
    context: int = 128  # bytes that a prediction may look at


def init_params(key, sizes: Sizes) -> dict[str, Any]:
    """Draw weights that keep the variance; what is added to the stream starts small."""
    layers, width, context = sizes
    keys = iter(jax.random.split(key, 3 + 4 * layers))

    def matrix(inputs, outputs, scale=1.0):
        draw = jax.random.normal(next(keys), (inputs, outputs))
        return draw * (scale * inputs**-0.5)

    small = (2 * layers) ** -0.5  # as many are added
    return {
        "embedding": 0.02 * jax.random.normal(next(keys), (BYTES, width)),
        "position": 0.02 * jax.random.normal(next(keys), (context, width)),
        "blocks": [
            {
                "attention_gain": jnp.ones(width),
                "attention_in": matrix(width, 3 * width),
                "attention_out": matrix(width, width, small),
                "mlp_gain": jnp.ones(width),
                "mlp_in": matrix(width, 4 * width),
                "mlp_out": matrix(4 * width, width, small),
            }
            for _ in range(layers)
        ],
        "gain": jnp.ones(width),
        "output": matrix(width, BYTES),
    }


def normalized(x, gain):
    """Divide by the root mean square of the last axis."""
    return gain * x * jax.lax.rsqrt(jnp.mean(x**2, -1, keepdims=True) + 1e-6)


def logits(params, tokens):
    """Predict the byte after each of (batch, time): scores (batch, time, 256)."""
    x = params["embedding"][tokens] + params["position"][: tokens.shape[1]]
    heads = (*x.shape[:2], -1, HEAD_WIDTH)
    for block in params["blocks"]:
        mixed = normalized(x, block["attention_gain"]) @ block["attention_in"]
        q, k, v = (part.reshape(heads) for part in jnp.split(mixed, 3, axis=-1))
        seen = jax.nn.dot_product_attention(q, k, v, is_causal=True)
        x += seen.reshape(x.shape) @ block["attention_out"]
        hidden = jax.nn.gelu(normalized(x, block["mlp_gain"]) @ block["mlp_in"])
        x += hidden @ block["mlp_out"]
    return normalized(x, params["gain"]) @ params["output"]


def loss_fn(params, tokens):
    """Mean cross-entropy in nats of each byte but the first of (batch, time + 1)."""
    scores = logits(params, tokens[:, :-1])
    return gradtx.softmax_cross_entropy_with_integer_labels(
        scores, tokens[:, 1:]
    ).mean()


@partial(jax.jit, static_argnames=("count", "temperature"))
def generate(params, prompt, key, count: int, temperature: float = 0.8):
    """Write `count` bytes after a prompt of (time,) bytes, no longer than the context.

    Each byte takes a pass over the whole context: simple, and fast enough for a sample.
    """
    context = params["position"].shape[0]
    window = jnp.zeros(context, jnp.int32).at[: len(prompt)].set(prompt)

    def write(carry, key):
        window, end = carry  # what stands behind the end is not looked at
        scores = logits(params, window[None])[0, end - 1] / temperature
        byte = jax.random.categorical(key, scores)
        full = end == context
        window = jnp.where(full, jnp.roll(window, -1), window)
        end = jnp.where(full, context, end + 1)
        return (window.at[end - 1].set(byte), end), byte

    keys = jax.random.split(key, count)
    return jax.lax.scan(write, (window, jnp.int32(len(prompt))), keys)[1]
