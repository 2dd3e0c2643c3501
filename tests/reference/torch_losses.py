"""PyTorch's own losses, recorded once, so that the tests need no PyTorch.

    python -m tests.reference.torch_losses     runs PyTorch and writes the file

Each entry has its inputs, the losses, and the gradient of their sum by the first input.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).with_suffix(".json")
DIGITS = 12
FRAMES, CLASSES, LABELS = 7, 4, 3
# Frames and labels of each row; the last one is too short for its labels.
LENGTHS = [(7, 3), (7, 3), (6, 2), (5, 0), (3, 3), (1, 1), (2, 2), (3, 3)]
ROWS = np.array(  # also repeated ones, which need a blank between them
    [
        *([1, 2, 3], [2, 2, 2], [1, 1, 3], [1, 2, 3]),
        *([3, 1, 2], [3, 1, 1], [2, 1, 1], [2, 2, 1]),
    ]
)


def inputs() -> dict[str, list[np.ndarray]]:
    """The arrays of each loss, float64 but for labels."""
    rng = np.random.default_rng(7)
    batch = len(LENGTHS)
    logits = 2 * rng.normal(size=(batch, FRAMES, CLASSES))
    frames, labels = np.array(LENGTHS).T
    return {
        "ctc": [logits, ROWS, frames, labels],
        "triplet_1": list(rng.normal(size=(3, 4, 5))),
        "triplet_2": list(rng.normal(size=(3, 4, 5))),
        "triplet_3": list(rng.normal(size=(3, 4, 5))),
        "kl": [
            np.log(rng.dirichlet(np.ones(4), size=3)),
            rng.dirichlet(np.ones(4), size=3),
        ],
        "kl_log": [np.log(rng.dirichlet(np.ones(4), size=3)) for _ in range(2)],
        "cosine": list(rng.normal(size=(2, 4, 5))),
        "cross_entropy": [2 * rng.normal(size=(5, 4)), np.array([0, 3, 1, 2, 0])],
    }


def recorded() -> dict[str, Any]:
    """From a name to the losses and the gradient, as the file has them."""
    return json.loads(FILE.read_text())


def record() -> None:
    """Run PyTorch and write the file."""
    import torch
    from torch.nn import functional as of

    def ctc(logits, rows, frames, labels):
        log_p = logits.log_softmax(-1).swapaxes(0, 1)
        return of.ctc_loss(log_p, rows, frames, labels, blank=0, reduction="none")

    def triplet(k):
        return lambda a, p, n: of.triplet_margin_loss(
            a, p, n, margin=1.0, p=k, eps=0.0, reduction="none"
        )

    functions = {
        "ctc": ctc,
        "triplet_1": triplet(1),
        "triplet_2": triplet(2),
        "triplet_3": triplet(3),
        "kl": lambda q, p: of.kl_div(q, p, reduction="none").sum(-1),
        "kl_log": lambda q, p: of.kl_div(q, p, reduction="none", log_target=True).sum(
            -1
        ),
        "cosine": of.cosine_similarity,
        "cross_entropy": lambda s, y: of.cross_entropy(s, y, reduction="none"),
    }
    found = {"torch": torch.__version__.partition("+")[0]}
    for name, arrays in inputs().items():
        given = [torch.tensor(x) for x in arrays]
        given[0].requires_grad_()
        loss = functions[name](*given)
        # Of a loss that is infinite there is no gradient.
        loss[torch.isfinite(loss)].sum().backward()
        assert given[0].grad is not None
        gradient = given[0].grad.nan_to_num()  # NaN where the loss is infinite
        found[name] = {
            "loss": [float(f"{x:.{DIGITS}g}") for x in loss.tolist()],
            "gradient": [float(f"{x:.{DIGITS}g}") for x in gradient.ravel().tolist()],
        }
    FILE.write_text(json.dumps(found).replace('}, "', '},\n"') + "\n")


if __name__ == "__main__":
    record()
