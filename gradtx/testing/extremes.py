"""A transformation tried on gradients of nothing, of next to nothing, of very much."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.trees import paths_of
from gradtx.testing.leaves import OUTLINE, outline, waves
from gradtx.testing.trial import Make, both_ways, make_trial, numbers, prepare

# The smallest and the largest entry of a gradient. In float16 the least that there is
# and an eighth of the most, so that sums of a few fit; in the others the squares are
# out of the range of float32.
EXTREMES = {
    "float32": (1e-30, 1e30),
    "bfloat16": (1e-30, 1e30),
    "float16": (float(jnp.finfo(jnp.float16).smallest_subnormal), 65504 / 8),
    "complex64": (1e-30 + 1e-30j, 1e30 + 1e30j),
}

# By name the gradients of three steps, from the two: the entries of each in turn. Of
# the mixed ones a matrix has a row of zeros, then a column.
SERIES = {
    "tiny": lambda tiny, large: [[tiny], [-tiny], [0]],
    "large": lambda tiny, large: [[large], [-large], [1]],
    "mixed": lambda tiny, large: [
        [large, tiny, 0, 0, 1, -large],
        [0, large, 0, tiny, 0, -1],
        [0],
    ],
    "rising": lambda tiny, large: [[0], [tiny], [large]],
}


def expect_finite(make: Make, *dtypes: str) -> None:
    """Assert that no step gives what is not finite, in any of the dtypes.

    A tree of all of them, so that one program does; in turn one has such a gradient,
    the others none.
    """
    tx = make_trial(make).tx
    step = jax.jit(lambda *args: both_ways(tx, *args))
    ordinary = {dtype: _some(dtype) for dtype in dtypes}
    zero = jax.tree.map(jnp.zeros_like, ordinary)
    for at, values in (("ordinary", ordinary), ("zero", zero)):
        start = prepare(tx, values)
        first = tx.init(start)
        for what, gradients in _series(zero):
            params, state = start, first
            for i, grads in enumerate(gradients):
                result, by_step = jax.device_get(step(grads, state, params))
                where = f"{what} gradients, {at} params, step {i + 1}: "
                _expect(np.isfinite, result.updates, f"{where}updates")
                for way, moved in (("", result), (" by step", by_step)):
                    _expect(np.isfinite, moved.params, f"{where}params{way}")
                    _expect(_no_nan, moved.state, f"{where}state{way}")
                _, params, state = result


def _some(dtype: str) -> Any:
    values = waves(1.0, dtype)
    if outline() is not OUTLINE:  # the user's: whole, since a rule may need it
        return values
    return {"matrix": values["layer"]["kernel"], "scalar": values["gain"]}


def _series(zero: Any) -> Iterator[tuple[str, list[Any]]]:
    yield "zero", [zero, zero, zero]
    for dtype, tree in zero.items():
        for name, entries in SERIES.items():
            filled = [
                zero | {dtype: jax.tree.map(lambda x, e=e: _filled(x, e), tree)}
                for e in entries(*EXTREMES[dtype])
            ]
            yield f"{name} {dtype}", filled


def _filled(x: Any, entries: list[Any]) -> np.ndarray:
    return np.resize(np.array(entries), x.shape).astype(x.dtype)


def _no_nan(x: np.ndarray) -> np.ndarray:
    return ~np.isnan(x)


def _expect(good: Any, tree: Any, what: str) -> None:
    for path, leaf in paths_of(tree):
        assert leaf is None or good(numbers(leaf)).all(), (
            f"{what}{path} must be finite, is {leaf}"
        )
