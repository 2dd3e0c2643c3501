"""Steps as one would write them by hand for speed alone: what there is to reach."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

RATE, B1, B2, EPS, DECAY = 1e-3, 0.9, 0.999, 1e-8, 1e-4


class FloorState(NamedTuple):
    count: jax.Array  # steps so far, int32
    slots: tuple[list[jax.Array], ...]  # float32, a list of leaves a slot


class Floor(NamedTuple):
    """A rule for one array: `(p, g, t, *slots, *scalars) -> (p, *slots)`."""

    rule: Callable[..., tuple[jax.Array, ...]]
    slots: int
    scalars: Callable[[Any], tuple[jax.Array, ...]] = lambda grads: ()
    gate: Callable[[Any], jax.Array] | None = None  # whether to take the step at all
    initial: float = 0.0  # of every slot

    def init(self, params: Any) -> FloorState:
        slots = tuple(
            [jnp.full(p.shape, self.initial) for p in jax.tree.leaves(params)]
            for _ in range(self.slots)
        )
        return FloorState(jnp.zeros([], jnp.int32), slots)

    def step(self, params: Any, state: FloorState, grads: Any) -> tuple[Any, Any]:
        if self.gate is None:
            return self._move(params, state, grads)
        return jax.lax.cond(
            self.gate(grads), self._move, lambda p, s, g: (p, s), params, state, grads
        )

    def _move(self, params: Any, state: FloorState, grads: Any) -> tuple[Any, Any]:
        leaves, treedef = jax.tree.flatten(params)
        t, scalars = state.count + 1, self.scalars(grads)
        rows = []
        for p, g, *row in zip(
            leaves, jax.tree.leaves(grads), *state.slots, strict=True
        ):
            wide = p.astype(jnp.float32), g.astype(jnp.float32)
            new, *row = self.rule(*wide, t, *row, *scalars)
            rows.append((new.astype(p.dtype), *row))
        new, *slots = map(list, zip(*rows, strict=True))
        return treedef.unflatten(new), FloorState(t, tuple(slots))


def _sgd(p, g, t):
    return (p - RATE * g,)


def _momentum(p, g, t, m):
    m = B1 * m + g
    return p - RATE * m, m


def _adam(p, g, t, m, v, decay=0.0):
    m = B1 * m + (1 - B1) * g
    v = B2 * v + (1 - B2) * g * g
    direction = m / (1 - B1**t) / (jnp.sqrt(v / (1 - B2**t)) + EPS)
    return p - RATE * (direction + decay * p), m, v


def _adamw(p, g, t, m, v):
    return _adam(p, g, t, m, v, DECAY)


def _clipped_adamw(p, g, t, m, v, scale):
    return _adamw(p, g * scale, t, m, v)


def _lion(p, g, t, m):
    new = 0.99 * m + 0.01 * g
    # From the new momentum, so that no copy of the old one is kept.
    direction = jnp.sign(B1 / 0.99 * new + (1 - B1 / 0.99) * g)
    return p - RATE * (direction + 1e-3 * p), new


def _adagrad(p, g, t, v):
    v = v + g * g
    return p - RATE * g * jax.lax.rsqrt(v + 1e-7), v


def _rmsprop(p, g, t, v):
    v = B1 * v + (1 - B1) * g * g
    return p - RATE * g * jax.lax.rsqrt(v + EPS), v


def _clip_scale(grads):
    leaves = jax.tree.leaves(grads)
    squares = sum(jnp.sum(jnp.square(g.astype(jnp.float32))) for g in leaves)
    return (jnp.minimum(1.0, jax.lax.rsqrt(squares)),)


def _all_finite(grads):
    # A NaN is passed on by max. Of isfinite, XLA would store a byte a parameter.
    largest = [jnp.max(jnp.abs(g)) for g in jax.tree.leaves(grads)]
    return jnp.max(jnp.stack(largest)) < jnp.inf


FLOORS = {
    "adagrad": Floor(_adagrad, 1, initial=0.1),
    "adam": Floor(_adam, 2),
    "adamw": Floor(_adamw, 2),
    "clipped_adamw": Floor(_clipped_adamw, 2, _clip_scale),
    "finite_adamw": Floor(_adamw, 2, gate=_all_finite),
    "lion": Floor(_lion, 1),
    "momentum": Floor(_momentum, 1),
    "rmsprop": Floor(_rmsprop, 1),
    "sgd": Floor(_sgd, 0),
}
