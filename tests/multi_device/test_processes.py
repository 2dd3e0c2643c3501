"""Two processes of four devices each train as one process of eight does."""

import jax
import numpy as np

from .data_parallel import fully_sharded, trained
from .processes import outputs
from .worker import INNER, PROCESSES, SHARDED, TRAININGS


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
    expected = {name: trained(tx) for name, tx in TRAININGS.items()}
    expected[SHARDED] = fully_sharded(INNER)
    values = {
        (name, jax.tree_util.keystr(path)): value
        for name, params in expected.items()
        for path, value in jax.tree_util.tree_leaves_with_path(params)
    }
    assert set(found) == set(values)
    for key, value in values.items():
        # Sums over processes are taken in another order, and Adam divides by their
        # roots.
        np.testing.assert_allclose(found[key], np.ravel(value), rtol=1e-5, atol=1e-6)
