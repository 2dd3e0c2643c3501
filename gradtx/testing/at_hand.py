"""Checks of what `init` is given: shapes, NumPy arrays, numbers, whole modules."""

from typing import Any

import jax
import numpy as np

from gradtx.core.trees import paths_of
from gradtx.testing.leaves import OUTLINE, outline
from gradtx.testing.trial import (
    Make,
    expect_close,
    expect_types,
    extra_of,
    make_trial,
    prepare,
    updates_of,
    waves,
)


def takes_shapes_for_params(make: Make) -> None:
    """`init` of shapes without arrays makes arrays, of the types that arrays give."""
    trial = make_trial(make)
    shapes = jax.eval_shape(trial.params)
    state = trial.tx.init(shapes)
    for path, leaf in paths_of(state):
        assert leaf is None or isinstance(leaf, jax.Array), (
            f"state{path} must be a jax.Array, is a {type(leaf).__name__}"
        )
    expect_types(state, trial.start, "the state of shapes", "that of arrays")


def takes_numpy_and_numbers(make: Make) -> None:
    """`init` of NumPy arrays is that of arrays; Python numbers are arrays, too."""
    trial = make_trial(make)
    state = trial.tx.init(jax.tree.map(np.asarray, trial.params()))
    expect_types(state, trial.start, "the state of NumPy arrays", "that of arrays")
    expect_close(state, trial.start, "the state of NumPy arrays", "that of arrays")
    if outline() is not OUTLINE:
        return  # a rule for the user's own shapes need not take numbers
    params = prepare(trial.tx, {"weight": 0.5, "bias": np.float32(1.0)})
    state = trial.tx.init(params)

    def step(grads: Any) -> Any:
        extra = extra_of(trial.tx, grads, params)
        return trial.tx.step(updates_of(trial.tx, grads), state, params, **extra)

    new, after = jax.eval_shape(step, {"weight": 0.25, "bias": np.float32(2.0)})
    shapes = [x.shape for x in jax.tree.leaves(new)]
    assert not any(shapes), f"numbers became arrays of the shapes {shapes}"
    expect_types(after, state, "the state of numbers after a step", "init's")


def refuses_functions_among_params(make: Make) -> None:
    """A leaf that is no array (an activation of a module) is named in `init`."""
    tx = make()
    try:
        tx.init(_with_a_function(tx))
    except TypeError as error:
        text = str(error)
        wanted = "['activation'] is ", "not an array of numbers", "equinox.filter"
        missing = [word for word in wanted if word not in text]
        assert not missing, f"expected an error that says {missing}, got {text}"
    else:
        raise AssertionError("expected an error for a function among params, got none")


def _with_a_function(tx: Any) -> Any:
    params = prepare(tx, {"net": waves(1.0)})
    if isinstance(params, dict):
        return params | {"activation": np.tanh}
    # Parameters of a kind of its own: in each of their parts.
    return type(params)(*[part | {"activation": np.tanh} for part in params])
