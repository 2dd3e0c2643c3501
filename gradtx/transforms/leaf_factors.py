"""Factors of the updates, one for each leaf."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core import check
from gradtx.core.axes import need_whole
from gradtx.core.leafwise import slot_dtype, stateless_init
from gradtx.core.masking import spread_list, stands_for_all
from gradtx.core.plan import Inputs, planned
from gradtx.core.transformation import transformation
from gradtx.core.trees import absent, failure, leaves_of, paths_of


@transformation
def scale_leaves(factors: Any):
    """Multiply each leaf of the updates by a factor of its own.

        u = f g

    Factors are arguments of the rule: leaves of one shape share its compiled form.

    State: none.

    Args:
      factors: a tree like the updates (or a prefix of it) of numbers, or of NumPy
        arrays that fit their leaf as they are broadcast; or a function from the
        parameters (the updates, if `update` gets none) to one. 1 leaves a leaf as it
        is.

    Raises:
      ValueError: a tree or an array that does not fit, or a number that is not finite.
    """

    def each(tree):
        """The factor of every leaf, 1 where there is none."""
        given = factors(tree) if callable(factors) else factors
        found: list[Any] = []
        for (path, x), f in zip(
            paths_of(tree), spread_list("factors", given, tree), strict=True
        ):
            if absent(x):
                found.append(1.0)
                continue
            shape = np.shape(x)
            if np.ndim(f) == 0:
                check.finite(f"factors{path}", f)
            elif np.broadcast_shapes(shape, np.shape(f)) != shape:
                raise failure(
                    f"factors{path} has shape {np.shape(f)}, and the leaf {shape}."
                )
            else:
                need_whole()
            make = jnp.asarray if isinstance(f, jax.Array) else np.asarray
            found.append(make(f, slot_dtype(x, real=True)))
        return found

    def init(params):
        if not stands_for_all(params):
            each(params)  # says at once what does not fit
        return stateless_init(params)

    def prepare(updates, state, params):
        treedef = leaves_of(updates)[1]
        used = each(updates if params is None else params)
        mask = treedef.unflatten(
            isinstance(f, jax.Array) or bool(np.any(f != 1)) for f in used
        )
        return Inputs([treedef.unflatten(used)], mask=mask), lambda _: state

    return planned(init, lambda g, f: (f * g, f), prepare, slots=("factor",))
