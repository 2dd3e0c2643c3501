"""PyTorch's own trajectories, recorded once, so that the tests need no PyTorch.

    python -m tests.reference.torch_trajectories     runs PyTorch and writes the file

The calls are the rows of the table in docs/coming_from_pytorch.md.
"""

import functools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

PAGE = Path(__file__).parents[2] / "docs" / "coming_from_pytorch.md"
FILE = Path(__file__).with_suffix(".json")
ROW = r"^\| `([A-Z]\w+\(.*\))` \| `(.*)` \|$"  # | `Adam(lr)` | `adam(lr)` |
NUMBERS = {"lr": 0.03, "m": 0.8, "d": 0.4, "w": 0.2, "a": 0.7, "eps": 1e-3}
STEPS, SIZE = 10, 4


def calls() -> dict[str, str]:
    """From a call of torch.optim to one of gradtx, both as the page prints them."""
    text = PAGE.read_text()
    table = text[text.index("\n## Optimizers\n") : text.index("\n### What differs")]
    rows = re.findall(ROW, table, flags=re.MULTILINE)
    found = dict(rows)
    # Header and rule are lines of the table as well; none is lost, none stands twice.
    assert len(found) == len(rows) == len(re.findall(r"^\|", table, re.MULTILINE)) - 2
    return found


def example() -> tuple[np.ndarray, np.ndarray]:
    """Parameters and gradients; one entry is at rest, one falls, signs change."""
    rng = np.random.default_rng(0)
    grads = rng.normal(size=(STEPS, SIZE))
    grads[:, 0] *= np.exp(-np.arange(STEPS))
    grads[:3, 1] = 0
    return 1 + 0.3 * rng.normal(size=SIZE), grads


def trajectory(call: str, start: Any, grads: Any, maximize: bool = False) -> Any:
    """The parameters after every step of PyTorch, as lists."""
    import torch  # only who records needs it

    p = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    names = {
        name: functools.partial(value, [p])
        for name, value in vars(torch.optim).items()
        if isinstance(value, type)
    }
    optimizer = eval(call, names | NUMBERS)
    [group] = optimizer.param_groups
    if maximize:
        group["maximize"] = True
    if isinstance(optimizer, torch.optim.LBFGS):  # a step is one step, to any accuracy
        group.update(max_iter=1, tolerance_grad=0.0, tolerance_change=0.0)
    path = []
    for g in grads:
        p.grad = torch.tensor(g, dtype=torch.float64)
        optimizer.step(lambda: torch.zeros([]))
        path.append(p.detach().tolist())
    return path


def record() -> dict[str, Any]:
    """Everything: the version, what goes in, and for each call what comes out."""
    import torch

    # Of this dtype are scalars of the state as well, as NAdam's product.
    torch.set_default_dtype(torch.float64)
    start, grads = example()
    rows = {}
    for call in calls():
        rows[call] = {"path": trajectory(call, start, grads)}
        if not call.startswith("LBFGS"):  # it has no such option
            rows[call]["maximized"] = trajectory(call, start, grads, maximize=True)[-1]
    return {
        "torch": torch.__version__,
        "numbers": NUMBERS,
        "start": start.tolist(),
        "grads": grads.tolist(),
        "rows": rows,
    }


def written(data: dict[str, Any]) -> str:
    """As JSON, a row a line; floats are printed with all their digits."""
    rows = [
        f"  {json.dumps(call)}: {json.dumps(row)}" for call, row in data["rows"].items()
    ]
    head = [
        f" {json.dumps(key)}: {json.dumps(value)}"
        for key, value in data.items()
        if key != "rows"
    ]
    body = ",\n".join([*head, ' "rows": {\n' + ",\n".join(rows) + "\n }"])
    return "{\n" + body + "\n}\n"


if __name__ == "__main__":
    FILE.write_text(written(record()))
    print(f"wrote {len(calls())} trajectories to {FILE.name}")
