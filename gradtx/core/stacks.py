"""Stacks: leaves along one axis of which lie the layers of a model, as for `scan`.

What looks at a leaf as a whole is to see one layer. A rule for one array is mapped over
them (`vmap`): it is traced once, and its state stays stacked as the parameter is. What
looks at all leaves, and elementwise rules, have nothing to ask.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.trees import absent, failure, is_abstract, is_none, leaves_of

LAYERS = "gradtx_layers"  # the name of the axis that a rule is mapped over

AxisAt = Callable[[str], int | None]  # from a path, with slashes

_declared: ContextVar[AxisAt | None] = ContextVar("gradtx_stacks", default=None)

# What the array that a rule sees is: a layer, a stack cut over devices, or neither.
_seen: ContextVar[str] = ContextVar("gradtx_seen", default="")
LAYER, CUT = "layer", "cut"


@contextmanager
def stacking(axis_at: AxisAt) -> Iterator[None]:
    """Inside of it `axis_at` says which leaves are stacks, and along which axis."""
    outer = _declared.get()

    def either(path: str) -> int | None:
        axis = axis_at(path)
        return outer(path) if axis is None and outer is not None else axis

    token = _declared.set(either)
    try:
        yield
    finally:
        _declared.reset(token)


def stack_axes(tree: Any) -> list[int | None]:
    """For each leaf, `None` among them, the axis that counts layers, or None.

    Raises:
      ValueError: a leaf that has no such axis.
    """
    axis_at = _declared.get()
    leaves = leaves_of(tree)[0]
    if axis_at is None:
        return [None] * len(leaves)
    found: list[int | None] = []
    for (path, leaf), x in zip(named_leaves(tree), leaves, strict=True):
        axis = None if absent(x) else axis_at(path)
        found.append(None if axis is None else _checked(axis, path, jnp.shape(leaf)))
    return found


def named_leaves(tree: Any) -> Iterator[tuple[str, Any]]:
    """The leaves, `None` among them, each with its path: "encoder/0/kernel"."""
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree, is_leaf=is_none)[0]:
        yield jax.tree_util.keystr(path, simple=True, separator="/"), leaf


def _checked(axis: int, path: str, shape: tuple[int, ...]) -> int:
    if not -len(shape) <= axis < len(shape):
        raise failure(
            f"{path!r} has shape {shape}, and no axis {axis} that would count layers. "
            f"Name the leaves that are stacked, and the axis that they have for it."
        )
    return axis % len(shape)


def refuse_stacks(tree: Any, why: str) -> None:
    """Raise if a leaf is a stack: for what cannot have layers seen singly."""
    for (path, _), axis in zip(named_leaves(tree), stack_axes(tree), strict=True):
        if axis is not None:
            raise failure(f"{path!r} is a stack of layers, {why}")


def layers_of(tree: Any) -> Any:
    """The tree for functions that read shapes: of stacks, that of a layer."""
    if _declared.get() is None:
        return tree
    leaves, treedef = leaves_of(tree)
    return treedef.unflatten(
        one_layer(x, axis) for x, axis in zip(leaves, stack_axes(tree), strict=True)
    )


def one_layer(x: Any, axis: int | None) -> Any:
    """The shape of a layer; without an axis the array."""
    if axis is None:
        return x
    shape = jnp.shape(x)
    return jax.ShapeDtypeStruct(shape[:axis] + shape[axis + 1 :], jnp.result_type(x))


def stacked_shape(shape: Sequence[int], p: Any, axis: int | None) -> tuple[int, ...]:
    """The shape of as many arrays of a shape as a parameter has layers, stacked."""
    if axis is None:
        return tuple(shape)
    place = min(axis, len(shape))
    return (*shape[:place], jnp.shape(p)[axis], *shape[place:])


def made_for_layers(make: Callable[[Any], Any], p: Any, axis: int) -> Any:
    """What is made of each layer of a parameter, stacked."""
    like = jax.eval_shape(make, one_layer(p, axis))
    places = jax.tree.map(lambda x: min(axis, x.ndim), like)
    if not is_abstract(p):
        return jax.vmap(make, in_axes=axis, out_axes=places)(p)
    layers = jnp.shape(p)[axis]

    def repeated(x: jax.Array, place: int) -> jax.Array:
        return jnp.repeat(jnp.expand_dims(x, place), layers, place)

    return jax.tree.map(repeated, make(one_layer(p, axis)), places)


def over_layers(fn: Callable[[Any, Any], Any], axis: int) -> Callable[[Any, Any], Any]:
    """A function `(arrays, shared) -> arrays` of one layer, for stacks.

    Arrays of the leaf's number of dimensions have the layers along the axis, those of
    fewer along it or their last one; 0-d ones are for all layers. What comes out has
    them where what went in, by its place, has: (g, p, state) gives (result, state).
    """

    def mapped(arrays: Any, shared: Any) -> Any:
        def place(x: Any) -> int | None:
            return min(axis, jnp.ndim(x) - 1) if jnp.ndim(x) else None

        aval: Any = jax.typeof(arrays[0])
        if aval.sharding.spec[axis] is not None:  # JAX 0.10 cannot map a sum over it
            raise failure(
                f"layers of a stack of shape {aval.shape} are split over the mesh axis "
                f"{aval.sharding.spec[axis]!r} of an explicit type. Split another "
                f"dimension, or make the axis Auto."
            )
        first, _, state = places = jax.tree.map(place, arrays)
        run = jax.vmap(
            seen_as(LAYER, fn),
            in_axes=(places, None),
            out_axes=(first, state),
            axis_name=LAYERS,
        )
        return run(arrays, shared)

    return mapped


def seen_as(what: str, fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which finds out from `layer_axes` and `is_cut` what it sees."""

    def run(*args: Any) -> Any:
        token = _seen.set(what)
        try:
            return fn(*args)
        finally:
            _seen.reset(token)

    return run


def layer_axes() -> tuple[str, ...]:
    """The name of the axis over which layers are mapped, if a rule sees one of them."""
    return (LAYERS,) if _seen.get() == LAYER else ()


def is_cut() -> bool:
    """Whether a rule sees a part of a stack, in which layers cannot be told apart."""
    return _seen.get() == CUT
