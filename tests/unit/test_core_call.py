"""A transformation is known by its call: repr, equality, pickling."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx


def by_rank(params):
    return jax.tree.map(lambda p: jnp.ndim(p) > 1, params)


@pytest.mark.parametrize(
    "text",
    [
        "adam(0.0003, b1=0.95)",
        "chain()",
        "chain(clip_by_global_norm(1.0), adamw(0.0003, mask=by_rank))",
        "named_chain(('a', scale(2.0)), ('b', identity()))",
        "partition({'w': adam(0.1), 'b': sgd(0.1)}, {'w': 'w', 'b': 'b'})",
        "partition({1: sgd(0.1), (0,): identity()}, ['1', {2}])",
        "trace(0.9, True, accumulator_dtype=float32)",
        "scale_by_schedule(exponential_decay(0.1, 10, decay_rate=0.5))",
        "inject_hyperparams(adam)(0.1, b1=0.8)",
    ],
)
def test_repr_is_the_call_as_written(text):
    names = {**vars(gradtx), "by_rank": by_rank, "float32": jnp.float32}
    assert repr(eval(text, names)) == text


def test_an_array_prints_as_its_shape():
    assert repr(gradtx.scale(jnp.asarray(0.5))) == "scale(Array(float32))"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (gradtx.adam(0.1), gradtx.adam(learning_rate=0.1)),
        (gradtx.adam(0.1), gradtx.adam(0.1, b1=0.9)),
        (gradtx.adam(0.1), gradtx.adam(np.float64(0.1))),
        (gradtx.chain(gradtx.clip(1.0)), gradtx.chain(gradtx.clip(1.0))),
        (gradtx.adamw(0.1, mask=by_rank), gradtx.adamw(0.1, mask=by_rank)),
        (
            gradtx.adamw(0.1, mask={"a": True, "b": False}),
            gradtx.adamw(0.1, mask={"b": False, "a": True}),
        ),
    ],
)
def test_calls_that_build_the_same_are_equal(one, other):
    assert one == other
    assert not one != other  # noqa: SIM202  a tuple has its own !=
    assert hash(one) == hash(other)
    assert {one: "found"}[other] == "found"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (gradtx.adam(0.1), gradtx.adam(0.1 + 2**-56)),  # the next double
        (gradtx.adam(0.1), gradtx.nadam(0.1, nesterov=False)),
        (gradtx.scale(0.0), gradtx.scale(-0.0)),
        (gradtx.scale(1.0), gradtx.scale(1)),  # 1 does not promote an integer, say
        (gradtx.scale(1), gradtx.scale(True)),
        (gradtx.scale(jnp.ones([])), gradtx.scale(jnp.ones([]))),  # by identity
        (gradtx.stateless(lambda u, p: u), gradtx.stateless(lambda u, p: u)),
        (gradtx.chain(), gradtx.named_chain()),
        (gradtx.identity(), tuple(gradtx.identity())),
    ],
)
def test_other_calls_are_not(one, other):
    assert one != other
    assert not one == other  # noqa: SIM201  both operators are under test


def test_a_pair_by_hand_is_known_by_its_functions():
    init, update = gradtx.identity()
    pair = gradtx.GradientTransformation(init, update)
    assert pair == gradtx.GradientTransformation(init, update)
    assert hash(pair) == hash(gradtx.GradientTransformation(init, update))
    assert pair != gradtx.identity()
    assert repr(pair).startswith("GradientTransformation(init=")


def test_copies_are_the_same_object():
    tx = gradtx.adam(0.1)
    assert copy.copy(tx) is tx
    assert copy.deepcopy({"tx": tx})["tx"] is tx


def test_pickles_by_its_call():
    tx = gradtx.chain(gradtx.clip(1.0), gradtx.adamw(0.1, mask=by_rank))
    again = pickle.loads(pickle.dumps(tx))
    assert again == tx
    assert repr(again) == repr(tx)
    step = gradtx.apply_updates, again.update(2.0, again.init(1.0), 1.0)[0]
    assert float(step[1]) == float(tx.update(2.0, tx.init(1.0), 1.0)[0])


def test_a_lambda_does_not_pickle_and_the_error_says_what_to_do():
    tx = gradtx.sgd(lambda count: 0.1)
    with pytest.raises(pickle.PicklingError) as caught:
        pickle.dumps(tx)
    text = str(caught.value)
    assert "sgd(<lambda>) does not pickle: argument 'learning_rate' holds" in text
    assert "Define it with def at the top of a module" in text
    with pytest.raises(pickle.PicklingError, match="argument 'learning_rate'"):
        pickle.dumps(gradtx.chain(gradtx.clip(1.0), tx))


def test_a_local_factory_does_not_pickle():
    @gradtx.transformation
    def local():
        return gradtx.identity()

    with pytest.raises(pickle.PicklingError, match=r"its factory is '.*local'"):
        pickle.dumps(local())


def test_equal_transformations_share_a_trace():
    traces = []

    @jax.jit
    def step(tx, g):
        traces.append(tx)
        return tx.update(g, tx.init(g))[0]

    for rate in (0.1, 0.1, 0.2):
        step(gradtx.sgd(rate), jnp.ones(2))
    assert len(traces) == 2


def test_it_is_a_leafless_node_of_a_tree():
    model = {"tx": gradtx.adam(0.1), "x": jnp.ones(2)}
    assert len(jax.tree.leaves(model)) == 1
    assert jax.tree.map(lambda x: x + 1, model)["tx"] is model["tx"]


def test_unpacks_and_rebuilds_as_a_named_tuple():
    tx = gradtx.trace(0.9)
    init, update = tx
    assert (init, update) == (tx.init, tx.update)
    rebuilt = type(tx)(*tx)
    assert rebuilt.call is None
    assert float(rebuilt.update(2.0, rebuilt.init(1.0))[0]) == 2.0
