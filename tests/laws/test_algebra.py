"""Algebra: how transformations compose, what is neutral, idempotent, linear, blind."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays

import gradtx

from .trajectories import START, descend, downhill, run, transform

RATE, STEPS = 0.05, 12

# Few examples, the same ones in every run: each new transformation is compiled.
few = settings(max_examples=8, deadline=None, derandomize=True, database=None)
many = settings(few, max_examples=50)

PARTS = [
    gradtx.identity(),
    gradtx.clip(2.0),
    gradtx.clip_by_global_norm(1.0),
    gradtx.trace(0.5, nesterov=True),
    gradtx.add_decayed_weights(0.1),
    gradtx.scale_by_adam(),
    gradtx.scale(0.5),
]

ELEMENTWISE = [
    gradtx.sgd(RATE, momentum=0.9),
    gradtx.sgd(RATE, momentum=0.9, nesterov=True),
    gradtx.sgd(RATE, momentum=0.9, dampening=0.5),
    gradtx.adam(RATE),
    gradtx.nadamw(RATE, weight_decay=0.1),
    gradtx.adamax(RATE),
    gradtx.adam_lp(RATE, p=3.0),
    gradtx.amsgrad(RATE),
    gradtx.radam(RATE, b2=0.9),
    gradtx.adagrad(RATE),
    gradtx.adadelta(RATE),
    gradtx.rmsprop(RATE, centered=True, momentum=0.9),
    gradtx.lion(RATE),
    gradtx.rprop(RATE),
    gradtx.ema(0.9),
    gradtx.clip(0.5),
]


def gradients(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=(STEPS, *shape))


# Chains.


def nest(part):
    """A chain for each pair of brackets."""
    return gradtx.chain(*map(nest, part)) if isinstance(part, list) else part


def members(part):
    """What stands between the brackets, without the identities."""
    if isinstance(part, list):
        return [tx for inner in part for tx in members(inner)]
    return [] if part == gradtx.identity() else [part]


brackets = st.recursive(
    st.sampled_from(PARTS), lambda inner: st.lists(inner, max_size=3), max_leaves=6
)


@few
@given(st.lists(brackets, min_size=2, max_size=4))
def test_brackets_and_identities_change_nothing_in_a_chain(parts):
    steps = gradtx.scale_by_learning_rate(RATE)
    flat = gradtx.chain(*members(parts), steps)
    nested = gradtx.chain(nest(parts), steps)
    np.testing.assert_array_equal(descend(nested, STEPS), descend(flat, STEPS))


def test_a_chain_is_not_commutative():
    clip, trace = gradtx.clip(0.5), gradtx.trace(0.9)
    one = transform(gradtx.chain(clip, trace), gradients(3))
    other = transform(gradtx.chain(trace, clip), gradients(3))
    assert np.abs(one - other).max() > 0.5


def test_named_chain_is_a_chain():
    named = gradtx.named_chain(("a", gradtx.scale_by_adam()), ("b", gradtx.sgd(RATE)))
    plain = gradtx.chain(gradtx.scale_by_adam(), gradtx.sgd(RATE))
    np.testing.assert_array_equal(descend(named, STEPS), descend(plain, STEPS))


@pytest.mark.parametrize(
    "tx",
    [
        gradtx.chain(),
        gradtx.identity(),
        gradtx.scale(1.0),
        gradtx.scale_by_learning_rate(1.0, flip_sign=False),
        gradtx.trace(0.0),
        gradtx.trace(0.0, nesterov=True),
        gradtx.ema(0.0),
        gradtx.ema(0.0, debias=False),
        gradtx.clip(100.0),
        gradtx.clip_by_global_norm(100.0),
        gradtx.clip_by_block_rms(100.0),
        gradtx.adaptive_grad_clip(1e9),
        gradtx.zero_nans(),
        gradtx.add_noise(0.0, 0.55, key=0),
        gradtx.masked(gradtx.set_to_zero(), False),
    ],
    ids=repr,
)
def test_neutral(tx):
    g = gradients(2, 3)
    np.testing.assert_array_equal(transform(tx, g), g)


# Clipping and centering: projections.

entries = arrays(np.float64, (1, 2, 3), elements=st.floats(-1e6, 1e6, width=32))
PROJECTIONS = [
    gradtx.clip(1.0),
    gradtx.clip_by_global_norm(1.0),
    gradtx.clip_by_block_rms(1.0),
    gradtx.adaptive_grad_clip(1.0, eps=1.0),
    gradtx.centralize(),
    gradtx.centralize(keep_axis=-1),
    gradtx.zero_nans(),
]


@pytest.mark.parametrize("tx", PROJECTIONS, ids=repr)
@many
@given(g=entries)
def test_idempotent(tx, g):
    once = transform(tx, g)
    # A norm or a mean of what was clipped or centered is right up to some roundings.
    slack = 1e-15 * max(1.0, np.abs(g).max())
    np.testing.assert_allclose(transform(tx, once), once, rtol=1e-15, atol=slack)


@pytest.mark.parametrize("tx", [gradtx.clip, gradtx.clip_by_global_norm])
@many
@given(g=entries)
def test_clipping_scales_with_its_limit(tx, g):  # by powers of two: no roundings
    np.testing.assert_array_equal(transform(tx(8.0), 8 * g), 8 * transform(tx(1.0), g))


@many
@given(entries)
def test_clipping_by_the_norm_shortens_and_does_not_turn(g):
    clipped = transform(gradtx.clip_by_global_norm(1.0), g)
    length, allowed = np.linalg.norm(g), min(np.linalg.norm(g), 1.0)
    # Sums of six squares, and a square root.
    np.testing.assert_allclose(np.linalg.norm(clipped), allowed, rtol=1e-14)
    np.testing.assert_allclose(clipped * length, g * allowed, rtol=1e-14)


@pytest.mark.parametrize("axis", [0, -1])
def test_centralize_takes_out_the_mean_and_nothing_else(axis):
    g = gradients(4, 5)
    centered = transform(gradtx.centralize(axis), g)
    other = 1 if axis == -1 else 2  # axis 0 are the steps
    # Sums of five numbers of order 1.
    np.testing.assert_allclose(centered.mean(other), 0, atol=1e-15)
    removed = g - centered
    np.testing.assert_allclose(np.ptp(removed, axis=other), 0, atol=1e-15)


@pytest.mark.parametrize(
    "tx",
    [
        gradtx.sgd(RATE, momentum=0.9, nesterov=True),
        gradtx.trace(0.9, dampening=0.5),
        gradtx.ema(0.9),
        gradtx.centralize(),
        gradtx.scale_by_schedule(lambda count: 1 / (1 + count)),
    ],
    ids=repr,
)
def test_linear(tx):
    a, b = gradients(2, 3), gradients(2, 3, seed=1)
    desired = 2 * transform(tx, a) - 3 * transform(tx, b)
    # Sums of at most 12 numbers of order 10.
    np.testing.assert_allclose(transform(tx, 2 * a - 3 * b), desired, atol=1e-13)


# What elementwise transformations do not see.


def cut(flat, axes):
    """The entries, turned around, as other leaves with other names and shapes."""
    turned = np.flip(flat, axes)
    shape = turned.shape[:axes]
    return {
        "z": turned[..., 0],
        "a": [turned[..., 1:7].reshape(*shape, 3, 2), turned[..., 7:7]],
        "m": (turned[..., 7:].reshape(*shape, 1, 5), None),
    }


def joined(tree):
    parts = (tree["z"], *tree["a"], tree["m"][0])
    return np.flip(np.concatenate([x.reshape(STEPS, -1) for x in parts], 1), 1)


@pytest.mark.parametrize("tx", ELEMENTWISE, ids=repr)
def test_the_cut_into_leaves_does_not_matter(tx):
    params, g = np.linspace(-1, 1, 12), gradients(12)
    whole = run(tx, params, g).updates
    pieces = run(tx, cut(params, 0), cut(g, 1)).updates
    # XLA contracts products and sums in the one kernel and not in the other.
    np.testing.assert_allclose(joined(pieces), whole, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("tx", ELEMENTWISE, ids=repr)
def test_odd(tx):
    params, g = np.linspace(-1, 1, 12), gradients(12)
    mirrored = run(tx, -params, -g).updates
    np.testing.assert_array_equal(mirrored, -run(tx, params, g).updates)


def test_a_global_norm_does_not_see_the_cut_but_the_norm_of_a_block_does():
    params, g = np.linspace(-1, 1, 12), gradients(12)

    def difference(tx):
        pieces = run(tx, cut(params, 0), cut(g, 1)).updates
        return np.abs(joined(pieces) - run(tx, params, g).updates).max()

    assert difference(gradtx.clip_by_global_norm(1.0)) < 1e-15  # sums in another order
    assert difference(gradtx.clip_by_block_rms(0.5)) > 0.1


# Groups of leaves.

TREE = {"a": gradients(3), "b": gradients(2, 2, seed=1)}
INNER = gradtx.adam(RATE)


def assert_equal_trees(actual, desired):
    jax.tree.map(np.testing.assert_array_equal, actual, desired)


@pytest.mark.parametrize(
    "tx",
    [
        gradtx.partition({"all": INNER}, "all"),
        gradtx.partition({"all": INNER, "none": gradtx.sgd(1.0)}, "all"),
        gradtx.masked(INNER, True),
        gradtx.masked(INNER, {"a": True, "b": True}, otherwise="zero"),
    ],
    ids=["partition", "an unused label", "masked", "masked, else zero"],
)
def test_one_group_of_all_leaves_is_the_inner_one(tx):
    assert_equal_trees(transform(tx, TREE), transform(INNER, TREE))


CLIP = gradtx.clip_by_global_norm(0.1)


@pytest.mark.parametrize(
    ("tx", "first", "second"),
    [
        (gradtx.partition({1: CLIP, 2: INNER}, {"a": 1, "b": 2}), CLIP, INNER),
        (gradtx.masked(CLIP, {"a": True, "b": False}), CLIP, gradtx.identity()),
    ],
    ids=["partition", "masked"],
)
def test_groups_do_not_see_each_other(tx, first, second):
    alone = transform(first, {"a": TREE["a"]}) | transform(second, {"b": TREE["b"]})
    assert_equal_trees(transform(tx, TREE), alone)


# Signs, schedules and ends.


@pytest.mark.parametrize(
    "tx",
    [gradtx.adamw(RATE, weight_decay=0.1), gradtx.sgd(RATE, momentum=0.9)],
    ids=repr,
)
def test_to_maximize_is_to_minimize_the_negative(tx):
    def uphill(x, _):
        return -downhill(x, _)

    actual = descend(gradtx.maximize(tx), STEPS, uphill)
    np.testing.assert_array_equal(actual, descend(tx, STEPS))


def constantly(value):
    return lambda count: value


@pytest.mark.parametrize(
    ("fixed", "scheduled"),
    [
        (gradtx.sgd(RATE, 0.9), gradtx.sgd(constantly(RATE), 0.9)),
        (gradtx.rmsprop(RATE), gradtx.rmsprop(gradtx.constant_schedule(RATE))),
        (
            gradtx.adamw(RATE, weight_decay=0.1),
            gradtx.adamw(constantly(RATE), weight_decay=constantly(0.1)),
        ),
        (gradtx.scale(-RATE), gradtx.scale_by_schedule(constantly(-RATE))),
    ],
    ids=["sgd", "rmsprop", "adamw", "scale"],
)
def test_a_constant_schedule_is_the_constant(fixed, scheduled):
    # XLA may contract the product with a constant into the sum behind it, and that with
    # an array not: the last digit of float64, 2.2e-16.
    actual, desired = descend(scheduled, STEPS), descend(fixed, STEPS)
    np.testing.assert_allclose(actual, desired, rtol=1e-15)


@many
@given(entries, entries, st.floats(0, 1))
def test_an_incremental_update_goes_a_part_of_the_way(new, old, part):
    with jax.enable_x64(True):
        new, old = jnp.asarray(new), jnp.asarray(old)
        kept, moved, between = (
            np.asarray(gradtx.incremental_update(new, old, size))
            for size in (0.0, 1.0, part)
        )
    np.testing.assert_array_equal(kept, old)
    np.testing.assert_array_equal(moved, new)
    low, high = np.minimum(new, old), np.maximum(new, old)
    slack = 1e-15 * np.maximum(np.abs(low), np.abs(high))  # of two products
    assert np.all(between >= low - slack)
    assert np.all(between <= high + slack)


def test_incremental_updates_are_an_average():  # Polyak: ema of the parameters
    points = descend(gradtx.sgd(RATE), STEPS)[1:]
    average = np.zeros_like(START)
    with jax.enable_x64(True):
        for x in points:
            average = gradtx.incremental_update(jnp.asarray(x), average, 0.1)
    desired = transform(gradtx.ema(0.9, debias=False), points)[-1]
    np.testing.assert_allclose(average, desired, rtol=1e-14)  # twelve sums of products
