"""Functions of Optax, called as Optax's by name: the face gives the same results."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradtx.optax._lookup import joined
from gradtx.optax._names import NAMES
from tests.compat import optax_names

TREE = {"a": jnp.array([0.5, -2.0]), "b": jnp.array([[1.5]])}
OTHER = {"a": jnp.array([0.25, 1.0]), "b": jnp.array([[-0.5]])}
MATRIX = jnp.array([[0.3, -1.2, 0.8], [2.0, 0.1, -0.4]])
SIGNS = jnp.array([[1.0, -1.0, 1.0], [-1.0, -1.0, 1.0]])
PARTS = jnp.array([[0.2, 0.5, 0.3], [1.0, 0.0, 0.0]])
CLASSES = jnp.array([2, 0])

# By the parameter's name, or by the function's and the parameter's.
ARGUMENTS = {
    "a": TREE,
    "alpha": 0.1,
    "anchors": MATRIX,
    "b": TREE,
    "binary_dice_loss.targets": PARTS,
    "condition": jnp.array(True),
    "convex_kl_divergence.targets": PARTS,
    "count": jnp.int32(3),
    "decay": 0.9,
    "dice_loss.targets": PARTS,
    "dtype": jnp.float16,
    "embeddings": MATRIX,
    "eps": 1e-8,
    "fill_value": 2.0,
    "generalized_kl_divergence.targets": PARTS,
    "kl_divergence.targets": PARTS,
    "labels": PARTS,
    "log_predictions": jnp.log(PARTS + 0.25),
    "log_targets": jnp.log(PARTS + 0.5),
    "logits": MATRIX,
    "moment": OTHER,
    "moments": OTHER,
    "multiclass_generalized_dice_loss.targets": PARTS,
    "multiclass_hinge_loss.labels": CLASSES,
    "multiclass_perceptron_loss.labels": CLASSES,
    "multiclass_sparsemax_loss.labels": CLASSES,
    "negatives": PARTS,
    "new_tensors": TREE,
    "ntxent.labels": jnp.array([1, 1]),
    "old_tensors": OTHER,
    "order": 2,
    "other_tree": OTHER,
    "params": TREE,
    "positives": SIGNS,
    "predictions": MATRIX,
    "predictor_outputs": MATRIX,
    "rng_key": jax.random.key(0),
    "scalar": 2.0,
    "scores": MATRIX,
    "softmax_cross_entropy_with_integer_labels.labels": CLASSES,
    "sparsemax_loss.labels": jnp.array(SIGNS > 0, int),
    "step_size": 0.25,
    "steps": 6,
    "target_tree": TREE,
    "targets": SIGNS,
    "tree": TREE,
    "tree_x": TREE,
    "tree_y": OTHER,
    "update_period": 3,
    "updates": OTHER,
}

# Optax's is a difference of numbers of order 1, with their last bits.
ROUNDED = {"losses.log_cosh": 2e-7}


def calls():
    """From name to both functions and arguments, where all are known from above."""
    seen = set()
    for path in ("tree", "losses", ""):
        for name in NAMES[path]:
            theirs, ours = optax_names.pair(path, name)
            if not inspect.isfunction(theirs) or ours is None or theirs in seen:
                continue
            if hasattr(ours, "is_transformation"):
                continue
            seen.add(theirs)
            needed = [
                parameter.name
                for parameter in inspect.signature(theirs).parameters.values()
                if parameter.default is parameter.empty
                and parameter.kind is not parameter.VAR_POSITIONAL
            ]
            known = {p: ARGUMENTS.get(f"{name}.{p}", ARGUMENTS.get(p)) for p in needed}
            if known and not any(value is None for value in known.values()):
                yield joined(path, name), (theirs, ours, known)


CALLS = dict(calls())


def test_most_functions_are_among_them():
    assert len([name for name in CALLS if name.startswith("tree.")]) >= 25
    assert len(CALLS) >= 58


@pytest.mark.filterwarnings("ignore:optax.*deprecated")  # Optax warns of its own
@pytest.mark.filterwarnings("ignore:The function convex_kl")  # the same
@pytest.mark.parametrize("name", CALLS)
def test_the_results_are_those_of_optax(name):
    theirs, ours, arguments = CALLS[name]
    given, wanted = ours(**arguments), theirs(**arguments)
    if not jax.tree.leaves(wanted) or isinstance(wanted, np.dtype):  # a state, a dtype
        assert given == wanted
        return
    assert jax.tree.structure(given) == jax.tree.structure(wanted)
    for here, there in zip(
        jax.tree.leaves(given), jax.tree.leaves(wanted), strict=True
    ):
        if jnp.issubdtype(getattr(here, "dtype", float), jax.dtypes.prng_key):
            here, there = jax.random.key_data(here), jax.random.key_data(there)
        # A few roundings in float32: their order may differ.
        np.testing.assert_allclose(here, there, rtol=2e-6, atol=ROUNDED.get(name, 0))
        assert np.asarray(here).dtype == np.asarray(there).dtype
