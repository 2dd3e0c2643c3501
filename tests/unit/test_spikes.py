"""skip_spikes and clip_by_history: what counts, what does not, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.transforms.history import is_above

NAN, INF = np.nan, np.inf
PARAMS = {"w": jnp.array([1.0, -2.0]), "b": jnp.float32(0.5)}


all_above = jax.jit(jax.vmap(is_above, (0, 0, None, None, None)))


@pytest.mark.parametrize("size", [1e-30, 1e-3, 1.0, 1e6, 1e30])
@pytest.mark.parametrize("level", [0.0, 1.0, -3e3])
def test_deviations_have_all_digits(size, level):
    """As in float64 of the same numbers, at any size and far from 0."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(20, 16)) + level
    values = np.asarray(size * noise, np.float32)
    exact = values.astype(float)
    for sigmas, off in ((6.0, 1e-2), (6.0, -1e-2), (0.5, 1e-2), (0.5, -1e-2)):
        mean, deviation = exact.mean(1), exact.std(1, ddof=1)
        value = mean + (sigmas + off) * deviation
        # Of 1e-2 deviations float32 leaves 1/40 at least, 3000 of them from 0.
        found = all_above(jnp.float32(value), jnp.array(values), 16, sigmas, 1e-7)
        np.testing.assert_array_equal(found, np.full(20, off > 0))


def judged(tx, losses, dtype=jnp.float32, start=None):
    """Which steps were left out, in one program; and the last state."""

    def body(state, loss):
        _, new = tx.update(PARAMS, state, PARAMS, value=loss)
        return new, new.total_skipped - state.total_skipped

    state = tx.init(PARAMS) if start is None else start
    state, skipped = jax.jit(lambda s, x: jax.lax.scan(body, s, x))(
        state, jnp.asarray(losses, dtype)
    )
    return np.asarray(skipped).tolist(), state


GUARD = gradtx.skip_spikes(
    gradtx.sgd(1.0, momentum=0.5), window=8, of="loss", warmup=4, max_consecutive=2
)


def test_a_loss_that_stands_still_is_no_spike_by_its_last_digit():
    flat = [0.3] * 8
    more = np.nextafter(np.float32(0.3), np.float32(1))
    skipped, _ = judged(GUARD, [*flat, more, 0.31])
    assert skipped == [0] * 9 + [1]
    skipped, _ = judged(GUARD, [2.0] * 8 + [2.0 + 2**-6, 2.25], jnp.bfloat16)
    assert skipped == [0] * 9 + [1]


def test_what_is_not_finite_never_enters_and_never_is_a_step():
    skipped, state = judged(GUARD, [NAN, 1.0, INF, -INF, NAN, NAN, NAN, 1.1, NAN, 0.9])
    assert skipped == [1, 0, 1, 1, 1, 1, 1, 0, 1, 0]
    np.testing.assert_array_equal(state.losses[-3:], np.float32([1.0, 1.1, 0.9]))
    assert int(state.count) == 3
    assert int(state.skipped_in_a_row) == 0


def test_the_guard_lets_go_and_begins_anew():
    new = [50.0, 51.0, 49.0, 50.0, 50.5, 90.0, 51.0]
    skipped, state = judged(GUARD, [1.0, 2.0, 1.5, 1.2, *new])
    assert skipped == [0] * 4 + [1, 1, 0, 0, 0, 0, 0]
    # From 49 on: 90 was among the first four of them, and a spike would be higher.
    assert int(state.count) == 5
    np.testing.assert_array_equal(state.losses[-5:], np.float32(new[2:]))


def test_a_step_left_out_leaves_no_trace():
    state = judged(GUARD, [1.0, 2.0, 1.5, 1.2])[1]
    params, new = jax.jit(GUARD.step)(PARAMS, state, PARAMS, value=1e3)
    same = np.testing.assert_array_equal
    jax.tree.map(same, params, PARAMS)
    jax.tree.map(same, new.inner_state, state.inner_state)
    jax.tree.map(same, new.losses, state.losses)
    assert (int(new.total_skipped), int(new.skipped_in_a_row)) == (1, 1)


def test_with_multi_steps_inside_a_micro_batch_is_judged_outside_a_mean():
    options = {"window": 4, "warmup": 2, "of": "grad_norm"}
    each = gradtx.skip_spikes(gradtx.MultiSteps(gradtx.sgd(1.0), 2), **options)
    mean = gradtx.MultiSteps(gradtx.skip_spikes(gradtx.sgd(1.0), **options), 2)
    grads = jnp.array([1.0, 2.0, 1.0, 2.0, 1e6, 1.0, 1.0, 3.0])

    def run(tx):
        def body(carry, g):
            return tx.step(g, carry[1], carry[0]), None

        return jax.jit(lambda: jax.lax.scan(body, (0.0, tx.init(0.0)), grads)[0])()

    params, state = run(each)
    # 1.5, 1.5, and 1 with 1; the last waits for another.
    assert (float(params), int(state.total_skipped)) == (-4.0, 1)
    params, state = run(mean)
    # 1.5, 1.5; then the mean of 1e6 and 1 is left out, with both, and 2 is a new spike.
    skipped = gradtx.tree.get(state, "total_skipped")
    assert (float(params), int(skipped)) == (-3.0, 2)


def test_what_is_wrong_is_named():
    tx = gradtx.sgd(0.1)
    for wrong, said in (
        (dict(window=0), "window must be a whole number, at least 2, got 0"),
        (dict(window=8, warmup=9), "warmup must be at most window, 8, got 9"),
        (dict(sigmas=0.0), "sigmas must be above 0"),
        (dict(of=("loss", "norm")), r"of must be one of \('loss', 'grad_norm'\), got"),
        (dict(of=()), "of must name some of"),
        (dict(max_consecutive=0), "max_consecutive must be"),
    ):
        with pytest.raises(ValueError, match=said):
            gradtx.skip_spikes(tx, **wrong)
    guard = gradtx.skip_spikes(tx)
    state = guard.init(PARAMS)
    with pytest.raises(
        ValueError,
        match=r"skip_spikes: the loss is missing: call tx.update\(updates, state, "
        r"params, value=loss\), or look at of=\"grad_norm\" alone",
    ):
        guard.update(PARAMS, state, PARAMS)
    with pytest.raises(ValueError, match="value must be a scalar"):
        guard.update(PARAMS, state, PARAMS, value=jnp.ones(2))
    with pytest.raises(ValueError, match="value must be real, got complex64"):
        guard.update(PARAMS, state, PARAMS, value=jnp.complex64(1j))
    with pytest.raises(TypeError, match="skip_spikes: inner"):
        gradtx.skip_spikes(3)


def test_a_clip_by_history_passes_by_what_is_no_norm():
    """Zero, NaN and infinity leave the limit as it was; huge norms are clipped."""
    tx = gradtx.clip_by_history(window=4, quantile=0.5, warmup=2)
    rows = [[1, 0], [0, 3], [0, 0], [NAN, 1], [INF, 0], [3e30, 4e30], [3, 4], [0, 1]]

    def body(state, g):
        updates, state = tx.update(g, state)
        return state, (updates, state)

    grads = jnp.array(rows, jnp.float32)
    scan = jax.jit(lambda: jax.lax.scan(body, tx.init(grads[0]), grads)[1])
    updates, states = jax.tree.map(np.asarray, scan())
    np.testing.assert_array_equal(states.count, [1, 2, 2, 2, 2, 3, 4, 4])
    # The limit is the median: 2 of 1 and 3, 3 of these and 5e30, 4 with 5.
    desired = [[1, 0], [0, 3], [0, 0], [NAN] * 2, [NAN, 0], [1.2, 1.6], [1.8, 2.4]]
    np.testing.assert_allclose(updates, [*desired, [0, 1]], rtol=1e-6)
    np.testing.assert_allclose(states.norms[-1], [3, 5e30, 5, 1], rtol=1e-6)


def test_a_single_large_norm_does_not_lift_a_limit_by_multiples():
    tx = gradtx.clip_by_history(window=4, multiple=2.0, warmup=1)

    def body(state, g):
        updates, state = tx.update(g, state)
        return state, updates

    grads = jnp.array([1.0, 1.0, 1e37, 3.0, 1.0])
    found = jax.jit(lambda: jax.lax.scan(body, tx.init(0.0), grads)[1])()
    # It counts as 2, the limit: so the next is 8 / 3.
    np.testing.assert_allclose(found, [1, 1, 2, 8 / 3, 1], rtol=1e-6)


def test_a_clip_by_history_is_of_one_kind():
    for wrong in ({}, dict(quantile=0.5, multiple=2.0)):
        with pytest.raises(ValueError, match="give one of quantile and multiple"):
            gradtx.clip_by_history(**wrong)
    for wrong, said in (
        (dict(window=0, multiple=2.0), "window must be a whole number, at least 1"),
        (dict(quantile=1.5), r"quantile must be in \[0, 1\], got 1.5"),
        (dict(multiple=1.0), "multiple must be above 1 and finite, got 1.0"),
        (dict(quantile=0.5, warmup=0), "warmup must be a whole number, at least 1"),
    ):
        with pytest.raises(ValueError, match=said):
            gradtx.clip_by_history(**wrong)
