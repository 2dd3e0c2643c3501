"""The network of convolutional.py: convolutions, pooling, a dense layer, dropout."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import gradtx
from examples.papers.common import Problem
from examples.papers.logistic import CLASSES

SHAPES = {784: (28, 28, 1), 3072: (32, 32, 3)}  # rows, columns, colours, by pixels
CHANNELS, DENSE = (64, 64, 128), 1000
DROPOUT_INPUT, DROPOUT_DENSE = 0.2, 0.5


def convolve(x: jax.Array, layer: Any) -> jax.Array:
    """Convolve without loss of size; x is (images, rows, columns, channels)."""
    x = jax.lax.conv_general_dilated(
        x, layer["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return x + layer["bias"]


def pool(x: jax.Array) -> jax.Array:
    """Take the maximum of 3x3 with stride 2, so that n rows become ceil(n / 2).

    First over rows, then over columns, from strided slices: a step of the network takes
    0.7 times as long as with `lax.reduce_window`, whose gradient is slow on a CPU.
    """
    for axis in 1, 2:
        size = x.shape[axis]
        edge = [(1, 1) if i == axis else (0, 0) for i in range(x.ndim)]
        padded = jnp.pad(x, edge, constant_values=-jnp.inf)
        shifted = [
            jax.lax.slice_in_dim(padded, start, start + size, 2, axis)
            for start in range(3)
        ]
        x = functools.reduce(jnp.maximum, shifted)
    return x


def drop(x: jax.Array, share: float, key: jax.Array | None) -> jax.Array:
    """Set a share of x to zero and scale up the others; without a key, nothing."""
    if key is None:
        return x
    return jnp.where(jax.random.bernoulli(key, 1 - share, x.shape), x / (1 - share), 0)


def logits(params: Any, images: jax.Array, key: jax.Array | None = None) -> jax.Array:
    """Apply the network, with dropout if there is a key."""
    keys = (None, None) if key is None else jax.random.split(key)
    x = drop(images, DROPOUT_INPUT, keys[0])
    for layer in params["convolutions"]:
        # Rectified after pooling: the same numbers from a quarter of the work.
        x = jax.nn.relu(pool(convolve(x, layer)))
    x = x.reshape(len(x), -1)
    x = jax.nn.relu(x @ params["dense"]["kernel"] + params["dense"]["bias"])
    x = drop(x, DROPOUT_DENSE, keys[1])
    return x @ params["output"]["kernel"] + params["output"]["bias"]


def problem(shape: tuple[int, int, int], dropout: bool) -> Problem:
    """Return the network for images of a shape (rows, columns, colours)."""

    def layer(key, *size):
        # Without the 2 that He et al. (2015, eq. 10) have for what a ReLU takes: the
        # maximum of nine makes up for it.
        kernel = jax.random.normal(key, size) / np.prod(size[:-1]) ** 0.5
        return {"kernel": kernel, "bias": jnp.zeros(size[-1])}

    def init(key):
        rows, columns, inputs = shape
        keys = iter(jax.random.split(key, len(CHANNELS) + 2))
        convolutions = []
        for outputs in CHANNELS:
            convolutions.append(layer(next(keys), 5, 5, inputs, outputs))
            rows, columns, inputs = -(-rows // 2), -(-columns // 2), outputs
        return {
            "convolutions": convolutions,
            "dense": layer(next(keys), rows * columns * inputs, DENSE),
            "output": layer(next(keys), DENSE, CLASSES),
        }

    def loss(params, batch, key):
        images, labels = batch
        scores = logits(params, images, key if dropout else None)
        return gradtx.softmax_cross_entropy_with_integer_labels(scores, labels).mean()

    return Problem(init, loss)


def standardise(images: np.ndarray) -> np.ndarray:
    """Give each image mean 0 and standard deviation 1, and its rows and columns."""
    mean, deviation = images.mean(1, keepdims=True), images.std(1, keepdims=True)
    shape = SHAPES[images.shape[1]]
    return ((images - mean) / np.maximum(deviation, 1e-6)).reshape(-1, *shape)
