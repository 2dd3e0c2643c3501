"""Parameter trees to measure on: the shapes of real models, and arrays for them."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def transformer(layers: int, width: int, words: int, positions: int) -> Any:
    """Shapes of a GPT-2: 12 leaves a layer and 4 more."""
    norm = {"scale": (width,), "bias": (width,)}

    def dense(inputs, outputs):
        return {"kernel": (inputs, outputs), "bias": (outputs,)}

    def layer():
        return {
            "ln_1": norm,
            "qkv": dense(width, 3 * width),
            "proj": dense(width, width),
            "ln_2": norm,
            "fc": dense(width, 4 * width),
            "out": dense(4 * width, width),
        }

    return {
        "wte": (words, width),
        "wpe": (positions, width),
        "layers": [layer() for _ in range(layers)],
        "ln_f": norm,
    }


def resnet50() -> Any:
    """Shapes of a ResNet-50 on 1,000 classes: 53 convolutions, each normalized."""

    def conv(size, inputs, outputs):
        norm = {"scale": (outputs,), "bias": (outputs,)}
        return {"kernel": (size, size, inputs, outputs), "norm": norm}

    tree: dict[str, Any] = {"stem": conv(7, 3, 64)}
    inputs = 64
    for stage, blocks in enumerate((3, 4, 6, 3)):
        width = 64 * 2**stage
        for block in range(blocks):
            convs = [
                conv(1, inputs, width),
                conv(3, width, width),
                conv(1, width, 4 * width),
            ]
            if block == 0:  # the shortcut changes the width
                convs.append(conv(1, inputs, 4 * width))
            tree[f"stage{stage}_block{block}"] = convs
            inputs = 4 * width
    return tree | {"head": {"kernel": (inputs, 1000), "bias": (1000,)}}


def many(leaves: int) -> list[tuple[int, ...]]:
    """Shapes of tiny leaves, a few kinds of them as in a model."""
    kinds = ((8,), (8, 8), (16,), (8, 16))
    return [kinds[i % len(kinds)] for i in range(leaves)]


def single(size: int) -> list[tuple[int, ...]]:
    """The shape of a single leaf."""
    return [(size,)]


# From name to a function that gives the tree of shapes.
TREES: dict[str, Callable[[], Any]] = {
    "gpt2": lambda: transformer(12, 768, 50257, 1024),  # 148 leaves, 124M parameters
    "deep": lambda: transformer(200, 64, 256, 128),  # 2,404 leaves, 10M
    "resnet50": resnet50,  # 161 leaves, 25.6M
    "hundred": lambda: transformer(8, 16, 64, 32),  # 100 leaves, 29,000
    "tiny": lambda: transformer(1, 8, 32, 16),  # 16 leaves, 1,300
}


def structs(tree: Any, dtype: Any) -> Any:
    """The tree of shapes, for what needs no arrays."""
    return jax.tree.map(
        lambda shape: jax.ShapeDtypeStruct(shape, dtype),
        tree,
        is_leaf=lambda x: isinstance(x, tuple),
    )


def size(tree: Any) -> int:
    """How many numbers there are in a tree of arrays or their shapes."""
    return sum(math.prod(x.shape) for x in jax.tree.leaves(tree))


def nbytes(tree: Any) -> int:
    """How many bytes a tree of arrays or their shapes takes."""
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(tree))


def arrays(tree: Any, scale: float, seed: int) -> Any:
    """Normally distributed arrays: zeros can be faster than what training sees."""
    block = scale * np.random.default_rng(seed).standard_normal(2**20, np.float32)
    # A copy: an array that borrows NumPy's memory cannot be donated.
    return jax.tree.map(
        lambda x: jnp.array(np.resize(block, x.shape), x.dtype, copy=True), tree
    )
