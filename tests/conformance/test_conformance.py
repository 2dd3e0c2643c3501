"""Every public factory against every check; exceptions are data, with their reason."""

import functools
import types

import jax.numpy as jnp
import pytest

import gradtx
from gradtx.testing import CHECKS, check_transformation, discover, sample
from gradtx.testing.values import falling, is_matrix

from .exceptions import EXCEPTIONS
from .parts import IDLE, OF_EACH_PART, lost, parts_of, resting_on_others

# Beside each factory with sample arguments: calls that take another way through it.
VARIANTS = {
    "adam_nesterov": functools.partial(gradtx.scale_by_adam, nesterov=True),
    "adam_of_the_largest": functools.partial(
        gradtx.scale_by_adam, amsgrad="uncorrected"
    ),
    "add_decayed_weights_scheduled": functools.partial(
        gradtx.add_decayed_weights, falling, is_matrix
    ),
    "centralize_last": functools.partial(gradtx.centralize, -1),
    "chain_of_none": gradtx.chain,
    "chain_of_chains": functools.partial(
        gradtx.chain,
        gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.trace(0.9)),
        gradtx.partition({"a": gradtx.adam(0.1), "b": gradtx.set_to_zero()}, "a"),
    ),
    "injected_with_states": functools.partial(
        gradtx.inject_stateful_hyperparams(gradtx.adam), falling
    ),
    "injected": functools.partial(gradtx.inject_hyperparams(gradtx.adam), falling),
    "lookahead_reset": functools.partial(
        gradtx.lookahead, gradtx.adam(0.1), 2, 0.5, reset_state=True
    ),
    "lbfgs_as_pytorch": functools.partial(gradtx.scale_by_lbfgs, 3, as_pytorch=True),
    "masked_with_zero": functools.partial(
        gradtx.masked, gradtx.adam(0.1), is_matrix, otherwise="zero"
    ),
    "projected_whole": functools.partial(
        gradtx.project,
        gradtx.adam(0.1),
        functools.partial(gradtx.projections.projection_l1_ball, scale=0.9),
    ),
    "quantized_whatever_the_size": functools.partial(
        gradtx.quantize_state, gradtx.adam(0.1), {"mu": 8, "nu": 4}, min_size=1
    ),
    "rmsprop_centered": functools.partial(
        gradtx.rmsprop, 0.1, centered=True, momentum=0.9, nesterov=True
    ),
    "sam_of_many": functools.partial(
        gradtx.sam, gradtx.adam(0.1), gradtx.sgd(0.05, 0.9), 3, reset_state=False
    ),
    "sam_opaque": functools.partial(
        gradtx.sam, gradtx.adam(0.1), gradtx.sgd(0.05), opaque_mode=True
    ),
    "sgd_plain": functools.partial(gradtx.sgd, falling),
    "search_from_one": functools.partial(
        gradtx.scale_by_zoom_linesearch, 20, initial_guess_strategy="one"
    ),
    "written_at_random": functools.partial(
        gradtx.write, gradtx.apply_if_finite(gradtx.adam(0.1), 2), "stochastic"
    ),
    "trace_dampened": functools.partial(gradtx.trace, 0.9, dampening=0.5),
}

MAKES = {
    name: functools.partial(factory, *args, **kwargs)
    for name, factory in discover(gradtx).items()
    for args, kwargs in [sample(factory)]
} | VARIANTS


def made(make):
    """What it builds; None where it raises, which every check of it says."""
    try:
        return make()
    except Exception:
        return None


MADE = {name: made(make) for name, make in MAKES.items()}
SHORT = resting_on_others(MADE)  # aliases, of parts that are checked themselves
ASKED = [
    (name, check)
    for name in MAKES
    for check in CHECKS
    if not (name in SHORT and check in OF_EACH_PART)
]


@pytest.mark.parametrize(("name", "check"), ASKED)
def test_conforms(name, check):
    if (name, check) not in EXCEPTIONS:
        CHECKS[check](MAKES[name])
        return
    reason, said = EXCEPTIONS[name, check]
    with pytest.raises(AssertionError, match=said):
        CHECKS[check](MAKES[name])
    pytest.xfail(reason)


def test_exceptions_are_of_factories_and_checks_that_are_run():
    # What is asked of each part, see parts.py, is not asked again of an alias.
    assert not set(EXCEPTIONS) - set(ASKED), "take these out of EXCEPTIONS"


@pytest.mark.parametrize("name", [name for name, tx in MADE.items() if parts_of(tx)])
def test_an_alias_hands_on_its_arguments(name):
    idle = {argument for of, argument in IDLE if of == name}
    assert set(lost(MADE[name])) == idle, (
        "hand these on to the parts, or say in IDLE of parts.py why they do nothing"
    )


def test_most_aliases_rest_on_their_parts():
    assert {"adam", "adamw", "lion", "sgd", "lamb"} <= SHORT
    # Rules, and what does with one transformation more than to hand it on, do not.
    assert not SHORT & {"scale_by_adam", "trace", "chain", "MultiSteps", "cocob"}


def test_an_alias_that_loses_an_argument_is_caught():
    @gradtx.transformation
    def forgetful(learning_rate, b1=0.9, b2=0.999, eps=1e-8, axis_name=None):
        return gradtx.chain(
            gradtx.scale_by_adam(b2, b1, 1e-8), gradtx.scale(-learning_rate)
        )

    assert lost(forgetful(0.1)) == ["b1", "b2", "eps", "axis_name"]


def test_a_factory_is_found_once_under_its_own_name():
    found = discover(gradtx)
    assert found["partition"] is gradtx.partition
    assert "multi_transform" not in found  # another name of partition
    assert len(set(map(id, found.values()))) == len(found)


@gradtx.transformation
def signsgd(learning_rate, momentum=0.9):
    """New, with parameters of familiar names."""
    gradtx.require.decay("momentum", momentum)
    return gradtx.chain(
        gradtx.ema(momentum),
        gradtx.stateless_with_tree_map(sign),
        gradtx.scale_by_learning_rate(learning_rate),
    )


def sign(g, p):
    return jnp.sign(g)


def test_a_new_factory_is_taken_up_by_its_export_alone():
    module = types.ModuleType("package")
    module.signsgd = signsgd
    [(name, factory)] = discover(module).items()
    assert name == "signsgd"
    args, kwargs = sample(factory)
    check_transformation(lambda: factory(*args, **kwargs))


def test_what_needs_more_in_update_is_named():
    search = gradtx.scale_by_zoom_linesearch(5)
    with pytest.raises(AssertionError, match="needs value, grad, value_fn"):
        CHECKS["keeps_types"](lambda: gradtx.chain(gradtx.scale(-1.0), search))


def test_sample_says_what_it_does_not_know():
    @gradtx.transformation
    def sharpen(learning_rate, sharpness):
        return gradtx.scale(learning_rate * sharpness)

    with pytest.raises(LookupError, match=r"sharpen needs 'sharpness'.*VALUES"):
        sample(sharpen)


def test_sample_goes_by_kind_of_parameter():
    @gradtx.transformation
    def sharpen(learning_rate, eps=1e-8, *, decay, momentum=0.5):
        return gradtx.scale(learning_rate)

    assert sample(sharpen) == ((0.1,), {"decay": 0.9})
