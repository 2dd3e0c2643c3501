"""Uphill instead of downhill."""

from typing import Any

from gradtx.core.compose import chain
from gradtx.core.transformation import inner_of, transformation
from gradtx.transforms.scale import scale


@transformation
def maximize(inner: Any):
    """Climb: give the inner transformation the gradients of minus the objective.

        u = inner(-g)

    Turning the sign of what comes out instead, as
    `scale_by_learning_rate(..., flip_sign=False)` does, turns weight decay around as
    well: -rate (a + decay p) becomes +rate (a + decay p), and weights grow. Clipping,
    momentum and adaptive scaling are the same either way.

    State: the inner state, second in a pair.

    Args:
      inner: an optimizer as one would use it to minimize.

    Raises:
      TypeError: if inner is not a transformation.

    Example:
      >>> import gradtx
      >>> tx = gradtx.maximize(gradtx.sgd(0.5))
      >>> params, state = tx.step(1.0, tx.init(1.0), 1.0)
      >>> float(params)
      1.5
    """
    return chain(scale(-1), inner_of("maximize: inner", inner))
