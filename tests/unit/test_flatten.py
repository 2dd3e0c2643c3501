"""flatten: the same numbers from fewer, longer arrays."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx
from gradtx.wrappers.flatten import flatten

PARAMS = {
    "w": jnp.array([[1.0, -2.0, 0.0], [0.5, 4.0, 1.0]]),
    "half": jnp.array([1.0, 3.0, -2.0], jnp.bfloat16),
    "scale": jnp.ones([]),
    "z": jnp.array([1.0 + 2j, -1j], jnp.complex64),
    "empty": jnp.zeros((0, 2)),
    "none": None,
}


def gradients(seed, params=PARAMS):
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda p: jnp.asarray(rng.normal(size=p.shape), p.dtype), params
    )


def same(actual, desired):
    assert jax.tree.structure(actual) == jax.tree.structure(desired)
    for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(desired), strict=True):
        np.testing.assert_array_equal(x, y)
        assert x.dtype == y.dtype


def path(tx, params, n=3, **kwargs):
    state = tx.init(params)
    for i in range(n):
        updates, state = tx.update(gradients(i, params), state, params, **kwargs)
        params = gradtx.apply_updates(params, updates)
    return params, state


@pytest.mark.parametrize(
    "inner",
    [
        gradtx.adam(0.25),
        gradtx.sgd(0.5, momentum=0.5, nesterov=True),
        gradtx.chain(gradtx.add_decayed_weights(0.5), gradtx.sgd(0.5)),
    ],
    ids=str,
)
def test_a_rule_for_each_entry_gives_the_same_numbers(inner):
    same(path(flatten(inner), PARAMS)[0], path(inner, PARAMS)[0])


def test_a_norm_of_the_whole_tree_stays_it():
    inner = gradtx.clip_by_global_norm(0.5)
    grads = gradients(0)
    updates, _ = flatten(inner).update(grads, flatten(inner).init(PARAMS), PARAMS)
    desired, _ = inner.update(grads, inner.init(PARAMS), PARAMS)
    # The squares are added up in another order. bfloat16 has 2^-9 of rounding.
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(
            x, y, rtol=2**-8 if x.dtype == jnp.bfloat16 else 1e-6
        ),
        updates,
        desired,
    )


def test_state_is_a_vector_a_dtype():
    _, state = path(flatten(gradtx.scale_by_adam()), PARAMS)
    shapes = {"float32": (7,), "bfloat16": (3,), "complex64": (2,)}
    assert {k: v.shape for k, v in state.mu.items()} == shapes
    assert state.mu["bfloat16"].dtype == jnp.float32


def test_optax_numbers_where_all_is_float32():
    params = {"a": jnp.array([[1.0, 2.0]]), "b": jnp.array([3.0, -1.0])}
    ours, _ = path(flatten(gradtx.sgd(0.5, momentum=0.5)), params)
    theirs, _ = path(optax.flatten(optax.sgd(0.5, momentum=0.5)), params)
    same(ours, theirs)


def test_a_rule_for_whole_leaves_sees_one():
    params = {"a": jnp.ones((2, 2)), "b": jnp.ones(5)}
    grads = gradients(0, params)
    inner = gradtx.clip_by_block_rms(0.125)
    updates, _ = flatten(inner).update(grads, flatten(inner).init(params))
    vector = jnp.concatenate([grads["a"].ravel(), grads["b"]])
    desired, _ = inner.update(vector, inner.init(vector))
    joined = jnp.concatenate([updates["a"].ravel(), updates["b"]])
    same(joined, desired)


def test_fewer_kernels():
    params = [jnp.ones((i % 4 + 1, 3)) for i in range(40)]

    def kernels(tx):
        compiled = jax.jit(tx.update).lower(params, tx.init(params), params).compile()
        return compiled.as_text().count(" fusion(")

    # Measured: 47 and 120. Those left take the results apart.
    assert kernels(flatten(gradtx.adam(0.1))) < kernels(gradtx.adam(0.1)) / 2


def test_updates_absent():
    params = {"a": jnp.ones(2), "b": jnp.ones(3), "n": jnp.array([1, 2])}
    tx = flatten(gradtx.scale_by_adam())
    grads = {"a": jnp.ones(2), "b": None, "n": np.zeros(2, jax.dtypes.float0)}
    updates, state = tx.update(grads, tx.init(params), params)
    assert updates["b"] is None
    assert updates["n"] is grads["n"]
    np.testing.assert_allclose(updates["a"], 1, rtol=1e-5)
    assert jax.tree.structure(state) == jax.tree.structure(tx.init(params))
    np.testing.assert_array_equal(state.mu["float32"][2:], 0)


def test_updates_come_back_in_the_wider_dtype():
    params = {"a": jnp.ones(2, jnp.bfloat16), "b": jnp.ones(2)}
    grads = {"a": jnp.ones(2), "b": jnp.ones(2, jnp.float16)}
    tx = flatten(gradtx.trace(0.5))
    updates, state = tx.update(grads, tx.init(params), params)
    assert updates["a"].dtype == jnp.float32
    assert updates["b"].dtype == jnp.float32
    assert set(state.trace) == {"bfloat16", "float32"}


@pytest.mark.parametrize(
    "params", [{}, [], None, jnp.ones(()), [jnp.ones((0,))]], ids=str
)
def test_small_trees(params):
    tx = flatten(gradtx.adam(0.5))
    updates, _ = tx.update(params, tx.init(params), params)
    assert jax.tree.structure(updates) == jax.tree.structure(params)


def test_traced_once_scanned_donated_rebuilt():
    tx, traces = flatten(gradtx.adam(0.25)), []

    def train(tx, params, state, grads):
        traces.append(1)
        return tx.step(grads, state, params)

    step = jax.jit(train, static_argnums=0, donate_argnums=(1, 2))
    params = jax.tree.map(jnp.copy, PARAMS)
    state = tx.init(params)
    every = [gradients(i) for i in range(3)]
    for grads in every:
        params, state = step(pickle.loads(pickle.dumps(tx)), params, state, grads)
    assert len(traces) == 1

    def body(carry, grads):
        return tx.step(grads, carry[1], carry[0]), None

    stacked = jax.tree.map(lambda *x: jnp.stack(x), *every)
    carry, _ = jax.lax.scan(body, (PARAMS, tx.init(PARAMS)), stacked)
    # Fused otherwise in the loop: a multiply-add is rounded once instead of twice.
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6),
        carry,
        (params, state),
    )


def test_state_shares_no_buffer():
    params = {"a": jnp.ones(2)}
    leaves = jax.tree.leaves((flatten(gradtx.adam(0.1)).init(params), params))
    assert len({x.unsafe_buffer_pointer() for x in leaves}) == len(leaves)


def test_extra_arguments_and_optax_inside():
    @gradtx.transformation
    def scale_by_value():
        def update(updates, state, params=None, *, value):
            return jax.tree.map(lambda g: value * g, updates), state

        return lambda params: gradtx.EmptyState(), update

    params = {"a": jnp.ones((2, 1)), "b": jnp.ones(2)}
    moved, _ = path(flatten(scale_by_value()), params, n=1, value=0.0)
    same(moved, params)
    path(flatten(optax.adam(0.1)), params)


def test_bad_arguments_are_named():
    with pytest.raises(TypeError, match="flatten: inner"):
        flatten("adam")
    tx = flatten(gradtx.adam(0.1))
    with pytest.raises(ValueError, match=r"updates\['w'\] has shape"):
        tx.update({**gradients(0), "w": jnp.ones(2)}, tx.init(PARAMS), PARAMS)
    with pytest.raises(TypeError, match=r"updates\['w'\] is int32"):
        tx.update({**PARAMS, "w": jnp.ones((2, 3), int)}, tx.init(PARAMS), PARAMS)
    assert repr(tx) == "flatten(adam(0.1))"


def test_leaves_split_over_explicit_axes_are_refused():
    mesh = jax.make_mesh((2,), ("data",), devices=jax.devices()[:2])
    split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    params = {"w": jax.device_put(jnp.ones((4, 2)), split)}
    tx = gradtx.flatten(gradtx.sgd(0.1))
    with pytest.raises(ValueError, match="flatten: a leaf is split over a mesh axis"):
        tx.update(params, tx.init({"w": jnp.ones((4, 2))}), params)
