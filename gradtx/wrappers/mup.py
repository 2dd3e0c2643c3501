"""muP: learning rates that go with the width of each leaf."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gradtx.core import check
from gradtx.core.axes import splits
from gradtx.core.compose import chain
from gradtx.core.masking import spread_list
from gradtx.core.transformation import hands_on, inner_of, transformation
from gradtx.core.trees import failure, first_difference, is_none, leaves_of
from gradtx.transforms.leaf_factors import scale_leaves
from gradtx.wrappers.groups import Pattern, _matcher, _paths
from gradtx.wrappers.layerwise import aligned

ROLES = ("input", "hidden", "output")
