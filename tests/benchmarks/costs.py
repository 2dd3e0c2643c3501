"""What a step may cost: exact figures of the compiler, kept as data in costs.json.

    python -m tests.benchmarks.costs     measures again and writes the file

A change that costs more fails tests/unit/test_costs.py; a new optimizer brings its row.
"""

import functools
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from .compare import LOOP, STEP, ways
from .measure import analyse
from .trees import structs
from .workloads import Workload, workloads

FILE = Path(__file__).with_name("costs.json")

# Matrices that count and vectors that do not; 2.6M parameters in 4 leaves.
TREE = {"w": (1024, 768), "qkv": (768, 2304), "bias": (2304,), "scale": (768,)}

# The tests switch this off; newer ones cannot.
AS_USERS = (
    {"xla_cpu_use_fusion_emitters": True} if jax.__version_info__ < (0, 11) else {}
)


def measured(workload: Workload) -> dict[str, dict[str, Any]]:
    """By way: bytes a parameter to and from memory and in between, and equations."""
    tree = structs(TREE, jnp.float32)
    found = {}
    for name in (LOOP, STEP):
        way = ways(workload)[name]()
        numbers = analyse(way.fn, *way.shapes(tree), like=tree, **AS_USERS)
        each = numbers["per_parameter"]
        found[name] = {
            "bytes": round(each["bytes_accessed"], 2),
            "temporary": round(each["temp_bytes"], 2),
            "state": round(each["state_bytes"], 2),
            "equations": numbers["equations"],
        }
    return found


def compiled() -> dict[str, Workload]:
    """The workloads that are compiled."""
    return {name: w for name, w in workloads().items() if not w.eager}


@functools.cache
def allowed() -> dict[str, Any]:
    """The table: the version of jax that it was measured with, and its rows."""
    return json.loads(FILE.read_text())


if __name__ == "__main__":
    rows = {name: measured(workload) for name, workload in compiled().items()}
    FILE.write_text(json.dumps({"jax": jax.__version__, "rows": rows}, indent=1) + "\n")
    print(f"wrote {len(rows)} rows to {FILE.name}")
