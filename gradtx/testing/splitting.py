"""Checks of leaves that are split over devices."""

import contextlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.axes import SplitLeafError, splitting
from gradtx.core.trees import paths_of
from gradtx.testing.leaves import OUTLINE, map_shapes, outline
from gradtx.testing.trial import (
    Make,
    arguments_of,
    expect_close,
    extra_of,
    prepare,
    rebuilt,
    updates_of,
)

AXIS = "shards"
STEPS = 2
# The parts of a sum are added in another order.
ROUNDING = 1e-5
OWN = {"kernel": (4, 2), "bias": (4,)}  # each in two parts along the first dimension


def agrees_when_leaves_are_split(make: Make) -> None:
    """Parts of a leaf on two devices get the updates that the whole would.

    What looks at more than one entry of a leaf, or at several leaves, has to add up
    over devices: it has a parameter `axis_name`, which is given here. What says that
    it needs whole leaves (`whole_leaf=True`) has to refuse split ones by name.
    """
    tx = make()
    parted = tx
    if "axis_name" in arguments_of(tx):
        # What adds up nothing has it for (), and takes no name.
        with contextlib.suppress(SplitLeafError):
            parted = rebuilt(tx, "axis_name", AXIS)
    trees = [_waves(i) for i in range(1 + STEPS)]
    refusal = _refusal(parted, trees[:2])
    if refusal is not None:
        name = getattr(getattr(tx, "call", None), "name", "")
        assert str(refusal).startswith(name), (
            f"expected an error that begins with {name!r} where leaves are split, got "
            f"{refusal}"
        )
        return
    halves = _halves(trees)

    @jax.jit
    def both(trees: Any, halves: Any) -> Any:
        run = jax.vmap(lambda trees: _updates(parted, trees), axis_name=AXIS)
        return _updates(tx, trees), run(halves)

    whole, parts = both(trees, halves)
    joined = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), parts)
    expect_close(joined, whole, "updates of the parts", "of the whole", ROUNDING)


def _refusal(tx: Any, trees: list[Any]) -> Exception | None:
    """The error of a rule that needs whole leaves, where a wrapper has split them."""
    run = jax.vmap(lambda trees: _updates(tx, trees), axis_name=AXIS)
    try:
        with splitting((AXIS,)):
            jax.eval_shape(run, _halves(trees))
    except SplitLeafError as error:
        return error
    return None


def _waves(i: int) -> Any:
    """The parameters, then the gradients of each step."""
    if outline() is OUTLINE:
        return {n: jnp.asarray(_wave(shape, i)) for n, shape in OWN.items()}
    for path, x in paths_of(outline()):
        assert x is None or (x.ndim and x.shape[0] % 2 == 0), (
            f"params{path} has shape {x.shape}: to be split, its first dimension must "
            f"be even; give other params, or skip agrees_when_leaves_are_split"
        )
    return map_shapes(lambda shape: jnp.asarray(_wave(shape, i)))


def _wave(shape: tuple[int, ...], start: int) -> np.ndarray:
    where = np.arange(np.prod(shape)) + 10 * start
    return np.cos(1.7 * where).reshape(shape).astype(np.float32)


def _halves(trees: Any) -> Any:
    """Of each leaf the two parts: a new first dimension, along which vmap goes."""
    return jax.tree.map(lambda x: x.reshape(2, len(x) // 2, *x.shape[1:]), trees)


def _updates(tx: Any, trees: Any) -> list[Any]:
    """The updates of each step; the first tree is of parameters."""
    params = prepare(tx, trees[0])
    state, found = tx.init(params), []
    for gradient in trees[1:]:
        extra = extra_of(tx, gradient, params)
        updates, state = tx.update(updates_of(tx, gradient), state, params, **extra)
        found.append(updates)
    return found
