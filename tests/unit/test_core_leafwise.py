"""The lift of a rule for one array to trees, and the trees' own functions."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.core import check
from gradtx.core.leafwise import Slot, full, leafwise, slot_dtype, zeros
from gradtx.core.numerics import abs_sq, divide, one_minus_power, safe_increment
from gradtx.core.plan import lift


class SumState(NamedTuple):
    count: jax.Array
    total: gradtx.Updates


@gradtx.transformation
def running_sum():
    def rule(g, total, t):
        return g * t, total + g

    return leafwise(SumState, rule, scalars=lambda t: (t,), total=zeros())


def test_each_distinct_shape_is_traced_once():
    shapes = []

    def rule(g):
        shapes.append(g.shape)
        return 2 * g

    apply = lift(rule)
    tree = [jnp.ones(3), jnp.ones((2, 2)), jnp.zeros(3), jnp.ones(3), jnp.ones([])]
    for _ in range(2):
        jax.make_jaxpr(lambda tree: apply(tree)[0])(tree)
    assert sorted(shapes) == [(), (2, 2), (3,)]


def test_a_dtype_of_its_own_is_another_trace():
    dtypes = []

    def rule(g):
        dtypes.append(g.dtype)
        return g

    lift(rule)([jnp.ones(3), jnp.ones(3, jnp.bfloat16), jnp.ones(3, jnp.bfloat16)])
    assert dtypes == [jnp.float32, jnp.float32]  # what the rule computes in


def test_none_keeps_its_slot_and_comes_back():
    tx = running_sum()
    params = {"a": jnp.ones(2), "b": jnp.ones(2), "c": None}
    state = tx.init(params)
    _, state = tx.update(params, state)
    updates, state = tx.update({"a": jnp.ones(2), "b": None, "c": None}, state)
    assert updates["b"] is None
    assert updates["c"] is None
    assert int(state.count) == 2
    expected = {"a": 2 * jnp.ones(2), "b": jnp.ones(2), "c": None}
    chex.assert_trees_all_equal(state.total, expected)


def test_float0_is_no_gradient():
    params = {"w": jnp.ones(2), "steps": jnp.arange(3)}
    loss = lambda p: jnp.sum(p["w"] ** 2)  # noqa: E731  what a user would write
    grads = jax.grad(loss, allow_int=True)(params)
    tx = gradtx.sgd(0.5)
    new, _ = tx.step(grads, tx.init(params), params)
    chex.assert_trees_all_equal(new, {"w": jnp.zeros(2), "steps": jnp.arange(3)})


def test_mixed_dtypes_are_computed_wide_and_come_back_narrow():
    def rule(g, total):
        assert g.dtype == total.dtype  # both at the wider of the two
        return g / 3, total + g

    tree = {"h": jnp.ones(2, jnp.bfloat16), "f": jnp.ones(2), "c": jnp.ones(2) * 1j}
    init, update = leafwise(SumState, rule, total=zeros())
    updates, state = update(tree, init(tree))
    assert jax.tree.map(jnp.result_type, updates) == jax.tree.map(jnp.result_type, tree)
    assert state.total["h"].dtype == jnp.float32
    # A third in float32, rounded once.
    expected = jnp.asarray(1 / 3, jnp.bfloat16)
    assert float(updates["h"][0]) == float(expected)


def test_a_scalar_does_not_widen_what_it_meets():
    apply = lift(lambda g, s: g * s)
    wide = jnp.ones([], jnp.float32)
    with jax.enable_x64(True):
        wide = jnp.ones([], jnp.float64)
        updates, _ = apply(jnp.ones(2, jnp.float32), scalars=(wide,))
        assert updates.dtype == jnp.float32
        jaxpr = jax.make_jaxpr(lambda g: apply(g, scalars=(wide,))[0])(
            jnp.ones(2, jnp.float32)
        )
    assert "f64[2]" not in str(jaxpr)


def test_a_slot_is_as_named_or_the_parameters_at_least_float32():
    assert slot_dtype(jnp.ones(2, jnp.bfloat16)) == jnp.float32
    assert slot_dtype(jnp.ones(2, jnp.bfloat16), jnp.bfloat16) == jnp.bfloat16
    assert slot_dtype(jnp.ones(2, jnp.complex64), real=True) == jnp.float32
    assert slot_dtype(jnp.ones(2, jnp.complex64)) == jnp.complex64
    assert float(full(0.5).init(jnp.ones(2))[1]) == 0.5
    with pytest.raises(ValueError, match=r"state dtype must be floating.*int32"):
        zeros(jnp.int32)


def test_a_slot_may_be_a_small_tree():
    class Coded(NamedTuple):
        m: gradtx.Updates

    slot = Slot(lambda p: {"codes": jnp.zeros(p.shape, jnp.int8)}, like_param=False)
    init, _ = leafwise(Coded, lambda g, m: (g, m), m=slot)
    assert init({"w": jnp.ones(3)}).m["w"]["codes"].dtype == jnp.int8


@pytest.mark.parametrize(
    ("grads", "params", "text"),
    [
        ({"a": np.ones((1, 3))}, {"a": np.ones((3, 1))}, r"\['a'\] has shape \(1, 3\)"),
        ({"a": np.ones(2)}, {"b": np.ones(2)}, r"updates\['a'\] has no counterpart"),
        ({}, {"b": np.ones(2)}, r"params\['b'\] has no counterpart.*no leaves"),
        ([np.ones(2)], (np.ones(2),), "trees of different types"),
        ({"a": np.ones(2)}, {"a": None}, r"params\['a'\] is None"),
        ({"a": 1j * np.ones(2)}, {"a": np.ones(2)}, "imaginary part would be lost"),
        ({"a": "text"}, {"a": np.ones(2)}, r"updates\['a'\]"),
    ],
)
def test_trees_that_do_not_match_are_refused_by_path(grads, params, text):
    tx = gradtx.sgd(0.1)
    state = tx.init(params)
    with pytest.raises((ValueError, TypeError), match=text):
        tx.update(grads, state, params)


def test_errors_begin_with_the_transformations_at_work():
    tx = gradtx.chain(gradtx.identity(), gradtx.add_decayed_weights(0.1))
    with pytest.raises(ValueError, match=r"^chain > add_decayed_weights needs par"):
        tx.update(jnp.ones(2), tx.init(jnp.ones(2)))
    tx = gradtx.sgd(0.1, momentum=0.9)
    with pytest.raises(ValueError, match=r"^sgd > trace: updates has shape"):
        tx.update(jnp.ones(3), tx.init(jnp.ones(2)))


def test_apply_updates_rounds_once_in_the_wider_dtype():
    p, u = jnp.ones(2, jnp.bfloat16), jnp.full(2, 2**-9)
    assert float(gradtx.apply_updates(p, u)[0]) == 1.0
    assert gradtx.apply_updates(p, u).dtype == jnp.bfloat16
    u = jnp.full(2, 1.5 * 2**-8)  # rounds to the next bfloat16
    assert float(gradtx.apply_updates(p, u)[0]) == 1 + 2**-7


def test_apply_updates_leaves_out_none_and_refuses_integers():
    params = {"w": jnp.ones(2), "n": jnp.arange(2)}
    updates = {"w": jnp.ones(2), "n": None}
    assert gradtx.apply_updates(params, updates)["n"] is params["n"]
    with pytest.raises(TypeError, match=r"params\['n'\] is int32.*Give None"):
        gradtx.apply_updates(params, {"w": None, "n": jnp.ones(2)})
    with pytest.raises(ValueError, match=r"updates\['w'\] has shape \(1, 2\)"):
        gradtx.apply_updates(params, {"w": jnp.ones((1, 2)), "n": None})


def test_averages_of_trees():
    old, new = {"a": jnp.zeros(2), "b": None}, {"a": jnp.ones(2), "b": None}
    mixed = gradtx.incremental_update(new, old, 0.25)
    chex.assert_trees_all_equal(mixed, {"a": jnp.full(2, 0.25), "b": None})
    for steps in (0, 1, 2, 3):
        taken = gradtx.periodic_update(new, old, jnp.asarray(steps), 2)
        chex.assert_trees_all_equal(taken, old if steps % 2 else new)
    with pytest.raises(ValueError, match=r"new_tensors\['a'\] has shape \(1,\)"):
        gradtx.incremental_update({"a": jnp.ones(1), "b": None}, old, 0.5)


@pytest.mark.parametrize(
    ("accept", "good", "bad"),
    [
        (check.decay, (0, 0.0, 0.999, np.float32(0.5)), (1, 1.5, -0.1, np.nan)),
        (check.fraction, (0, 1, 0.5), (1.1, -0.1, np.nan)),
        (check.positive, (1e-30, 5), (0, -1.0, np.inf, np.nan)),
        (check.nonnegative, (0, 1e30), (-1e-30, np.inf, np.nan)),
        (check.finite, (-1, 0.0), (np.inf, -np.inf, np.nan)),
        (check.count, (0, 7, 2.0), (-1, 1.5, np.inf, np.nan)),
        (lambda n, v: check.inside(n, v, 0, 1), (0.5,), (0, 1, np.nan)),
        (lambda n, v: check.at_least(n, v, 4), (4, 5.5), (3.9, np.inf, np.nan)),
        (check.learning_rate, (-0.1, abs), (np.nan, np.inf)),
    ],
)
def test_ranges(accept, good, bad):
    for value in (*good, jnp.asarray(7.0)):  # arrays pass: they may be traced
        accept("rate", value)
    for value in bad:
        with pytest.raises(ValueError, match=r"^rate must be "):
            accept("rate", value)
    for value in ("0.1", [0.1], {"a": 0.1}):
        with pytest.raises(TypeError, match=r"^rate must be a number"):
            accept("rate", value)


def test_choices():
    check.choice("mode", "a", ("a", "b"))
    with pytest.raises(ValueError, match=r"mode must be one of \('a', 'b'\), got 'c'"):
        check.choice("mode", "c", ("a", "b"))


def test_a_schedule_where_a_number_is_wanted_points_to_inject_hyperparams():
    with pytest.raises(TypeError, match=r"b1 must be a number.*inject_hyperp"):
        gradtx.adam(0.1, b1=lambda count: 0.9)


def test_a_counter_saturates():
    last = jnp.iinfo(jnp.int32).max
    assert int(safe_increment(jnp.asarray(last, jnp.int32))) == last
    assert int(safe_increment(jnp.asarray(last - 1, jnp.int32))) == last


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 0.999, 0.999999])
def test_one_minus_power_keeps_its_digits(decay):
    for t in (1, 2, 10, 100_000):
        expected = -np.expm1(t * np.log(decay)) if decay else 1.0
        # Float32 has 6e-8; the exponential costs another digit or two.
        value = float(one_minus_power(decay, jnp.asarray(t)))
        assert value == pytest.approx(expected, rel=3e-7)


def test_small_numerics():
    z = jnp.array([3.0 + 4.0j])
    assert float(abs_sq(z)[0]) == 25.0
    assert not jnp.iscomplexobj(abs_sq(z))
    # 0 / 0 is 0, also for the gradient through the division.
    ratio, slope = jax.value_and_grad(lambda a: divide(a, 0 * a, 0.0))(0.0)
    assert float(ratio) == 0.0
    assert np.isfinite(float(slope))


def test_init_names_the_leaf_that_is_no_array():
    with pytest.raises(
        TypeError, match=r"adam > scale_by_adam: params\['act'\] is 'relu'"
    ):
        gradtx.adam(0.1).init({"w": jnp.ones(2), "act": "relu"})
