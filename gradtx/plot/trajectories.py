"""The points that optimizers come through, as numbers."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core import check
from gradtx.core.apply import apply_updates
from gradtx.core.examples import example_axes
from gradtx.core.transformation import inner_of
from gradtx.plot import canvas


def paths(
    fn: Callable[[jax.Array], Any],
    optimizers: Mapping[str, Any],
    *,
    start: Sequence[float] | jax.Array,
    steps: int,
) -> dict[str, np.ndarray]:
    """Minimize a function with each optimizer; give the points on the way.

    Args:
      fn: from an array shaped like `start` to a scalar.
      optimizers: from name to transformation, of gradtx or Optax. `update` also gets
        `value=`, `grad=`, `value_fn=` and `obj_fn=`, which line searches and estimates
        of the Hessian need. What takes gradients of examples gets that of one.
      start: the first point, a vector.
      steps: how many updates, at least 1; they run in one compiled `scan`.

    Returns:
      From name to an array of `steps + 1` points, the start first. A path that has
      become NaN stays NaN.

    Raises:
      ValueError: steps below 1; a start that is no vector; a value that is no real
        scalar.
      TypeError: what is no transformation.

    Example:
      >>> import gradtx
      >>> fn = gradtx.plot.surfaces.saddle
      >>> found = gradtx.plot.paths(
      ...     fn, {"sgd": gradtx.sgd(0.25)}, start=(2.0, 1.0), steps=2
      ... )
      >>> found["sgd"].tolist()
      [[2.0, 1.0], [1.0, 1.5], [0.5, 2.25]]
    """
    check.count("steps", steps, 1)
    first = jnp.asarray(start, float)
    if first.ndim != 1:
        raise ValueError(f"paths: start must be a vector, has shape {first.shape}.")
    out = jax.eval_shape(fn, first)
    if getattr(out, "shape", None) != () or not jnp.issubdtype(out.dtype, jnp.floating):
        raise ValueError(
            f"paths: fn must give a real scalar at {start}, gives {canvas.kind(out)}."
        )
    return {
        name: np.asarray(_path(fn, inner_of(f"optimizer {name!r}", tx), first, steps))
        for name, tx in optimizers.items()
    }


@partial(jax.jit, static_argnames=("fn", "tx", "steps"))
def _path(fn: Callable, tx: Any, start: jax.Array, steps: int) -> jax.Array:
    """The points of one optimizer, (steps + 1, dimensions)."""

    def step(carry, _):
        point, state = carry
        value, grad = jax.value_and_grad(fn)(point)
        extra = {"value": value, "grad": grad, "value_fn": fn, "obj_fn": fn}
        given = jnp.expand_dims(grad, example_axes(tx.update) or ())
        updates, state = tx.update(given, state, point, **extra)
        point = apply_updates(point, updates)
        return (point, state), point

    _, points = jax.lax.scan(step, (start, tx.init(start)), length=steps)
    return jnp.concatenate([start[None], points])
