"""torch.optim.Muon's own trajectories, recorded once.

    python -m tests.reference.torch_muon     runs PyTorch and writes the file

PyTorch iterates in bfloat16. Recorded is the same code with float64 in its place, by
which paths can be compared to many digits.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).with_suffix(".json")
STEPS, SHAPES = 12, [(3, 5), (4, 2)]  # outputs by inputs
DIGITS = 13
# From a call of torch.optim.Muon to that of gradtx. PyTorch adds no eps to a norm, but
# keeps it above 1e-7.
SAME = "eps=0.0, bias_correction=False, muon_weight_dimension_numbers=OUT_BY_IN"
CALLS = {
    "Muon(p, 0.03)": f"muon(0.03, weight_decay=0.1, {SAME})",
    "Muon(p, 0.03, weight_decay=0.0, momentum=0.8, nesterov=False)": (
        f"muon(0.03, beta=0.8, nesterov=False, {SAME})"
    ),
    "Muon(p, 0.03, ns_coefficients=(2.0, -1.5, 0.5), ns_steps=3)": (
        f"muon(0.03, (2.0, -1.5, 0.5), 3, weight_decay=0.1, {SAME})"
    ),
    "Muon(p, 0.03, adjust_lr_fn='match_rms_adamw')": (
        f"muon(0.03, weight_decay=0.1, scale_rule='rms', {SAME})"
    ),
    "Muon(p, 0.03, adjust_lr_fn='spectral_unclamped')": (
        f"muon(0.03, weight_decay=0.1, scale_rule='spectral', {SAME})"
    ),
}


def starts() -> list[np.ndarray]:
    """The parameters at first."""
    return [
        1 + np.cos(1.7 * np.arange(n * m) + i).reshape(n, m)
        for i, (n, m) in enumerate(SHAPES)
    ]


def gradient(xp: Any, t: Any, p: Any) -> Any:
    """The gradient at step t, by NumPy or jax.numpy."""
    return xp.sin(2 * p + t) + p / (1 + t)


def trajectory(call: str) -> list[Any]:
    """The parameters after every step of PyTorch."""
    import torch  # only who records needs it

    params = [torch.tensor(x, requires_grad=True) for x in starts()]
    optimizer = eval(call, {"Muon": torch.optim.Muon, "p": params})
    narrow, path = torch.Tensor.bfloat16, []
    torch.Tensor.bfloat16 = lambda x: x.clone()  # what it divides in place
    try:
        for t in range(STEPS):
            for p in params:
                p.grad = torch.tensor(gradient(np, t, p.detach().numpy()))
            optimizer.step()
            row = np.concatenate([p.detach().numpy().ravel() for p in params])
            path.append([float(f"{x:.{DIGITS}g}") for x in row])
    finally:
        torch.Tensor.bfloat16 = narrow
    return path


def main() -> None:
    import torch

    rows = {call: trajectory(call) for call in CALLS}
    lines = ",\n".join(f"  {json.dumps(k)}: {json.dumps(x)}" for k, x in rows.items())
    version = json.dumps(torch.__version__)
    FILE.write_text(f'{{\n "torch": {version},\n "rows": {{\n{lines}\n }}\n}}\n')


if __name__ == "__main__":
    main()
