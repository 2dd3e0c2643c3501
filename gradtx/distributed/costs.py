"""What a transformation keeps, moves and sends, before anything is allocated."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, NamedSharding, PartitionSpec

from gradtx.core.trees import absent, failure, is_inexact, is_none, leaves_of
from gradtx.distributed.costs_table import Explanation, Row
from gradtx.distributed.mesh import axes_of, check_axes
from gradtx.distributed.sharding import Layout, layout_of
from gradtx.distributed.sources import shapes_of
from gradtx.distributed.traffic import Part, traffic_of
from gradtx.tree.named import FORMAT, to_named


def explain(
    tx: Any,
    params: Any,
    mesh: Any = None,
    params_sharding: Any = None,
    *,
    zero1_axis: str | None = None,
    data_axes: str | Sequence[str] | None = None,
) -> Explanation:
    """Say what a transformation keeps, moves and sends, and allocate nothing.

    `print` it: a table of parameters and state by name, shape and layout, then the
    bytes of state per parameter, the bytes that a step moves through memory, and what
    devices send each other.

    Taken for granted: gradients in the parameters' dtypes; every array read and
    written once; collectives in a ring, each device sending (N-1)/N of the whole in a
    gather or a scatter, twice that in an all-reduce; a parameter that is split along
    an axis of the batch is gathered for the forward and again for the backward pass.
    Activations, and what devices send for them, are not in it.

    Args:
      tx: a transformation.
      params: a tree of arrays or of `jax.ShapeDtypeStruct`.
      mesh: the mesh; `jax.sharding.AbstractMesh((64, 8), ("data", "model"))` will do,
        of devices that are not there. By default that of the shardings, else one
        device.
      params_sharding: as for `state_sharding`; by default each leaf's own, else
        replicated.
      zero1_axis: as for `state_sharding`.
      data_axes: the mesh axes along which the batch is split; by default all. Name
        them where others are for tensor parallelism: a parameter that is split along
        those is not gathered.

    Returns:
      An `Explanation`, the numbers as fields.

    Raises:
      ValueError, TypeError: as `state_sharding`; and a name in data_axes that is no
        mesh axis.

    Example:
      >>> import jax, jax.numpy as jnp, gradtx
      >>> from jax.sharding import AbstractMesh
      >>> params = {"w": jax.ShapeDtypeStruct((1024, 1024), jnp.float32)}
      >>> mesh = AbstractMesh((8,), ("data",))
      >>> tx = gradtx.adam(1e-3)
      >>> print(gradtx.distributed.explain(tx, params, mesh, zero1_axis="data"))
      name        leaves  shape         dtype    sharding     total  per device
      params           1  (1024, 1024)  float32  P()        4.0 MiB     4.0 MiB
      adam/count       1  ()            int32    P()            4 B         4 B
      adam/mu          1  (1024, 1024)  float32  P('data')  4.0 MiB   512.0 KiB
      adam/nu          1  (1024, 1024)  float32  P('data')  4.0 MiB   512.0 KiB
      ...
    """
    mesh, params_sharding = _placed(params, mesh, params_sharding)
    layout = layout_of(tx, params, params_sharding, mesh, zero1_axis)
    mesh = layout.mesh
    if isinstance(data_axes, str):
        data_axes = (data_axes,)
    batch = tuple(mesh.axis_names if data_axes is None else data_axes)
    check_axes(f"data_axes={batch}", batch, mesh)
    if zero1_axis is not None and zero1_axis not in batch:
        raise failure(f"zero1_axis={zero1_axis!r} is not among data_axes={batch}.")
    leaves = leaves_of(shapes_of(params))[0]
    present = [
        (x, sharding)
        for x, sharding in zip(leaves, layout.params, strict=True)
        if sharding is not None
    ]
    trained = [(x, sharding) for x, sharding in present if is_inexact(x.dtype)]
    state = list(zip(jax.tree.leaves(layout.state), layout.shardings, strict=True))
    names = _names(tx, params, layout)
    return Explanation(
        rows=(
            *_rows([("params", *pair) for pair in present]),
            *_rows([(name, *pair) for name, pair in zip(names, state, strict=True)]),
        ),
        traffic=traffic_of(_layouts(leaves, layout), mesh, batch),
        mesh=dict(mesh.shape),
        data_axes=batch,
        parameters=sum(math.prod(x.shape) for x, _ in trained),
        params_bytes=sum(_bytes(x) for x, _ in present),
        state_bytes=sum(_bytes(x) for x, _ in state),
        params_bytes_per_device=sum(_bytes(*pair) for pair in present),
        grads_bytes_per_device=sum(_bytes(*pair) for pair in trained),
        state_bytes_per_device=sum(_bytes(*pair) for pair in state),
        notes=tuple(_notes(layout)),
    )


def _placed(params: Any, mesh: Any, params_sharding: Any) -> tuple[Any, Any]:
    """Parameters that lie nowhere are replicated; without a mesh, on one device."""
    own = [getattr(x, "sharding", None) for x in leaves_of(params)[0]]
    if params_sharding is None and not any(isinstance(s, NamedSharding) for s in own):
        params_sharding = PartitionSpec()
        mesh = AbstractMesh((1,), ("device",)) if mesh is None else mesh
    return mesh, params_sharding


def _bytes(leaf: Any, sharding: Any = None) -> int:
    """The bytes of an array, or of one device's shard."""
    one = jax.ShapeDtypeStruct((), leaf.dtype)
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        one = jax.eval_shape(jax.random.key_data, one)
    shape = leaf.shape if sharding is None else sharding.shard_shape(leaf.shape)
    return math.prod(shape) * math.prod(one.shape) * one.dtype.itemsize


def _names(tx: Any, params: Any, layout: Layout) -> list[str]:
    """For each array of the state its name without the parameter's own path."""
    names = [name for name in to_named(tx, layout.state) if name != FORMAT]
    paths = []
    for path, _ in jax.tree_util.tree_flatten_with_path(params, is_leaf=is_none)[0]:
        keys = [jax.tree_util.keystr((key,), simple=True) for key in path]
        keys = [key.replace("%", "%25").replace("/", "%2F") for key in keys]
        paths.append("".join(f"/{key}" for key in keys) + "/")

    def own(name: str, place: int | None) -> str:
        if place is None or paths[place] not in name + "/":
            return name
        before, _, after = (name + "/").rpartition(paths[place])
        return f"{before}/{after}".rstrip("/")

    return [*map(own, names, layout.places)]


def _rows(arrays: list[tuple[str, Any, Any]]) -> Iterator[Row]:
    """Alike arrays together, in the order in which they come first, names together."""
    groups: dict[Any, list[tuple[Any, Any]]] = {}
    for name, leaf, sharding in arrays:
        key = (name, leaf.shape, str(leaf.dtype), sharding.spec)
        groups.setdefault(key, []).append((leaf, sharding))
    order = list(dict.fromkeys(name for name, *_ in groups))
    for key, group in sorted(groups.items(), key=lambda item: order.index(item[0][0])):
        name, shape, dtype, spec = key
        total = sum(_bytes(x) for x, _ in group)
        here = sum(_bytes(*pair) for pair in group)
        yield Row(name, len(group), shape, dtype, spec, total, here)


def _layouts(leaves: list[Any], layout: Layout) -> Iterator[Part]:
    """How each trained parameter and its state lie."""
    used: dict[int, set[str]] = {}
    shapes = jax.tree.leaves(layout.state)
    for place, x, sharding in zip(layout.places, shapes, layout.shardings, strict=True):
        if place is not None:
            used.setdefault(place, set()).update(_axes(x, sharding))
    for i, (x, sharding) in enumerate(zip(leaves, layout.params, strict=True)):
        if not absent(x) and is_inexact(x.dtype):
            state_axes = frozenset(used.get(i, ()))
            yield Part(_bytes(x, sharding), _axes(x, sharding), state_axes)


def _axes(leaf: Any, sharding: Any) -> frozenset[str]:
    dims = axes_of(sharding.spec, len(leaf.shape))
    return frozenset(axis for axes in dims for axis in axes)


def _notes(layout: Layout) -> Iterator[str]:
    if math.prod(layout.mesh.shape.values()) == 1:
        return
    yield "activations, and what a tensor parallel model sends for them"
    yield "scalars: norms, losses, counts"
    joined = [
        x
        for x, place in zip(jax.tree.leaves(layout.state), layout.places, strict=True)
        if place is None and len(x.shape) == 1
    ]
    if joined and not all(s is None or s.is_fully_replicated for s in layout.params):
        yield "what joins parameters into one vector gathers them in each step"
