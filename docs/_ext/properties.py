"""What an optimizer keeps and tracks, found by running it on one number.

Nothing here knows an algorithm by name. An array of state that turns its sign with the
gradient and grows with it is a first moment; one that does not turn and grows is a
second moment (or another measure of size). It leaks if it falls once the gradients
stop. The start is corrected if the update depends on the count of steps.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import gradtx
from examples.pictures.algorithms import aliases
from gradtx.testing import sample

SIDE = 1 << 10  # of the matrix whose state is counted; none is allocated

# Options that change what is kept, shown in rows of their own.
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "sgd": [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}],
    "rmsprop": [{}, {"momentum": 0.9}, {"centered": True}, {"bias_correction": True}],
}


class Row(NamedTuple):
    """One line of the table."""

    name: str  # the factory's
    shown: str  # the call, without the learning rate
    arrays: float  # of state, for each array of parameters
    bytes: float  # of state, for each float32 parameter
    moved: float | None  # bytes read and written a step for each parameter
    tracks: "Tracks | None"  # None where it cannot be told by gradients alone


class Tracks(NamedTuple):
    """What the state stands for."""

    first_moment: bool
    second_moment: bool
    leaky: bool  # the second moment forgets
    corrected: bool  # for its start from zero


def optimizers() -> dict[str, Callable[..., Any]]:
    """The complete optimizers by name, of which there are pictures, too."""
    return dict(sorted(aliases().items()))


def rows(name: str) -> list[Row]:
    """The lines of one optimizer, one for each of its variants."""
    return [_row(name, options) for options in VARIANTS.get(name, [{}])]


def _row(name: str, options: dict[str, Any]) -> Row:
    factory = getattr(gradtx, name)
    args, _ = sample(factory)
    tx = factory(*args, **options)
    shown = f"{name}({', '.join(f'{k}={v}' for k, v in options.items())})"
    shown = shown if options else name
    count, size = state_size(tx)
    return Row(name, shown, count, size, moved(tx), tracks(tx))


def state_size(tx: Any) -> tuple[float, float]:
    """Arrays of state, and their bytes, for each parameter of float32."""
    param = jax.ShapeDtypeStruct((SIDE, SIDE), jnp.float32)
    leaves = [x for x in jax.tree.leaves(jax.eval_shape(tx.init, param)) if x.size > 1]
    entries = sum(x.size for x in leaves)
    stored = sum(x.size * x.dtype.itemsize for x in leaves)
    return round(entries / SIDE**2, 2), round(stored / SIDE**2, 2)


def moved(tx: Any) -> float | None:
    """Bytes that a donated `step` moves for each float32 parameter, by XLA's count."""
    param = jax.ShapeDtypeStruct((SIDE, SIDE), jnp.float32)
    step = jax.jit(lambda p, s, g: tx.step(g, s, p), donate_argnums=(0, 1))
    try:
        lowered = step.lower(param, jax.eval_shape(tx.init, param), param)
    except (TypeError, ValueError):  # as in tracks
        return None
    cost = lowered.compile().cost_analysis()
    return round(cost["bytes accessed"] / SIDE**2, 1)


def tracks(tx: Any) -> Tracks | None:
    """What the state of a transformation stands for."""
    try:
        # Around a step without a gradient: what one of 1, of -1, of 2 changes.
        zero, up, down, twice = (after(tx, [g]) for g in (0.0, 1.0, -1.0, 2.0))
    except (TypeError, ValueError):  # it needs more than gradients: a value, a function
        return None
    faded = after(tx, [1.0, *[0.0] * 50])
    first = second = leaky = False
    for base, a, b, c, late in zip(zero, up, down, twice, faded, strict=True):
        plus, minus, double = a - base, b - base, c - base
        grows = abs(double) > 1.5 * abs(plus)
        if plus == 0 or not grows:
            continue
        if minus == -plus:
            first = True
        elif minus == plus:
            second = True
            leaky |= abs(late - base) < abs(plus)
    return Tracks(first, second, leaky, _depends_on_count(tx))


def after(tx: Any, gradients: list[float]) -> list[float]:
    """The arrays of state after some gradients of a parameter at zero."""
    state = run(tx, gradients)
    shaped = [x for x in jax.tree.leaves(state) if x.shape == (2,)]
    return [float(x[0]) for x in shaped]


def run(tx: Any, gradients: list[float]) -> Any:
    params = jnp.zeros(2)
    state = tx.init(params)
    for gradient in gradients:
        _, state = tx.update(jnp.full(2, gradient), state, params)
    return state


def _depends_on_count(tx: Any) -> bool:
    """Whether the same state gives another update when only the count is changed."""
    params, gradient = jnp.zeros(2), jnp.full(2, 0.3)
    state = run(tx, [1.0, 0.5])
    try:
        later = gradtx.tree.set(state, count=jnp.asarray(1000, jnp.int32))
    except KeyError:  # it counts nothing
        return False
    now, then = (tx.update(gradient, s, params)[0] for s in (state, later))
    return not bool(jnp.allclose(now, then, rtol=1e-3))
