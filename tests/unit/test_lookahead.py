"""lookahead: the paper's algorithm in NumPy, Optax, and both sets in step."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx
from gradtx.wrappers.lookahead import LookaheadParams, LookaheadState, lookahead

START = {"w": jnp.array([[1.0, -2.0], [0.5, 4.0]]), "b": jnp.array([1.0, 2.0])}


def gradients(seed):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape), p.dtype), START)


def close(actual, desired, tolerance=1e-6):
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance),
        actual,
        desired,
    )


def same(actual, desired):
    jax.tree.map(np.testing.assert_array_equal, actual, desired)


def both(tx, n):
    """The parameters after each step: by update and apply_updates, and by step."""
    params = stepped = LookaheadParams.init_synced(START)
    state = stepped_state = tx.init(params)
    for i in range(n):
        grads = gradients(i)
        updates, state = tx.update(grads, state, params)
        params = gradtx.apply_updates(params, updates)
        stepped, stepped_state = tx.step(grads, stepped_state, stepped)
        yield params, state, stepped, stepped_state


@pytest.mark.parametrize("reset", [False, True])
def test_path_is_the_papers(reset):
    rate, momentum, alpha, k = 0.1, 0.9, 0.3, 3
    tx = lookahead(gradtx.sgd(rate, momentum=momentum), k, alpha, reset)
    fast = jax.tree.map(np.float64, START)
    slow, v = fast, jax.tree.map(np.zeros_like, fast)
    for i, (params, _, stepped, _) in enumerate(both(tx, 10)):
        v = jax.tree.map(lambda v, g: momentum * v + np.float64(g), v, gradients(i))
        fast = jax.tree.map(lambda p, v: p - rate * v, fast, v)
        if (i + 1) % k == 0:
            slow = jax.tree.map(lambda s, p: s + alpha * (p - s), slow, fast)
            fast = slow
            v = jax.tree.map(np.zeros_like, v) if reset else v
        close(params, LookaheadParams(fast, slow))
        close(stepped, LookaheadParams(fast, slow))


@pytest.mark.parametrize("reset", [False, True])
def test_path_is_optaxs(reset):
    ours = lookahead(gradtx.sgd(0.1, momentum=0.9), 4, 0.5, reset)
    theirs = optax.lookahead(optax.sgd(0.1, momentum=0.9), 4, 0.5, reset)
    desired = optax.LookaheadParams.init_synced(START)
    their_state = theirs.init(desired)
    for i, (params, state, _, _) in enumerate(both(ours, 9)):
        updates, their_state = theirs.update(gradients(i), their_state, desired)
        desired = optax.apply_updates(desired, updates)
        close(params.fast, desired.fast)
        close(params.slow, desired.slow)
        same(state.steps_since_sync, their_state.steps_since_sync)
        close(state.fast_state[0].trace, their_state.fast_state[0].trace)


def test_step_is_update_and_apply_until_the_first_synchronization():
    tx = lookahead(gradtx.sgd(0.25, momentum=0.5), 4, 0.5)
    for params, state, stepped, stepped_state in list(both(tx, 4))[:3]:
        same(params, stepped)
        same(state, stepped_state)
        same(stepped.slow, START)


def test_synchronized_sets_are_equal():
    tx = lookahead(gradtx.adam(0.1), 3, 0.7)
    for i, (params, _, stepped, _) in enumerate(both(tx, 9)):
        if (i + 1) % 3 == 0:
            same(stepped.fast, stepped.slow)
            # update can only say how far to go, and the sum is rounded.
            close(params.fast, params.slow)
            assert np.any(stepped.fast["w"] != START["w"])
        else:
            assert np.any(stepped.fast["w"] != stepped.slow["w"])


def test_whole_step_is_the_fast_optimizer_and_no_step_stays():
    plain, fast, still = gradtx.sgd(0.1, momentum=0.9), START, []
    plain_state = plain.init(fast)
    whole, none = (lookahead(plain, 2, size) for size in (1.0, 0.0))
    for i, (a, b) in enumerate(zip(both(whole, 4), both(none, 4), strict=True)):
        fast, plain_state = plain.step(gradients(i), plain_state, fast)
        close(a[2].fast, fast)
        still.append(b[2])
    same(still[1], LookaheadParams(START, START))
    same(still[3], LookaheadParams(START, START))


def test_init_synced_shares_no_buffer():
    params = LookaheadParams.init_synced(START)
    same(params.fast, params.slow)
    leaves = jax.tree.leaves((params, lookahead(gradtx.adam(0.1), 2, 0.5).init(params)))
    assert len({x.unsafe_buffer_pointer() for x in leaves}) == len(leaves)


@pytest.mark.parametrize("reset", [False, True])
def test_traced_once_scanned_donated_rebuilt(reset):
    tx, traces = lookahead(gradtx.adam(0.25), 2, 0.5, reset), []

    def train(tx, params, state, grads):
        traces.append(1)
        return tx.step(grads, state, params)

    step = jax.jit(train, static_argnums=0, donate_argnums=(1, 2))
    params = LookaheadParams.init_synced(jax.tree.map(jnp.copy, START))
    state = tx.init(params)
    every = [gradients(i) for i in range(5)]
    for grads in every:  # donation goes on after a synchronization
        params, state = step(pickle.loads(pickle.dumps(tx)), params, state, grads)
    assert len(traces) == 1
    leaves = jax.tree.leaves((params, state))
    assert len({x.unsafe_buffer_pointer() for x in leaves}) == len(leaves)

    def body(carry, grads):
        return tx.step(grads, carry[1], carry[0]), None

    start = LookaheadParams.init_synced(START)
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *every)
    carry, _ = jax.lax.scan(body, (start, tx.init(start)), stacked)
    close(carry, (params, state))


def test_update_is_a_fixed_point_of_dtypes():
    tx = lookahead(gradtx.adam(0.1), 1, 0.5, reset_state=True)
    params = LookaheadParams.init_synced(START)
    state = tx.init(params)
    _, after = jax.jit(tx.update)(gradients(0), state, params)
    for x, y in zip(jax.tree.leaves(state), jax.tree.leaves(after), strict=True):
        assert (x.dtype, x.weak_type) == (y.dtype, y.weak_type)


def test_behind_other_transformations():
    tx = gradtx.chain(
        gradtx.clip_by_global_norm(0.5), lookahead(gradtx.sgd(0.5), 2, 0.5)
    )
    params = LookaheadParams.init_synced(START)
    updates, _ = tx.update(gradients(0), tx.init(params), params)
    close(gradtx.global_norm(updates.fast), 0.25)
    stepped, _ = tx.step(gradients(0), tx.init(params), params)
    same(stepped, gradtx.apply_updates(params, updates))


def test_gradients_at_the_fast_parameters():
    tx = lookahead(gradtx.sgd(0.25), 5, 0.5)
    params = LookaheadParams.init_synced(jnp.array([3.0, -2.0]))
    state = tx.init(params)
    for _ in range(100):
        grads = jax.grad(lambda p: jnp.sum(p**2))(params.fast)
        params, state = tx.step(grads, state, params)
    # Each period of 5 steps takes the distance to (1 + 1/32) / 2 of it: 2e-6 in 20.
    np.testing.assert_allclose(params.slow, 0, atol=1e-5)


def test_leaves_without_gradient_stay():
    start = {"a": jnp.ones(2), "none": None, "n": jnp.array([7, 8])}
    grads = {"a": jnp.ones(2), "none": None, "n": None}
    tx = lookahead(gradtx.sgd(0.5), 1, 0.5)
    params = LookaheadParams.init_synced(start)
    updates, _ = tx.update(grads, tx.init(params), params)
    applied = gradtx.apply_updates(params, updates)
    stepped, _ = tx.step(grads, tx.init(params), params)
    for new in (applied, stepped):
        same(new.slow, {"a": jnp.full(2, 0.75), "none": None, "n": jnp.array([7, 8])})
        same(new.fast, new.slow)


def test_narrow_gradients_do_not_part_the_sets():
    start = jnp.array([1.0, 100.0, 1e-3])
    params = LookaheadParams.init_synced(start)
    tx = lookahead(gradtx.sgd(1.0), 1, 0.3)
    grads = jnp.array([1 / 3, 1 / 3, 1 / 3], jnp.bfloat16)
    updates, _ = tx.update(grads, tx.init(params), params)
    params = gradtx.apply_updates(params, updates)
    # In bfloat16 they would be 1e-3 apart.
    np.testing.assert_allclose(params.fast, params.slow, rtol=2e-7)


def test_step_needs_no_memory():
    start, size = jnp.ones((1024, 1024)), 1024 * 1024
    tx = lookahead(gradtx.adam(1e-3), 5, 0.5)

    def train(params, state, grads):
        return tx.step(grads, state, params)

    params = LookaheadParams.init_synced(start)
    step = jax.jit(train, donate_argnums=(0, 1))
    compiled = step.lower(params, tx.init(params), start).compile()
    # Measured: 0.0003 bytes a parameter; update and apply_updates take 12.
    assert compiled.memory_analysis().temp_size_in_bytes < 0.1 * size


def test_optax_inside_and_extra_arguments():
    @gradtx.transformation
    def scale_by_value():
        def update(updates, state, params=None, *, value):
            return jax.tree.map(lambda g: value * g, updates), state

        return lambda params: gradtx.EmptyState(), update

    params = LookaheadParams.init_synced(START)
    tx = lookahead(scale_by_value(), 5, 0.5)
    updates, _ = tx.update(gradients(0), tx.init(params), params, value=2.0)
    same(updates.fast, jax.tree.map(lambda g: 2 * g, gradients(0)))
    foreign = lookahead(optax.adam(0.1), 1, 0.5, reset_state=True)
    params, state = foreign.step(gradients(0), foreign.init(params), params)
    same(params.fast, params.slow)
    assert isinstance(state, LookaheadState)


def test_bad_arguments_are_named():
    for period in (0, 2.5):
        with pytest.raises(ValueError, match="sync_period"):
            lookahead(gradtx.sgd(0.1), period, 0.5)
    for size in (-0.1, 1.1):
        with pytest.raises(ValueError, match="slow_step_size"):
            lookahead(gradtx.sgd(0.1), 5, size)
    with pytest.raises(TypeError, match="lookahead: fast_optimizer"):
        lookahead(0.1, 5, 0.5)
    tx = lookahead(gradtx.sgd(0.1), 5, 0.5)
    with pytest.raises(TypeError, match=r"LookaheadParams\.init_synced\(params\)"):
        tx.init(START)
    params = LookaheadParams.init_synced(START)
    state = tx.init(params)
    for call in (tx.update, tx.step):
        with pytest.raises(TypeError, match="got dict"):
            call(gradients(0), state, START)
        with pytest.raises(ValueError, match=r"updates\['b'\] has shape \(1,\)"):
            call({**gradients(0), "b": jnp.ones(1)}, state, params)
    with pytest.raises(ValueError, match="lookahead needs params"):
        tx.update(gradients(0), state)
