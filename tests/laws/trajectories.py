"""One compiled loop for all laws, in float64, and a function to walk down.

Transformations pass through `jit` by value: the same one is compiled once for a shape.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gradtx

# f(x) = x.H.x / 2 - b.x; H is not diagonal, its eigenvalues are 0.3, 1, 3 and 9.
_ROTATION = np.linalg.qr(np.random.default_rng(5).normal(size=(4, 4)))[0]
HESSIAN = _ROTATION * [0.3, 1.0, 3.0, 9.0] @ _ROTATION.T
LINEAR = np.array([1.0, -2.0, 0.5, 3.0])
START = np.array([2.0, 1.0, -1.5, -0.5])


class Path(NamedTuple):
    params: Any  # before each step, and after the last: one more than steps
    updates: Any


def given(params, gradient):
    """Gradients that do not look at the parameters: the data are the gradients."""
    return gradient


def downhill(params, _):
    """The gradient of the quadratic."""
    return HESSIAN @ params - LINEAR


def run(tx, params, data, gradient=given, project=None):
    """Walk: step t takes `gradient(params, data[t])`, then projects the parameters."""
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, _run(tx, params, data, gradient, project))


def transform(tx, gradients):
    """The updates for these gradients, one step after another."""
    params = jax.tree.map(lambda g: np.zeros_like(g[0]), gradients)
    return run(tx, params, gradients).updates


def descend(tx, steps, gradient=downhill, start=START):
    """The points of a walk down the quadratic, the start first."""
    return run(tx, start, np.arange(steps), gradient).params


@functools.partial(jax.jit, static_argnames=("gradient", "project"))
def _run(tx, params, data, gradient, project):
    def body(carry, datum):
        params, state = carry
        updates, state = tx.update(gradient(params, datum), state, params)
        moved = gradtx.apply_updates(params, updates)
        return (project(moved) if project else moved, state), (params, updates)

    params = jax.tree.map(jnp.asarray, params)
    (last, _), (before, updates) = jax.lax.scan(body, (params, tx.init(params)), data)
    params = jax.tree.map(lambda b, x: jnp.append(b, x[None], axis=0), before, last)
    return Path(params, updates)
