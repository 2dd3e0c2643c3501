"""Schedules of no length: constants, as in Optax; a warm-up of 0 steps joins."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx

from .test_schedules import FAR, RESTARTS, values

# Lengths of 0 and below: constants, as real programs build them.
NO_LENGTH = [
    ("linear_schedule", (0.0, 1.0, 0)),
    ("linear_schedule", (0.2, 1.0, -3, 4)),
    ("linear_schedule", (0.2, 1.0, 5, -4)),
    ("polynomial_schedule", (0.2, 1.0, 2.0, 0)),
    ("polynomial_schedule", (0.2, 1.0, 0.5, -1, -1)),
    ("exponential_decay", (0.9, 0, 0.5)),
    ("exponential_decay", (0.9, -2, 0.5, 3, True, 1.5)),
    ("exponential_decay", (0.9, 3, 0.5, -3, True, 0.1)),
    ("piecewise_constant_schedule", (0.7, {-3: 0.5, 0: 0.5, 4: 0.5})),
    ("warmup_cosine_decay_schedule", (0.1, 0.9, -5, 20)),
    ("warmup_cosine_decay_schedule", (0.1, 0.9, -5, 0, 0.2)),
    ("warmup_exponential_decay_schedule", (0.1, 0.9, 0, 7, 0.5, -3)),
    ("warmup_exponential_decay_schedule", (0.1, 0.9, 5, 0, 0.5)),
    ("warmup_exponential_decay_schedule", (0.1, 0.9, -5, -7, 0.5, 0, True, 0.2)),
    ("sgdr_schedule", ([{**RESTARTS[0], "warmup_steps": -1}, RESTARTS[1]],)),
]


@pytest.mark.parametrize(("name", "args"), NO_LENGTH, ids=str)
def test_lengths_of_none_give_the_values_of_optax(name, args):
    steps = [*range(40), *FAR]
    theirs = values(getattr(optax, name)(*args), steps)
    # At the last count all is over; with a boundary below 0 Optax overflows there.
    theirs = theirs[[*range(42), 41]]
    ours = getattr(gradtx, name)(*args)
    np.testing.assert_allclose(values(ours, steps), theirs, rtol=3e-6, atol=1e-6)
    # Lengths as arrays, of a sweep over them: the same without a look at the numbers.
    if all(isinstance(x, int | float) for x in args):
        arrays = [jnp.asarray(x) if isinstance(x, int) else x for x in args]
        mapped = values(getattr(gradtx, name)(*arrays), steps)
        np.testing.assert_allclose(mapped, theirs, rtol=3e-6, atol=1e-6)


def test_a_join_with_no_warmup_is_what_follows():  # as big_vision's trainer builds it
    warmup = gradtx.linear_schedule(0, 1, 0)
    decay = gradtx.cosine_decay_schedule(1.0, 10)
    joined = gradtx.join_schedules([warmup, decay], [0])
    np.testing.assert_array_equal(values(joined, range(12)), values(decay, range(12)))


@pytest.mark.parametrize("steps", [0, -3, jnp.int32(0)])
def test_a_warmup_of_no_steps_is_at_its_peak(steps):
    # Optax stays at init_value for ever: with a start of 0 nothing would be trained.
    warmup = gradtx.warmup_constant_schedule(0.0, 0.5, steps)
    assert [float(warmup(t)) for t in (0, 1, 9)] == [0.5, 0.5, 0.5]


def test_a_schedule_of_no_length_is_drawn():
    ax = gradtx.plot.plot_schedule(gradtx.linear_schedule(0, 1, 0), 5)
    assert ax.lines[0].get_ydata().tolist() == [0.0] * 5
