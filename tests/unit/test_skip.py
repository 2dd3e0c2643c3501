"""apply_if_finite: a bad gradient changes nothing but the counters."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx
from gradtx.wrappers.skip import ApplyIfFiniteState, apply_if_finite

NAN, INF = jnp.nan, jnp.inf
PARAMS = {"w": jnp.array([[1.0, -2.0], [0.5, 4.0]]), "b": jnp.array([1.0, 2.0])}


def gradients(value, seed=0):
    rng = np.random.default_rng(seed)
    grads = jax.tree.map(
        lambda p: jnp.asarray(rng.normal(size=p.shape), p.dtype), PARAMS
    )
    grads["b"] = grads["b"].at[1].set(value)
    return grads


def same(actual, desired):
    assert jax.tree.structure(actual) == jax.tree.structure(desired)
    for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(desired), strict=True):
        np.testing.assert_array_equal(x, y)
        assert x.dtype == y.dtype


@pytest.mark.parametrize("most", [0, 1, 2])
def test_path_and_counters_are_optaxs(most):
    ours = apply_if_finite(gradtx.sgd(0.5, momentum=0.5), most)
    theirs = optax.apply_if_finite(optax.sgd(0.5, momentum=0.5), most)
    state, their_state = ours.init(PARAMS), theirs.init(PARAMS)
    their_update = jax.jit(theirs.update)  # or else it compiles anew in each step
    for value in (1.0, NAN, 2.0, NAN, -INF, INF, NAN, 1.0, NAN, 3.0):
        grads = gradients(value)
        updates, state = ours.update(grads, state, PARAMS)
        desired, their_state = their_update(grads, their_state, PARAMS)
        # Powers of two: whether a product is rounded before a sum makes no difference.
        same(updates, desired)
        for name in ("notfinite_count", "last_finite", "total_notfinite"):
            same(getattr(state, name), getattr(their_state, name))
        same(state.inner_state[0].trace, their_state.inner_state[0].trace)


@pytest.mark.parametrize("inner", [gradtx.adam(0.25), gradtx.sgd(0.5)], ids=str)
def test_step_is_update_and_apply(inner):
    # A rate that is a power of two: p - rate * u is then rounded once also where
    # update and apply_updates, compiled apart, cannot use a multiply-add.
    tx = apply_if_finite(inner, 2)
    params, state = PARAMS, tx.init(PARAMS)
    for i, value in enumerate((1.0, NAN, 2.0, INF, NAN, NAN)):
        grads = gradients(value, seed=i)
        updates, after = tx.update(grads, state, params)
        desired = gradtx.apply_updates(params, updates)
        params, state = tx.step(grads, state, params)
        same(params, desired)
        same(state, after)
    assert int(state.total_notfinite) == 4


def test_accepted_step_is_the_inner_one_and_a_bad_one_leaves_no_trace():
    inner = gradtx.adam(0.25)
    tx = apply_if_finite(inner, 5)
    state, inner_state = tx.init(PARAMS), inner.init(PARAMS)
    params = desired = PARAMS
    for i, value in enumerate((1.0, NAN, 0.5, INF, INF, -1.0)):
        grads = gradients(value, seed=i)
        params, state = tx.step(grads, state, params)
        if np.isfinite(value):
            desired, inner_state = inner.step(grads, inner_state, desired)
    # Compiled as one, the step may use multiply-adds: one rounding a step.
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6),
        (params, state.inner_state),
        (desired, inner_state),
    )


BAD = {
    "nan": jnp.array([1.0, NAN]),
    "inf": jnp.array([INF, 1.0]),
    "both infinities": jnp.array([INF, -INF]),
    "complex": jnp.array([1.0 + 1j, complex(1.0, np.inf)]),
    "bfloat16": jnp.array([NAN, 1.0], jnp.bfloat16),
    "scalar": jnp.array(NAN),
    "large": jnp.zeros(10_000).at[9_999].set(NAN),
}
GOOD = {
    "largest": jnp.full(100, 3e38),  # its sum and its squares overflow
    "largest float16": jnp.full(100, 65504, jnp.float16),
    "smallest": jnp.array([1e-45, -1e-45, -0.0]),
    "integers": jnp.array([1, 2]),
    "empty": jnp.zeros((0, 3)),
    "complex": jnp.array([1.0 + 1j]),
    "nothing": None,
    "float0": np.zeros(2, jax.dtypes.float0),
}


@pytest.mark.parametrize(
    ("leaf", "good"),
    [(x, False) for x in BAD.values()] + [(x, True) for x in GOOD.values()],
    ids=[*(f"bad {k}" for k in BAD), *(f"good {k}" for k in GOOD)],
)
def test_finite_is_what_isfinite_says(leaf, good):
    grads = {"a": jnp.ones(3), "b": leaf, "c": jnp.ones((2, 2))}
    tx = apply_if_finite(gradtx.identity(), 3)
    state = tx.init(grads)
    updates, state = tx.update(grads, state)
    assert bool(state.last_finite) == good
    desired = grads if good else jax.tree.map(jnp.zeros_like, grads)
    same(updates, desired)


@pytest.mark.parametrize("where", [0, 17, 49])
def test_one_nan_in_many_small_leaves_is_found(where):
    grads = [
        jnp.ones((i % 3 + 1, 2), jnp.float16 if i % 2 else None) for i in range(50)
    ]
    tx = apply_if_finite(gradtx.identity(), 3)
    assert bool(tx.update(grads, tx.init(grads))[1].last_finite)
    grads[where] = grads[where].at[0, 1].set(NAN)
    assert not bool(tx.update(grads, tx.init(grads))[1].last_finite)


def test_small_leaves_share_a_reduction():
    grads = [jnp.ones((i % 3 + 1, 2)) for i in range(50)]
    tx = apply_if_finite(gradtx.identity(), 3)
    text = jax.jit(tx.update).lower(grads, tx.init(grads)).as_text()
    assert text.count("stablehlo.reduce(") == 1


def lowered(tx, params):
    # Parameters before state, as they come back: XLA pairs donated buffers with
    # results in order, and with the state first it would copy everything.
    def train(params, state, grads):
        return tx.step(grads, state, params)

    step = jax.jit(train, donate_argnums=(0, 1))
    return step.lower(params, tx.init(params), params).compile()


def test_step_needs_no_memory_and_one_more_read():
    params = {"w": jnp.ones((1024, 1024))}
    size = 1024 * 1024
    wrapped = lowered(apply_if_finite(gradtx.adam(1e-3), 3), params)
    plain = lowered(gradtx.adam(1e-3), params)
    # Measured: 0.0003 bytes a parameter; 44 against 40 bytes read and written.
    assert wrapped.memory_analysis().temp_size_in_bytes < 0.1 * size
    more = wrapped.cost_analysis()["bytes accessed"]
    more -= plain.cost_analysis()["bytes accessed"]
    assert more < 4.1 * size


def test_traced_once_scanned_donated_rebuilt():
    tx, traces = apply_if_finite(gradtx.adam(0.25), 3), []

    def train(tx, params, state, grads):
        traces.append(1)
        return tx.step(grads, state, params)

    step = jax.jit(train, static_argnums=0, donate_argnums=(1, 2))
    params = jax.tree.map(jnp.copy, PARAMS)
    state = tx.init(params)
    every = [gradients(v, seed=i) for i, v in enumerate((1.0, NAN, 2.0))]
    for grads in every:
        params, state = step(pickle.loads(pickle.dumps(tx)), params, state, grads)
    assert len(traces) == 1

    def body(carry, grads):
        return tx.step(grads, carry[1], carry[0]), None

    stacked = jax.tree.map(lambda *x: jnp.stack(x), *every)
    carry, _ = jax.lax.scan(body, (PARAMS, tx.init(PARAMS)), stacked)
    # Fused otherwise in the loop: a multiply-add is rounded once instead of twice.
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6), carry, (params, state)
    )


def test_each_lane_of_vmap_decides_for_itself():
    tx = apply_if_finite(gradtx.sgd(0.5), 3)
    params = jnp.ones((2, 3))
    grads = jnp.ones((2, 3)).at[1, 0].set(NAN)
    state = jax.vmap(tx.init)(params)
    params, state = jax.vmap(tx.step)(grads, state, params)
    np.testing.assert_array_equal(params, [[0.5] * 3, [1.0] * 3])
    np.testing.assert_array_equal(state.notfinite_count, [0, 1])


def test_outside_of_jit_the_inner_one_is_traced_once():
    traces = []

    @gradtx.transformation
    def counted():
        def update(updates, state, params=None):
            traces.append(1)
            return updates, state

        return lambda params: gradtx.EmptyState(), update

    tx = apply_if_finite(counted(), 3)
    state = tx.init(PARAMS)
    for _ in range(3):
        _, state = tx.update(gradients(1.0), state, PARAMS)
    assert len(traces) == 1


def test_extra_arguments_reach_the_inner_one_functions_too():
    @gradtx.transformation
    def scale_by_value():
        def update(updates, state, params=None, *, value, value_fn):
            return jax.tree.map(lambda g: value_fn(value) * g, updates), state

        return lambda params: gradtx.EmptyState(), update

    tx = apply_if_finite(scale_by_value(), 3)
    grads, extra = (
        gradients(1.0),
        {"value": jnp.float32(2), "value_fn": lambda x: 2 * x},
    )
    updates, _ = tx.update(grads, tx.init(PARAMS), PARAMS, **extra)
    same(updates, jax.tree.map(lambda g: 4 * g, grads))
    params, _ = tx.step(grads, tx.init(PARAMS), PARAMS, **extra)
    same(params, gradtx.apply_updates(PARAMS, updates))


def test_optax_inside_also_where_it_widens():
    params = jnp.ones(2, jnp.bfloat16)
    tx = apply_if_finite(optax.scale(jnp.float32(0.5)), 3)
    updates, _ = tx.update(params, tx.init(params), params)
    assert updates.dtype == jnp.bfloat16


def test_counters_saturate():
    tx = apply_if_finite(gradtx.sgd(0.5), 3)
    most = jnp.int32(np.iinfo(np.int32).max)
    state = tx.init(PARAMS)._replace(notfinite_count=most, total_notfinite=most)
    _, state = tx.update(gradients(NAN), state, PARAMS)
    assert state.notfinite_count == state.total_notfinite == most


def test_state_shares_no_buffer():
    state = apply_if_finite(gradtx.adam(0.1), 3).init(PARAMS)
    leaves = jax.tree.leaves((state, PARAMS))
    assert len({x.unsafe_buffer_pointer() for x in leaves}) == len(leaves)


def test_bad_arguments_are_named():
    for most in (-1, 1.5):
        with pytest.raises(ValueError, match="max_consecutive_errors"):
            apply_if_finite(gradtx.sgd(0.1), most)
    with pytest.raises(TypeError, match="apply_if_finite: inner"):
        apply_if_finite("adam", 3)
    tx = apply_if_finite(gradtx.sgd(0.1), 3)
    with pytest.raises(TypeError, match="not a ApplyIfFiniteState"):
        tx.update(PARAMS, (), PARAMS)
    assert repr(tx) == "apply_if_finite(sgd(0.1), 3)"
    assert isinstance(tx.init(PARAMS), ApplyIfFiniteState)
