"""What devices send each other in a step, as far as the layout decides it."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from gradtx.distributed.mesh import parts


class Traffic(NamedTuple):
    """One kind of communication in a step."""

    op: str  # all-reduce, all-gather or reduce-scatter
    what: str  # what is sent
    axes: tuple[str, ...]  # the mesh axes along which
    devices: int  # how many take part together, N
    bytes: int  # that each device sends in a step, in a ring or tree that wastes none


class Part(NamedTuple):
    """How one parameter lies, and its state."""

    bytes: int  # of the parameter on one device; its gradient is as large
    axes: frozenset[str]  # the mesh axes that split it
    state_axes: frozenset[str]  # those that split its state


def traffic_of(
    leaves: Iterable[Part], mesh: Any, data_axes: Iterable[str]
) -> tuple[Traffic, ...]:
    """The communication of data parallelism, summed over parameters.

    For a parameter of b bytes on a device, and the N devices of a group of axes:

        the batch is split, the parameter is not   all-reduce: 2 (N-1)/N b
        the same, its state is split (ZeRO-1)      reduce-scatter and all-gather:
                                                   (N-1)/N b each
        both are split (FSDP)                      reduce-scatter, and all-gather
                                                   twice: (N-1) b each time
    """
    sums: dict[tuple[str, str, tuple[str, ...]], float] = {}

    def add(op: str, what: str, axes: frozenset[str], amount: float) -> None:
        along = tuple(axis for axis in mesh.axis_names if axis in axes)
        if parts(mesh, along) > 1:
            key = (op, what, along)
            sums[key] = sums.get(key, 0) + amount

    data = frozenset(data_axes)
    for leaf in leaves:
        size = float(leaf.bytes)
        both, plain = data & leaf.axes, data - leaf.axes
        shared = plain & leaf.state_axes
        gathered, whole = parts(mesh, tuple(both)), parts(mesh, tuple(plain - shared))
        n = parts(mesh, tuple(shared))
        add("all-gather", "parameters, forward", both, (gathered - 1) * size)
        add("all-gather", "parameters, backward", both, (gathered - 1) * size)
        add("reduce-scatter", "gradients", both, (gathered - 1) * size)
        add("reduce-scatter", "gradients", shared, (n - 1) / n * size)
        add("all-gather", "new parameters", shared, (n - 1) / n * size)
        reduced = 2 * (whole - 1) / whole * size / n
        add("all-reduce", "gradients", plain - shared, reduced)
    return tuple(
        Traffic(op, what, axes, parts(mesh, axes), round(amount))
        for (op, what, axes), amount in sums.items()
    )
