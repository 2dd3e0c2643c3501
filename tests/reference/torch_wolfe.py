"""PyTorch's L-BFGS with its strong Wolfe search on the problems of full_batch.py.

    python -m tests.reference.torch_wolfe     runs PyTorch and writes the file

Its search interpolates by other rules than `scale_by_zoom_linesearch`, so that the
paths are others; where they lead, and what that costs, is written down.
"""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

from tests.reference.full_batch import FAMILIES

FILE = Path(__file__).with_suffix(".json")
NORM = 1e-8  # of the gradient


def record(problem: Any) -> list[Any]:
    """How many values and gradients up to one so small, or None; the last value."""
    import torch  # only who records needs it

    value_and_grad = jax.jit(jax.value_and_grad(problem.value_fn))
    p = torch.tensor(problem.start, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [p],
        history_size=10,  # as lbfgs has
        max_iter=2000,
        max_eval=10_000,
        tolerance_grad=NORM / np.sqrt(problem.start.size),  # of the largest entry
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )
    seen = []

    def closure():
        value, grad = value_and_grad(p.detach().numpy(), **problem.data)
        p.grad = torch.tensor(np.asarray(grad))
        seen.append((float(np.linalg.norm(grad)), float(value)))
        return torch.tensor(float(value), dtype=torch.float64)

    optimizer.step(closure)
    norms, values = np.array(seen).T
    if min(norms) > NORM:  # its search has given up
        return [None, values[-1]]
    first = int(np.argmax(norms <= NORM))
    return [first + 1, values[first]]


if __name__ == "__main__":
    with jax.enable_x64(True):
        found = {name: [*map(record, problems)] for name, problems in FAMILIES.items()}
    rows = [f" {json.dumps(name)}: {json.dumps(x)}" for name, x in found.items()]
    FILE.write_text("{\n" + ",\n".join(rows) + "\n}\n")
    print(f"wrote {len(rows)} families to {FILE.name}")
