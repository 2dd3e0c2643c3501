"""Means and variances of the examples' gradients are, in float64, their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx
from gradtx import aggregating as ours

theirs = optax.experimental.aggregating
# In float64 where that is enabled, else in float32.
PARAMS = {"w": np.arange(6.0).reshape(2, 3), "ready": np.array(2.0)}
K, STEPS, BATCH = 2, 6, 4


def examples(axes=(0,), dtype=np.float64):
    """Gradients of STEPS micro-batches, of BATCH examples along each of the axes."""
    rng = np.random.default_rng(0)

    def one(p):
        shape = list(p.shape)
        for axis in sorted(a % (p.ndim + len(axes)) for a in axes):
            shape.insert(axis, BATCH)
        return rng.normal(1.0, 2.0, shape).astype(dtype)

    return [jax.tree.map(one, PARAMS) for _ in range(STEPS)]


def side_by_side(batches, axes=(0,)):
    """All examples of some micro-batches, along one first axis."""

    def flat(x):
        front = np.moveaxis(x, axes, range(len(axes)))
        return front.reshape(-1, *front.shape[len(axes) :])

    return jax.tree.map(lambda *xs: np.concatenate([flat(x) for x in xs]), *batches)


def over_examples(fn, batches, axes=(0,)):
    return jax.tree.map(lambda x: fn(x, axis=0), side_by_side(batches, axes))


def variance(x, axis):
    return x.var(axis=axis, ddof=1)


def assert_same(actual, expected, rtol=1e-12):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        # Sums of numbers near 1: what cancels is not smaller than 0.01 of them.
        np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol)


def run(tx, grads, params=PARAMS):
    """What each update is, and the last state."""
    params = jax.tree.map(jnp.asarray, params)
    update, state, found = jax.jit(tx.update), tx.init(params), []
    for g in grads:
        out, state = update(jax.tree.map(jnp.asarray, g), state, params)
        found.append(out)
    return found, state


def zeros():
    return jax.tree.map(np.zeros_like, PARAMS)


@pytest.mark.parametrize("axis", [0, -1, (0, 1), [0, -1]])
def test_a_mean_over_examples_is_a_mean(axis):
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    grads = examples(axes)
    with jax.enable_x64(True):
        found, _ = run(ours.average_per_element_updates(axis), grads)
    assert_same(found, [over_examples(np.mean, [g], axes) for g in grads])
    size = ours.get_batch_size_from_per_elt_updates(grads[0], axis)
    assert size == BATCH ** len(axes)
    assert size == theirs.get_batch_size_from_per_elt_updates(grads[0], axis)


def test_a_mean_over_micro_batches_is_that_of_all_their_examples():
    grads = examples()
    means = [over_examples(np.mean, [g]) for g in grads]
    expected = []
    for i in range(0, STEPS, K):
        expected += [zeros()] * (K - 1) + [over_examples(np.mean, grads[i : i + K])]
    with jax.enable_x64(True):
        each, _ = run(ours.average_incrementally_updates(0, K), grads)
        whole, state = run(ours.average_incrementally_updates(None, K), means)
    assert_same(each, expected)
    assert_same(whole, expected)
    assert state.ready
    assert state.micro_step == 0
    assert_same(state.avg_grad, zeros())


@pytest.mark.parametrize("k", [1, K, 3])
def test_mean_and_squared_distances_are_those_of_all_examples(k):
    grads = examples((-1,))
    tx = ours.get_per_element_mean_and_sum_sq_diff_grads(-1, k)
    with jax.enable_x64(True):
        found, _ = run(tx, grads)
    for i, (mean, aux) in enumerate(found, 1):
        if i % k:
            assert aux["sample_size"] == 0
            assert_same((mean, aux["sum_sq_diff_grads"]), (zeros(), zeros()))
            continue
        batches = grads[i - k : i]
        assert aux["sample_size"] == k * BATCH
        assert_same(mean, over_examples(np.mean, batches, (-1,)))
        spread = over_examples(variance, batches, (-1,))
        spread = jax.tree.map(lambda v, n=k * BATCH: v * (n - 1), spread)
        assert_same(aux["sum_sq_diff_grads"], spread)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.999])
def test_averages_over_time_are_weighted_means(decay):
    grads = examples()
    with jax.enable_x64(True):
        tx = ours.add_mean_variance_to_opt(gradtx.sgd(0.1), decay, 0, K)
        updates, state = run(tx, grads)
        found = ours.get_unbiased_mean_and_variance_ema(state)
    steps = [grads[i : i + K] for i in range(0, STEPS, K)]
    weights = np.array([float(decay) ** i for i in range(len(steps))][::-1])

    def averaged(fn):
        values = [over_examples(fn, batches) for batches in steps]
        return jax.tree.map(
            lambda *xs: np.average(np.stack(xs), 0, weights=weights), *values
        )

    assert_same(found, (averaged(np.mean), averaged(variance)), rtol=1e-9)
    last = jax.tree.map(lambda m: -0.1 * m, over_examples(np.mean, steps[-1]))
    assert_same(updates[-2:], [zeros(), last])


def test_the_averages_are_exact_in_float32_too():
    """Also where the decay is close to 1, which Optax's are not."""
    tx = ours.add_mean_variance_to_opt(gradtx.sgd(0.1), 0.9999)
    grads = examples(dtype=np.float32)[:1]
    _, state = run(tx, grads)
    found = ours.get_unbiased_mean_and_variance_ema(state)
    expected = over_examples(np.mean, grads), over_examples(variance, grads)
    assert_same(found, expected, rtol=3e-6)


CASES = {
    "mean": lambda lib, opt: lib.average_per_element_updates((0,)),
    "micro-batches": lambda lib, opt: lib.average_incrementally_updates(0, K),
    "sums": lambda lib, opt: lib.get_per_element_mean_and_sum_sq_diff_grads(0, K),
    "sums of one": lambda lib, opt: lib.get_per_element_mean_and_sum_sq_diff_grads(),
    "statistics": lambda lib, opt: lib.add_mean_variance_to_opt(
        opt.adam(0.1), 0.5, 0, K
    ),
    "process": lambda lib, opt: lib.process(
        opt.clip(1.0),
        lib.average_incrementally_updates(0, K),
        opt.sgd(0.1, momentum=0.9),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_numbers_and_states_are_those_of_optax(name):
    # Without the name "ready" among the parameters, which Optax takes for its flag.
    params = {"w": PARAMS["w"]}
    grads = [{"w": g["w"]} for g in examples(dtype=np.float32)]
    actual, state = run(CASES[name](ours, gradtx), grads, params)
    expected, peer = run(CASES[name](theirs, optax), grads, params)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)  # float32, other sums
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(peer), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    if name == "statistics":
        for a, b in zip(
            ours.get_unbiased_mean_and_variance_ema(state),
            theirs.get_unbiased_mean_and_variance_ema(peer),
            strict=True,
        ):
            assert_same(a, b, rtol=1e-5)


def test_a_step_waits_and_then_is_the_update_applied():
    tx = CASES["statistics"](ours, gradtx)
    grads = examples(dtype=np.float32)[:K]
    step = jax.jit(tx.step)
    first, state = step(grads[0], tx.init(PARAMS), PARAMS)
    assert_same(first, PARAMS, rtol=0)
    before = tx.init(PARAMS)
    assert_same(state[2], before[2], rtol=0)
    second, state = step(grads[1], state, first)
    updates, same = run(tx, grads)
    assert_same(second, gradtx.apply_updates(PARAMS, updates[-1]), rtol=1e-6)
    assert_same(state, same, rtol=1e-6)


def test_a_state_keeps_its_types_through_scan_and_donation():
    tx = CASES["statistics"](ours, gradtx)
    grads = jax.tree.map(lambda *xs: jnp.stack(xs), *examples(dtype=np.float32))

    def body(carry, g):
        return tx.step(g, carry[1], carry[0]), None

    @jax.jit
    def loop(params, state):
        return jax.lax.scan(body, (params, state), grads)[0]

    params, state = loop(jax.tree.map(jnp.asarray, PARAMS), tx.init(PARAMS))
    again = jax.eval_shape(loop, params, state)
    assert jax.tree.map(jnp.shape, state) == jax.tree.map(jnp.shape, again[1])
    buffers = [x.unsafe_buffer_pointer() for x in jax.tree.leaves(tx.init(PARAMS))]
    assert len(set(buffers)) == len(buffers)


def test_narrow_and_complex_gradients():
    grads = jnp.array([[1 + 2j, 0], [3 - 2j, 0], [2, 0]])
    tx = ours.get_per_element_mean_and_sum_sq_diff_grads(0, 2)
    state = tx.init(grads[0])
    for _ in range(2):
        (mean, aux), state = tx.update(grads, state)
    assert_same(mean, jnp.array([2 + 0j, 0]), rtol=1e-6)
    assert aux["sum_sq_diff_grads"].dtype == jnp.float32
    assert_same(aux["sum_sq_diff_grads"], 2 * jnp.array([10.0, 0]), rtol=1e-6)
    # Of 1000 ones and a 0 in bfloat16: its own sum would stop at 256.
    narrow = jnp.ones((1001, 1), jnp.bfloat16).at[0].set(0)
    tx = ours.get_per_element_mean_and_sum_sq_diff_grads()
    (mean, aux), _ = tx.update(narrow, tx.init(jnp.ones(1, jnp.bfloat16)))
    assert mean.dtype == aux["sum_sq_diff_grads"].dtype == jnp.float32
    assert_same(mean, jnp.array([1000 / 1001]), rtol=1e-5)
    assert_same(aux["sum_sq_diff_grads"], jnp.array([1000 / 1001]), rtol=1e-5)
    alone = ours.average_per_element_updates()
    assert alone.update(narrow, alone.init(narrow[0]))[0].dtype == jnp.bfloat16
