"""A training script of PyTorch's, run once: groups, clipping, warm-up, averages.

    python -m tests.reference.torch_groups     runs PyTorch and writes the file

Its port is in docs/coming_from_pytorch.md, beside it.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).with_suffix(".json")
STEPS, ACCUMULATED = 200, 2  # steps of the optimizer, micro-batches for each
RATE, WARMUP, DECAY = 1e-2, 20, 0.98
KEPT = [1, 2, 10, 50, 100, 200]  # the steps that are written down
WORDS, WIDTH, CLASSES, LENGTH, BATCH = 12, 4, 3, 5, 6


def start() -> dict[str, Any]:
    """The parameters at first, in PyTorch's layout."""
    rng = np.random.default_rng(0)
    shapes = {
        "embed.weight": (WORDS, WIDTH),
        "norm.weight": (WIDTH,),
        "norm.bias": (WIDTH,),
        "hidden.weight": (WIDTH, WIDTH),
        "hidden.bias": (WIDTH,),
        "head.weight": (CLASSES, WIDTH),
        "head.bias": (CLASSES,),
    }
    return {
        name: np.float32(name == "norm.weight") + rng.normal(0, 0.5, shape)
        for name, shape in shapes.items()
    }


def batches() -> tuple[Any, Any]:
    """Words and their classes, for each step and micro-batch."""
    rng = np.random.default_rng(1)
    x = rng.integers(0, WORDS, (STEPS, ACCUMULATED, BATCH, LENGTH))
    return x, (x.sum(-1) + rng.integers(0, 2, x.shape[:-1])) % CLASSES


def record() -> dict[str, Any]:
    """The parameters and their averages at some steps, and the loss at all of them."""
    import torch  # only who records needs it
    from torch import nn
    from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    torch.set_default_dtype(torch.float64)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(WORDS, WIDTH)
            self.norm = nn.LayerNorm(WIDTH)
            self.hidden = nn.Linear(WIDTH, WIDTH)
            self.head = nn.Linear(WIDTH, CLASSES)

        def forward(self, x):
            x = self.norm(self.embed(x).mean(1))
            return self.head(torch.tanh(self.hidden(x)))

    model = Model()
    model.load_state_dict({name: torch.tensor(x) for name, x in start().items()})
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(DECAY))
    average.update_parameters(model)  # the first is a copy
    embedding = [model.embed.weight]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    matrices = [model.hidden.weight]
    optimizer = torch.optim.AdamW(
        [
            {"params": embedding, "weight_decay": 0.01},
            {"params": vectors, "weight_decay": 0.0},
            {"params": [model.head.weight], "lr": 0.3 * RATE},
            {"params": matrices},
        ],
        lr=RATE,
        weight_decay=0.1,
    )
    warmup = LinearLR(optimizer, start_factor=0.05, total_iters=WARMUP)
    cosine = CosineAnnealingLR(optimizer, T_max=STEPS - WARMUP)
    scheduler = SequentialLR(optimizer, [warmup, cosine], milestones=[WARMUP])
    loss_fn = nn.CrossEntropyLoss()

    found: dict[str, Any] = {"torch": torch.__version__, "losses": []}
    found |= {"params": [], "averages": []}
    for step, (xs, ys) in enumerate(zip(*map(torch.tensor, batches()), strict=True)):
        total = 0.0
        for x, y in zip(xs, ys, strict=True):
            loss = loss_fn(model(x), y) / ACCUMULATED
            loss.backward()
            total += loss.item()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        average.update_parameters(model)
        found["losses"].append(float(f"{total:.10g}"))
        if step + 1 in KEPT:
            found["params"].append(_plain(model))
            found["averages"].append(_plain(average.module))
    return found


def _plain(model: Any) -> dict[str, Any]:
    return {
        name: np.vectorize(lambda x: float(f"{x:.10g}"))(p.detach().numpy()).tolist()
        for name, p in model.named_parameters()
    }


if __name__ == "__main__":
    rows = [f" {json.dumps(key)}: {json.dumps(x)}" for key, x in record().items()]
    FILE.write_text("{\n" + ",\n".join(rows) + "\n}\n")
    print(f"wrote {STEPS} steps to {FILE.name}")
