"""How a state is laid out over devices, from how its parameters are."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.sharding import NamedSharding, PartitionSpec

from gradtx.core.chunks import is_encoded
from gradtx.core.masking import spread
from gradtx.core.trees import absent, check_match, failure, leaves_of, paths_of
from gradtx.distributed.mesh import (
    check_axes,
    check_spec,
    dividing_axes,
    kept_axes,
    split_further,
    written,
    written_mesh,
)
from gradtx.distributed.sources import sources_of


def state_sharding(
    tx: Any,
    params: Any,
    params_sharding: Any = None,
    *,
    mesh: Any = None,
    zero1_axis: str | None = None,
) -> Any:
    """The sharding of every array of a transformation's state.

    An array that has the shape of its parameter, such as a moment, is split over the
    devices as the parameter is. An array that `init` made from a parameter in another
    shape (a row of factored moments, a history with a leading axis) is split along
    those of its dimensions that are found again in the parameter, by their sizes. Where
    that is not clear, because two dimensions of the parameter have one size and are
    split differently, every device keeps the whole array. So it does with counts,
    random keys, and the vectors of `flatten`, which join leaves that may all be split
    differently. Codes of few bits and their scales (`quantize_state`) are split as the
    parameter is, where each device has whole blocks.

    `jax.jit(tx.init, out_shardings=state_sharding(tx, params, ...))(params)` makes
    the state in place: no device holds a full copy at any time.

    With `zero1_axis` the state is spread over the data parallel axis too (ZeRO, stage
    1): each array that does not use the axis yet is split by it along the first
    dimension that it divides. Give the result to the step's `jit` as `in_shardings`
    and `out_shardings` of the state, and the compiler updates each shard where it lies
    and gathers the new parameters. Whether it scatters the gradients or reduces them
    to all devices is its choice: on CPU it is the latter, 1.5 times the bytes of plain
    data parallelism. `zero1` inside of `shard_map` always scatters.

    With a mesh of explicit axes `flatten` cannot run: JAX does not join sharded
    dimensions there.

    Args:
      tx: a transformation.
      params: a tree of arrays or of `jax.ShapeDtypeStruct`; nothing is allocated.
      params_sharding: a tree of `NamedSharding`, or of `PartitionSpec` with `mesh`; a
        prefix of the tree will do, one sharding for all leaves too. By default each
        leaf's own.
      mesh: the mesh of the `PartitionSpec`s.
      zero1_axis: a mesh axis over which parameters are replicated, or None.

    Returns:
      A tree like the state with a `NamedSharding` at each array.

    Raises:
      ValueError: an axis that the mesh does not have, a dimension that it does not
        divide, two meshes, or a tree that does not fit; the leaf is named.
      TypeError: a sharding of another kind, or an `init` of which it cannot be told
        what it makes from which parameter.

    Example:
      >>> import jax, jax.numpy as jnp, gradtx
      >>> from jax.sharding import PartitionSpec as P
      >>> mesh = jax.make_mesh((1,), ("data",))
      >>> params = {"w": jnp.ones((4, 2)), "b": jnp.ones(2)}
      >>> layout = {"w": P("data"), "b": P()}
      >>> where = gradtx.distributed.state_sharding(
      ...     gradtx.trace(0.9), params, layout, mesh=mesh
      ... )
      >>> where.trace["w"].spec, where.trace["b"].spec
      (P('data',), P())
    """
    layout = layout_of(tx, params, params_sharding, mesh, zero1_axis)
    return jax.tree.structure(layout.state).unflatten(layout.shardings)


class Layout(NamedTuple):
    """Where everything lies; lists in the order of leaves."""

    mesh: Any
    params: list[NamedSharding | None]  # None where there is no parameter
    state: Any  # in shapes
    places: list[int | None]  # for each leaf of the state, that of its parameter
    shardings: list[NamedSharding]  # for each leaf of the state


def layout_of(
    tx: Any, params: Any, params_sharding: Any, mesh: Any, zero1_axis: str | None
) -> Layout:
    """What `state_sharding` and `explain` know; the arguments are theirs."""
    given = shardings_of(params, params_sharding, mesh)
    mesh = _mesh_of(given, mesh)
    if zero1_axis is not None:
        check_axes("zero1_axis", (zero1_axis,), mesh)
    shapes = [() if absent(x) else jnp.shape(x) for x in leaves_of(params)[0]]
    state, places = sources_of(tx, params)

    def place(leaf: Any, i: int | None) -> NamedSharding:
        sharding = None if i is None else given[i]
        coded = is_encoded(leaf)
        shape = leaf.scales.shape if coded else leaf.shape
        if i is None or sharding is None:
            made = NamedSharding(mesh, PartitionSpec())
        elif coded:  # where whole tiles can be shared out, and so can their scales
            made = dividing_axes(shape, sharding)
        else:
            made = kept_axes(shape, shapes[i], sharding)
        return made if not zero1_axis else split_further(shape, made, zero1_axis)

    shardings: list[NamedSharding] = []
    for leaf in jax.tree.leaves(state, is_leaf=is_encoded):
        parts = jax.tree.leaves(leaf)  # codes and scales lie alike
        shardings += [place(leaf, places[len(shardings)])] * len(parts)
    return Layout(mesh, given, state, places, shardings)


def shardings_of(
    params: Any, params_sharding: Any, mesh: Any
) -> list[NamedSharding | None]:
    """The sharding of each parameter, checked; None where there is no parameter."""
    leaves, treedef = leaves_of(params)
    if params_sharding is None:
        full = treedef.unflatten(getattr(x, "sharding", None) for x in leaves)
    else:
        full = spread("params_sharding", params_sharding, params)
    found: list[NamedSharding | None] = []
    for leaf, (path, sharding) in zip(leaves, paths_of(full), strict=True):
        if absent(leaf):
            found.append(None)
            continue
        if not isinstance(sharding, NamedSharding | PartitionSpec):
            raise failure(
                f"the sharding of params{path} is {sharding!r:.80}; it must be a "
                f"NamedSharding, or a PartitionSpec with mesh=.",
                TypeError,
            )
        if isinstance(sharding, NamedSharding):
            here, spec = sharding.mesh, sharding.spec
        else:
            here, spec = mesh, sharding
        if here is None:
            raise failure(f"the sharding of params{path} is {spec}: give mesh= to it.")
        check_spec(f"params{path}", jnp.shape(leaf), spec, here)
        if not isinstance(sharding, NamedSharding):
            sharding = NamedSharding(here, spec)
        found.append(sharding)
    return found


def _mesh_of(shardings: list[NamedSharding | None], mesh: Any) -> Any:
    """The one mesh that all lie on."""
    meshes = [] if mesh is None else [mesh]
    meshes += [s.mesh for s in shardings if s is not None]
    if not meshes:
        raise failure("there are no parameters to take a mesh from: give mesh=.")
    for other in meshes[1:]:
        if other != meshes[0]:
            raise failure(
                f"the parameters are to lie on one mesh, got "
                f"{written_mesh(meshes[0])} and {written_mesh(other)}."
            )
    return meshes[0]


def check_shardings(params: Any, grads: Any) -> None:
    """Raise unless gradients lie as their parameters do.

    A step with mixed layouts is right, but moves whole arrays between devices. The
    usual cause is a loss whose gradients were left to the compiler: give
    `out_shardings` to its `jit`.

    Args:
      params, grads: trees of arrays, outside of `jit`; None among the gradients
        passes.

    Raises:
      ValueError: a leaf whose two shardings differ, with both; or trees that differ.
      TypeError: a leaf without a sharding, as inside of `jit`.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.distributed.check_shardings({"w": jnp.ones(2)}, {"w": jnp.zeros(2)})
    """
    check_match("grads", grads, "params", params)
    others = leaves_of(params)[0]
    for (path, g), p in zip(paths_of(grads), others, strict=True):
        if absent(g):
            continue
        here, there = _own(f"grads{path}", g), _own(f"params{path}", p)
        if not here.is_equivalent_to(there, jnp.ndim(g)):
            raise failure(
                f"grads{path} has {written(here)}, params{path} has {written(there)}. "
                f"Give the jitted function that makes the gradients out_shardings, or "
                f"jax.device_put them."
            )


def _own(name: str, x: Any) -> Any:
    sharding = None
    if not isinstance(x, Tracer):
        sharding = getattr(x, "sharding", None)
    if sharding is None:
        raise failure(
            f"{name} is {x!r:.60}, which has no sharding: call this outside of jit, "
            f"with arrays.",
            TypeError,
        )
    return sharding
