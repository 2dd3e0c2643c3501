"""Projections of what has none: the error names the argument."""

import jax.numpy as jnp
import numpy as np
import pytest

from gradtx import projections


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda x: projections.projection_simplex(x, -1.0),
            ValueError,
            "scale must be at least",
        ),
        (
            lambda x: projections.projection_l1_ball(x, np.nan),
            ValueError,
            "scale must be at lea",
        ),
        (
            lambda x: projections.projection_l1_sphere(x, -1),
            ValueError,
            "scale must be at least",
        ),
        (
            lambda x: projections.projection_l2_ball(x, -1.0),
            ValueError,
            "scale must be at least",
        ),
        (
            lambda x: projections.projection_l2_sphere(x, -1),
            ValueError,
            "scale must be at least",
        ),
        (
            lambda x: projections.projection_linf_ball(x, -1),
            ValueError,
            "scale must be at least",
        ),
        (
            lambda x: projections.projection_hypercube(x, -1),
            ValueError,
            "scale must be at least",
        ),
        (
            lambda x: projections.projection_box(x, 2, 1),
            ValueError,
            "lower must be at most upper",
        ),
        (
            lambda x: projections.projection_box(x, np.nan, 1),
            ValueError,
            "lower must be a number",
        ),
        (
            lambda x: projections.projection_box(x, {"w": np.ones(3)}, 1),
            ValueError,
            r"projection_box: lower\['w'\] has shape \(3,\), tree\['w'\] has \(2,\)",
        ),
        (
            lambda x: projections.projection_box(x, {"v": 1}, 1),
            ValueError,
            "lower does not fit",
        ),
        (
            lambda x: projections.projection_halfspace(x, {"w": np.ones(3)}, 1.0),
            ValueError,
            r"projection_halfspace: x\['w'\] has shape \(2,\), a\['w'\] has \(3,\)",
        ),
        (
            lambda x: projections.projection_hyperplane(x, x, np.inf),
            ValueError,
            "b must be fin",
        ),
        (
            lambda x: projections.projection_simplex({"w": 1j}),
            ValueError,
            r"projection_simplex: tree\['w'\] is complex",
        ),
        (
            lambda x: projections.projection_l2_ball({"w": np.arange(2)}),
            TypeError,
            r"projection_l2_ball: tree\['w'\] is int",
        ),
    ],
)
def test_bad_input_is_named(call, error, text):
    with pytest.raises(error, match=text):
        call({"w": jnp.ones(2)})
