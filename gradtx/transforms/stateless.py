"""Transformations without a state."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.leafwise import leafwise, stateless_init
from gradtx.core.transformation import transformation
from gradtx.core.trees import absent, is_none
from gradtx.core.types import EmptyState
from gradtx.core.widths import widened


@transformation
def identity():
    """Hand the updates on as they are.

    Example:
      >>> import gradtx
      >>> gradtx.identity().update({"w": 1.0}, gradtx.EmptyState())[0]
      {'w': 1.0}
    """

    def update(updates, state, params=None):
        return updates, state

    return stateless_init, update


@transformation
def set_to_zero():
    """Replace every update by zero. `step` leaves the parameters untouched.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.set_to_zero().update(jnp.ones(2), gradtx.EmptyState())[0]
      Array([0., 0.], dtype=float32)
    """
    init, update = leafwise(EmptyState, jnp.zeros_like)

    def step(updates, state, params):
        return params, state

    return init, update, step


@transformation
def stateless(f: Callable[[Any, Any], Any]):
    """Make a transformation of a function of updates and parameters.

    Args:
      f: `f(updates, params) -> updates`, on whole trees, in at least float32; `params`
        may be `None`.

    Example:
      >>> import jax, gradtx
      >>> halve = gradtx.stateless(lambda u, p: jax.tree.map(lambda g: g / 2, u))
      >>> halve.update({"w": 1.0}, halve.init(None))[0]
      {'w': 0.5}
    """

    def update(updates, state, params=None):
        return f(widened(updates), widened(params)), state

    return stateless_init, update


@transformation
def stateless_with_tree_map(f: Callable[[Any, Any], Any]):
    """Make a transformation of a function of one update and one parameter.

    Args:
      f: `f(g, p) -> update` for arrays, in at least float32; `p` is `None` if `update`
        gets no parameters.

    Example:
      >>> import gradtx
      >>> tx = gradtx.stateless_with_tree_map(lambda g, p: g + 0.1 * p)
      >>> tx.update({"w": 1.0}, tx.init(None), {"w": 10.0})[0]
      {'w': 2.0}
    """

    def update(updates, state, params=None):
        def one(g, p=None):
            return g if absent(g) else f(g, p)

        trees = (updates,) if params is None else (updates, params)
        return jax.tree.map(one, *widened(trees), is_leaf=is_none), state

    return stateless_init, update
