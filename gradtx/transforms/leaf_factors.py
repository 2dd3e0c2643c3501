"""Factors of the updates, one for each leaf."""

from collections.abc import Callable
from typing import Any

import numpy as np

from gradtx.core import check
from gradtx.core.axes import need_whole
from gradtx.core.leafwise import stateless_init
from gradtx.core.masking import fitting, stands_for_all
from gradtx.core.numerics import as_float
from gradtx.core.plan import Inputs, planned
from gradtx.core.transformation import transformation
from gradtx.core.trees import absent, failure, leaves_like, leaves_of, paths_of

Factors = Callable[[Any], Any]


@transformation
def scale_leaves(factors: Any):
    """Multiply each leaf of the updates by a factor of its own.

        u = f g

    Factors are arguments of the rule: leaves of one shape share its compiled form.

    State: none.

    Args:
      factors: a tree like the updates, of numbers or of arrays that fit their leaf as
        they are broadcast; or a function from the updates to one. 1 leaves a leaf as it
        is.

    Raises:
      ValueError: a tree or an array that does not fit, or a number that is not finite.
    """

    def prepare(updates, state, params):
        leaves, treedef = leaves_of(updates)
        if stands_for_all(updates):
            return Inputs([updates]), lambda new: state
        given = factors(updates) if callable(factors) else factors
        given = leaves_like(treedef, fitting("factors", given, updates), "factors", updates)
        each: list[Any] = [1.0 if absent(g) else f for g, f in zip(leaves, given, strict=True)]
        for (path, g), f in zip(paths_of(updates), each, strict=True):
            if absent(g):
                continue
            if np.ndim(f) == 0:
                check.finite(f"factors{path}", f)
            elif np.broadcast_shapes(np.shape(g), np.shape(f)) != np.shape(g):
                raise failure(f"factors{path} has shape {np.shape(f)}, the leaf {np.shape(g)}.")
            else:
                need_whole()
        dtype = as_float(0).dtype
        used = [np.asarray(f, dtype) for f in each]
        mask = treedef.unflatten(bool(np.any(f != 1)) for f in used)
        return Inputs([treedef.unflatten(used)], mask=mask), lambda new: state

    return planned(stateless_init, lambda g, f: (f * g, f), prepare, slots=("factor",))
