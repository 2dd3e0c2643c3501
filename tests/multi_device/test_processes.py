"""Two processes of four devices each train as one process of eight does."""

import jax
import numpy as np

from .data_parallel import trained
from .meshes import model
from .processes import outputs
from .worker import PROCESSES, TRAININGS


def test_two_processes_train_as_one():
    # Gloo prints lines of its own, without a tab.
    first, second = (
        [line for line in out.splitlines() if "\t" in line]
        for out in outputs(PROCESSES, "-m", "tests.multi_device.worker")
    )
    assert first == second  # to the bit
    found = {}
    for line in first:
        name, path, bits = line.split("\t")
        found[name, path] = np.frombuffer(bytes.fromhex(bits), np.float32)
    leaves = [jax.tree_util.keystr(p) for p, _ in _paths(model())]
    assert set(found) == {(name, path) for name in TRAININGS for path in leaves}
    for name, tx in TRAININGS.items():
        for path, value in _paths(trained(tx)):
            here = found[name, jax.tree_util.keystr(path)]
            # Sums over processes are taken in another order, and Adam divides by
            # their roots.
            np.testing.assert_allclose(here, np.ravel(value), rtol=1e-5, atol=1e-6)


def _paths(tree):
    return jax.tree_util.tree_leaves_with_path(tree)
