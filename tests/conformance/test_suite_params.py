"""The suite on parameters of one's own, and on rules that need whole leaves."""

import jax
import jax.numpy as jnp
import pytest

import gradtx
from gradtx.testing import CHECKS, check_transformation
from gradtx.testing.leaves import bias, kernel, shaped_like

MATRICES = {"in": jnp.ones((4, 3)), "out": (jnp.ones((2, 5)), None)}


@gradtx.transformation
def cubed():
    """Defined for matrices only; of entries up to 1, so that it stays in range."""

    def rule(g):
        g = g / jnp.max(jnp.abs(g), initial=1)
        return g @ g.T @ g

    return gradtx.leafwise(gradtx.EmptyState, rule, whole_leaf=True)


def test_a_rule_of_matrices_is_tried_on_matrices():
    check_transformation(cubed, params=MATRICES)
    with pytest.raises(AssertionError, match="matmul"):
        CHECKS["keeps_types"](cubed)


# These take a leaf out or put another in its place: also where that is all there is.
PICKING = [name for name in CHECKS if name.startswith(("refuses", "passes_m"))]


@pytest.mark.parametrize("check", PICKING)
@pytest.mark.parametrize("params", [jnp.ones((4, 3)), [jnp.ones((2, 2))]])
def test_one_leaf_is_enough(check, params):
    CHECKS[check](cubed, params)


def test_what_is_wrong_is_found_in_other_trees_too():
    def add_one(updates, params):
        return jax.tree.map(lambda g: g + 1, updates)

    pair = gradtx.GradientTransformationExtraArgs(
        lambda params: (), lambda u, s, p=None, **extra: (add_one(u, p), s)
    )
    for check in ("refuses_another_shape", "refuses_complex_gradients_of_real_params"):
        with pytest.raises(AssertionError, match=r"at \['in'\], got none"):
            CHECKS[check](lambda: pair, MATRICES)


def test_leaves_are_picked_by_size():
    with shaped_like(MATRICES):
        assert (kernel(), bias()) == ("['in']", "['out'][0]")
    assert (kernel(), bias()) == ("['layer']['kernel']", "['layer']['bias']")


def test_parameters_without_an_array_are_refused():
    with pytest.raises(ValueError, match="params must have an array with entries"):
        check_transformation(cubed, params={"w": None, "e": jnp.ones((0, 2))})


def test_what_cannot_be_split_is_named():
    with pytest.raises(AssertionError, match=r"params\['w'\] has shape \(3, 2\).*even"):
        CHECKS["agrees_when_leaves_are_split"](cubed, {"w": jnp.ones((3, 2))})


def trust(whole_leaf):
    """A rule that looks at whole leaves, and may say so."""

    @gradtx.transformation
    def scale_by_trust():
        rule = lambda g: g / (1 + jnp.linalg.norm(g))  # noqa: E731  one line of a rule
        return gradtx.leafwise(gradtx.EmptyState, rule, whole_leaf=whole_leaf)

    return scale_by_trust


def test_a_rule_of_whole_leaves_need_not_agree_when_it_says_so():
    check = CHECKS["agrees_when_leaves_are_split"]
    check(trust(True))
    with pytest.raises(AssertionError, match="updates of the parts"):
        check(trust(False))
