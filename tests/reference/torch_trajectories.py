"""PyTorch's own trajectories, recorded once, so that the tests need no PyTorch.

    python -m tests.reference.torch_trajectories     runs PyTorch and writes the file

The calls are the rows of the tables in docs/coming_from_pytorch.md.
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
# Of the schedules; f is a function.
RATES: dict[str, Any] = {"lr": 0.4, "n": 7, "k": 4, "g": 0.6, "e": 0.02, "m": 0.9}
RATES |= {"p": 1.5, "s": 0.05, "f": lambda t: 1 / (1 + 0.1 * t)}
STEPS, SHAPE = 100, (2, 2)
START = np.array([[1.1, 0.7], [0.3, 1.4]])
KEPT = [1, 2, 3, 4, 6, 10, 20, 35, 60, 100]  # the steps that are written down
DIGITS = 13
LENGTH = 40  # of the schedules


def calls() -> dict[str, str]:
    """From a call of torch.optim to one of gradtx, both as the page prints them."""
    text = PAGE.read_text()
    table = text[text.index("\n## Optimizers\n") : text.index("\n### What differs")]
    return _rows(table)


def schedules() -> dict[str, str]:
    """From a call of torch.optim.lr_scheduler to one of gradtx."""
    return _rows(_of_schedules()[0])


def plateaus() -> dict[str, str]:
    """The same for what follows the loss."""
    return _rows(_of_schedules()[1])


def _of_schedules() -> tuple[str, str]:
    text = PAGE.read_text()
    text = text[text.index("\n## Schedules\n") : text.index("\n## A run goes on")]
    first, second = text.split("\nWhat follows the loss")
    return first, second


def losses() -> list[float]:
    """A loss that stands still, falls by little, rises, and falls again."""
    steps = [0.5, 0.0, -1e-5, 0.0, 0.0, 0.0, 1e-4, 0.3, -0.2, 0.0] * (LENGTH // 10)
    return (10 - np.cumsum(steps)).tolist()


def _rows(table: str) -> dict[str, str]:
    rows = re.findall(ROW, table, flags=re.MULTILINE)
    found = dict(rows)
    # Header and rule are lines of the table as well; none is lost, none stands twice.
    assert len(found) == len(rows) == len(re.findall(r"^\|", table, re.MULTILINE)) - 2
    return found


def gradient(xp: Any, t: Any, p: Any) -> Any:
    """The gradient at step t (0 at the first), by NumPy or jax.numpy.

    One entry vanishes with time, one is at rest at first, one changes its sign, and one
    falls into a minimum that is flat.
    """
    q = p.reshape(-1)
    parts = [
        xp.exp(-t / 2.0) * q[0],
        xp.where(t < 3, 0.0, xp.sin(q[1] - 0.4)),
        xp.cos(2.0 * t) + xp.sin(3 * q[2]),
        xp.sin(q[3]) ** 3,
    ]
    return xp.stack(parts).reshape(SHAPE)


def rows_of(xp: Any, call: str, t: Any, g: Any) -> Any:
    """The gradient as the optimizer sees it: for SparseAdam some rows are not there."""
    if not call.startswith("SparseAdam"):
        return g
    there = xp.array([[2], [3]])  # at step 1 none, then now the one, now the other
    return xp.where(t % there == 1, 0.0, g)


def times(call: str) -> np.ndarray:
    """The time at each step. It stands still for L-BFGS, which wants one function."""
    return np.full(STEPS, 5.0) if call.startswith("LBFGS") else np.arange(1.0 * STEPS)


def trajectory(call: str, maximize: bool = False) -> Any:
    """The parameters after every step of PyTorch, as lists."""
    import torch  # only who records needs it

    p = torch.tensor(START, dtype=torch.float64, requires_grad=True)
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
    for t in times(call):
        g = gradient(np, t, p.detach().numpy())
        p.grad = torch.tensor(rows_of(np, call, t, g))
        if isinstance(optimizer, torch.optim.SparseAdam):
            p.grad = p.grad.to_sparse(1).coalesce()  # of the rows that are not zero
        optimizer.step(lambda: torch.zeros([]))
        path.append(p.detach().reshape(-1).tolist())
    return path


def rates(call: str) -> list[float]:
    """The learning rate at every step of PyTorch."""
    import torch
    from torch.optim import lr_scheduler, swa_utils

    p = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([p], lr=RATES["lr"], momentum=0.9)
    names = {
        name: functools.partial(value, optimizer)
        for name, value in (vars(lr_scheduler) | vars(swa_utils)).items()
        if isinstance(value, type)
    }
    names["ChainedScheduler"] = lr_scheduler.ChainedScheduler
    scheduler = eval(call, names | RATES)
    follows = isinstance(scheduler, lr_scheduler.ReduceLROnPlateau)
    found = []
    for value in losses():
        optimizer.step()
        if follows:
            scheduler.step(value)
        found.append(optimizer.param_groups[0]["lr"])
        if not follows and len(found) < LENGTH:
            scheduler.step()
    return found


def record() -> dict[str, Any]:
    """Everything: the version, what goes in, and for each call what comes out."""
    import torch

    # Of this dtype are scalars of the state as well, as NAdam's product.
    torch.set_default_dtype(torch.float64)
    rows = {}
    for call in calls():
        path = trajectory(call)
        rows[call] = {"path": _rounded([path[step - 1] for step in KEPT])}
        if not call.startswith("LBFGS"):  # it has no such option
            path = trajectory(call, maximize=True)
            rows[call]["maximized"] = _rounded(path[-1:])[0]
    kept = {call: _rounded([rates(call)])[0] for call in schedules() | plateaus()}
    return {
        "torch": torch.__version__,
        "numbers": NUMBERS,
        "kept": KEPT,
        "rows": rows,
        "rates": kept,
    }


def _rounded(rows: Any) -> Any:
    return [[float(f"{x:.{DIGITS}g}") for x in row] for row in rows]


def written(data: dict[str, Any]) -> str:
    """As JSON, a row a line."""

    def text(value: Any) -> str:
        if not isinstance(value, dict):
            return json.dumps(value)
        rows = [f"  {json.dumps(k)}: {json.dumps(x)}" for k, x in value.items()]
        return "{\n" + ",\n".join(rows) + "\n }"

    body = [f" {json.dumps(key)}: {text(value)}" for key, value in data.items()]
    return "{\n" + ",\n".join(body) + "\n}\n"


if __name__ == "__main__":
    FILE.write_text(written(record()))
    print(f"wrote {len(calls())} trajectories to {FILE.name}")
