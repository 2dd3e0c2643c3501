"""Schedules: the same numbers as Optax, all digits, refusals, identity."""

import math
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx

RESTARTS = [
    {"init_value": 0.1, "peak_value": 0.9, "warmup_steps": 2, "decay_steps": 9},
    {"init_value": 0.0, "peak_value": 0.5, "warmup_steps": 0, "decay_steps": 7},
]
CASES = [
    ("constant_schedule", (0.3,)),
    ("linear_schedule", (0.1, 0.9, 10)),
    ("linear_schedule", (0.9, -0.1, 9, 5)),
    ("polynomial_schedule", (0.1, 0.9, 2, 10, 3)),
    ("polynomial_schedule", (0.9, 0.1, 3.0, 10)),
    ("exponential_decay", (0.9, 6, 0.5)),
    ("exponential_decay", (0.9, 6, 0.5, 4, True, 0.1)),
    ("exponential_decay", (0.9, 6, 1.5, 4, False, 3.1)),
    ("piecewise_constant_schedule", (0.7,)),
    ("piecewise_constant_schedule", (0.7, {9: 0.5, 3: 0.1, 0: 2.0})),
    ("piecewise_interpolate_schedule", ("linear", 0.7, {9: 0.5, 3: 0.1})),
    ("piecewise_interpolate_schedule", ("cosine", 0.7, {0: 3.0, 9: 0.5})),
    ("piecewise_interpolate_schedule", ("cosine", 0.7)),
    ("cosine_decay_schedule", (0.7, 10)),
    ("cosine_decay_schedule", (0.7, 10, 0.1, 1.5)),
    ("cosine_decay_schedule", (0.7, 10.5, 1.1)),
    ("warmup_constant_schedule", (0.1, 0.9, 5)),
    ("warmup_cosine_decay_schedule", (0.1, 0.9, 0, 20)),
    ("warmup_cosine_decay_schedule", (0.1, 0.9, 5, 20, 0.01, 2.0)),
    ("warmup_exponential_decay_schedule", (0.1, 0.9, 5, 7, 0.5, 3, True, 0.2)),
    ("linear_onecycle_schedule", (20, 0.9)),
    ("linear_onecycle_schedule", (7, 0.9, 0.2, 0.5, 3.0, 4.0)),
    ("cosine_onecycle_schedule", (20, 0.9)),
    ("sgdr_schedule", (RESTARTS,)),
]
IDS = [f"{name}{args}" for name, args in CASES]
each_case = pytest.mark.parametrize(("name", "args"), CASES, ids=IDS)
# One of each name for what costs a compilation.
ONE_EACH = list(dict(CASES).items())
each_name = pytest.mark.parametrize(("name", "args"), ONE_EACH, ids=list(dict(CASES)))

INTERPOLATED = ("piecewise_interpolate", "linear_onecycle", "cosine_onecycle")
FAR = [10**6, 2**24 + 1, 2**31 - 1]


def values(schedule, steps):
    return np.asarray(jax.jit(jax.vmap(schedule))(jnp.array(steps, jnp.int32)))


@each_case
def test_numbers_are_those_of_optax(name, args):
    # Before step 0 Optax interpolates to 0, and a line without steps never ends.
    level = name.startswith(INTERPOLATED) or args[2:3] == (0,)
    steps = [*range(0 if level else -12, 40), *FAR]
    ours = values(getattr(gradtx, name)(*args), steps)
    theirs = values(getattr(optax, name)(*args), steps)
    # Both round in float32, in another order.
    np.testing.assert_allclose(ours, theirs, rtol=3e-6, atol=1e-6)


@pytest.mark.parametrize("power", [0.5, 1.5])
def test_a_root_of_what_is_left_ends(power):
    # Optax has NaN at the end, compiled: 1 - t / 10 is rounded to below 0 there.
    args = (0.9, 0.1, power, 10)
    ours = values(gradtx.polynomial_schedule(*args), range(20))
    theirs = values(optax.polynomial_schedule(*args), range(10))
    np.testing.assert_allclose(ours[:10], theirs, rtol=1e-6)
    np.testing.assert_array_equal(ours[10:], np.float32(0.1))


@each_name
def test_a_python_count_is_as_good_as_an_array(name, args):
    schedule = getattr(gradtx, name)(*args)
    for step in (0, 4, 30):
        want = schedule(jnp.int32(step))
        for count in (step, np.int64(step), float(step), jnp.uint32(step)):
            got = schedule(count)
            assert got.dtype == jnp.float32
            assert not got.weak_type
            assert got.shape == ()
            np.testing.assert_allclose(got, want, rtol=1e-6)
    assert schedule(10**12) == schedule(2**31 - 1)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_narrow_hyperparameters_do_not_narrow_the_value(dtype):
    value = jnp.asarray(1.0, dtype)
    schedules = [
        gradtx.constant_schedule(value),
        gradtx.linear_schedule(value, 0.0, 1000),
        gradtx.exponential_decay(value, 1000, jnp.asarray(0.5, dtype)),
        gradtx.cosine_decay_schedule(value, 1000),
    ]
    for schedule in schedules:
        assert schedule(jnp.int32(1)).dtype == jnp.float32
    # bfloat16 has nothing between 0.996 and 1.
    np.testing.assert_allclose(schedules[1](1), 0.999, rtol=1e-6)


@each_name
def test_is_level_before_step_0_or_as_in_optax(name, args):
    schedule = getattr(gradtx, name)(*args)
    if name.startswith(INTERPOLATED):
        assert schedule(-3) == schedule(0)
    else:
        np.testing.assert_allclose(
            schedule(-3), getattr(optax, name)(*args)(-3), rtol=1e-5
        )


@pytest.mark.parametrize("left", [0, 1, 10, 1000])
def test_cosine_has_all_digits_at_its_end(left):
    steps = 100_000
    decay = gradtx.cosine_decay_schedule(1.0, steps)
    warm = gradtx.warmup_cosine_decay_schedule(0.0, 1.0, 10, steps + 10)
    want = math.sin(math.pi / 2 * left / steps) ** 2
    np.testing.assert_allclose(decay(steps - left), want, rtol=1e-6)
    np.testing.assert_allclose(warm(steps + 10 - left), want, rtol=1e-6)


@pytest.mark.parametrize("step", [1, 2, 3, 99_999, 100_000])
def test_warmup_has_all_digits_at_its_start(step):
    warmup = gradtx.warmup_constant_schedule(0.0, 0.3, 100_000)
    np.testing.assert_allclose(warmup(step), 0.3 * step / 100_000, rtol=3e-7)


@pytest.mark.parametrize("rate", [0.99999, 1.00001, 0.5, 0.1])
def test_exponential_decay_knows_its_rate(rate):  # float32 has 0.99999 to 3e-8
    step = int(10 / abs(math.log(rate)))
    decay = gradtx.exponential_decay(1.0, 1, rate)
    np.testing.assert_allclose(decay(step), rate**step, rtol=3e-6)


def test_exponential_growth_without_bound_is_not_nan():
    assert gradtx.exponential_decay(1.0, 1, 1.1)(2**31 - 1) == jnp.inf
    assert gradtx.exponential_decay(1.0, 1, 1.1, end_value=2.0)(2**31 - 1) == 2.0
    assert gradtx.exponential_decay(1.0, 1, 0.9)(2**31 - 1) == 0.0


def test_counts_above_2_to_the_24_are_exact():  # float32 has every second, or fourth
    far = 2**26
    line = gradtx.linear_schedule(0.0, 1.0, 8, transition_begin=far)
    stairs = gradtx.exponential_decay(1.0, 1, 0.5, far, staircase=True)
    pieces = gradtx.piecewise_constant_schedule(1.0, {far + 3: 0.5})
    through = gradtx.piecewise_interpolate_schedule(
        "linear", 1.0, {far: 1.0, far + 8: 2.0}
    )
    joined = gradtx.join_schedules([gradtx.constant_schedule(0.0), line], [far + 1])
    cosine = gradtx.cosine_decay_schedule(1.0, far + 1)
    for i in range(9):
        count = jnp.int32(far + i)
        assert line(count) == i / 8
        assert stairs(count) == 0.5**i
        assert pieces(count) == (0.5 if i >= 3 else 1.0)
        assert through(count) == 1 + i / 8
        assert joined(count) == 0.0
        assert (cosine(count) == 0) == (i >= 1)


def test_steps_beyond_the_counter():
    assert gradtx.linear_schedule(1.0, 0.0, 2**40)(2**31 - 1) == 1 - 2.0**-9
    assert gradtx.linear_schedule(1.0, 0.0, 5, 2**40)(2**31 - 1) == 1.0
    assert gradtx.piecewise_constant_schedule(1.0, {2**40: 0.0})(1000) == 1.0


def test_hyperparameters_can_be_mapped_over():
    peaks = jnp.array([0.1, 1.0])

    def one(peak, decay_steps):
        schedules = [
            gradtx.warmup_cosine_decay_schedule(0.0, peak, 2, decay_steps),
            gradtx.exponential_decay(peak, decay_steps, 0.5, end_value=0.01),
            gradtx.linear_onecycle_schedule(20, peak),
            gradtx.piecewise_constant_schedule(peak, {3: 0.1}),
        ]
        return jnp.stack([s(5) for s in schedules])

    got = jax.vmap(one)(peaks, jnp.array([10, 20]))
    want = jnp.stack([one(0.1, 10), one(1.0, 20)])
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_differentiates_by_its_hyperparameters():
    def loss(peak):
        return sum(
            gradtx.warmup_cosine_decay_schedule(0.0, peak, 2, 8)(t) for t in (1, 4)
        )

    slope = jax.grad(loss)(1.0)
    np.testing.assert_allclose(slope, loss(1.0), rtol=1e-6)  # it is linear


@each_name
def test_compares_hashes_pickles_and_prints_by_value(name, args):
    factory = getattr(gradtx, name)
    schedule, again = factory(*args), factory(*args)
    assert schedule == again
    assert hash(schedule) == hash(again)
    assert repr(schedule).startswith(f"{name}(")
    loaded = pickle.loads(pickle.dumps(schedule))
    assert loaded == schedule
    assert loaded(7) == schedule(7)
    assert schedule != gradtx.constant_schedule(0.123)


def test_a_rebuilt_optimizer_is_not_traced_again():
    traces = []

    @jax.jit
    def step(tx, grads, state, params):
        traces.append(tx)
        return tx.step(grads, state, params)

    def build():
        schedule = gradtx.warmup_cosine_decay_schedule(0.0, 0.1, 2, 10)
        return gradtx.adamw(gradtx.join_schedules([schedule, schedule], [10]))

    params = jnp.ones(3)
    state = build().init(params)
    for _ in range(3):
        params, state = step(build(), params, state, params)
    assert len(traces) == 1


def test_join_counts_from_the_boundary_and_never_below_0():
    seen = []

    def watch(count):
        seen.append(int(count))
        return jnp.sqrt(count)

    joined = gradtx.join_schedules([gradtx.constant_schedule(9.0), watch], [4])
    assert [float(joined(t)) for t in (0, 3, 4, 5, 8)] == [9, 9, 0, 1, 2]
    assert seen == [0, 0, 0, 1, 4]


def test_join_of_one_and_of_none_between():
    one, two, three = map(gradtx.constant_schedule, (1.0, 2.0, 3.0))
    assert gradtx.join_schedules([one], [])(5) == 1
    skipped = gradtx.join_schedules([one, two, three], [3, 3])
    assert [float(skipped(t)) for t in range(5)] == [1, 1, 1, 3, 3]
    at_once = gradtx.join_schedules([one, two], [0])
    assert at_once(0) == 2


def test_join_takes_schedules_of_other_types():
    joined = gradtx.join_schedules([lambda t: t, lambda t: 0.5], [3])
    assert [float(joined(t)) for t in range(5)] == [0, 1, 2, 0.5, 0.5]
    assert joined(0).dtype == jnp.float32


def test_no_warmup_begins_at_the_peak():
    for schedule in (
        gradtx.warmup_constant_schedule(0.0, 0.5, 0),
        gradtx.warmup_cosine_decay_schedule(0.0, 0.5, 0, 10),
        gradtx.warmup_exponential_decay_schedule(0.0, 0.5, 0, 10, 0.5),
    ):
        assert schedule(0) == 0.5


def test_a_cycle_may_leave_a_phase_out():
    two = gradtx.linear_onecycle_schedule(10, 1.0, 0.5, 1.0, div_factor=4.0)
    assert [float(two(t)) for t in (0, 5, 8)] == pytest.approx([0.25, 1.0, 0.55])
    assert two(10) == pytest.approx(0.25e-4)
    down = gradtx.cosine_onecycle_schedule(10, 1.0, pct_start=0.0)
    assert down(0) == 1.0


SCHEDULE = gradtx.constant_schedule(1.0)
BAD = [
    ("constant_schedule", (math.nan,), "value"),
    ("linear_schedule", (0.0, 1.0, math.nan), "transition_steps must be finite"),
    ("linear_schedule", (0.0, 1.0, math.inf), "transition_steps must be finite"),
    ("linear_schedule", (0.0, math.inf, 5), "end_value must be finite, got inf"),
    ("linear_schedule", (0.0, 1.0, 5, math.nan), "transition_begin must be finite"),
    ("polynomial_schedule", (0.0, 1.0, 0, 5), "power must be above 0"),
    ("exponential_decay", (1.0, math.nan, 0.5), "transition_steps"),
    ("exponential_decay", (1.0, 5, 0.0), "decay_rate must be above 0"),
    ("exponential_decay", (1.0, 5, -0.5), "decay_rate must be above 0"),
    ("exponential_decay", (1.0, 5, 0.5, math.inf), "transition_begin"),
    ("piecewise_constant_schedule", (1.0, {5: -0.1}), r"boundaries_and_scales\[5\]"),
    ("piecewise_interpolate_schedule", ("cubic", 1.0), "interpolate_type"),
    ("piecewise_interpolate_schedule", ("linear", 1.0, {-1: 1.0}), "at least 0"),
    ("cosine_decay_schedule", (1.0, 0), "decay_steps must be at least 1"),
    ("cosine_decay_schedule", (1.0, 5, -0.1), "alpha must be at least 0"),
    ("cosine_decay_schedule", (1.0, 5, 0.0, 0.0), "exponent must be above 0"),
    ("sgdr_schedule", ([],), "at least one period"),
    ("sgdr_schedule", ([{**RESTARTS[0], "decay_steps": 1}],), "warmup_steps"),
    ("warmup_constant_schedule", (0.0, 1.0, math.nan), "warmup_steps must be finite"),
    ("warmup_constant_schedule", (0.0, math.nan, 1), "peak_value must be finite"),
    ("warmup_exponential_decay_schedule", (0.0, math.nan, 1, 1, 0.5), "peak_value"),
    ("warmup_cosine_decay_schedule", (0.0, 1.0, 10, 10), "below decay_steps=10"),
    ("warmup_cosine_decay_schedule", (0.0, 1.0, 20, 10), "got 20"),
    ("warmup_cosine_decay_schedule", (0.0, 1.0, 0, 0), "below decay_steps=0"),
    ("warmup_exponential_decay_schedule", (0.0, 1.0, 5, 5, 0.0), "decay_rate"),
    ("warmup_stable_decay_schedule", (0.0, 1.0, 5, 6, 10), "got 10"),
    ("warmup_stable_decay_schedule", (0.0, 1.0, 5, -1, 10), "cooldown_steps"),
    ("warmup_stable_decay_schedule", (0.0, 1.0, 1, 2, 9, 0.0, "cosine"), "1-sqrt"),
    ("warmup_stable_decay_schedule", (0.0, 1.0, 1, 2, 9, 0.0, 0.0), "shape must be"),
    ("linear_onecycle_schedule", (0, 1.0), "transition_steps"),
    ("linear_onecycle_schedule", (10, 1.0, 0.9, 0.5), "pct_final"),
    ("linear_onecycle_schedule", (10, 1.0, 1.5), "pct_start"),
    ("cosine_onecycle_schedule", (10, 1.0, 0.3, 0.0), "div_factor"),
    ("join_schedules", ([SCHEDULE, SCHEDULE], []), "one fewer than schedules, got 0"),
    ("join_schedules", ([], []), "one fewer"),
    ("join_schedules", ([SCHEDULE] * 3, [5, 4]), "must not decrease, got"),
]


@pytest.mark.parametrize(("name", "args", "message"), BAD)
def test_bad_numbers_are_refused(name, args, message):
    with pytest.raises(ValueError, match=message):
        getattr(gradtx, name)(*args)


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("linear_schedule", ("0.1", 0.0, 5), "init_value must be a number"),
        ("linear_schedule", (0.1, None, 5), "end_value must be a number"),
        ("linear_schedule", (SCHEDULE, 0.0, 5), "init_value must be a number"),
        ("piecewise_constant_schedule", (1.0, [1, 2]), "must be a dict"),
        ("piecewise_constant_schedule", (1.0, {"5": 0.1}), "must be a number"),
        (
            "join_schedules",
            ([0.1, SCHEDULE], [5]),
            r"schedules\[0\].*constant_schedule",
        ),
        ("sgdr_schedule", ([{**RESTARTS[0], "peak": 1}],), "peak"),
    ],
)
def test_other_types_are_refused(name, args, message):
    with pytest.raises(TypeError, match=message):
        getattr(gradtx, name)(*args)


def test_a_lambda_inside_does_not_pickle_and_says_so():
    joined = gradtx.join_schedules([SCHEDULE, lambda t: t], [5])
    with pytest.raises(pickle.PicklingError, match="lambda"):
        pickle.dumps(joined)
