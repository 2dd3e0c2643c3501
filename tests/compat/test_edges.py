"""Where Optax takes what is easily refused, so does gradtx."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax as peer
import pytest

import gradtx
import gradtx.optax as optax
from gradtx import MaskedNode

PARAMS = {"w": jnp.ones(2), "b": jnp.full(3, 2.0)}
MASK = {"w": True, "b": False}


def stateless():
    return {
        "scale": gradtx.scale(2.0),
        "clip": gradtx.clip(0.5),
        "clip_by_global_norm": gradtx.clip_by_global_norm(1.0),
        "add_decayed_weights": gradtx.add_decayed_weights(0.1),
        "centralize": gradtx.centralize(),
        "set_to_zero": gradtx.set_to_zero(),
        "scale_by_learning_rate": gradtx.scale_by_learning_rate(0.1),
        "identity": gradtx.identity(),
    }


@pytest.mark.parametrize("name", stateless())
@pytest.mark.parametrize("state", [None, (), {}, {"other": 1}])
def test_what_has_no_state_takes_any(name, state):
    tx = stateless()[name]
    updates, after = tx.update(PARAMS, state, PARAMS)
    desired, _ = tx.update(PARAMS, tx.init(PARAMS), PARAMS)
    assert after is state
    jax.tree.map(np.testing.assert_array_equal, updates, desired)


@pytest.mark.parametrize("step_size", [0.5, 2, jnp.float32(-1.0)])
def test_integers_pass_where_there_is_no_state(step_size):
    whole = {"w": jnp.array([1, -2]), "n": 3}
    # Not Optax's injected one: it rounds the number to the parameters' dtype.
    chains = [gradtx.inject_hyperparams(gradtx.scale)(step_size)]
    for library in (gradtx, peer):
        chains += [
            library.scale(step_size),
            library.chain(library.identity(), library.scale(step_size)),
        ]
    for tx in chains:
        updates, _ = tx.update(whole, tx.init(whole))
        np.testing.assert_allclose(updates["w"], np.array([1, -2]) * step_size)
        np.testing.assert_allclose(updates["n"], 3 * step_size)
    with pytest.raises(TypeError, match=r"\['w'\] is bool"):
        gradtx.scale(1.0).update({"w": jnp.array([True])}, None)
    tx = gradtx.chain(gradtx.scale(1.0), gradtx.trace(0.9))
    with pytest.raises(TypeError, match=r"\['w'\] is int32"):
        tx.update({"w": whole["w"]}, tx.init({"w": jnp.ones(2)}))


def test_a_parameter_that_is_none_stays_none():
    params = {"w": jnp.ones(2), "b": None}
    updates = {"w": jnp.ones(2), "b": jnp.ones(3)}
    for library in (gradtx, peer):
        new = library.apply_updates(params, updates)
        assert new["b"] is None
        np.testing.assert_array_equal(new["w"], 2)
        assert library.apply_updates(None, updates["w"]) is None
        tx = library.add_decayed_weights(0.1)
        added, _ = tx.update({**updates, "b": None}, tx.init(params), params)
        assert added["b"] is None
        np.testing.assert_allclose(added["w"], 1.1, rtol=1e-6)


@pytest.mark.parametrize("mask", [MASK, lambda params: MASK])
def test_map_params_of_a_mask_needs_no_rest(mask):
    for library in (gradtx, peer):
        tx = library.masked(library.trace(0.9), mask)
        state = library.tree.map_params(tx, lambda x: x + 1, tx.init(PARAMS))
        trace = state.inner_state.trace
        np.testing.assert_array_equal(trace["w"], 1)
        assert isinstance(trace["b"], library.MaskedNode)


def test_map_params_hands_out_what_a_mask_left_out_if_it_is_a_leaf():
    tx = gradtx.masked(gradtx.scale_by_adam(), MASK)
    state = gradtx.tree.map_params(
        *(tx, lambda x, name: (name, isinstance(x, MaskedNode)), tx.init(PARAMS)),
        {"w": "one", "b": "two"},
        is_leaf=lambda x: isinstance(x, MaskedNode),
        transform_non_params=lambda x: None,
    )
    assert state.inner_state.mu == {"w": ("one", False), "b": ("two", True)}
    assert state.inner_state.count is None


def test_a_mask_keeps_what_a_mask_around_it_took_out():
    tx = gradtx.masked(gradtx.sgd(0.5), {"w": True, "b": True})
    part = {"w": jnp.ones(2), "b": MaskedNode()}
    updates, _ = tx.update(part, tx.init(part), part)
    assert isinstance(updates["b"], MaskedNode)
    np.testing.assert_array_equal(updates["w"], -0.5)


@pytest.mark.parametrize("peak", [0, 0.0, jnp.float32(0.0), 0.5])
def test_after_a_peak_of_0_it_stays_0(peak):
    found = gradtx.warmup_cosine_decay_schedule(0.2, peak, 2, 6, -3.0, 2.0)
    steps = jnp.arange(9)
    if isinstance(peak, jax.Array):
        peak = 0.0  # Optax divides by a traced one
    desired = peer.warmup_cosine_decay_schedule(0.2, peak, 2, 6, -3.0, 2.0)
    np.testing.assert_allclose(
        jax.vmap(found)(steps), jax.vmap(desired)(steps), rtol=1e-5, atol=1e-7
    )
    assert (float(found(6)) == 0) == (peak == 0)


@pytest.mark.parametrize("name", ["trace", "ema"])
def test_a_decay_of_1_is_taken(name):
    tx = getattr(gradtx, name)(1.0)
    twin = getattr(peer, name)(1.0)
    ours, theirs = tx.init(PARAMS), twin.init(PARAMS)
    for _ in range(2):
        updates, ours = tx.update(PARAMS, ours)
        _, theirs = twin.update(PARAMS, theirs)
    field = "trace" if name == "trace" else "ema"
    kept = [getattr(state, field) for state in (ours, theirs)]
    jax.tree.map(np.testing.assert_array_equal, *kept)
    assert np.isfinite(updates["w"]).all()


@pytest.mark.parametrize("dtype", ["int8", "uint8", "uint32", "float16", "float32"])
def test_a_count_of_any_dtype_stops_at_its_end(dtype):
    info = jnp.finfo if "float" in dtype else jnp.iinfo
    for count in (np.dtype(dtype).type(3), np.asarray(info(dtype).max, dtype)):
        found = gradtx.safe_increment(jnp.asarray(count))
        assert found.dtype == dtype
        assert found == peer.safe_increment(jnp.asarray(count))


def test_a_name_that_optax_drops_says_so():
    with pytest.warns(DeprecationWarning, match="use `optimistic_adam_v2`"):
        tx = optax.optimistic_adam(0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tx == gradtx.optimistic_adam(0.1)
