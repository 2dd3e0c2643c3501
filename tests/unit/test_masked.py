"""masked, freeze and maximize: who is moved, who is not, and in which direction."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx
from gradtx.wrappers.freeze import freeze
from gradtx.wrappers.masked import masked
from gradtx.wrappers.maximize import maximize

PARAMS = {
    "enc": {"w": jnp.array([[1.0, -2.0], [0.5, 4.0]]), "b": jnp.array([1.0, 2.0])},
    "out": jnp.array([-1.0, 3.0, 0.25]),
}
GRADS = jax.tree.map(lambda p: 0.5 * p + 0.125, PARAMS)
WEIGHTS = {"enc": {"w": True, "b": False}, "out": True}


def matrices(tree):
    return jax.tree.map(lambda p: p.ndim > 1, tree)


MASKS = {
    "tree": WEIGHTS,
    "prefix": {"enc": False, "out": True},
    "function": matrices,
    "all": True,
    "none": False,
}


def same(actual, desired):
    assert jax.tree.structure(actual) == jax.tree.structure(desired)
    for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(desired), strict=True):
        np.testing.assert_array_equal(x, y)
        assert x.dtype == y.dtype


def full(mask):
    given = mask(PARAMS) if callable(mask) else mask
    spread = jax.tree.map(lambda m, sub: jax.tree.map(lambda _: m, sub), given, PARAMS)
    return spread


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_numbers_are_optaxs(mask):
    theirs = optax.masked(optax.adam(0.1), full(mask))  # its prefixes must reach far
    ours = masked(gradtx.adam(0.1), mask)
    state, their_state = ours.init(PARAMS), theirs.init(PARAMS)
    for _ in range(3):
        updates, state = ours.update(GRADS, state, PARAMS)
        desired, their_state = theirs.update(GRADS, their_state, PARAMS)
        # Adam's bias corrections are more exact here: 1e-6 of 0.1.
        jax.tree.map(
            lambda x, y: np.testing.assert_allclose(x, y, atol=1e-6), updates, desired
        )


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_chosen_leaves_move_as_alone_and_the_others_as_said(mask):
    tx, chosen = gradtx.adam(0.25), full(mask)
    alone, _ = tx.update(GRADS, tx.init(PARAMS), PARAMS)
    for otherwise, raw in (
        ("keep", GRADS),
        ("zero", jax.tree.map(jnp.zeros_like, GRADS)),
    ):
        wrapped = masked(tx, mask, otherwise=otherwise)
        updates, _ = wrapped.update(GRADS, wrapped.init(PARAMS), PARAMS)
        same(updates, jax.tree.map(lambda m, a, r: a if m else r, chosen, alone, raw))


def test_no_state_for_the_others():
    state = masked(gradtx.scale_by_adam(), WEIGHTS).init(PARAMS)
    assert isinstance(state, gradtx.MaskedState)
    assert state.inner_state.mu["enc"]["b"] == gradtx.MaskedNode()
    assert len(jax.tree.leaves(state)) == 1 + 2 * 2  # count; mu and nu of two leaves


@pytest.mark.parametrize("otherwise", ["keep", "zero"])
def test_step_is_update_and_apply(otherwise):
    tx = masked(gradtx.adam(0.25), WEIGHTS, otherwise=otherwise)
    state = tx.init(PARAMS)
    updates, after = tx.update(GRADS, state, PARAMS)
    params, stepped = tx.step(GRADS, state, PARAMS)
    same(params, gradtx.apply_updates(PARAMS, updates))
    same(stepped, after)
    untouched = params["enc"]["b"] is PARAMS["enc"]["b"]
    assert untouched == (otherwise == "zero")


def test_mask_without_params_is_of_the_updates():
    tx = masked(gradtx.scale(2.0), matrices)
    updates, _ = tx.update(GRADS, tx.init(PARAMS))
    same(updates["enc"]["w"], 2 * GRADS["enc"]["w"])
    same(updates["out"], GRADS["out"])


@gradtx.transformation
def add_noted():
    """Adds the extra arguments: a tree `noted` and a scalar `by`."""

    def update(updates, state, params=None, *, noted, by):
        return jax.tree.map(lambda g, n: g + by * n, updates, noted), state

    return lambda params: gradtx.EmptyState(), update


def test_extra_arguments_are_masked_if_they_fit_and_one_says_so():
    tx = masked(add_noted(), WEIGHTS, mask_compatible_extra_args=True)
    updates, _ = tx.update(GRADS, tx.init(PARAMS), PARAMS, noted=PARAMS, by=2.0)
    same(updates["out"], GRADS["out"] + 2 * PARAMS["out"])
    same(updates["enc"]["b"], GRADS["enc"]["b"])
    plain = masked(add_noted(), WEIGHTS)
    with pytest.raises(ValueError, match=r"mismatch|structure|expected"):  # JAX's words
        plain.update(GRADS, plain.init(PARAMS), PARAMS, noted=PARAMS, by=2.0)


def test_none_and_optax_inside():
    tx = masked(optax.adam(0.1), {"a": True, "b": True, "c": False})
    params = {"a": jnp.ones(2), "b": None, "c": jnp.ones(2)}
    updates, state = tx.update(params, tx.init(params), params)
    assert updates["b"] is None
    same(updates["c"], params["c"])
    assert jax.tree.structure(state) == jax.tree.structure(tx.init(params))


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="otherwise must be one of"):
        masked(gradtx.sgd(0.1), True, otherwise="drop")
    with pytest.raises(TypeError, match="masked: inner"):
        masked(0.1, True)
    with pytest.raises(ValueError, match="mask does not fit"):
        masked(gradtx.sgd(0.1), {"enc": True}).init(PARAMS)
    with pytest.raises(TypeError, match="must be a bool"):
        masked(gradtx.sgd(0.1), {"enc": 1, "out": True}).init(PARAMS)
    with pytest.raises(TypeError, match="not a MaskedState"):
        masked(gradtx.sgd(0.1), True).update(GRADS, (), PARAMS)


def test_freeze_holds_still_what_is_true():
    mask = {"enc": True, "out": False}
    tx, theirs = freeze(mask), optax.transforms.freeze(full(mask))
    updates, state = tx.update(GRADS, tx.init(PARAMS), PARAMS)
    same(updates, theirs.update(GRADS, theirs.init(PARAMS), PARAMS)[0])
    assert state == gradtx.MaskedState(gradtx.EmptyState())


def test_freeze_last_in_a_chain_leaves_parameters_untouched():
    tx = gradtx.chain(
        gradtx.sgd(0.5, momentum=0.9), freeze({"enc": True, "out": False})
    )
    params, _ = tx.step(GRADS, tx.init(PARAMS), PARAMS)
    assert params["enc"]["w"] is PARAMS["enc"]["w"]
    same(params["out"], PARAMS["out"] - 0.5 * GRADS["out"])


def decaying(sign=True):
    return gradtx.chain(
        gradtx.trace(0.5),
        gradtx.add_decayed_weights(0.125),
        gradtx.scale_by_learning_rate(0.25, flip_sign=sign),
    )


def test_maximize_is_the_optimizer_of_minus_the_objective():
    up, down = maximize(decaying()), decaying()
    minus = jax.tree.map(jnp.negative, GRADS)
    state, down_state = up.init(PARAMS), down.init(PARAMS)
    params, desired = PARAMS, PARAMS
    for _ in range(3):
        params, state = up.step(GRADS, state, params)
        desired, down_state = down.step(minus, down_state, desired)
    same(params, desired)
    same(state[1], down_state)


def test_maximize_keeps_the_sign_of_the_decay_and_flip_sign_does_not():
    zero = jax.tree.map(jnp.zeros_like, GRADS)

    def norm_after(tx):
        params, _ = tx.step(zero, tx.init(PARAMS), PARAMS)
        return gradtx.global_norm(params)

    before = gradtx.global_norm(PARAMS)
    assert norm_after(maximize(decaying())) < before < norm_after(decaying(sign=False))


def test_maximize_climbs():
    tx = maximize(gradtx.adam(0.1))
    params, state = jnp.array(0.0), None
    state = tx.init(params)
    for _ in range(200):
        params, state = tx.step(
            jax.grad(lambda x: -((x - 2) ** 2))(params), state, params
        )
    # Adam with a fixed rate keeps swinging by a part of the rate.
    assert abs(params - 2) < 0.05
    with pytest.raises(TypeError, match="maximize: inner"):
        maximize(None)


@pytest.mark.parametrize(
    "tx",
    [
        masked(gradtx.adam(0.1), WEIGHTS, otherwise="zero"),
        gradtx.chain(gradtx.adam(0.1), freeze(WEIGHTS)),
        maximize(gradtx.adam(0.1)),
    ],
    ids=str,
)
def test_traced_once_scanned_donated_rebuilt(tx):
    traces = []

    def train(tx, params, state, grads):
        traces.append(1)
        return tx.step(grads, state, params)

    step = jax.jit(train, static_argnums=0, donate_argnums=(1, 2))
    params = jax.tree.map(jnp.copy, PARAMS)
    state = tx.init(params)
    for _ in range(3):
        rebuilt = pickle.loads(pickle.dumps(tx))
        params, state = step(rebuilt, params, state, GRADS)
    assert len(traces) == 1

    def body(carry, grads):
        params, state = tx.step(grads, carry[1], carry[0])
        return (params, state), None

    carry, _ = jax.lax.scan(
        body,
        (PARAMS, tx.init(PARAMS)),
        jax.tree.map(lambda g: jnp.stack([g] * 3), GRADS),
    )
    # Fused otherwise in the loop: a multiply-add is rounded once instead of twice.
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6), carry, (params, state)
    )


BODY_AND_HEAD = {"body": {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}, "head": jnp.ones(3)}


def test_a_branch_left_out_is_one_node_of_the_state():
    mask = {"body": False, "head": True}
    ours = gradtx.masked(gradtx.trace(0.9), mask).init(BODY_AND_HEAD)
    theirs = optax.masked(optax.trace(0.9), mask).init(BODY_AND_HEAD)
    assert ours.inner_state.trace["body"] == gradtx.MaskedNode()
    assert theirs.inner_state.trace["body"] == optax.MaskedNode()
    labels = {"body": "a", "head": "b"}
    state = gradtx.partition(
        {"a": gradtx.trace(0.9), "b": gradtx.trace(0.5)}, labels
    ).init(BODY_AND_HEAD)
    parts = [part.inner_state.trace for part in state.inner_states.values()]
    assert parts[1]["body"] == parts[0]["head"] == gradtx.MaskedNode()


@pytest.mark.parametrize("outer", ["masked", "partition"])
def test_a_mask_inside_may_be_of_the_whole_tree(outer):
    decayed = {"body": {"w": True, "b": False}, "head": False}
    inner = gradtx.add_decayed_weights(0.5, decayed)
    for once in (False, True):  # and once more, around a mask that is a tree, too
        member = gradtx.masked(inner, decayed) if once else inner
        for key in ("body", "head"):
            if outer == "masked":
                tx = gradtx.masked(member, {k: k == key for k in BODY_AND_HEAD})
            else:
                members = {True: member, False: gradtx.identity()}
                tx = gradtx.partition(members, {k: k == key for k in BODY_AND_HEAD})
            updates, _ = tx.update(BODY_AND_HEAD, tx.init(BODY_AND_HEAD), BODY_AND_HEAD)
            wanted = jax.tree.map(lambda p: p, BODY_AND_HEAD)
            if key == "body":
                wanted["body"]["w"] *= 1.5
            same(updates, wanted)


def test_a_mask_inside_that_fits_neither_is_named():
    inner = gradtx.add_decayed_weights(0.5, {"body": {"w": True}, "head": {"x": True}})
    tx = gradtx.masked(inner, {"body": False, "head": True})
    with pytest.raises(ValueError, match=r"mask\['head'\] is a dict with \['x'\]"):
        tx.update(BODY_AND_HEAD, tx.init(BODY_AND_HEAD), BODY_AND_HEAD)


@pytest.mark.parametrize("true", [np.array(True), jnp.array(True), np.bool_(True)])
def test_a_scalar_array_is_a_bool_if_its_value_is_known(true):
    tx = gradtx.masked(gradtx.scale(0.5), {"enc": true, "out": False})
    update = jax.jit(lambda g: tx.update(g, tx.init(g))[0])
    half = jax.tree.map(lambda g: 0.5 * g, GRADS)
    same(update(GRADS), half | {"out": GRADS["out"]})

    @jax.jit
    def late(mask):
        tx = gradtx.masked(gradtx.scale(0.5), mask)
        return tx.update(GRADS, tx.init(GRADS))[0]

    with pytest.raises(TypeError, match="must be a bool, got"):
        late(jnp.asarray(true))
