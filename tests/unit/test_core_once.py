"""What is built or traced anew each step is compiled once, and never out of date."""

import functools
import gc
import weakref

import jax
import jax.numpy as jnp
import numpy as np

import gradtx
from gradtx.core.transformation import plan_of
from gradtx.testing.flags import _compilations


def rules(tx):
    return tx.update.plan.rules


def test_an_equal_call_has_the_same_rules_and_its_own_words():
    one, other = gradtx.scale(0.5), gradtx.scale(step_size=0.5)
    assert plan_of(one.update).rules == plan_of(other.update).rules
    assert (repr(one), repr(other)) == ("scale(0.5)", "scale(step_size=0.5)")
    for different in (0.25, np.float32(0.5), -0.5):
        assert rules(gradtx.scale(different)) != rules(one)


def test_zero_and_minus_zero_are_two_numbers():
    for zero in (0.0, np.float32(0.0), np.float16(0.0)):
        assert gradtx.scale(zero) != gradtx.scale(-zero)


def test_arrays_are_not_kept():
    rate = jnp.float32(0.5)
    kept = weakref.ref(rate)
    assert rules(gradtx.scale(rate)) != rules(gradtx.scale(rate))
    gradtx.sgd(functools.partial(jnp.multiply, rate))  # a schedule with an array inside
    del rate
    gc.collect()
    assert kept() is None


def test_a_list_changed_later_changes_nothing_that_is_kept():
    mask = {"a": True, "b": False}
    one = gradtx.masked(gradtx.sgd(1.0), mask)
    mask["a"] = False
    again = gradtx.masked(gradtx.sgd(1.0), {"a": True, "b": False})
    g = {"a": 1.0, "b": 1.0}
    for tx in (one, again):
        assert float(tx.update(g, tx.init(g))[0]["a"]) == -1.0


def test_a_function_that_closes_over_another_array_is_not_out_of_date():
    target = jnp.ones(2)

    def value_fn(p):
        return jnp.sum((p - target) ** 2)

    tx, p = gradtx.scale_by_zoom_linesearch(10), jnp.zeros(2)
    state = tx.init(p)
    for i, target in enumerate(jnp.array([[1.0, 2.0], [3.0, 3.0], [-2.0, 1.0]])):
        value, grad = jnp.sum((p - target) ** 2), 2 * (p - target)
        with _compilations() as seen:
            updates, _ = tx.update(
                -grad, state, p, value=value, grad=grad, value_fn=value_fn
            )
        np.testing.assert_allclose(updates, target, rtol=1e-5)
        assert not (i and seen)


def test_a_function_may_ask_for_the_value_of_an_extra_argument():
    def value_fn(p, batch):
        return jnp.sum(p**2) * (2.0 if batch.sum() > 1 else 1.0)

    tx, p = gradtx.scale_by_backtracking_linesearch(5), jnp.ones(2)
    more = {"value": 4.0, "grad": 4 * p, "value_fn": value_fn}
    updates, _ = tx.update(-p, tx.init(p), p, batch=np.ones(2), **more)
    np.testing.assert_allclose(updates, -1.0)


def test_under_disable_jit_a_step_gives_the_same():
    tx = gradtx.apply_if_finite(gradtx.adam(0.1), 3)
    p = {"w": jnp.array([1.0, -2.0])}
    desired, _ = tx.update(p, tx.init(p), p)
    with jax.disable_jit():
        found, _ = tx.update(p, tx.init(p), p)
    np.testing.assert_allclose(found["w"], desired["w"], rtol=1e-6)
