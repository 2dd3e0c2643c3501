"""Many small leaves as a few long vectors."""

import itertools
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.masking import FUNCTIONS
from gradtx.core.stacks import refuse_stacks
from gradtx.core.transformation import inner_of, transformation
from gradtx.core.trees import (
    absent,
    check_inexact,
    failure,
    is_abstract,
    leaves_like,
    leaves_of,
    wider,
)
from gradtx.tree.pooling import is_sharded


@transformation
def flatten(inner: Any):
    """Join all leaves of one dtype into one vector for the inner transformation.

    Where a model has hundreds of small leaves, a step starts hundreds of small
    kernels, and each is compiled. Joined, there is one for each dtype of the
    parameters; the price is a copy of the gradients (and of the parameters, if the
    inner transformation reads them) in each step, so it does not pay for large
    leaves, nor for leaves that are sharded across devices.

    A rule for each entry (Adam, Lion, decay, clipping by the global norm) gives the
    same numbers. One that looks at whole leaves (clip_by_block_rms, LAMB's trust
    ratio) sees one leaf a dtype, and one that wants matrices (Muon, Shampoo,
    Adafactor's factors) sees vectors.

    State: the inner one, made of a dict from the dtype's name to a vector.

    Args:
      inner: the transformation to run on the vectors. It sees them grouped by the
        parameters' dtypes (the updates', if `update` gets no parameters). An update
        that is `None` among others counts as zeros there, and stays `None`. Extra
        arguments reach it as they are, so that a line search has its place behind.

    Raises:
      TypeError: if inner is not a transformation, an update is of integers, or there
        is a `value_fn`, an `obj_fn` or a `grad_fn` that inner would call.
      ValueError: a leaf that is split over a mesh axis of an explicit type.

    Example:
      >>> import jax, jax.numpy as jnp, gradtx
      >>> tx = gradtx.flatten(gradtx.trace(0.9))
      >>> state = tx.init({"w": jnp.ones((2, 2)), "b": jnp.ones(3)})
      >>> jax.tree.map(jnp.shape, state.trace)
      {'float32': (7,)}
    """
    tx = inner_of("flatten: inner", inner)

    def init(params):
        refuse_stacks(params, _JOINED)
        leaves, _ = leaves_of(params)
        return tx.init(_join(leaves, leaves, _groups(leaves)))

    def update(updates, state, params=None, **extra):
        refuse_stacks(updates, _JOINED)
        leaves, treedef = leaves_of(updates)
        check_inexact(leaves, updates)  # joined with others they would pass for floats
        if params is None:
            like, joined = leaves, None
            groups = _groups(like)
        else:
            like = leaves_like(treedef, params, "params", updates)
            groups = _groups(like)
            joined = _join(like, like, groups)
        extra = _without_functions(extra, joined)
        vectors, state = tx.update(_join(leaves, like, groups), state, joined, **extra)
        for name, places in groups.items():
            if vectors[name] is None:
                continue
            ends = itertools.accumulate(jnp.size(like[i]) for i in places)
            parts = jnp.split(vectors[name], list(ends)[:-1])
            for i, part in zip(places, parts, strict=True):
                g = leaves[i]
                if not absent(g):
                    leaves[i] = jnp.reshape(part, jnp.shape(g))
        return treedef.unflatten(leaves), state

    return init, update


_JOINED = "which flatten would join with other leaves. Leave flatten out."


def _without_functions(extra: dict[str, Any], joined: Any) -> dict[str, Any]:
    """The extra arguments, with an error in place of each function of the tree."""
    found = [name for name in FUNCTIONS if callable(extra.get(name))]
    extra = extra | {name: partial(_no_function, name) for name in found}
    return extra | {"grad": joined} if "value_fn" in found else extra


def _no_function(name: str, *args: Any, **kwargs: Any) -> Any:
    """In place of a function of the tree, for whom it would be given vectors."""
    hint = (
        "Let the line search follow: chain(flatten(scale_by_lbfgs()), scale(-1.0), "
        "scale_by_zoom_linesearch(20))."
        if name == "value_fn"
        else "Leave flatten out."
    )
    raise failure(
        f"{name} would be called with vectors, not with the tree. {hint}", TypeError
    )


def _as_array(x: Any) -> jax.Array:
    return jnp.zeros_like(x) if is_abstract(x) else jnp.asarray(x)


def _groups(leaves: list[Any]) -> dict[str, list[int]]:
    """The places of the leaves of each dtype, by its name."""
    groups: dict[str, list[int]] = {}
    for i, leaf in enumerate(leaves):
        if not absent(leaf):
            groups.setdefault(jnp.result_type(leaf).name, []).append(i)
    return groups


def _join(
    leaves: list[Any], like: list[Any], groups: dict[str, list[int]]
) -> dict[str, jax.Array | None]:
    """One vector a group. Absent leaves are zeros in it, or it is absent as a whole."""
    joined: dict[str, jax.Array | None] = {}
    for name, places in groups.items():
        present = [_as_array(leaves[i]) for i in places if not absent(leaves[i])]
        if any(map(is_sharded, present)):
            raise failure(
                "a leaf is split over a mesh axis of an explicit type, and such leaves "
                "cannot be joined. Leave flatten out, or mask the leaf."
            )
        if not present:
            joined[name] = None
            continue
        dtypes = {x.dtype for x in present}
        dtype = dtypes.pop() if len(dtypes) == 1 else wider(*dtypes)
        joined[name] = jnp.concatenate(
            [
                jnp.zeros(jnp.size(like[i]), dtype)
                if absent(leaves[i])
                else jnp.ravel(_as_array(leaves[i])).astype(dtype)
                for i in places
            ]
        )
    return joined
