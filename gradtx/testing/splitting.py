"""Checks of leaves that are split over devices."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.testing.trial import (
    Make,
    arguments_of,
    expect_close,
    extra_of,
    prepare,
    rebuilt,
)

AXIS = "shards"
SHAPES = {"kernel": (4, 2), "bias": (4,)}  # each in two parts along the first dimension
STEPS = 2
# The parts of a sum are added in another order.
ROUNDING = 1e-5


def agrees_when_leaves_are_split(make: Make) -> None:
    """Parts of a leaf on two devices get the updates that the whole would.

    What looks at more than one entry of a leaf, or at several leaves, has to add up
    over devices: it has a parameter `axis_name`, which is given here.
    """
    tx = make()
    parted = rebuilt(tx, "axis_name", AXIS) if "axis_name" in arguments_of(tx) else tx
    # Of each leaf the two parts: a new first dimension, along which vmap goes.
    trees = [
        {name: jnp.asarray(_wave(shape, i)) for name, shape in SHAPES.items()}
        for i in range(1 + STEPS)
    ]
    halves = jax.tree.map(lambda x: x.reshape(2, 2, *x.shape[1:]), trees)

    @jax.jit
    def both(trees: Any, halves: Any) -> Any:
        run = jax.vmap(lambda trees: _updates(parted, trees), axis_name=AXIS)
        return _updates(tx, trees), run(halves)

    whole, parts = both(trees, halves)
    joined = jax.tree.map(lambda x: x.reshape(4, *x.shape[2:]), parts)
    expect_close(joined, whole, "updates of the parts", "of the whole", ROUNDING)


def _wave(shape: tuple[int, ...], start: int) -> np.ndarray:
    where = np.arange(np.prod(shape)) + 10 * start
    return np.cos(1.7 * where).reshape(shape).astype(np.float32)


def _updates(tx: Any, trees: Any) -> list[Any]:
    """The updates of each step; the first tree is of parameters."""
    params = prepare(tx, trees[0])
    state, found = tx.init(params), []
    for gradient in trees[1:]:
        extra = extra_of(tx, gradient, params)
        updates, state = tx.update(gradient, state, params, **extra)
        found.append(updates)
    return found
