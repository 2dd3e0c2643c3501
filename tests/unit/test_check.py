"""check: each finding has something that is wrong, and the same thing done right."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import adamw, add_decayed_weights, chain, check, lamb, masked, sgd
from gradtx.checking.check import RULES
from gradtx.testing import PREPARE, discover, sample
from tests.unit.check_rows import CLIP, DECAY, MATRIX, PARAMS, ROWS, VECTOR


@pytest.mark.parametrize(
    ("kind", "wrong", "said", "right", "params"), ROWS, ids=[row[0] for row in ROWS]
)
def test_each_finding_is_for_what_is_wrong(kind, wrong, said, right, params):
    found = [finding for finding in check(wrong, params) if finding.kind == kind]
    assert [said in str(finding) for finding in found] == [True]
    assert str(found[0]).startswith(f"{kind}: ")
    assert kind not in [finding.kind for finding in check(right, params)]
    assert kind not in [f.kind for f in check(wrong, params, ignore=[kind])]


def test_every_kind_has_its_row_and_its_line_of_the_docstring():
    assert {row[0] for row in ROWS} == set(RULES)
    assert all(f"`{kind}`" in check.__doc__ for kind in RULES)


# Those that are made to be wrong by the sample arguments: two optimizers in a chain,
# and one for some of the steps or leaves.
WRONG = {"chain", "conditionally_transform", "masked", "named_chain"}


@pytest.mark.parametrize("name", discover(gradtx))
def test_no_false_alarm_at_the_defaults(name):
    factory = discover(gradtx)[name]
    args, kwargs = sample(factory)
    params = PREPARE.get(name, lambda p: p)(PARAMS)
    found = check(factory(*args, **kwargs), params, ignore=["decay_on_vectors"])
    assert (found != []) == (name in WRONG), found


def test_it_sees_through_what_builds_transformations():
    wrong = chain(gradtx.inject_hyperparams(sgd)(0.5), DECAY)
    assert [f.kind for f in check(wrong, MATRIX)] == ["decay_after_rate"]

    @gradtx.transformation
    def mine(rate):
        return chain(sgd(rate), DECAY)

    [finding] = check(gradtx.apply_if_finite(mine(0.5), 3), MATRIX)
    assert "mine(0.5)" in str(finding)


def test_only_decay_that_is_there_counts():
    assert check(chain(sgd(0.5), add_decayed_weights(0.0)), MATRIX) == []
    assert check(adamw(0.5), {"b": VECTOR}) == []  # a model of vectors
    assert check(sgd(0.5), {}) == []
    kernel = jax.ShapeDtypeStruct((3, 3, 8, 8), jnp.float32)
    convolution = {"conv": {"kernel": kernel, "bias": jax.ShapeDtypeStruct((8,), "f4")}}
    assert check(lamb(0.5), convolution) == []  # no stack of layers


def test_nothing_is_computed():
    """With shapes alone, as large as no device holds."""
    huge = {"w": jax.ShapeDtypeStruct((2**20, 2**20), jnp.float32)}
    assert check(chain(CLIP, adamw(1e-3)), huge) == []
    given = {"w": np.ones((3, 2), np.float32), "b": jnp.ones(2), "n": None}
    assert [f.kind for f in check(adamw(1e-3), given)] == ["decay_on_vectors"]


@pytest.mark.parametrize(
    ("tx", "params", "options", "error", "words"),
    [
        (sgd, MATRIX, {}, TypeError, "check: tx: .*Call it: sgd"),
        (sgd(0.1), {"w": "x"}, {}, TypeError, "check: .*'w'.* not an array"),
        (sgd(0.1), MATRIX, {"ignore": "rates"}, ValueError, "ignore must be of .*two_"),
        (masked(sgd(0.1), {"x": True}), MATRIX, {}, ValueError, "check: mask does not"),
    ],
)
def test_mistakes_are_named(tx, params, options, error, words):
    with pytest.raises(error, match=words):
        check(tx, params, **options)


def test_the_limits_are_those_of_the_dtypes():
    """Counted in the dtype itself: what stays, what falls to b2 times itself."""
    values = np.array([1.0, 1.2, 1.4, 1.6, 1.8, 1.99], jnp.bfloat16)

    def moves(b2):
        wide = values.astype(np.float64)
        return ((b2 * wide).astype(jnp.bfloat16) != values).all()

    assert moves(0.995)
    assert not moves(0.999)
    assert np.float16(2.0**-12) ** 2 > 0
    assert np.float16(2.0**-13) ** 2 == 0
