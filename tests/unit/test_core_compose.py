"""chain, named_chain, partition, and the masks under them."""

import chex
import jax
import jax.numpy as jnp
import optax
import pytest

import gradtx
from gradtx.core.masking import hide, resolve_mask, reveal, spread

PARAMS = {"layer": {"w": jnp.ones((3, 2)), "b": jnp.ones(2)}, "gain": jnp.ones([])}
GRADS = jax.tree.map(lambda p: 2.0 * p, PARAMS)


def update(tx, grads=GRADS, params=PARAMS):
    return tx.update(grads, tx.init(params), params)


def test_a_chain_runs_in_order():
    clip_last = gradtx.chain(gradtx.scale(10.0), gradtx.clip(1.0))
    clip_first = gradtx.chain(gradtx.clip(1.0), gradtx.scale(10.0))
    assert float(update(clip_last)[0]["gain"]) == 1.0
    assert float(update(clip_first)[0]["gain"]) == 10.0


def test_an_empty_chain_is_the_identity():
    updates, state = update(gradtx.chain())
    chex.assert_trees_all_equal(updates, GRADS)
    assert state == ()
    params, state = gradtx.chain().step(GRADS, (), PARAMS)
    chex.assert_trees_all_equal(params, gradtx.apply_updates(PARAMS, GRADS))
    assert state == ()


def test_the_state_of_a_chain_is_the_tuple_of_its_members():
    tx = gradtx.chain(gradtx.clip(1.0), gradtx.trace(0.9))
    empty, trace = tx.init(PARAMS)
    assert empty == gradtx.EmptyState()
    chex.assert_trees_all_equal(trace, gradtx.trace(0.9).init(PARAMS))


def test_a_chain_takes_pairs_from_elsewhere():
    tx = gradtx.chain(optax.clip(1.0), gradtx.scale(3.0), optax.trace(0.5))
    assert float(update(tx)[0]["gain"]) == 3.0


def test_extra_arguments_go_to_those_that_take_them():
    def init(params):
        return gradtx.EmptyState()

    def by_value(updates, state, params=None, *, value):
        return jax.tree.map(lambda g: value * g, updates), state

    pair = gradtx.GradientTransformation(init, by_value)
    tx = gradtx.chain(gradtx.scale(1.0), pair, optax.scale(1.0))
    updates, _ = tx.update(GRADS, tx.init(PARAMS), PARAMS, value=3.0, other=None)
    assert float(updates["gain"]) == 6.0
    with pytest.raises(TypeError, match="value"):
        tx.update(GRADS, tx.init(PARAMS), PARAMS)


@pytest.mark.parametrize("wrong", [1.0, gradtx.adam, (1, 2), [gradtx.clip(1.0)], None])
def test_a_chain_names_the_member_that_is_none(wrong):
    with pytest.raises(TypeError, match="chain: argument 1: expected a gradient tr"):
        gradtx.chain(gradtx.clip(1.0), wrong)


@pytest.mark.parametrize("wrong", [(), ((), (), ()), None, {}])
def test_a_chain_refuses_a_state_that_is_not_its_own(wrong):
    tx = gradtx.chain(gradtx.clip(1.0), gradtx.trace(0.9))
    with pytest.raises(TypeError, match="chain: the state must be a tuple of 2 states"):
        tx.update(GRADS, wrong)
    swapped = tx.init(PARAMS)[::-1]
    with pytest.raises(TypeError, match="chain > trace: the state is a EmptyState"):
        tx.update(GRADS, swapped)


def test_chain_hands_step_to_its_last_member():
    def init(params):
        return gradtx.EmptyState()

    def never(updates, state, params=None):
        raise AssertionError("step must not fall back to update")

    def halfway(updates, state, params):
        return jax.tree.map(lambda p, u: (p + u) / 2, params, updates), state

    @gradtx.transformation
    def own():
        return init, never, halfway

    nested = gradtx.chain(gradtx.scale(2.0), gradtx.chain(own()))
    params, _ = nested.step(GRADS, nested.init(PARAMS), PARAMS)
    assert float(params["gain"]) == 2.5
    named = gradtx.named_chain(("scale", gradtx.scale(2.0)), ("own", own()))
    params, _ = named.step(GRADS, named.init(PARAMS), PARAMS)
    assert float(params["gain"]) == 2.5
    parts = gradtx.partition({"a": own(), "b": gradtx.identity()}, in_layer)
    params, _ = parts.step(GRADS, parts.init(PARAMS), PARAMS)
    assert float(params["gain"]) == 3.0
    assert float(params["layer"]["b"][0]) == 1.5


def in_layer(params):
    return {"layer": "a", "gain": "b"}


def test_named_chain_is_a_chain_with_states_by_name():
    members = {"clip": gradtx.clip(1.0), "trace": gradtx.trace(0.9)}
    tx = gradtx.named_chain(*members.items())
    updates, state = update(tx)
    expected, states = update(gradtx.chain(*members.values()))
    chex.assert_trees_all_equal(updates, expected)
    chex.assert_trees_all_equal(state, dict(zip(members, states, strict=True)))


def test_named_chain_refuses():
    with pytest.raises(ValueError, match="named_chain: the name 'a' comes twice"):
        gradtx.named_chain(("a", gradtx.identity()), ("a", gradtx.identity()))
    with pytest.raises(TypeError, match=r"argument 0 must be \(name, transf"):
        gradtx.named_chain(gradtx.identity())  # a pair too, but of functions
    with pytest.raises(TypeError, match="named_chain: 'a': expected a gradient"):
        gradtx.named_chain(("a", 1.0))
    tx = gradtx.named_chain(("a", gradtx.identity()))
    with pytest.raises(TypeError, match=r"a dict with the keys \['a'\]"):
        tx.update(GRADS, {"b": gradtx.EmptyState()})


@pytest.mark.parametrize(
    "labels",
    [
        {"layer": {"w": "up", "b": "up"}, "gain": "down"},
        {"layer": "up", "gain": "down"},  # a prefix: for all leaves below
        lambda params: {"layer": "up", "gain": "down"},
    ],
)
def test_partition_gives_each_label_its_own(labels):
    members = {"up": gradtx.trace(0.9), "down": gradtx.scale(-1.0)}
    updates, state = update(gradtx.partition(members, labels))
    chex.assert_trees_all_equal(updates["layer"], GRADS["layer"])
    assert float(updates["gain"]) == -2.0
    # The momentum of the leaves of "up" alone.
    assert len(jax.tree.leaves(state)) == 2
    assert state.inner_states["up"].inner_state.trace["gain"] == gradtx.MaskedNode()


def test_partition_keeps_none_leaves_out():
    params = {"a": jnp.ones(2), "b": None}
    tx = gradtx.partition({"x": gradtx.trace(0.9)}, "x")
    updates, _ = tx.update(params, tx.init(params), params)
    assert updates["b"] is None
    labelled = gradtx.partition({"x": gradtx.trace(0.9)}, {"a": "x", "b": "x"})
    assert labelled.update(params, labelled.init(params), params)[0]["b"] is None


def test_partition_names_a_label_without_transformation():
    tx = gradtx.partition({"up": gradtx.identity()}, {"layer": "up", "gain": "upp"})
    with pytest.raises(ValueError, match=r"param_labels\['gain'\] is 'upp'.*\['up'\]"):
        tx.init(PARAMS)


def test_partition_names_labels_that_do_not_fit():
    tx = gradtx.partition({"up": gradtx.identity()}, {"layer": "up", "gian": "up"})
    with pytest.raises(ValueError, match=r"param_labels does not fit.*'gian'"):
        tx.init(PARAMS)


def test_partition_names_the_member_that_is_none():
    with pytest.raises(TypeError, match=r"partition: transforms\['up'\]: expected"):
        gradtx.partition({"up": 0.1}, "up")


def test_a_mask_may_be_a_prefix_or_a_function():
    expected = {"layer": {"w": True, "b": True}, "gain": False}
    prefix = {"layer": True, "gain": False}
    assert resolve_mask(prefix, PARAMS) == expected
    assert resolve_mask(lambda tree: prefix, PARAMS) == expected
    assert resolve_mask(True, PARAMS) == jax.tree.map(lambda p: True, PARAMS)


def test_a_mask_function_that_maps_over_leaves_passes_none_by():
    params = {"w": jnp.ones(2), "b": None}
    tx = gradtx.masked(
        gradtx.scale(2.0), lambda tree: jax.tree.map(lambda p: True, tree)
    )
    updates, _ = tx.update(params, tx.init(params), params)
    assert float(updates["w"][0]) == 2.0
    assert updates["b"] is None


def test_a_mask_must_hold_bools_and_fit():
    with pytest.raises(TypeError, match=r"mask\['gain'\] must be a bool, got 1"):
        resolve_mask({"layer": True, "gain": 1}, PARAMS)
    with pytest.raises(ValueError, match=r"mask does not fit.*\['layers'\].*'gain'"):
        resolve_mask({"layers": True, "gain": True}, PARAMS)
    with pytest.raises(ValueError, match="mask does not fit"):
        resolve_mask({"layer": True, "gain": {"deeper": True}}, PARAMS)


def test_hide_and_reveal_are_inverse():
    mask = {"layer": {"w": True, "b": False}, "gain": False}
    hidden = hide(PARAMS, mask)
    assert hidden["gain"] == gradtx.MaskedNode()
    assert len(jax.tree.leaves(hidden)) == 1
    chex.assert_trees_all_equal(reveal(hidden, PARAMS, mask), PARAMS)


def test_spread_covers_none_leaves():
    tree = {"a": None, "b": {"c": jnp.ones(2), "d": None}}
    filled = {"a": 1, "b": {"c": 2, "d": 2}}
    assert spread("labels", {"a": 1, "b": 2}, tree) == filled
