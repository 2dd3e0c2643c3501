"""What a mesh makes of shapes: specs checked, kept, split further, and written out."""

import itertools
from collections.abc import Iterator
from typing import Any

from jax.sharding import NamedSharding, PartitionSpec

from gradtx.core.trees import failure


def axes_of(spec: Any, ndim: int) -> list[tuple[str, ...]]:
    """The mesh axes of each dimension."""
    entries = [*spec] + [None] * (ndim - len(spec))
    return [
        () if e is None else (e,) if isinstance(e, str) else tuple(e) for e in entries
    ]


def parts(mesh: Any, axes: tuple[str, ...]) -> int:
    """Into how many parts these axes split."""
    n = 1
    for axis in axes:
        n *= mesh.shape[axis]
    return n


def _spec(dims: list[tuple[str, ...]]) -> PartitionSpec:
    entries = [None if not d else d[0] if len(d) == 1 else d for d in dims]
    while entries and entries[-1] is None:
        entries.pop()
    return PartitionSpec(*entries)


def check_axes(name: str, axes: tuple[str, ...], mesh: Any) -> None:
    """Raise unless the mesh has the axes."""
    for axis in axes:
        if axis not in mesh.shape:
            raise failure(
                f"{name}: there is no mesh axis {axis!r}; the mesh is "
                f"{written_mesh(mesh)}."
            )


def check_spec(name: str, shape: tuple[int, ...], spec: Any, mesh: Any) -> None:
    """Raise unless the mesh has the axes and divides the dimensions."""
    if PartitionSpec.UNCONSTRAINED in tuple(spec):
        raise failure(f"{name} has {spec}: say where it lies; None is replicated.")
    if len(spec) > len(shape):
        raise failure(f"{name} has shape {shape}, too few dimensions for {spec}.")
    for d, axes in enumerate(axes_of(spec, len(shape))):
        size = shape[d]
        check_axes(f"{name} has {spec}", axes, mesh)
        n = parts(mesh, axes)
        if size % n:
            named = " and ".join(repr(axis) for axis in axes)
            raise failure(
                f"{name} has shape {shape}: dimension {d} of size {size} cannot be "
                f"split by mesh axis {named} of size {n}. Pad it to "
                f"{-(-size // n) * n}, shard another dimension, or replicate it with "
                f"None."
            )


def kept_axes(
    shape: tuple[int, ...], param: tuple[int, ...], sharding: NamedSharding
) -> NamedSharding:
    """The sharding of an array of state with the axes of the dimensions it shares."""
    if shape == param:
        return sharding
    axes = axes_of(sharding.spec, len(param))
    specs = {
        _spec([() if d is None else axes[d] for d in dims])
        for dims in _alignments(shape, param)
    }
    spec = specs.pop() if len(specs) == 1 else PartitionSpec()
    return NamedSharding(sharding.mesh, spec)


def dividing_axes(shape: tuple[int, ...], sharding: NamedSharding) -> NamedSharding:
    """The same axes for the same dimensions, where they divide other sizes too."""
    mesh, axes = sharding.mesh, axes_of(sharding.spec, len(shape))
    pairs = zip(shape, axes, strict=True)
    kept = [names if n % parts(mesh, names) == 0 else () for n, names in pairs]
    return NamedSharding(mesh, _spec(kept))


def _alignments(
    shape: tuple[int, ...], param: tuple[int, ...]
) -> Iterator[tuple[int | None, ...]]:
    """For each dimension of an array the parameter's that it may be, in order."""
    n, m = len(shape), len(param)
    if n == m:  # reduced with keepdims, or packed
        yield tuple(d if shape[d] == param[d] else None for d in range(n))
    elif n < m:  # some dimensions reduced
        for dims in itertools.combinations(range(m), n):
            if shape == tuple(param[d] for d in dims):
                yield dims
    else:  # some dimensions added
        for dims in itertools.combinations(range(n), m):
            if param == tuple(shape[d] for d in dims):
                yield tuple(dims.index(d) if d in dims else None for d in range(n))


def split_further(
    shape: tuple[int, ...], sharding: NamedSharding, axis: str
) -> NamedSharding:
    """Split by one more axis, along the first dimension that it divides."""
    mesh, dims = sharding.mesh, axes_of(sharding.spec, len(shape))
    if any(axis in axes for axes in dims):
        return sharding
    for d, size in enumerate(shape):
        if size and size % parts(mesh, (*dims[d], axis)) == 0:
            dims[d] = (*dims[d], axis)
            return NamedSharding(mesh, _spec(dims), memory_kind=sharding.memory_kind)
    return sharding


def written(sharding: Any) -> str:
    """A sharding in an error: its spec and its mesh."""
    if not isinstance(sharding, NamedSharding):
        return repr(sharding)
    return f"{sharding.spec} on the mesh {written_mesh(sharding.mesh)}"


def written_mesh(mesh: Any) -> str:
    """A mesh as its axes and sizes."""
    return str(dict(mesh.shape))
