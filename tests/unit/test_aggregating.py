"""Aggregators: what they take, what they are, and what they refuse."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import aggregating as ours

PARAMS = {"w": jnp.ones((2, 3)), "ready": jnp.array(2.0)}
K = 2


def clipped_mean():
    mean = ours.average_incrementally_updates(0, K)
    return ours.process(gradtx.clip(1.0), mean, gradtx.sgd(0.1))


MAKE = {
    "mean": ours.average_per_element_updates,
    "micro-batches": lambda: ours.average_incrementally_updates(0, K),
    "sums": ours.get_per_element_mean_and_sum_sq_diff_grads,
    "statistics": lambda: ours.add_mean_variance_to_opt(gradtx.adam(0.1)),
    "process": clipped_mean,
}


def assert_same(actual, expected, rtol=1e-6):
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol),
        actual,
        expected,
    )


def test_one_put_together_by_hand_takes_any_axes():
    mean = ours.Aggregator(
        init=lambda params: gradtx.EmptyState(),
        update=lambda gs, s, _: (jax.tree.map(lambda g: g.mean(1), gs), s),
    )
    tx = ours.process(gradtx.identity(), mean, gradtx.adamw(1.0))
    assert isinstance(tx, ours.Aggregator)
    params, grads = jnp.ones(3), jnp.ones((3, 5))
    found, _ = tx.update(grads, tx.init(params), params, value=1.0)
    whole = gradtx.adamw(1.0)
    assert_same(found, whole.update(grads[:, 0], whole.init(params), params)[0])
    wrong = ours.process(gradtx.identity(), mean, gradtx.sgd(1.0), True)
    with pytest.raises(TypeError, match="needs one that gives"):
        wrong.update(grads, wrong.init(params), params)


def test_what_takes_whole_gradients_is_no_aggregator():
    whole = ours.average_incrementally_updates(None, K)
    tx = ours.process(gradtx.identity(), whole, gradtx.sgd(0.1))
    for made in (whole, tx):
        assert not isinstance(made, ours.Aggregator)
        assert isinstance(made, gradtx.GradientTransformationExtraArgs)
    for name, make in MAKE.items():
        made = make()
        assert isinstance(made, ours.Aggregator), name
        assert pickle.loads(pickle.dumps(made)) == made == make()
    assert repr(MAKE["micro-batches"]()) == "average_incrementally_updates(0, 2)"


def test_missing_gradients_and_those_with_a_nan():
    params = {"a": jnp.ones(2), "b": jnp.ones(2), "n": jnp.arange(2)}
    tx = ours.add_mean_variance_to_opt(gradtx.sgd(1.0), 0.9, 0, K)
    ones, state = jnp.ones((3, 2)), tx.init(params)
    assert state[1].mean_grads["n"] is None
    nan = {"a": ones * jnp.nan, "b": ones, "n": None}
    later = {"a": ones, "b": None, "n": None}
    for g in (nan, nan, {**later, "b": ones}, later, later):
        updates, state = tx.update(g, state, params)
    assert_same(state[1].mean_grads["a"], jnp.ones(2))  # the NaN is gone with its sum
    assert_same(state[1].mean_grads["b"], jnp.zeros(2))
    _, state = tx.update({**later, "b": ones}, state, params)
    mean = gradtx.tree.get(state, "mean_grads_ema")["b"]  # of 1, 1/2 and 1/2
    assert_same(mean, jnp.full(2, 0.081 + 0.045 + 0.05))
    mean = ours.average_incrementally_updates(0, K)
    state = mean.init(params)
    for g in ({**later, "b": ones}, later):
        updates, state = mean.update(g, state, params)
    assert updates["n"] is None
    assert_same((updates["a"], updates["b"]), (jnp.ones(2), jnp.full(2, 0.5)))


def test_one_example_has_no_variance_and_no_step_no_average():
    tx = ours.add_mean_variance_to_opt(gradtx.sgd(1.0))
    state = tx.init(jnp.ones(2))
    assert_same(ours.get_unbiased_mean_and_variance_ema(state), (jnp.zeros(2),) * 2)
    _, state = tx.update(jnp.ones((1, 2)), state)
    found = ours.get_unbiased_mean_and_variance_ema(state)
    assert_same(found, (jnp.ones(2), jnp.zeros(2)), rtol=1e-6)


def test_a_decay_is_injected_and_read_where_it_is_used():
    tx = gradtx.inject_hyperparams(ours.add_mean_variance_to_opt)(
        gradtx.sgd(1.0), ema_decay=lambda count: 0.5 / (count + 1)
    )
    state = tx.init(jnp.ones(2))
    for _ in range(2):
        _, state = tx.update(jnp.ones((3, 2)), state)
    found = gradtx.tree.get(state, "PerElementMeanAndVarianceEMAState")
    assert found.ema_decay == 0.25
    assert_same(found.mean_grads_ema, jnp.full(2, 0.25 * 0.5 + 0.75))


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: ours.accumulate_avg_updates(0), ValueError, "accumulation_steps"),
        (lambda: ours.average_per_element_updates("0"), TypeError, "per_elt_axis"),
        (lambda: ours.average_per_element_updates((0, 0)), ValueError, "different"),
        (
            lambda: ours.process(gradtx.identity(), None, gradtx.sgd(0.1)),
            TypeError,
            "process: aggregator: expected",
        ),
        (
            lambda: ours.add_mean_variance_to_opt(gradtx.sgd(0.1), 1.0),
            ValueError,
            "ema_decay must be in",
        ),
        (
            lambda: ours.get_unbiased_mean_and_variance_ema(()),
            ValueError,
            "no PerElementMeanAndVarianceEMAState",
        ),
    ],
)
def test_what_cannot_be_is_refused(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


@pytest.mark.parametrize(
    ("grads", "message"),
    [
        (PARAMS, r"updates\['ready'\] has shape \(\). It takes the gradient of each"),
        ({"w": jnp.ones((4, 2, 3)), "ready": jnp.ones(3)}, "same batch size"),
        ({"w": jnp.ones((0, 2, 3)), "ready": jnp.ones(0)}, "of no examples"),
        ({"w": jnp.ones((4, 3, 2)), "ready": jnp.ones(4)}, r"has shape \(3, 2\)"),
    ],
)
def test_gradients_that_do_not_fit_are_named(grads, message):
    for make in (ours.average_per_element_updates, clipped_mean):
        tx = make()
        with pytest.raises(ValueError, match=message):
            tx.update(grads, tx.init(PARAMS), PARAMS)


def test_a_tracker_names_what_it_needs():
    tx = ours.track_per_element_mean_and_variance_with_ema()
    with pytest.raises(ValueError, match="needs sum_sq_diff_grads, sample_size"):
        tx.update(1.0, tx.init(0.0))
