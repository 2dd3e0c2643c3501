"""Broken transformations. Each is named for the check that must catch it (after __ a
second way to fail), and its docstring is a pattern of what the check must say."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gradtx
from gradtx.core.leafwise import leafwise
from gradtx.core.types import EmptyState

whole = gradtx.trace(0.9)  # nothing wrong with it: its parts are borrowed below
by_hand = gradtx.GradientTransformationExtraArgs


class Counted(NamedTuple):
    count: Any


class Unregistered(NamedTuple):
    init: Any
    update: Any


def stateless(function, params=None):
    """The pair of a function of updates and parameters, unguarded."""
    return whole.init, lambda u, s, p=None, **extra: (function(u, p), s)


def halved(tree):
    return jax.tree.map(lambda g: g / 2, tree)


def is_a_pair_with_a_step():
    r"""has no step"""
    return Unregistered(*whole)


def is_a_pair_with_a_step__of_three():
    r"""must unpack as init, update"""
    return (*whole, whole.step)


@gradtx.transformation
def keeps_types():
    r"""state\.count must be a jax.Array, is a int"""
    return lambda params: Counted(0), lambda u, s, p=None: (u, s)


def keeps_types__of_updates():
    r"""updates\['empty'\] is bfloat16\[0, 2\], params is float32\[0, 2\]"""
    return by_hand(*stateless(lambda u, p: jax.tree.map(jnp.bfloat16, u)))


@gradtx.transformation
def state_is_a_fixed_point():
    r"""after step 1\.trace\['empty'\] is bfloat16.*init's is float32"""

    def update(updates, state, params=None):
        updates, state = whole.update(updates, state)
        return updates, jax.tree.map(jnp.bfloat16, state)

    return whole.init, update


@gradtx.transformation
def state_is_a_fixed_point__weak_type():
    r"""\.count is float32\[\], init's is float32\[\], weakly typed"""
    return lambda params: Counted(jnp.asarray(1.0)), lambda u, s, p=None: (
        u,
        Counted(s.count * jnp.float32(2)),
    )


@gradtx.transformation
def state_is_a_fixed_point__structure():
    r"""after step 1 has the structure"""
    return whole.init, lambda u, s, p=None: (u, (s,))


def traces_once():
    r"""expected one trace over all steps, got 2"""
    return gradtx.stateless(lambda u, p: halved(u))  # a new function every time


def traces_once__weak_type():
    r"""expected one trace over all steps, got"""
    return state_is_a_fixed_point__weak_type()


@gradtx.transformation
def eager_equals_jit():
    r"""step 1 without jit\.updates\['gain'\]"""

    def rule(g):
        return g if isinstance(g, jax.core.Tracer) else 2 * g

    return stateless(lambda u, p: jax.tree.map(rule, u))


@gradtx.transformation
def runs_under_scan():
    r"""[Ss]can.*carry"""
    return whole.init, lambda u, s, p=None: (u, jax.tree.map(jnp.bfloat16, s))


@gradtx.transformation
def runs_under_vmap():
    r"""pure_callback"""

    def rule(g):
        return jax.pure_callback(np.asarray, jax.typeof(g), g)

    return leafwise(EmptyState, rule)


def runs_under_vmap__mixed_members():
    r"""member 0 under vmap\.updates\['gain'\]"""

    @jax.custom_batching.custom_vmap
    def total(g):
        return jnp.sum(g)

    @total.def_vmap
    def of_all(size, batched, g):
        return jnp.broadcast_to(jnp.sum(g), (size,)), True

    return by_hand(*stateless(lambda u, p: jax.tree.map(lambda g: g * total(g), u)))


def passes_through_jit():
    r"""jax.tree.leaves\(tx\) must be \[\]"""
    return Unregistered(*whole)


@gradtx.transformation
def leaves_its_inputs_alone():
    r"""something else into the updates"""

    def update(updates, state, params=None):
        updates["gain"] = updates["gain"] / 2
        return updates, state

    return whole.init, update


@gradtx.transformation
def leaves_its_inputs_alone__arrays():
    r"""updates after update\['gain'\]"""

    def update(updates, state, params=None):
        for leaf in jax.tree.leaves(updates):
            leaf *= 2
        return updates, state

    return whole.init, update


@gradtx.transformation
def can_be_donated():
    r"""before step 1 state\.count\['gain'\] is the same buffer as params\['gain'\]"""
    return Counted, lambda u, s, p=None: (u, Counted(jax.tree.map(jnp.copy, p)))


@gradtx.transformation
def can_be_donated__twice():
    r"""before step 1 state\[1\].* is the same buffer as state\[0\]"""

    def init(params):
        return (whole.init(params),) * 2

    return init, lambda u, s, p=None: (u, s)


@gradtx.transformation
def step_is_update_then_apply():
    r"""step\.params\['gain'\]"""

    def step(updates, state, params):
        return gradtx.apply_updates(params, halved(updates)), state

    return *whole, step


@gradtx.transformation
def state_survives_storage():
    r"""the restored state\.count is float32\[\], the state is float32\[\], weakly"""
    return lambda params: Counted(jnp.asarray(1.0)), lambda u, s, p=None: (u, s)


def passes_other_keywords_by():
    r"""unexpected keyword argument 'unheard_of'"""
    return by_hand(whole.init, lambda updates, state, params=None: (updates, state))


@gradtx.transformation
def passes_missing_leaves_by():
    r"""Expected None|expected no error"""
    return stateless(lambda u, p: jax.tree.map(lambda g, p: g + 0.1 * p, u, p))


@gradtx.transformation
def passes_missing_leaves_by__with_zero():
    r"""updates\['layer'\]\['bias'\] must be None"""

    def fill(g, p):
        return jnp.zeros_like(p) if g is None and p is not None else g

    def function(updates, params):
        return jax.tree.map(fill, updates, params, is_leaf=lambda x: x is None)

    return stateless(function)


@gradtx.transformation
def passes_masked_leaves_by():
    r"""MaskedNode"""

    def function(updates, params):
        matrix = updates["layer"]["kernel"] if "layer" in updates else jnp.ones((1, 1))
        return jax.tree.map(lambda g: g / matrix.size, updates)

    return stateless(function)


@gradtx.transformation
def takes_an_empty_tree():
    r"""reduce.* of empty"""

    def function(updates, params):
        largest = functools.reduce(jnp.maximum, map(jnp.size, jax.tree.leaves(updates)))
        return jax.tree.map(lambda g: g / largest, updates)

    return stateless(function)


@gradtx.transformation
def is_finite_on_finite_gradients():
    r"""state\.count has NaN"""

    def update(updates, state, params=None):  # the mean of an array without entries
        means = [jnp.mean(g) for g in jax.tree.leaves(updates)]
        return updates, Counted(sum(means, start=jnp.zeros([])))

    return lambda params: Counted(jnp.zeros([])), update


@gradtx.transformation
def keeps_bfloat16():
    r"""state\.count\['layer'\]\['bias'\]|state\.count.* is bfloat16 for bfloat16"""

    def init(params):
        return Counted(jax.tree.map(jnp.zeros_like, params))

    def update(updates, state, params=None):
        new = jax.tree.map(lambda g, m: 0.9 * m + g, updates, state.count)
        return new, Counted(new)

    return init, update


keeps_float16 = functools.wraps(keeps_bfloat16)(lambda: keeps_bfloat16())
keeps_float16.__doc__ = r"""is float16 for float16"""


def keeps_float16__updates():
    r"""float16 updates\['.* is float32"""
    return by_hand(
        *stateless(lambda u, p: jax.tree.map(lambda g: g * np.float32(0.5), u))
    )


def keeps_float64():
    r"""float32 updates.* is float64"""

    def function(updates, params):
        return jax.tree.map(lambda g: g * jnp.zeros([]), updates)

    return by_hand(*stateless(function))


@gradtx.transformation
def takes_complex():
    r"""complex"""
    return leafwise(EmptyState, lambda g: jnp.clip(g, -1, 1))


@gradtx.transformation
def lives_through_a_nan():
    r"""FloatingPointError"""

    def function(updates, params):
        for g in jax.tree.leaves(updates):
            if not isinstance(g, jax.core.Tracer) and jnp.isnan(g).any():
                raise FloatingPointError
        return updates

    return stateless(function)
