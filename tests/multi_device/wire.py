"""What a compiled program sends between devices, read off its text."""

import math
import re
from typing import Any, NamedTuple

KINDS = "all-reduce", "reduce-scatter", "all-gather", "all-to-all", "collective-permute"
_BYTES = {
    "pred": 1,
    "s8": 1,
    "u8": 1,
    "bf16": 2,
    "f16": 2,
    "s16": 2,
    "f64": 8,
    "s64": 8,
}
_OPERATION = re.compile(
    rf"= (?P<result>\(?[^=]*?) (?P<kind>{'|'.join(KINDS)})(?:-start)?\((?P<operands>.*)"
)
_ARRAY = re.compile(r"(?P<dtype>[a-z]+\d*)\[(?P<shape>[\d,]*)\]")
_GROUPS = re.compile(r"replica_groups=(?:\{\{([\d,]+)\}|\[(\d+),(\d+)\])")
# As sharded jit prints them: mesh['data'=4,'model'=2] {'data'}
_MESH = re.compile(r"replica_groups=mesh\[(?P<sizes>[^\]]*)\]\s*\{(?P<axes>[^}]*)\}")


class Collective(NamedTuple):
    kind: str
    entries: int  # of what comes out, on one device
    nbytes: int
    devices: int  # that take part

    @property
    def sent(self) -> float:
        """Bytes that each device sends in a ring."""
        n = self.devices
        whole = self.nbytes * (n if self.kind == "reduce-scatter" else 1)
        rounds = {"all-reduce": 2 * (n - 1), "collective-permute": n}
        return rounds.get(self.kind, n - 1) / n * whole


def collectives(compiled: Any) -> list[Collective]:
    """Every collective operation of a compiled program (`jit(f).lower().compile()`)."""
    found = []
    for line in compiled.as_text().splitlines():
        # In a long tuple every fifth array is numbered: /*index=5*/.
        match = _OPERATION.search(re.sub(r"/\*.*?\*/", "", line))
        if match is None:
            continue
        sizes = [
            (math.prod(map(int, filter(None, shape.split(",")))), _BYTES.get(dtype, 4))
            for dtype, shape in _ARRAY.findall(match["result"])
        ]
        devices = _devices(line)
        entries = sum(n for n, _ in sizes)
        nbytes = sum(n * each for n, each in sizes)
        found.append(Collective(match["kind"], entries, nbytes, devices))
    return found


def _devices(line: str) -> int:
    """How many take part in one group."""
    if on_mesh := _MESH.search(line):
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", on_mesh["sizes"]))
        return math.prod(int(sizes[x]) for x in re.findall(r"'(\w+)'", on_mesh["axes"]))
    if pairs := re.search(r"source_target_pairs=\{(.*?)\}\}", line):
        return pairs[1].count("{")
    groups = _GROUPS.search(line)
    assert groups is not None, f"no replica groups in {line}"
    return int(groups[3]) if groups[3] else len(groups[1].split(","))


def wire_bytes(compiled: Any) -> dict[str, float]:
    """Bytes that each device sends in a run, by kind of operation."""
    totals: dict[str, float] = {}
    for c in collectives(compiled):
        totals[c.kind] = totals.get(c.kind, 0) + c.sent
    return totals
