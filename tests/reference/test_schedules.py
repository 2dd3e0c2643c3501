"""Every schedule is its formula, in float64, at every step and past the end."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

from . import schedules
from .tables import SCHEDULES, parametrize

STEPS = np.arange(60)
# float64 rounds at 1.1e-16; near the end of a cosine the value is a difference of
# numbers of order 1, hence the absolute part.
TOLERANCE = {"rtol": 1e-12, "atol": 1e-15}


def assert_same(schedule, formula):
    desired = np.array([formula(int(step)) for step in STEPS])
    with jax.enable_x64(True):
        actual = jax.jit(jax.vmap(schedule))(jnp.asarray(STEPS))
        assert actual.dtype == desired.dtype
        np.testing.assert_allclose(np.asarray(actual), desired, **TOLERANCE)
        for step in (0, 5, 11):  # a step may be a Python number, too
            at_once = schedule(step)
            np.testing.assert_allclose(at_once, desired[step], **TOLERANCE)


@parametrize(SCHEDULES)
def test_the_values_are_the_formula(case):
    with jax.enable_x64(True):
        schedule = getattr(gradtx, case.name)(**case.kwargs)
    assert_same(schedule, getattr(schedules, case.name)(**case.kwargs))


@pytest.mark.parametrize("name", sorted({case.name for case in SCHEDULES}))
def test_the_arguments_are_the_references(name):
    def arguments(module):
        signature = inspect.signature(getattr(module, name))
        return [(p.name, p.default) for p in signature.parameters.values()]

    known = arguments(schedules)
    assert arguments(gradtx)[: len(known)] == known


def test_the_root_of_the_step_and_the_transformers():
    steps = np.arange(1.0, 61)
    rate = gradtx.inverse_sqrt_schedule(0.3)
    np.testing.assert_allclose(jax.vmap(rate)(STEPS), 0.3 / np.sqrt(steps), rtol=1e-6)
    assert rate(-3) == rate(0)
    warm = gradtx.linear_schedule(0.0, 0.3, 8), gradtx.inverse_sqrt_schedule(0.3, 8)
    joined = gradtx.join_schedules(warm, [8])
    # Vaswani et al. 2017, eq. 3: min(t^-1/2, t n^-3/2), with peak sqrt(n) in front.
    t = np.maximum(STEPS, 1e-9)
    desired = 0.3 * np.sqrt(8) * np.minimum(t**-0.5, t * 8**-1.5)
    np.testing.assert_allclose(jax.vmap(joined)(STEPS), desired, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("boundaries", [[5, 20], [0, 1]])
def test_joined_schedules_count_from_their_boundaries(boundaries):
    parts = [("linear_schedule", (0.1, 0.9, 5)), ("constant_schedule", (0.5,))]
    parts.append(("cosine_decay_schedule", (0.9, 20)))

    def joined(module):
        pieces = [getattr(module, name)(*args) for name, args in parts]
        return module.join_schedules(pieces, boundaries)

    with jax.enable_x64(True):
        schedule = joined(gradtx)
    assert_same(schedule, joined(schedules))
