"""Runs of PyTorch with their state_dict half way, recorded once.

python -m tests.reference.torch_states     runs PyTorch and writes the file
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).with_suffix(".json")
HALF = 50
START = {"kernel": [[1.1, 0.7], [0.3, 1.4], [-0.6, 0.2]], "bias": [0.4, -0.9]}

# From a call of torch.optim, of groups or parameters p, to one of gradtx.
CALLS = {
    "Adam(p, lr=0.02)": "adam(0.02)",
    "Adam(p, lr=0.02, betas=(0.8, 0.95), amsgrad=True, weight_decay=0.1)": (
        "chain(add_decayed_weights(0.1), "
        "adam(0.02, b1=0.8, b2=0.95, amsgrad='uncorrected'))"
    ),
    "AdamW(p, lr=0.02, eps=1e-3, maximize=True)": (
        "maximize(adamw(0.02, eps=1e-3, weight_decay=1e-2))"
    ),
    "AdamW(groups, lr=0.02, weight_decay=0.1)": (
        "partition({'m': adamw(0.02, weight_decay=0.1), "
        "'v': adamw(0.05, weight_decay=0.0)}, labels)"
    ),
    "AdamW(decayed, lr=0.02, weight_decay=0.1)": (
        "adamw(0.02, weight_decay=0.1, mask=matrices)"
    ),
    "SGD(p, lr=0.02)": "sgd(0.02)",
    "SGD(p, lr=0.02, momentum=0.9, dampening=0.3, weight_decay=0.1)": (
        "chain(add_decayed_weights(0.1), sgd(0.02, momentum=0.9, dampening=0.3))"
    ),
    "SGD(p, lr=0.02, momentum=0.9, nesterov=True)": (
        "sgd(0.02, momentum=0.9, nesterov=True)"
    ),
    "RMSprop(p, lr=0.02, weight_decay=0.1)": (
        "chain(add_decayed_weights(0.1), rmsprop(0.02, 0.99, eps_in_sqrt=False))"
    ),
    "RMSprop(p, lr=0.02, alpha=0.9, centered=True, momentum=0.8)": (
        "rmsprop(0.02, 0.9, eps_in_sqrt=False, centered=True, momentum=0.8)"
    ),
    "StepLR(Adam(p, lr=0.02), 15)": (
        "adam(exponential_decay(0.02, 15, 0.1, staircase=True))"
    ),
    "StepLR(SGD(p, lr=0.02, momentum=0.9), 15)": (
        "sgd(exponential_decay(0.02, 15, 0.1, staircase=True), momentum=0.9)"
    ),
}


def gradients(xp: Any, t: Any, params: Any) -> Any:
    """Signs change, an entry is at rest at first."""
    kernel, bias = params["kernel"], params["bias"]
    kernel = xp.sin(3 * kernel) + xp.cos(2.0 * t + kernel)
    return {"kernel": kernel, "bias": xp.where(t < 3, 0.0, xp.sin(bias - 0.1))}


def record(call: str) -> dict[str, Any]:
    """The parameters and the state_dict after half, and the parameters in the end."""
    import torch  # only who records needs it

    tensors = {
        name: torch.tensor(x, dtype=torch.float64, requires_grad=True)
        for name, x in START.items()
    }
    kernel, bias = tensors["kernel"], tensors["bias"]
    names = {
        "p": [*tensors.items()],
        "groups": [
            {"params": [kernel]},
            {"params": [bias], "lr": 0.05, "weight_decay": 0},
        ],
        "decayed": [{"params": [kernel]}, {"params": [bias], "weight_decay": 0}],
    }
    made = eval(call, vars(torch.optim) | vars(torch.optim.lr_scheduler) | names)
    optimizer = getattr(made, "optimizer", made)
    found: dict[str, Any] = {}
    for t in range(2 * HALF):
        if t == HALF:
            found["params"] = {name: p.tolist() for name, p in tensors.items()}
            found["saved"] = plain(optimizer.state_dict())
        now = {name: p.detach().numpy() for name, p in tensors.items()}
        for name, g in gradients(np, float(t), now).items():
            tensors[name].grad = torch.tensor(g)
        optimizer.step()
        if made is not optimizer:
            made.step()
    found["end"] = {name: p.tolist() for name, p in tensors.items()}
    return found


def plain(tree: Any) -> Any:
    """As JSON takes it."""
    if isinstance(tree, dict):
        return {key: plain(x) for key, x in tree.items()}
    if isinstance(tree, list | tuple):
        return [plain(x) for x in tree]
    return tree.tolist() if hasattr(tree, "tolist") else tree


if __name__ == "__main__":
    rows = [f" {json.dumps(call)}: {json.dumps(record(call))}" for call in CALLS]
    FILE.write_text("{\n" + ",\n".join(rows) + "\n}\n")
    print(f"wrote {len(rows)} runs to {FILE.name}")
