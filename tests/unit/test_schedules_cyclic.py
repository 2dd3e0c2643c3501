"""Schedules that come again, and the one cycle: counts of all kinds, refusals."""

import pickle

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

from .test_schedules import FAR, values

CASES = [
    ("cosine_decay_schedule", (0.9, 7), {"periodic": True}),
    ("cosine_restarts_schedule", (0.9, 7), {}),
    ("cosine_restarts_schedule", (0.9, 7, 2.0, 0.9), {}),
    ("cosine_restarts_schedule", (0.9, 4.5, 1.5), {}),
    ("cyclic_schedule", (0.1, 0.9, 5, 3, "triangular2"), {}),
    ("cyclic_schedule", (0.1, 0.9, 5, None, "exp_range", 0.999), {}),
    ("onecycle_schedule", (20, 0.9), {"three_phase": True}),
]


@pytest.mark.parametrize(("name", "args", "kwargs"), CASES, ids=str)
def test_all_counts_give_the_same(name, args, kwargs):
    schedule = getattr(gradtx, name)(*args, **kwargs)
    together = values(schedule, [0, 4, 30])
    for step, want in zip((0, 4, 30), together, strict=True):
        for count in (step, np.int64(step), float(step), jnp.uint32(step)):
            got = schedule(count)
            assert (got.dtype, got.shape, got.weak_type) == (jnp.float32, (), False)
            np.testing.assert_allclose(got, want, rtol=1e-6)
    assert schedule(10**12) == schedule(2**31 - 1)
    assert np.isfinite(values(schedule, [-3, *FAR])).all()
    loaded = pickle.loads(pickle.dumps(schedule))
    assert loaded == schedule
    assert loaded(7) == schedule(7)


def test_counts_above_2_to_the_24_are_exact():
    far = 2**26  # float32 has every eighth there
    triangle = gradtx.cyclic_schedule(0.0, 1.0, 4)
    periodic = gradtx.cosine_decay_schedule(1.0, 4, periodic=True)
    restarts = gradtx.cosine_restarts_schedule(1.0, 4)
    longer = gradtx.cosine_restarts_schedule(1.0, 1, period_factor=2.0)
    for i in range(8):
        assert triangle(far + i) == triangle(i)
        assert periodic(far + i) == periodic(i)
        assert restarts(far + i) == restarts(i)
    assert longer(far - 1) == 1.0  # 1 + 2 + ... + 2^25 steps are over
    assert longer(far - 2) < 1e-6


def test_periods_longer_than_the_counter():
    for schedule in (
        gradtx.cosine_restarts_schedule(1.0, 2**40),
        gradtx.cosine_decay_schedule(1.0, 2**40, periodic=True),
    ):
        np.testing.assert_allclose(schedule(2**31 - 1), 1.0, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "message"),
    [
        ("cyclic_schedule", (0.0, 1.0, 0), {}, "steps_up must be a whole number"),
        ("cyclic_schedule", (0.0, 1.0, 2, 0), {}, "steps_down"),
        ("cyclic_schedule", (0.0, 1.0, 2, 2, "sawtooth"), {}, "mode"),
        ("cyclic_schedule", (0.0, 1.0, 2), {"gamma": 1.5}, "gamma"),
        ("cosine_restarts_schedule", (1.0, 0), {}, "decay_steps must be at least 1"),
        ("cosine_restarts_schedule", (1.0, 5, 0.5), {}, "period_factor"),
        ("cosine_restarts_schedule", (1.0, 5, 1.0, -1.0), {}, "peak_factor"),
        ("onecycle_schedule", (0, 1.0), {}, "transition_steps"),
        ("onecycle_schedule", (9, 1.0, 1.5), {}, "pct_start"),
        ("onecycle_schedule", (9, 1.0, 0.6), {"three_phase": True}, "at most 0.5"),
        ("onecycle_schedule", (9, 1.0), {"anneal": "cos"}, "anneal"),
    ],
)
def test_bad_numbers_are_refused(name, args, kwargs, message):
    with pytest.raises(ValueError, match=message):
        getattr(gradtx, name)(*args, **kwargs)
