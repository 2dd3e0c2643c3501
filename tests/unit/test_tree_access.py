"""gradtx.tree: entries of a state by name, and those that parameters made."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec
from jax.tree_util import keystr

import gradtx
from gradtx import tree

from .test_tree import assert_same

RATE = gradtx.linear_schedule(1.0, 0.0, 10)
PARAMS = {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}


def only_w(params):
    return {"w": True, "b": False}


def labels(params):
    return {"w": "one", "b": "two"}


@pytest.mark.parametrize(
    "tx",
    [
        gradtx.sgd(RATE),
        gradtx.adam(RATE),
        gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adamw(RATE)),
        gradtx.chain(
            gradtx.chain(gradtx.trace(0.9), gradtx.sgd(RATE)), gradtx.clip(1.0)
        ),
        gradtx.named_chain(("clip", gradtx.clip(1.0)), ("opt", gradtx.adam(RATE))),
        gradtx.masked(gradtx.adam(RATE), only_w),
        gradtx.MultiSteps(gradtx.adam(RATE), 2),
        gradtx.inject_hyperparams(gradtx.adam)(1.0),
        gradtx.inject_hyperparams(gradtx.adam)(RATE),
        gradtx.chain(gradtx.clip(1.0), gradtx.inject_hyperparams(gradtx.sgd)(RATE)),
        gradtx.MultiSteps(gradtx.inject_hyperparams(gradtx.sgd)(1.0), 2),
        # Injected outside, scheduled inside: the injected one counts.
        gradtx.inject_hyperparams(
            lambda learning_rate: gradtx.chain(
                gradtx.sgd(learning_rate), gradtx.sgd(RATE)
            )
        )(1.0),
        gradtx.inject_hyperparams(
            lambda learning_rate: gradtx.inject_hyperparams(gradtx.sgd)(learning_rate)
        )(1.0),
    ],
    ids=str,
)
def test_the_learning_rate_is_found(tx):
    state = tx.init(PARAMS)
    assert tree.get(state, "learning_rate") == 1.0
    for _ in range(4):
        _, state = tx.update(PARAMS, state, PARAMS)
    # Of step 3; of step 1 where every second is taken; or fixed.
    rate = float(tree.get(state, "learning_rate"))
    assert rate in [pytest.approx(x) for x in (0.7, 0.9, 1.0)]


def test_the_learning_rate_is_found_in_lookahead():
    params = gradtx.LookaheadParams.init_synced(PARAMS)
    state = gradtx.lookahead(gradtx.adam(RATE), 2, 0.5).init(params)
    assert tree.get(state, "learning_rate") == 1.0


def test_of_several_the_paths_are_listed():
    tx = gradtx.partition({"one": gradtx.sgd(RATE), "two": gradtx.adam(RATE)}, labels)
    state = tx.init(PARAMS)
    with pytest.raises(KeyError) as info:
        tree.get(state, "learning_rate")
    message = info.value.args[0]
    assert "filtering=" in message
    assert ".inner_states['one'].inner_state[0].learning_rate" in message
    assert ".inner_states['two'].inner_state[1].learning_rate" in message
    rate = tree.get(
        state, "learning_rate", filtering=lambda path, _: path[1].key == "two"
    )
    assert rate == 1.0


def test_of_none_the_names_are_listed():
    state = gradtx.adam(RATE).init(PARAMS)
    with pytest.raises(
        KeyError, match=r"no 'lr'; there are count, mu, nu, learning_rate"
    ):
        tree.get(state, "lr")
    assert tree.get(state, "lr", None) is None
    assert tree.get(state, "lr", default=3) == 3
    with pytest.raises(KeyError, match="no names"):
        tree.get((), "lr")


def test_of_a_constant_it_says_what_keeps_it_in_the_state():
    state = gradtx.adam(0.1).init(PARAMS)
    way = r"not in its state: inject_hyperparams\(adam\)\(\.\.\.\) keeps it there"
    with pytest.raises(KeyError, match=rf"{way}, .* constant_schedule\(0\.1\)"):
        tree.get(state, "learning_rate")
    with pytest.raises(KeyError, match=rf"no 'b2'; there are .*{way}\."):
        tree.set(state, b2=0.9)
    # What the message names works.
    constant = gradtx.adam(gradtx.constant_schedule(0.1)).init(PARAMS)
    assert tree.get(constant, "learning_rate") == np.float32(0.1)
    injected = gradtx.inject_hyperparams(gradtx.adam)(0.1).init(PARAMS)
    assert tree.get(injected, "b2") == np.float32(0.999)
    with pytest.raises(KeyError) as caught:
        tree.get(injected, "decay")
    assert "inject_hyperparams" not in str(caught.value)  # it is there


def test_gets_by_the_name_of_a_state_and_by_its_class():
    state = gradtx.chain(gradtx.trace(0.9), gradtx.adam(RATE)).init(PARAMS)
    assert type(tree.get(state, "TraceState")).__name__ == "TraceState"
    assert tree.get(state, "nu") is state[1][0].nu
    found = tree.get_all_with_path(state, "count")
    assert [keystr(path) for path, _ in found] == ["[1][0].count", "[1][1].count"]
    assert found[0][0][-1] == tree.NamedTupleKey("ScaleByAdamState", "count")

    def of_adam(path, value):
        return path[-1].tuple_name == "ScaleByAdamState"

    assert tree.get(state, "count", filtering=of_adam) is state[1][0].count


def test_looks_into_other_nodes():
    @jax.tree_util.register_dataclass
    @dataclasses.dataclass
    class Node:
        inside: object

    state = {1: [None, (jnp.ones(2), Node({"deep": 3}))], 5: "five"}
    assert tree.get(state, "deep") == 3
    assert tree.get(state, 5) == "five"
    assert tree.get(state, "inside") == {"deep": 3}
    assert tree.set(state, deep=4)[1][1][1].inside == {"deep": 4}


def test_set_replaces_and_compiles_nothing():
    tx = gradtx.chain(gradtx.clip(1.0), gradtx.inject_hyperparams(gradtx.adam)(0.1))
    traces = []

    @jax.jit
    def update(state):
        traces.append(1)
        return tx.update(PARAMS, state, PARAMS)[1]

    state = update(tx.init(PARAMS))
    for rate in (0.5, 2, np.float64(0.1), jnp.bfloat16(0.5)):
        changed = tree.set(state, learning_rate=rate, b1=0.5)
        assert tree.get(changed, "learning_rate") == np.float32(rate)
        assert jax.tree.structure(changed) == jax.tree.structure(state)
        update(changed)
    assert len(traces) == 1
    assert tree.get(state, "learning_rate") == np.float32(
        0.1
    )  # the old one is as it was


def test_set_replaces_all_of_a_name_or_the_chosen():
    state = gradtx.adam(RATE).init(PARAMS)
    both = tree.set(state, count=5)
    assert (both[0].count, both[1].count) == (5, 5)
    assert both[0].count.dtype == jnp.int32
    one = tree.set(state, lambda path, _: path[0].idx == 0, count=5)
    assert (one[0].count, one[1].count) == (5, 0)
    moved = tree.set(state, mu=tree.full_like(PARAMS, 3.0), nu=PARAMS)
    assert_same(moved[0].mu, tree.full_like(PARAMS, 3.0))
    whole = tree.set(state, ScaleByAdamState=both[0])
    assert whole[0].count == 5
    assert whole[1].count == 0


def test_set_refuses_what_does_not_fit():
    state = gradtx.chain(gradtx.trace(0.9), gradtx.adam(RATE)).init(PARAMS)
    with pytest.raises(KeyError, match=r"no 'lr'; there are trace, "):
        tree.set(state, lr=0.1)
    with pytest.raises(ValueError, match=r"\[1\]\[1\].learning_rate has shape \(\)"):
        tree.set(state, learning_rate=jnp.ones(2))
    with pytest.raises(ValueError, match=r"\[1\]\[0\].mu\['b'\] has shape \(2,\)"):
        tree.set(state, mu={**PARAMS, "b": 0.0})
    with pytest.raises(ValueError, match=r"\[1\]\[0\].mu is a tree"):
        tree.set(state, mu=0.0)
    with pytest.raises(TypeError, match=r"count is int32, which cannot hold 0.5"):
        tree.set(state, count=0.5)


def test_set_keeps_random_keys_apart():
    state = gradtx.add_noise(0.1, 0.5, key=0).init(PARAMS)
    key = jax.random.key(7)
    assert tree.set(state, rng_key=key).rng_key == key
    with pytest.raises(TypeError, match="rng_key"):
        tree.set(state, rng_key=7)


def test_set_copies_so_that_the_state_can_be_donated():
    rate = jnp.float32(0.5)
    state = tree.set(
        gradtx.inject_hyperparams(gradtx.sgd)(0.1).init(PARAMS), learning_rate=rate
    )
    jax.jit(lambda s: jax.tree.map(lambda x: x + 1, s), donate_argnums=0)(state)
    assert rate == 0.5


SPECS = {"w": PartitionSpec("x"), "b": None}
EACH = {"one": gradtx.adam(0.1), "two": gradtx.sgd(0.1, momentum=0.9)}


@pytest.mark.parametrize(
    "tx",
    [
        gradtx.adam(RATE),
        gradtx.chain(gradtx.trace(0.9), gradtx.inject_hyperparams(gradtx.adam)(0.1)),
        gradtx.masked(gradtx.adam(RATE), only_w),
        gradtx.masked(gradtx.adam(RATE), {"w": True, "b": False}),
        gradtx.partition(EACH, labels),
        gradtx.partition(EACH, {"w": "one", "b": "two"}),
        gradtx.MultiSteps(gradtx.adam(RATE), 2),
        optax.adam(0.1),
    ],
    ids=lambda tx: repr(tx)[:60],
)
def test_map_params_finds_what_parameters_made(tx):
    state = tx.init(PARAMS)
    found = tree.map_params(
        tx,
        lambda x, spec: (x.shape, spec),
        state,
        SPECS,
        transform_non_params=lambda x: "other",
    )

    def expected(path, x):
        key = [k.key for k in path if getattr(k, "key", None) in PARAMS]
        return (x.shape, SPECS[key[0]]) if key else "other"

    assert found == jax.tree_util.tree_map_with_path(expected, state)
    again = tree.map_params(tx, lambda x, _: 2 * x, state, PARAMS)
    assert jax.tree.structure(again) == jax.tree.structure(state)


def test_map_params_without_rest():
    tx = gradtx.chain(
        gradtx.masked(gradtx.trace(0.9), only_w_by_rank), gradtx.adam(RATE)
    )
    state = tree.set(tx.init(PARAMS), nu=PARAMS)
    doubled = tree.map_params(tx.init, lambda x: 2 * x, state)
    assert_same(doubled[1][0].nu, tree.scale(2.0, PARAMS))
    assert doubled[1][0].count == 0
    assert doubled[0].inner_state.trace["b"] == gradtx.MaskedNode()
    theirs = optax.tree.map_params(
        optax.adam(0.1), lambda x: x + 1, optax.adam(0.1).init(PARAMS)
    )
    ours = tree.map_params(
        optax.adam(0.1), lambda x: x + 1, optax.adam(0.1).init(PARAMS)
    )
    assert_same(ours, theirs)


@pytest.mark.parametrize(
    "tx",
    [
        gradtx.masked(gradtx.trace(0.9), {"w": True, "b": False}),
        gradtx.partition(EACH, {"w": "one", "b": "two"}),
        gradtx.selective_transform(
            gradtx.adam(0.1), freeze_mask={"w": False, "b": True}
        ),
    ],
    ids=["masked", "partition", "selective_transform"],
)
def test_map_params_without_rest_takes_masks_that_are_trees(tx):
    state = tx.init(PARAMS)
    found = tree.map_params(
        tx, lambda x: x.shape, state, transform_non_params=lambda x: "other"
    )
    specs = tree.map_params(
        tx, lambda x, p: x.shape, state, PARAMS, transform_non_params=lambda x: "other"
    )
    assert found == specs


def only_w_by_rank(params):
    return jax.tree.map(lambda p: p.ndim > 1, params)


def test_map_params_says_what_it_needs():
    def init(params):
        return {"sum": params["w"]}

    with pytest.raises(TypeError, match=r"placeholders.*give rest"):
        tree.map_params(init, lambda x: x, init(PARAMS))
    tree.map_params(init, lambda x, y: x + y, init(PARAMS), PARAMS)
    tx = gradtx.masked(gradtx.trace(0.9), {"w": True, "b": False})
    with pytest.raises(ValueError, match="no counterpart"):
        tree.map_params(tx, lambda x, *_: x, tx.init(PARAMS), SPECS, {"w": 1})


class Slots(NamedTuple):
    codes: dict  # for each parameter a pair: 8-bit codes and their scale


def test_map_params_reaches_into_a_slot_of_several_arrays():
    def init(params):
        return Slots(jax.tree.map(lambda p: {"c": p, "s": jnp.max(p)}, params))

    found = tree.map_params(init, lambda x, p: x.shape, init(PARAMS), PARAMS)
    assert found.codes["w"] == {"c": (2, 2), "s": ()}


def test_map_params_goes_through_lookahead():
    tx = gradtx.lookahead(gradtx.adam(RATE), 2, 0.5)
    params = gradtx.LookaheadParams.init_synced(PARAMS)
    state = tx.init(params)
    plain = tree.map_params(tx, lambda x: x.shape, state)
    assert plain.fast_state[0].mu == {"w": (2, 2), "b": PARAMS["b"].shape}
    both = gradtx.LookaheadParams(fast=SPECS, slow=SPECS)
    for rest in (SPECS, both):  # of the fast ones, or like the parameters
        found = tree.map_params(
            tx, lambda x, spec: spec, state, rest, transform_non_params=lambda x: None
        )
        assert found.fast_state[0].mu == SPECS
        assert found.steps_since_sync is None
    with pytest.raises(TypeError, match="must be LookaheadParams"):
        tx.init(PARAMS)


def test_a_field_of_none_is_not_there():
    class State(NamedTuple):
        rate: Any = None

    with pytest.raises(KeyError, match="there is no 'rate'"):
        tree.get(State(), "rate")
    assert tree.get(State(3.0), "rate") == 3.0
    assert tree.get({"rate": None}, "rate") is None
