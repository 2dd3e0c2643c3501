"""The metrics of a state, as plain names and numbers for any logger."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.core import Tracer

from gradtx.core.pair import GradientTransformation
from gradtx.tree.paths import children
from gradtx.wrappers.counters import FIELDS
from gradtx.wrappers.metrics import WithMetricsState

SKIPPED = "skipped"


class Found(NamedTuple):
    """A metric in a state."""

    name: str
    value: Any


def metrics(state: Any) -> dict[str, Any]:
    """The metrics that `with_metrics` keeps, by name, for any logger.

    Args:
      state: that of a transformation with `with_metrics` in it, wherever it is: in a
        chain, in a group (whose name is put in front, `head/grad_norm`), inside of
        `MultiSteps`, `apply_if_finite`, `inject_hyperparams`. Or what holds such a
        state: Flax's `TrainState` and `nnx.Optimizer`, a tuple, a dict.

    Returns:
      A dict from names to Python numbers, fetched from the device at once; steps that
      a wrapper around has left out count in `skipped`. Of several of one name the
      second is `name.1`. Inside of `jit` and `scan` the numbers are arrays, to be
      returned or stacked.

    Raises:
      ValueError: there are none in the state, or a number for each of several states.

    Example:
      >>> import gradtx
      >>> tx = gradtx.MultiSteps(gradtx.with_metrics(gradtx.sgd(0.1)), 2)
      >>> params, state = 0.0, tx.init(0.0)
      >>> for gradient in (1.0, 3.0):
      ...     params, state = tx.step(gradient, state, params)
      >>> gradtx.metrics(state)["grad_norm"]
      2.0
    """
    found: dict[str, Any] = {}
    skipped: dict[str, list[Any]] = {}
    for name, value in _found(getattr(state, "opt_state", state), "", False):
        if name.rpartition("/")[2] == SKIPPED:
            skipped.setdefault(name, []).append(value)
            continue
        number, free = 0, name
        while free in found:
            number += 1
            free = f"{name}.{number}"
        found[free] = value
    if not found:
        raise ValueError(_nothing(state))
    values = found | skipped
    for name, value in found.items():
        if np.ndim(value):
            raise ValueError(
                f"metrics: {name} has shape {np.shape(value)}, one number for each of "
                f"several states. Take one, jax.tree.map(lambda x: x[0], state)."
            )
    if any(isinstance(x, Tracer) for x in jax.tree.leaves(values)):
        return {n: sum(x) if isinstance(x, list) else x for n, x in values.items()}
    fetched = jax.device_get(values)
    return {
        name: sum(map(int, x)) if isinstance(x, list) else x.item()
        for name, x in fetched.items()
    }


def _found(node: Any, group: str, counted: bool) -> Iterator[Found]:
    """The metrics below; `counted` says whether steps left out are among them."""
    if node is None or isinstance(node, jax.Array | np.ndarray | float | int | str):
        return
    if isinstance(node, WithMetricsState):
        for name, value in node.metrics.items():
            yield Found(_name(group, name), value)
        yield from _found(node.inner_state, group, counted or SKIPPED in node.metrics)
    elif hasattr(node, "_fields"):
        for field, value in zip(node._fields, node, strict=True):
            if field in FIELDS and not counted:
                yield Found(_name(group, SKIPPED), value)
            elif field == "inner_states" and isinstance(value, dict):
                for label, part in value.items():
                    yield from _found(part, _name(group, f"{label}"), counted)
            else:
                yield from _found(value, group, counted)
    elif isinstance(node, dict):
        for value in node.values():
            yield from _found(value, group, counted)
    elif isinstance(node, tuple | list):
        for value in node:
            yield from _found(value, group, counted)
    else:  # of a class that is registered
        for _, value in children(node)[0]:
            yield from _found(value, group, counted)


def _name(group: str, name: str) -> str:
    return f"{group}/{name}" if group else name


def _nothing(state: Any) -> str:
    if isinstance(state, GradientTransformation):
        return (
            f"metrics: {state!r:.60} is a transformation; give its state, "
            f"metrics(state)."
        )
    return (
        f"metrics: there are none in this {type(state).__name__}. Wrap the optimizer, "
        f"tx = with_metrics(tx), before state = tx.init(params)."
    )
