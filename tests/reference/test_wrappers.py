"""Steps on a condition compute, in float64, their formula; and what Optax computes."""

import jax
import optax
import pytest

import gradtx

from . import test_peers, transforms_wrappers
from .loops import example, run, single
from .test_transforms import assert_same, both_inner, both_ways, each


def late(step):
    return step % 3 == 2


def always(step):
    return step >= 0


NAMES = ["conditionally_transform", "conditionally_mask"]


@both_ways
@both_inner
@pytest.mark.parametrize("condition", [late, always])
@pytest.mark.parametrize("name", NAMES)
def test_a_step_on_a_condition_is_the_formula(name, condition, inner, loop):
    params, grads = example()
    ours, theirs = inner
    with jax.enable_x64(True):
        actual = loop(getattr(gradtx, name)(ours, condition), params, grads)
    rule = getattr(transforms_wrappers, name)
    assert_same(actual, each(rule, params, grads, theirs, condition))


@pytest.mark.parametrize("name", NAMES)
def test_a_step_on_a_condition_is_optaxs(name):
    params, grads = map(single, example())

    def path(lib):
        tx = getattr(lib, name)(lib.sgd(0.1, momentum=0.9), late)
        return run(tx, params, grads, lib.apply_updates)

    test_peers.assert_same(path(gradtx), path(optax))
