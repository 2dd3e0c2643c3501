"""Means under noise: derivatives of functions that have none."""

from gradtx.perturbations.multi_normal import (
    MultiNormal as MultiNormal,
    multi_normal as multi_normal,
)
from gradtx.perturbations.noise import Gumbel as Gumbel, Normal as Normal
from gradtx.perturbations.perturbed import make_perturbed_fun as make_perturbed_fun
