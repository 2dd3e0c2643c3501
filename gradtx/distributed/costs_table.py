"""What `explain` finds, and how it prints."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from jax.sharding import PartitionSpec

from gradtx.distributed.traffic import Traffic


class Row(NamedTuple):
    """Arrays of one name, shape, dtype and layout."""

    name: str  # "params", or the entry of the state: "adamw/mu"
    leaves: int  # how many
    shape: tuple[int, ...]  # of each
    dtype: str
    spec: PartitionSpec
    bytes: int  # of all, replicas not counted
    bytes_per_device: int


class Explanation(NamedTuple):
    """What `explain` finds; `str` makes a table of it."""

    rows: tuple[Row, ...]  # the parameters first
    traffic: tuple[Traffic, ...]  # what each device sends in a step
    mesh: dict[str, int]  # sizes by axis
    data_axes: tuple[str, ...]  # those along which the batch is taken to be split
    parameters: int  # how many numbers are trained
    params_bytes: int
    state_bytes: int
    params_bytes_per_device: int
    grads_bytes_per_device: int  # taken to be as large as the parameters trained
    state_bytes_per_device: int
    notes: tuple[str, ...]  # what is not counted

    @property
    def state_bytes_per_parameter(self) -> float:
        return self.state_bytes / max(self.parameters, 1)

    @property
    def moved_bytes_per_device(self) -> int:
        """Read params, gradients and state, write params and state: the least."""
        kept = self.params_bytes_per_device + self.state_bytes_per_device
        return 2 * kept + self.grads_bytes_per_device

    @property
    def sent_bytes_per_device(self) -> int:
        return sum(x.bytes for x in self.traffic)

    def __str__(self) -> str:
        return "\n".join((*_table(self), "", *_summary(self)))


def _table(x: Explanation) -> Iterator[str]:
    head = ("name", "leaves", "shape", "dtype", "sharding", "total", "per device")
    lines = [head] + [
        (
            row.name,
            str(row.leaves),
            str(row.shape),
            row.dtype,
            str(row.spec).replace(",)", ")"),
            human(row.bytes),
            human(row.bytes_per_device),
        )
        for row in x.rows
    ]
    if math.prod(x.mesh.values()) == 1:  # nothing to say about it
        lines = [line[:4] + line[5:6] for line in lines]
    right = {"leaves", "total", "per device"}
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [
            cell.rjust(width) if title in right else cell.ljust(width)
            for cell, width, title in zip(line, widths, lines[0], strict=True)
        ]
        yield "  ".join(cells).rstrip()


def _summary(x: Explanation) -> Iterator[str]:
    each = x.params_bytes_per_device + x.grads_bytes_per_device
    yield (
        f"state: {x.state_bytes_per_parameter:.3g} bytes for each of {x.parameters:,} "
        f"trained parameters, {human(x.state_bytes)} in all"
    )
    yield (
        f"on each device: params {human(x.params_bytes_per_device)}, gradients "
        f"{human(x.grads_bytes_per_device)}, state {human(x.state_bytes_per_device)}, "
        f"together {human(each + x.state_bytes_per_device)}"
    )
    yield (
        f"each moves at least {human(x.moved_bytes_per_device)} in a step: reads "
        f"params, gradients (as large) and state, writes params and state"
    )
    if math.prod(x.mesh.values()) == 1:
        return
    along = ", ".join(x.data_axes) or "no axis"
    yield (
        f"each sends {human(x.sent_bytes_per_device)} in a step, with the batch split "
        f"along {along}; mesh {x.mesh}"
    )
    for sent in x.traffic:
        yield (
            f"  {human(sent.bytes)}: {sent.op} of {sent.what} along "
            f"{', '.join(sent.axes)} ({sent.devices} devices)"
        )
    yield f"not counted: {'; '.join(x.notes)}"


def human(n: int) -> str:
    """Bytes in the unit that suits."""
    size, units = float(n), ["B", "KiB", "MiB", "GiB", "TiB"]
    while size >= 1024 and len(units) > 1:
        size /= 1024
        units.pop(0)
    return f"{n} B" if n < 1024 else f"{size:.1f} {units[0]}"
