"""average_weights: what it leaves alone, what it stores, what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

SGD = gradtx.sgd(0.05, momentum=0.9)


@pytest.mark.parametrize("kind", [{"decay": 0.5}, {"window": 2}], ids=str)
def test_leaves_without_gradients(kind):
    tx = gradtx.average_weights(gradtx.sgd(1.0), **kind)
    params = {
        "trained": jnp.zeros(2),
        "frozen": jnp.full(2, 3.0),
        "whole": jnp.arange(2),
        "none": None,
    }
    grads = {"trained": -jnp.ones(2), "frozen": None, "whole": None, "none": None}
    state = tx.init(params)
    assert state.average["whole"] is None
    before = gradtx.eval_params(state, params)
    np.testing.assert_array_equal(before["frozen"], 3)  # before the first entry
    for step in (tx.step, jax.jit(tx.step)):
        params, state = step(grads, state, params)
    found = gradtx.eval_params(state, params)
    np.testing.assert_array_equal(found["frozen"], 3)
    np.testing.assert_array_equal(found["whole"], [0, 1])
    mean = 5 / 3 if "decay" in kind else 1.5  # of 1 and 2
    np.testing.assert_allclose(found["trained"], mean, rtol=1e-6)


def test_a_window_keeps_entries_as_they_were():
    p = {"narrow": jnp.ones(2, jnp.bfloat16), "wide": jnp.ones((2, 3))}
    state = gradtx.average_weights(SGD, window=3).init(p)
    assert state.average["narrow"].dtype == jnp.bfloat16  # exact, unlike a mean
    assert state.average["narrow"].shape == (3, 2)
    assert state.average["wide"].shape == (3, 2, 3)


@pytest.mark.parametrize(
    ("kwargs", "said"),
    [
        ({"decay": 0.9, "window": 2}, "decay=0.9 and window=2 are two averages"),
        ({"decay": "polyak", "window": 2}, "are two averages; give one"),
        ({"decay": "mean"}, "a schedule or \"polyak\", got 'mean'"),
        ({"decay": 1.0}, r"decay must be in \[0, 1\), got 1.0"),
        ({"window": 0}, "window must be a whole number, at least 1, got 0"),
        ({"start": -1}, "start must be a whole number, at least 0, got -1"),
        ({"every": 0}, "every must be a whole number, at least 1, got 0"),
    ],
)
def test_bad_numbers_are_refused(kwargs, said):
    with pytest.raises(ValueError, match=said):
        gradtx.average_weights(SGD, **kwargs)


def test_what_is_no_optimizer_and_no_params_are_refused():
    with pytest.raises(TypeError, match="average_weights: inner"):
        gradtx.average_weights(0.9)
    tx = gradtx.average_weights(SGD)
    with pytest.raises(ValueError, match="average_weights needs params: call update"):
        tx.update(jnp.ones(2), tx.init(jnp.ones(2)))


def test_names_of_the_state():
    tx = gradtx.MultiSteps(gradtx.average_weights(gradtx.lion(0.1)), 2)
    named = gradtx.tree.to_named(tx, tx.init({"w": jnp.ones(2)}))
    own = [name for name in named if name.startswith("average_weights")]
    assert own == [
        "average_weights/count",
        "average_weights/num_averaged",
        "average_weights/weight",
        "average_weights/average/w",
    ]
    assert "lion/mu/w" in named
