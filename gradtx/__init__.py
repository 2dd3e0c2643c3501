"""Gradient transformations for JAX: small, exact, and light on memory."""

from gradtx import (
    aggregating as aggregating,
    assignment as assignment,
    curvature as curvature,
    distributed as distributed,
    losses as losses,
    matrix as matrix,
    microbatching as microbatching,
    perturbations as perturbations,
    plot as plot,
    projections as projections,
    schedules as schedules,
    testing as testing,
    tree as tree,
)
from gradtx._exports.checking import *
from gradtx._exports.core import *
from gradtx._exports.interop import *
from gradtx._exports.linesearch import *
from gradtx._exports.losses import *
from gradtx._exports.matrix import *
from gradtx._exports.optimizers_a_l import *
from gradtx._exports.optimizers_m_z import *
from gradtx._exports.precision import *
from gradtx._exports.schedules import *
from gradtx._exports.sweeping import *
from gradtx._exports.transforms import *
from gradtx._exports.wrappers import *

__version__ = "0.1.0"  # pyproject.toml reads it here
