"""Broken transformations, as in broken.py, that zero, tiny or large gradients break."""

import jax
import jax.numpy as jnp

import gradtx
from gradtx.core.leafwise import leafwise, zeros
from gradtx.core.types import EmptyState
from gradtx.transforms.momentum import TraceState

from .broken import stateless, whole


@gradtx.transformation
def is_finite_on_extreme_gradients():
    r"""zero gradients, ordinary params, step 1: updates.* must be finite, is .*nan"""
    return leafwise(EmptyState, lambda g: g / jnp.abs(g))


@gradtx.transformation
def is_finite_on_extreme_gradients__epsilon():
    r"""zero gradients, .* updates\['float16'\]"""

    def function(updates, params):  # epsilon is 0 in float16
        return jax.tree.map(lambda g: g / (jnp.abs(g) + g.dtype.type(1e-8)), updates)

    return stateless(function)


@gradtx.transformation
def is_finite_on_extreme_gradients__parameters():
    r"""zero gradients, zero params, step 1: updates.*nan"""

    def rule(g, p):
        return g / jnp.abs(p)

    return leafwise(EmptyState, rule, with_params=True)


@gradtx.transformation
def is_finite_on_extreme_gradients__tiny():
    r"""tiny bfloat16 gradients, ordinary params, step 1: updates\['bfloat16'\].*inf"""

    def rule(g, average):  # the square of what is not 0 may be
        average = 0.9 * average + 0.1 * g * g
        return jnp.where(g == 0, 0, g / jnp.sqrt(average)), average

    return leafwise(TraceState, rule, trace=zeros())


@gradtx.transformation
def is_finite_on_extreme_gradients__large():
    r"""large bfloat16 gradients, ordinary params, step 1: updates\['bfloat16'\].*nan"""
    return leafwise(EmptyState, lambda g: g * (g * g / (g * g + 1)))


@gradtx.transformation
def is_finite_on_extreme_gradients__narrow():
    r"""large float16 gradients, ordinary params, step 1: updates\['float16'\].*inf"""

    def rule(g):  # in its own dtype the square is out of range
        return g * g / (abs(g) + g.dtype.type(1)) if g.dtype == jnp.float16 else g

    return stateless(lambda updates, params: jax.tree.map(rule, updates))


@gradtx.transformation
def is_finite_on_extreme_gradients__mixed():
    r"""mixed bfloat16 gradients, ordinary params, step 1: updates\['bfloat16'\].*nan"""

    def rule(g):  # by the largest, whose square is out of range, and by the least
        size = jnp.abs(g)
        return g * jnp.where(jnp.min(size) < jnp.max(size), jnp.max(size) ** 2, 1)

    return leafwise(EmptyState, rule, whole_leaf=True)


@gradtx.transformation
def is_finite_on_extreme_gradients__rising():
    r"""rising bfloat16 gradients, ordinary params, step 3: updates.*inf"""

    def rule(g, last):  # by the largest entry of the step before
        ratio = g / jnp.where(last == 0, 1, last)
        largest = jnp.full_like(last, jnp.max(jnp.abs(g)))
        return jnp.where(last == 0, jnp.sign(g), ratio), largest

    return leafwise(TraceState, rule, trace=zeros(), whole_leaf=True)


@gradtx.transformation
def is_finite_on_extreme_gradients__state():
    r"""large bfloat16 gradients, ordinary params, step 1: state\.trace.*nan"""

    def rule(g, deviation):
        return g, g * g * g / (g * g + 1)

    return leafwise(TraceState, rule, trace=zeros())


@gradtx.transformation
def is_finite_on_extreme_gradients__step():
    r"""zero gradients, ordinary params, step 1: params by step.*nan"""

    def step(updates, state, params):
        unit = jax.tree.map(lambda g: g / jnp.abs(g), updates)
        return gradtx.apply_updates(params, unit), state

    return *whole, step
