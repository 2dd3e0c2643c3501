"""The scales that PyTorch's GradScaler goes through, recorded once.

python -m tests.reference.torch_scales     runs PyTorch and writes the file
"""

import json
from pathlib import Path

FILE = Path(__file__).with_suffix(".json")
START = [1.0, -2.0]
TIMES = range(30)
OVERFLOWS = (3, 4, 11, 17, 18, 19)  # steps whose gradients are not finite
SCALER = {"init_scale": 2.0**10, "growth_interval": 3, "factor": 4.0, "backoff": 0.5}


def gradient(t: int) -> list[float]:
    """Of the loss without its scale."""
    return [float("inf") if t in OVERFLOWS else 0.25 * (t % 5) - 0.5, 0.375]


def _recorded() -> dict[str, list]:
    import torch  # only who records needs it

    p = torch.nn.Parameter(torch.tensor(START, dtype=torch.float64))
    optimizer = torch.optim.SGD([p], lr=0.125, momentum=0.5)
    scaler = torch.amp.GradScaler(
        "cpu",
        init_scale=SCALER["init_scale"],
        growth_factor=SCALER["factor"],
        backoff_factor=SCALER["backoff"],
        growth_interval=SCALER["growth_interval"],
    )
    found: dict[str, list] = {"torch": torch.__version__, "scale": [], "p": []}
    for t in TIMES:
        optimizer.zero_grad()
        slope = torch.tensor(gradient(t), dtype=torch.float64)
        scaler.scale((p * slope).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        found["scale"].append(scaler.get_scale())
        found["p"].append(p.tolist())
    return found


if __name__ == "__main__":
    FILE.write_text(json.dumps(_recorded()) + "\n")
