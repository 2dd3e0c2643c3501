"""Replicas that should be equal, and whether they are."""

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.experimental import multihost_utils

from gradtx.core.trees import failure, paths_of
from gradtx.distributed.mesh import written_mesh


class _Copy(NamedTuple):
    """One of several arrays that should be equal."""

    device: Any
    of: Any  # equal for arrays that should be equal: which part of the whole this is
    data: np.ndarray | None  # None on a device of another process


def check_replicas(tree: Any, *, stacked: bool = False) -> None:
    """Raise unless all devices that hold the same part of an array hold the same bits.

    Nothing in a compiled program notices when replicas drift apart: a gradient that
    was not averaged, a random key that differs, a kernel that is not deterministic, a
    broken device. Every device then trains a model of its own.

    Bits are compared, so NaN equals itself and -0.0 is not 0.0. With several processes
    all of them have to call it: they exchange digests, 16 bytes for each leaf and
    device. It copies every replica to the host: call it every thousand steps, or
    before a checkpoint.

    Args:
      tree: parameters, a state or both, outside of `jit`. What is not a `jax.Array`
        has no replicas and passes.
      stacked: whether replicas are entries along the first axis of each array, as
        `pmap` returns them.

    Raises:
      ValueError: replicas that differ: the leaf, the mesh axis along which they do,
        the devices, in how many entries and by how much.
      TypeError: a leaf without values, as inside of `jit`.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.distributed.check_replicas({"w": jnp.ones(2), "b": jnp.array(jnp.nan)})
    """
    arrays = [(path, x) for path, x in paths_of(tree) if isinstance(x, jax.Array)]
    for path, x in arrays:
        if isinstance(x, Tracer):
            raise failure(
                f"tree{path} is {x!r:.60}: call check_replicas outside of jit.",
                TypeError,
            )
        if stacked and not x.ndim:
            raise failure(f"tree{path} has no first axis for replicas to lie along.")
    copies = [list(_copies(x, stacked)) for _, x in arrays]
    digests = _digests(copies)
    broken = [i for i, row in enumerate(copies) if _differing(row, digests[i])]
    if broken:
        i = broken[0]
        path, x = arrays[i]
        axes = ["the first axis"] if stacked else _axes(x, copies[i], digests[i])
        raise failure(
            f"replicas of tree{path} have drifted apart along {' and '.join(axes)}: "
            f"{_how_far(copies[i], digests[i])}. {len(broken)} of {len(arrays)} arrays "
            f"have. Average gradients over the devices before the update, give all the "
            f"same random key, and start again from one replica."
        )


def _copies(x: jax.Array, stacked: bool) -> Iterator[_Copy]:
    """What each device holds, in the order of devices."""
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        x = jax.random.key_data(x)
    held = {shard.device: shard.data for shard in x.addressable_shards}
    indices = x.sharding.devices_indices_map(x.shape)
    for device in sorted(indices, key=lambda d: d.id):
        part = tuple(
            s.indices(n)[:2] for s, n in zip(indices[device], x.shape, strict=True)
        )
        data = np.asarray(held[device]) if device in held else None
        if not stacked:
            yield _Copy(device, part, data)
            continue
        for row in range(part[0][1] - part[0][0]):
            yield _Copy(device, part[1:], None if data is None else data[row])


def _digests(copies: list[list[_Copy]]) -> np.ndarray:
    """Digests by leaf and copy, of all processes."""
    most = max(map(len, copies), default=0)
    found = np.zeros((len(copies), most, 4), np.uint32)
    for i, row in enumerate(copies):
        for j, copy in enumerate(row):
            if copy.data is not None:
                digest = hashlib.blake2b(_bytes(copy.data), digest_size=16)
                found[i, j] = np.frombuffer(digest.digest(), np.uint32)
    if jax.process_count() > 1:
        # Each copy is on a device of one process: the others have zeros there.
        found = np.asarray(multihost_utils.process_allgather(found))
        found = found.sum(axis=0, dtype=np.uint32)
    return found


def _bytes(x: np.ndarray) -> Any:
    # As uint8: dtypes that NumPy does not know (bfloat16) give no buffer.
    return np.ascontiguousarray(x).reshape(-1).view(np.uint8)


def _differing(row: list[_Copy], digests: np.ndarray) -> tuple[int, int] | None:
    """The first two copies that should be equal and are not."""
    first: dict[Any, int] = {}
    for j, copy in enumerate(row):
        k = first.setdefault(copy.of, j)
        if (digests[j] != digests[k]).any():
            return k, j
    return None


def _how_far(row: list[_Copy], digests: np.ndarray) -> str:
    """Which two devices differ, in how many entries and by how much."""
    found = _differing(row, digests)
    assert found is not None
    a, b = (row[j] for j in found)
    if a.data is None or b.data is None:
        return (
            f"device {b.device.id} of process {b.device.process_index} differs from "
            f"device {a.device.id} of process {a.device.process_index}"
        )
    differ = (_bytes(a.data) != _bytes(b.data)).reshape(a.data.size, -1).any(axis=1)
    with np.errstate(invalid="ignore"):  # inf - inf
        gaps = np.abs(a.data.astype(complex) - b.data.astype(complex))
    gap = np.nanmax(gaps) if not np.isnan(gaps).all() else np.nan
    return (
        f"device {b.device.id} differs from device {a.device.id} in {differ.sum()} "
        f"of {differ.size} entries of shape {a.data.shape}, by up to {gap:.3g}"
    )


def _axes(x: jax.Array, row: list[_Copy], digests: np.ndarray) -> list[str]:
    """The mesh axes along which copies differ that should be equal."""
    mesh = getattr(x.sharding, "mesh", None)
    if mesh is None:
        return ["the devices"]
    coordinates = {device: at for at, device in np.ndenumerate(mesh.devices)}
    names = []
    for n, name in enumerate(mesh.axis_names):
        found: dict[Any, set[bytes]] = {}  # at all other coordinates the same
        for copy, digest in zip(row, digests[: len(row)], strict=True):
            at = coordinates[copy.device]
            others = (copy.of, at[:n], at[n + 1 :])
            found.setdefault(others, set()).add(digest.tobytes())
        if any(len(digests) > 1 for digests in found.values()):
            names.append(f"mesh axis {name!r} of {written_mesh(mesh)}")
    return names or ["the devices"]
