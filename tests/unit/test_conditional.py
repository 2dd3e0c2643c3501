"""Steps on a condition, frozen leaves, sums handed out: when, and what is wrong."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

PARAMS = {"w": jnp.array([1.0, -2.0]), "b": jnp.array(0.5)}
GRADS = {"w": jnp.array([0.5, 3.0]), "b": jnp.array(-1.0)}
both = pytest.mark.parametrize(
    "factory", [gradtx.conditionally_transform, gradtx.conditionally_mask]
)


def odd(step):
    return step % 2 == 1


def small(step, *, value):
    return value < 1.0


def same(actual, desired):
    assert jax.tree.structure(actual) == jax.tree.structure(desired)
    for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(desired), strict=True):
        np.testing.assert_array_equal(x, y)
        assert x.dtype == y.dtype


@both
def test_a_step_left_out_leaves_the_inner_state(factory):
    tx = factory(gradtx.adam(0.1), odd)
    start = tx.init(PARAMS)
    updates, state = tx.update(GRADS, start, PARAMS)
    raw = factory is gradtx.conditionally_transform
    same(updates, GRADS if raw else jax.tree.map(jnp.zeros_like, GRADS))
    same(state.inner_state, start.inner_state)
    assert int(state.step) == 1
    updates, state = tx.update(GRADS, state, PARAMS)
    inner = gradtx.adam(0.1)
    same(updates, inner.update(GRADS, inner.init(PARAMS), PARAMS)[0])


def test_a_step_left_out_by_the_mask_does_not_look_at_the_gradients():
    tx = gradtx.conditionally_mask(gradtx.sgd(0.1, momentum=0.9), odd)
    start = tx.init(PARAMS)
    broken = jax.tree.map(lambda g: g * jnp.nan, GRADS)
    params, state = jax.jit(tx.step)(broken, start, PARAMS)
    same(params, PARAMS)
    same(state.inner_state, start.inner_state)


@both
def test_the_condition_gets_the_extra_arguments_that_it_names(factory):
    tx = factory(gradtx.sgd(0.5), small, forward_extra_args=True)
    state = tx.init(PARAMS)
    taken = gradtx.sgd(0.5).update(GRADS, gradtx.sgd(0.5).init(PARAMS), PARAMS)[0]
    updates, state = tx.update(GRADS, state, PARAMS, value=0.5, other="for others")
    same(updates, taken)
    updates, state = jax.jit(tx.update)(GRADS, state, PARAMS, value=2.0)
    assert not np.array_equal(updates["w"], taken["w"])


def test_the_condition_gets_all_extra_arguments_if_it_takes_them():
    seen = []

    def look(step, **extra):
        seen.append(sorted(extra))
        return True

    tx = gradtx.conditionally_mask(gradtx.sgd(0.5), look, forward_extra_args=True)
    tx.update(GRADS, tx.init(PARAMS), PARAMS, value=0.5, other=1)
    tx = gradtx.conditionally_mask(gradtx.sgd(0.5), look)
    tx.update(GRADS, tx.init(PARAMS), PARAMS, value=0.5, other=1)
    assert seen == [["other", "value"], []]


def test_the_inner_transformation_gets_extra_arguments_all_the_same():
    search = gradtx.scale_by_backtracking_linesearch(10)
    tx = gradtx.chain(
        gradtx.sgd(1.0), gradtx.conditionally_mask(search, lambda step: step >= 0)
    )

    def loss(p):
        return jnp.sum(p["w"] ** 2) + p["b"] ** 2

    value, grad = jax.value_and_grad(loss)(PARAMS)
    given = {"value": value, "grad": grad, "value_fn": loss}
    params, _ = jax.jit(functools.partial(tx.step, value_fn=loss))(
        grad, tx.init(PARAMS), PARAMS, value=value, grad=grad
    )
    assert loss(params) < value
    eager, _ = tx.step(grad, tx.init(PARAMS), PARAMS, **given)
    np.testing.assert_allclose(eager["w"], params["w"], rtol=1e-6)


@both
def test_what_is_wrong_is_told(factory):
    name = factory.__name__
    with pytest.raises(TypeError, match=f"{name}: inner: expected a gradient"):
        factory("adam", odd)
    with pytest.raises(TypeError, match="should_transform_fn must be a function"):
        factory(gradtx.sgd(0.1), True)
    with pytest.raises(TypeError, match=r"needs value .* forward_extra_args=True"):
        factory(gradtx.sgd(0.1), small)
    tx = factory(gradtx.sgd(0.1), small, forward_extra_args=True)
    with pytest.raises(ValueError, match=rf"{name} needs value: call update\(.*value="):
        tx.update(GRADS, tx.init(PARAMS), PARAMS)
    tx = factory(gradtx.sgd(0.1), lambda step: jnp.ones(2, bool))
    with pytest.raises(ValueError, match=r"should_transform_fn\(step\) must be a sc"):
        tx.update(GRADS, tx.init(PARAMS), PARAMS)


MASK = {"w": True, "b": False}


def test_selective_transform_is_a_partition_with_two_labels():
    tx = gradtx.selective_transform(gradtx.adam(0.1), freeze_mask=MASK)
    parts = gradtx.partition(
        {"train": gradtx.adam(0.1), "freeze": gradtx.set_to_zero()},
        {"w": "freeze", "b": "train"},
    )
    state = tx.init(PARAMS)
    same(state, parts.init(PARAMS))
    same(tx.update(GRADS, state, PARAMS), parts.update(GRADS, state, PARAMS))
    params, _ = tx.step(GRADS, state, PARAMS)
    assert params["w"] is PARAMS["w"]


@pytest.mark.parametrize(
    "mask", [True, False, lambda p: MASK], ids=["all", "none", "f"]
)
def test_selective_transform_takes_every_kind_of_mask(mask):
    tx = gradtx.selective_transform(gradtx.sgd(0.5), freeze_mask=mask)
    updates, _ = tx.update(GRADS, tx.init(PARAMS), PARAMS)
    full = mask(PARAMS) if callable(mask) else {"w": mask, "b": mask}
    for name, frozen in full.items():
        moved = 0 * GRADS[name] if frozen else -0.5 * GRADS[name]
        np.testing.assert_array_equal(updates[name], moved)


def test_selective_transform_names_a_mask_that_does_not_fit():
    tx = gradtx.selective_transform(gradtx.sgd(0.5), freeze_mask={"w": True})
    with pytest.raises(ValueError, match="freeze_mask does not fit"):
        tx.init(PARAMS)
    tx = gradtx.selective_transform(gradtx.sgd(0.5), freeze_mask={"w": 1.0, "b": True})
    with pytest.raises(TypeError, match=r"freeze_mask\['w'\] must be a bool"):
        tx.init(PARAMS)
    with pytest.raises(TypeError, match="selective_transform: optimizer: expected"):
        gradtx.selective_transform(gradtx.sgd, freeze_mask=MASK)


def test_apply_every_hands_out_what_a_missing_leaf_is_due():
    tx = gradtx.apply_every(2)
    state = tx.init(PARAMS)
    first, state = tx.update(GRADS, state, PARAMS)
    same(first, jax.tree.map(jnp.zeros_like, GRADS))
    second, state = tx.update(GRADS | {"w": None}, state, PARAMS)
    np.testing.assert_array_equal(second["w"], GRADS["w"])
    np.testing.assert_array_equal(second["b"], 2 * GRADS["b"])
    assert int(state.count) == 0


def test_apply_every_forgets_a_nan_and_leaves_integers_alone():
    params = {"w": jnp.ones(2), "n": jnp.arange(3)}
    tx = gradtx.apply_every(2)
    state = tx.init(params)
    for g in (jnp.nan, 1.0, 2.0):
        grads = {"w": jnp.full(2, g), "n": None}
        params, state = tx.step(grads, state, params | {"w": jnp.ones(2)})
        updates, _ = tx.update(grads, state, params)
    np.testing.assert_array_equal(updates["w"], 4.0)
    assert updates["n"] is None
