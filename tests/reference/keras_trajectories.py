"""Keras' own trajectories, recorded once, so that the tests need no Keras.

    KERAS_BACKEND=jax JAX_ENABLE_X64=1 python -m tests.reference.keras_trajectories

runs Keras and writes the file. The calls are the rows of the tables in
docs/coming_from_keras.md.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from .torch_trajectories import ROW, written

PAGE = Path(__file__).parents[2] / "docs" / "coming_from_keras.md"
FILE = Path(__file__).with_suffix(".json")
NUMBERS: dict[str, Any] = {"lr": 0.03, "m": 0.8, "w": 0.2, "a": 0.7, "eps": 1e-3}
NUMBERS |= {"n": 7, "k": 3, "e": 0.2, "p": 1.5}
STEPS, LENGTH = 5, 40
START = [[1.1, 0.7], [0.3, 1.4]]


def calls(title: str) -> dict[str, str]:
    """From a call of Keras to one of gradtx, in the table under a title."""
    text = PAGE.read_text()
    table = text[text.index(f"\n## {title}\n") :]
    rows = re.findall(ROW, table[: table.index("\n## ", 1)], flags=re.MULTILINE)
    assert len(dict(rows)) == len(rows) > 0
    return dict(rows)


def start(call: str) -> np.ndarray:
    """Where the parameters are at first; Keras' Ftrl forgets it unless it is 0."""
    return np.zeros((2, 2)) if call.startswith("Ftrl") else np.array(START)


def gradients() -> np.ndarray:
    """Signs change, one entry is at rest at first, one falls."""
    grads = np.random.default_rng(1).normal(size=(STEPS, 2, 2))
    grads[:2, 0, 1] = 0
    grads[:, 1, 0] *= 0.1 ** np.arange(STEPS)
    return grads


def record() -> dict[str, Any]:
    """The version, what goes in, and for each call what comes out, in float64."""
    import keras  # only who records needs it

    keras.backend.set_floatx("float64")
    optimizers, schedules = vars(keras.optimizers), vars(keras.optimizers.schedules)
    paths, rates = {}, {}
    for call in calls("Optimizers"):
        optimizer = eval(call, optimizers | NUMBERS)
        p = keras.Variable(start(call))
        paths[call] = []
        for g in gradients():
            optimizer.apply([keras.ops.convert_to_tensor(g)], [p])
            paths[call].append(np.asarray(p.value).reshape(-1).tolist())
    for call in calls("Schedules"):
        schedule = eval(call, schedules | NUMBERS)
        rates[call] = [float(schedule(t)) for t in range(LENGTH)]
    return {
        "keras": keras.__version__,
        "numbers": NUMBERS,
        "grads": gradients().tolist(),
        "paths": paths,
        "rates": rates,
    }


if __name__ == "__main__":
    FILE.write_text(written(record()))
    print(f"wrote {FILE.name}")
