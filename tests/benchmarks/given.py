"""What a step is given besides parameters, state and gradients; gradients of examples.

Each is as cheap as it can be, so that what is counted is the optimizer's.
"""

from typing import Any

import jax
import jax.numpy as jnp

EXAMPLES = 4  # gradients side by side, where it is examples' that a step takes

Extra = dict[str, Any]


def nothing(grads: Any, params: Any) -> Extra:
    return {}


def a_value(grads: Any, params: Any) -> Extra:
    """Of the loss, for a rate that is computed from it."""
    return {"value": jnp.float32(2.0)}


def a_loss(grads: Any, params: Any) -> Extra:
    """A function for an estimate of the Hessian; that of this one is diagonal."""

    def fourth_powers(p: Any) -> jax.Array:
        return sum((jnp.sum(x**4) for x in jax.tree.leaves(p)), jnp.float32(0))

    return {"obj_fn": fourth_powers}


def gradients(grads: Any, params: Any) -> Extra:
    """The gradient at other parameters, one that has to be computed there."""

    def grad_fn(p: Any, i: int) -> Any:
        return jax.tree.map(lambda g, x: g * x, grads, p)

    return {"grad_fn": grad_fn}


def one(grads: Any) -> Any:
    return grads


def of_examples(grads: Any) -> Any:
    """Gradients of a few examples, along a new first axis."""
    weights = jnp.arange(1.0, 1 + EXAMPLES, dtype=jnp.float32)

    def spread(g: Any) -> jax.Array:
        shape = (-1, *[1] * g.ndim)
        return weights.reshape(shape).astype(g.dtype) * g

    return jax.tree.map(spread, grads)
