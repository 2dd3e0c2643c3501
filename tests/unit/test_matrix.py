"""Which leaves Muon takes for matrices, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.matrix import orthogonalize

Numbers = gradtx.MuonDimensionNumbers
PARAMS = {
    "embed": jnp.ones((5, 4)),
    "layers": {"attend": jnp.ones((3, 4, 2, 2)), "bias": jnp.ones((3, 4))},
    "head": None,
}
DECLARED = {
    "embed": None,
    "layers": {"attend": Numbers(1, (2, 3)), "bias": None},
    "head": None,
}


def who(tx):
    """The leaves that Muon has, by path."""
    mu = tx.init(PARAMS).inner_states["muon"].inner_state[0].mu
    paths = jax.tree_util.tree_leaves_with_path(mu)
    return [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in paths]


def test_a_stack_is_matrices_where_it_is_declared_and_only_there():
    # As in Optax: two axes are a matrix, be they an embedding or a stack of biases.
    assert who(gradtx.muon(0.1)) == ["embed", "layers/bias"]
    for given in (DECLARED, lambda params: DECLARED):
        tx = gradtx.muon(0.1, muon_weight_dimension_numbers=given)
        assert who(tx) == ["layers/attend"]


def test_a_prefix_stands_for_all_leaves_below():
    given = {"embed": None, "layers": Numbers(0, 1), "head": None}
    tx = gradtx.muon(0.1, muon_weight_dimension_numbers=given)
    assert who(tx) == ["layers/attend", "layers/bias"]


def test_axes_are_taken_together_to_a_matrix():
    g = np.cos(np.arange(48.0, dtype=np.float32)).reshape(3, 4, 2, 2)
    tx = gradtx.scale_by_muon(weight_dimension_numbers=Numbers(-3, (-1, 2)))
    found, _ = tx.update(g, tx.init(g))
    # Inputs are the second axis; the last is the slower one of the outputs.
    flat = g.transpose(0, 1, 3, 2).reshape(3, 4, 4)
    expected = np.asarray(orthogonalize(flat)).reshape(3, 4, 2, 2)
    # A product of a stack adds up in another order than that of the leaf may.
    np.testing.assert_allclose(found, expected.transpose(0, 1, 3, 2), atol=1e-5)


def test_groups_route_by_path():
    rules = [("layers/attend", gradtx.scale_by_muon(weight_dimension_numbers=AXES))]
    tx = gradtx.groups(rules, default=gradtx.sgd(0.1))
    grads = jax.tree.map(jnp.cos, PARAMS)
    updates, _ = tx.update(grads, tx.init(PARAMS), PARAMS)
    np.testing.assert_allclose(updates["embed"], -0.1 * grads["embed"])
    # Constant matrices are of rank one: of singular vectors 1/2.
    assert 0.17 < float(updates["layers"]["attend"].min()) < 0.31


AXES = Numbers(1, (2, 3))
MISTAKES = {
    "a leaf of three axes": (
        lambda: gradtx.scale_by_muon().init({"w": jnp.ones((2, 3, 4))}),
        r"scale_by_muon: updates\['w'\] of shape \(2, 3, 4\) is no matrix: say in",
    ),
    "a vector": (
        lambda: gradtx.scale_by_muon().init({"b": jnp.ones(3)}),
        r"updates\['b'\] of shape \(3,\) is no matrix",
    ),
    "an axis that is not there": (
        lambda: gradtx.scale_by_muon(weight_dimension_numbers=Numbers(0, 2)).init(
            {"w": jnp.ones((2, 3))}
        ),
        r"weight_dimension_numbers\['w'\] must name axes .* shape \(2, 3\)",
    ),
    "an axis named twice": (
        lambda: gradtx.scale_by_muon(weight_dimension_numbers=Numbers(1, -1)).init(
            jnp.ones((2, 3))
        ),
        "each at most once",
    ),
    "numbers that do not fit": (
        lambda: gradtx.muon(
            0.1, muon_weight_dimension_numbers={"embed": Numbers()}
        ).init(PARAMS),
        "muon_weight_dimension_numbers does not fit",
    ),
    "a table for other steps": (
        lambda: gradtx.muon(0.1, "ten_steps"),
        "ns_coeffs has 10 steps, and ns_steps is 5: give ns_steps=10",
    ),
    "an unknown table": (
        lambda: orthogonalize(jnp.ones((2, 2)), "aol"),
        "coefficients must be one of .*'polar_express'",
    ),
    "too few steps": (
        lambda: orthogonalize(jnp.ones((2, 2)), "polar_express", 3),
        "coefficients has 5 steps, and steps is 3",
    ),
    "the matrix of a vector": (
        lambda: orthogonalize(jnp.ones(3)),
        r"must be a matrix or a stack of them, got shape \(3,\)",
    ),
    "two rules of scale": (
        lambda: gradtx.muon(0.1, consistent_rms=0.2, scale_rule="spectral"),
        "consistent_rms=0.2 stands for scale_rule",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told(mistake):
    make, text = MISTAKES[mistake]
    with pytest.raises(ValueError, match=text):
        make()


def test_something_else_than_numbers_is_told():
    tx = gradtx.scale_by_muon(weight_dimension_numbers={"w": 0})
    with pytest.raises(
        TypeError, match=r"weight_dimension_numbers\['w'\] must be Muon"
    ):
        tx.init({"w": jnp.ones((2, 3))})


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_the_products_are_of_the_dtype_that_is_asked_for(dtype):
    tx = gradtx.scale_by_muon(dtype=dtype)
    g = jnp.ones((4, 6))
    text = jax.jit(tx.update).lower(g, tx.init(g)).as_text()
    products = [line for line in text.splitlines() if "dot_general" in line]
    short = {jnp.bfloat16: "xbf16>", jnp.float32: "xf32>"}[dtype]
    assert len(products) == 15  # three a step
    assert all(line.endswith(short) for line in products)


def test_shapes_and_not_leaves_are_programs():
    params = {str(i): jnp.ones((4, 6)) for i in range(16)}
    tx = gradtx.muon(0.1)
    lowered = jax.jit(tx.update).lower(params, tx.init(params), params)
    # Of one shape, and handed on in groups: a leaf is traced and lowered once.
    assert lowered.as_text().count("dot_general") == 15
