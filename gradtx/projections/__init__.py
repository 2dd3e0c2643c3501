"""Projections: the nearest point of a set, over a tree as over one vector.

For parameters that have to stay in a set: after each step, or by `gradtx.project`
around an optimizer.
"""

from gradtx.projections.box import (
    projection_box as projection_box,
    projection_hypercube as projection_hypercube,
    projection_linf_ball as projection_linf_ball,
    projection_non_negative as projection_non_negative,
)
from gradtx.projections.euclidean import (
    projection_l2_ball as projection_l2_ball,
    projection_l2_sphere as projection_l2_sphere,
)
from gradtx.projections.planes import (
    projection_halfspace as projection_halfspace,
    projection_hyperplane as projection_hyperplane,
    projection_vector as projection_vector,
)
from gradtx.projections.simplex import (
    projection_l1_ball as projection_l1_ball,
    projection_l1_sphere as projection_l1_sphere,
    projection_simplex as projection_simplex,
)
