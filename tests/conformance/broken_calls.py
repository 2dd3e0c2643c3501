"""Broken refusals and calls, as in broken.py: named for the check that must catch it,
with a pattern of what the check must say as the docstring."""

import math

import jax
import jax.numpy as jnp

import gradtx
from gradtx.core.leafwise import leafwise, zeros
from gradtx.core.types import EmptyState, ScalarOrSchedule
from gradtx.transforms.momentum import TraceState

from .broken import by_hand, halved, stateless, whole


@gradtx.transformation
def stores_the_dtype_it_is_told(mu_dtype=None):
    r"""no leaf of the state is bfloat16 with mu_dtype=bfloat16"""
    return gradtx.trace(0.9)


@gradtx.transformation
def takes_a_schedule(learning_rate: ScalarOrSchedule = 0.5):
    r"""not supported.*function|TypeError"""
    return gradtx.scale(learning_rate)  # type: ignore[arg-type]  # the fault


@gradtx.transformation
def takes_a_schedule__of_another_step(learning_rate: ScalarOrSchedule = 0.5):
    r"""with a schedule as learning_rate\.updates"""
    if not callable(learning_rate):
        return gradtx.scale(learning_rate)
    return gradtx.scale_by_schedule(lambda count: 2 * learning_rate(count))


@gradtx.transformation
def takes_injected_hyperparameters(decay=0.9):
    r"""ConcretizationTypeError|[Tt]racer|float"""
    return gradtx.scale(math.sqrt(decay))


@gradtx.transformation
def takes_injected_hyperparameters__half(decay=0.9):
    r"""step 2 with injected hyperparameters\.updates"""
    return gradtx.trace(decay if isinstance(decay, float) else decay / 2)


def refuses_a_missing_branch():
    r"""expected an error for updates without a leaf .* at \['layer'\]\['bias'\]"""
    return by_hand(*stateless(lambda u, p: halved(u)))


def refuses_another_shape():
    r"""expected an error for a gradient of shape .* at \['layer'\]\['kernel'\]"""
    return by_hand(*stateless(lambda u, p: jax.tree.map(lambda g, p: g + p, u, p)))


def refuses_another_shape__without_its_place():
    r"""that says "\['layer'\]\['kernel'\]", got ValueError: All input arrays"""

    def rule(g, p):
        return jnp.mean(jnp.stack([g, p]), axis=0)

    return by_hand(*stateless(lambda u, p: jax.tree.map(rule, u, p)))


@gradtx.transformation
def refuses_integer_gradients():
    r"""expected an error for a gradient of integers at \['layer'\]\['kernel'\]"""
    return stateless(lambda u, p: halved(u))


def refuses_complex_gradients_of_real_params():
    r"""expected an error for a complex gradient .* at \['layer'\]\['kernel'\]"""
    return by_hand(*stateless(lambda u, p: halved(u)))


@gradtx.transformation
def says_when_it_needs_params():
    r"""says 'needs params', got ValueError: .*None"""
    return stateless(lambda u, p: jax.tree.map(lambda g, p: g + p, u, p))


@gradtx.transformation
def refuses_bad_hyperparameters(b1=0.9):
    r"""expected an error for b1=1\.0, got refuses_bad_hyperparameters\(1\.0\)"""

    def rule(g, v):
        v = b1 * v + g
        return v, v

    return leafwise(TraceState, rule, trace=zeros())


@gradtx.transformation
def refuses_bad_hyperparameters__by_another_name(momentum=0.9):
    r"""for momentum=1\.0 that says 'momentum', got ValueError: decay"""
    return gradtx.scale_by_rms(momentum)


@gradtx.transformation
def refuses_bad_hyperparameters__of_a_new_name(sharpness=0.9):
    r"""expected an error for sharpness=nan"""
    return leafwise(EmptyState, lambda g: sharpness * g)


def knows_its_call():
    r"""decorate its factory with @gradtx.transformation"""
    return by_hand(*whole)


@gradtx.transformation
def scaled(factor):
    return gradtx.scale(factor)


factor = jnp.asarray(0.5)


def prints_as_its_call():
    r"""invalid syntax|not defined|is not subscriptable|Array"""
    return scaled(factor)


def equals_one_built_alike():
    r"""stateless\(<lambda>\) built twice must be equal"""
    return gradtx.stateless(lambda u, p: halved(u))


def is_a_static_argument():
    r"""expected one trace for stateless\(<lambda>\) built twice, got 2"""
    return gradtx.stateless(lambda u, p: halved(u))


def pickles():
    r"""does not pickle: argument 'f' holds"""
    return gradtx.stateless(lambda u, p: halved(u))


@gradtx.transformation
def agrees_when_leaves_are_split():
    r"""updates of the parts\[0\]\['bias'\] is .*, of the whole is"""
    return gradtx.stateless_with_tree_map(lambda g, p: g / jnp.linalg.norm(g))


def state_lies_like_the_parameters():
    r"""init has not made it with jax\.tree\.map"""
    return by_hand(_zeros_one_by_one, lambda u, s, p=None, **extra: (u, s))


def _zeros_one_by_one(params):
    return [jnp.zeros_like(p) for p in jax.tree.leaves(params)]


@gradtx.transformation
def steps_the_same_on_several_devices():
    r"""incompatible devices"""
    alone = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return gradtx.stateless_with_tree_map(
        lambda g, p: jax.lax.with_sharding_constraint(g, alone)
    )


def can_be_explained():
    r"""ConcretizationTypeError"""
    return by_hand(_number_of_a_parameter, lambda u, s, p=None, **extra: (u, s))


def _number_of_a_parameter(params):
    return float(jnp.sum(params["gain"]))


@gradtx.transformation
def has_derivatives_by_hyperparameters(decay=0.9):
    r"""the derivative by decay at decay=0 is nan, differences say"""
    gradtx.require.decay("decay", decay)
    return leafwise(EmptyState, lambda g: (1 - jnp.exp(3 * jnp.log(decay))) * g)


@gradtx.transformation
def has_derivatives_by_hyperparameters__a_constant(decay=0.9):
    r"""the derivative by decay at decay=0\.9 is 0\.0, differences say"""
    return leafwise(EmptyState, lambda g: jax.lax.stop_gradient(decay) * g)


@gradtx.transformation
def refuses_arrays_as_hyperparameters(decay=0.9):
    r"""expected an error for decay of shape \(1,\)"""
    return leafwise(EmptyState, lambda g: decay * g)
