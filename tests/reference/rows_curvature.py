"""Second-order optimizers, with an estimate that needs no function: data."""

import jax.numpy as jnp

import gradtx

from .cases import decay


def size_less_one(g, p):
    """In place of an estimate of the diagonal: of both signs."""
    return jnp.abs(g) - 1


SIZE = {"hessian_diagonal_fn": gradtx.stateless_with_tree_map(size_less_one)}

ROWS = [
    ("sophia", SIZE),
    ("sophia", SIZE | {"gamma": 0.5, "b2": 0.5, "update_interval": 3}),
    (
        "sophia",
        SIZE
        | {"gamma": 2.0, "b1": 0.5, "weight_decay": decay, "clip_threshold": 0.3}
        | {"eps": 1e-2, "update_interval": 2, "fresh": True, "bias_correction": False},
    ),
    ("sophia", SIZE | {"clip_threshold": None, "eps": 1.0, "gamma": 0.5}),
]

COMPLEX = []

# The schedule's case gives no options, and there is no function to take a Hessian of.
CONSTANT = ["sophia"]
