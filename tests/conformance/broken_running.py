"""Broken transformations, as in broken.py: in what `init` takes and in how they run."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gradtx

from .broken import by_hand, halved, stateless, whole


class HeldState(NamedTuple):
    held: Any


def held(params, hold):
    """A state of something made from each parameter."""
    return HeldState(jax.tree.map(hold, params))


def each(function):
    return lambda updates, params: jax.tree.map(function, updates)


def kept(updates, state, params=None, **extra):
    return updates, state


@gradtx.transformation
def takes_shapes_for_params():
    r"""expected no error, got \w+Error"""
    return lambda params: held(params, lambda p: p + 0), kept


@gradtx.transformation
def takes_numpy_and_numbers():
    r"""expected no error, got AttributeError: .* has no attribute 'devices'"""
    return lambda params: held(params, lambda p: (p.devices(), jnp.array(p))[1]), kept


def refuses_functions_among_params():
    r"""expected an error for a function among params, got none"""
    return by_hand(lambda params: gradtx.EmptyState(), kept)


@gradtx.transformation
def compiles_once_without_jit():
    r"""built anew compiled 4 programs in its fourth step"""

    def update(updates, state, params=None):
        compiled_each_time = jax.jit(lambda g: g / 2)
        return jax.tree.map(compiled_each_time, updates), state

    return whole.init, update


def leak():
    """An `update` that keeps what it was given."""
    seen = []

    def update(updates, state, params=None, **extra):
        seen[:] = jax.tree.leaves(updates)
        return updates, state

    return update


def steps_under_strict_flags():
    r"""Leaked"""
    return by_hand(lambda params: gradtx.EmptyState(), leak())


@gradtx.transformation
def steps_under_strict_flags__dtypes():
    r"""TypePromotionError"""
    third = np.float32(1 / 3)  # not of the gradient's dtype, under x64

    def rule(g):
        return jnp.float64(third) * g + jnp.arange(1, dtype=jnp.int32)[0]

    return gradtx.leafwise(gradtx.EmptyState, rule)


@gradtx.transformation
def steps_under_nan_checks():
    r"""nan"""
    # Right in the end, by way of 0 / 0.
    return stateless(each(lambda g: jnp.where(g == 0, 0, g / g)))


@gradtx.transformation
def steps_under_infinity_checks():
    r"""inf"""
    return stateless(each(lambda g: jnp.where(g == 0, 0, 1 / g)))


@gradtx.transformation
def steps_under_infinity_checks__in_the_state():
    r"""inf"""

    def init(params):
        return held(params, lambda p: jnp.zeros_like(p))

    def update(updates, state, params=None):
        return halved(updates), held(updates, lambda g: g / jnp.zeros_like(g))

    return init, update
