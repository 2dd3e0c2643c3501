"""gradtx.tree: arithmetic, norms, casts, random numbers."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx
from gradtx import tree

RATE = gradtx.linear_schedule(1.0, 0.0, 10)


def example(seed=0, dtype=jnp.float32):
    rng = np.random.default_rng(seed)
    return {
        "w": jnp.asarray(rng.normal(size=(2, 3)), dtype),
        "b": [jnp.asarray(rng.normal(), dtype), None],
    }


def assert_same(ours, theirs, rtol=1e-6):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=rtol), ours, theirs)
    assert [x.dtype for x in jax.tree.leaves(ours)] == [
        x.dtype for x in jax.tree.leaves(theirs)
    ]


CALLS = [
    ("add", lambda t: t.add(example(0), example(1))),
    ("add_three", lambda t: t.add(example(0), example(1), example(2))),
    ("sub", lambda t: t.sub(example(0), example(1))),
    ("mul", lambda t: t.mul(example(0), example(1))),
    ("div", lambda t: t.div(example(0), example(1))),
    ("scale", lambda t: t.scale(0.3, example(0))),
    ("add_scale", lambda t: t.add_scale(example(0), 0.3, example(1))),
    ("vdot", lambda t: t.vdot(example(0), example(1))),
    ("vdot_complex", lambda t: t.vdot(example(0, complex), example(1, complex))),
    ("sum", lambda t: t.sum(example(0))),
    ("sum_pairs", lambda t: t.sum(example(0), associative_reduction=True)),
    ("max", lambda t: t.max(example(0))),
    ("min", lambda t: t.min(example(0))),
    ("zeros_like", lambda t: t.zeros_like(example(0), jnp.float16)),
    ("ones_like", lambda t: t.ones_like(example(0))),
    ("full_like", lambda t: t.full_like(example(0), 0.3)),
    ("where", lambda t: t.where(jnp.array(False), example(0), example(1))),
    ("conj", lambda t: t.conj(example(0, complex))),
    ("real", lambda t: t.real(example(0, complex))),
    ("clip", lambda t: t.clip(example(0), -0.5, 0.5)),
    ("clip_below", lambda t: t.clip(example(0), min_value=0.0)),
    ("norm", lambda t: t.norm(example(0))),
    ("norm_squared", lambda t: t.norm(example(0), squared=True)),
    ("norm_1", lambda t: t.norm(example(0, complex), 1)),
    ("norm_inf", lambda t: t.norm(example(0, complex), jnp.inf, squared=True)),
    ("cast", lambda t: t.cast(example(0), jnp.bfloat16)),
    ("cast_none", lambda t: t.cast(example(0), None)),
    ("cast_like", lambda t: t.cast_like(example(0), example(1, jnp.float16))),
    ("random_like", lambda t: t.random_like(jax.random.key(1), example(0))),
    (
        "random_bits",
        lambda t: t.random_like(
            jax.random.key(1), example(0), jax.random.rademacher, int
        ),
    ),
]


@pytest.mark.parametrize("call", [c for _, c in CALLS], ids=[n for n, _ in CALLS])
def test_is_that_of_optax(call):
    assert_same(call(tree), call(optax.tree))


def test_other_answers_are_those_of_optax():
    keys = tree.split_key_like(jax.random.key(0), example())
    theirs = optax.tree.split_key_like(jax.random.key(0), example())
    assert_same(
        jax.tree.map(jax.random.key_data, keys),
        jax.tree.map(jax.random.key_data, theirs),
    )
    assert tree.size(example()) == optax.tree.size(example()) == 7
    assert tree.allclose(example(), tree.scale(1 + 1e-6, example()))
    assert not tree.allclose(example(), tree.scale(1 + 1e-4, example()))
    assert tree.allclose({"w": jnp.nan}, {"w": jnp.nan}, equal_nan=True)


def test_empty_trees():
    for empty in ({}, {"w": None}, {"w": jnp.zeros((0, 3))}):
        assert tree.sum(empty) == tree.vdot(empty, empty) == tree.norm(empty) == 0
        assert tree.norm(empty, 1) == tree.norm(empty, math.inf) == 0
        assert (tree.max(empty), tree.min(empty)) == (-jnp.inf, jnp.inf)
        assert tree.sum(empty, associative_reduction=True) == 0
        assert tree.size(empty) == 0
        assert tree.allclose(empty, empty)
        assert jax.tree.structure(tree.add(empty, empty)) == jax.tree.structure(empty)
        key = jax.random.key(0)
        assert tree.random_like(key, empty).keys() == empty.keys()
    assert tree.dtype({}) == jnp.float32


def test_a_number_does_not_widen_a_tree():
    narrow = example(dtype=jnp.bfloat16)
    half = jnp.float32(0.5)
    assert tree.dtype(tree.scale(half, narrow)) == jnp.bfloat16
    assert tree.dtype(tree.add_scale(narrow, half, narrow)) == jnp.bfloat16
    assert tree.dtype(tree.scale(0.5, {"n": jnp.arange(3)})) == jnp.float32
    assert tree.dtype(tree.scale(1j, example())) == jnp.complex64


def test_sums_are_wide():
    many = {"w": jnp.full(1000, 0.01, jnp.bfloat16), "v": jnp.full(9, 6e4, jnp.float16)}
    want = 1000 * float(many["w"][0]) + 9 * float(many["v"][0])
    for total in (tree.sum(many), tree.vdot(many, tree.ones_like(many))):
        assert total.dtype == jnp.float32
        np.testing.assert_allclose(total, want, rtol=1e-6)
    np.testing.assert_allclose(tree.norm(many, 1), want, rtol=1e-6)


def test_whole_numbers_stay_whole():
    counts = {"a": jnp.arange(3), "b": jnp.int32(2**24)}
    assert tree.sum(counts) == 2**24 + 3
    assert tree.max(counts) == 2**24
    assert tree.vdot(counts, counts).dtype == jnp.int32


@pytest.mark.parametrize(
    "call",
    [
        tree.add,
        tree.sub,
        tree.mul,
        tree.div,
        tree.vdot,
        tree.allclose,
        tree.cast_like,
        lambda x, y: tree.add_scale(x, 1.0, y),
        lambda x, y: tree.where(True, x, y),
    ],
)
def test_trees_that_differ_are_refused_and_the_leaf_is_named(call):
    good = example()
    shaped = {**good, "w": jnp.ones((3, 1))}  # would broadcast
    with pytest.raises(ValueError, match=r"\['w'\] has shape \(2, 3\)"):
        call(good, shaped)
    with pytest.raises(ValueError, match=r"\['b'\].* has no counterpart"):
        call(good, {"w": good["w"]})
    with pytest.raises(ValueError, match=r"\['b'\]\[0\] is an array.* is None"):
        call(good, {**good, "b": [None, None]})


def test_complex_and_real_leaves_go_together():
    assert tree.dtype(tree.sub(example(0, complex), example(1))) == jnp.complex64
    with pytest.raises(TypeError, match="imaginary part"):
        tree.cast(example(0, complex), jnp.float32)


def test_norm_of_another_order_is_refused():
    with pytest.raises(ValueError, match="ord must be 1, 2 or inf, got 3"):
        tree.norm(example(), 3)


MIXED = {"a": jnp.ones(2, jnp.bfloat16), "b": jnp.ones(2), "c": None}


def test_dtype():
    assert tree.dtype(example(dtype=jnp.float16)) == jnp.float16
    for handler in ("promote", "highest", "lowest"):
        assert tree.dtype(MIXED, handler) == optax.tree.dtype(MIXED, handler)
    with pytest.raises(
        ValueError, match=r"\['a'\] is bfloat16, tree\['b'\] is float32"
    ):
        tree.dtype(MIXED)
    halves = {"a": jnp.ones(2, jnp.bfloat16), "b": jnp.ones(2, jnp.float16)}
    assert tree.dtype(halves, "promote") == jnp.float32
    with pytest.raises(ValueError, match=r"tree\['b'\] is float16"):
        tree.dtype(halves, "highest")
    with pytest.raises(ValueError, match="mixed_dtype_handler must be one of"):
        tree.dtype(MIXED, "widest")


def test_random_leaves_differ_and_take_a_dtype():
    both = tree.random_like(jax.random.key(0), {"a": jnp.ones(3), "b": jnp.ones(3)})
    assert not jnp.any(both["a"] == both["b"])
    half = tree.random_like(jax.random.key(0), example(), dtype=jnp.float16)
    assert tree.dtype(half) == jnp.float16


def test_works_inside_jit():
    def f(x, y):
        return tree.norm(tree.add_scale(x, 0.5, y)), tree.allclose(x, y)

    assert_same(jax.jit(f)(example(0), example(1)), f(example(0), example(1)))
