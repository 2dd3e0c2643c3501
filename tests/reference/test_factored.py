"""What looks at whole leaves, where rows of the tables say too little."""

import numpy as np
import pytest

import gradtx


@pytest.mark.parametrize("size", [1e-30, 1e-3, 1.0, 1e30])
def test_sizes_of_parameters_are_right_over_the_whole_range(size):
    # Squares of 1e-30 and 1e30 are out of the range of float32.
    p = np.float32(size) * np.float32([3.0, 4.0])
    for name, unit in (("norm", 5.0), ("rms", 5 / 2**0.5)):
        tx = getattr(gradtx, f"scale_by_param_block_{name}")(0.0)
        found = tx.update(np.float32([1, -1]), tx.init(p), p)[0]
        np.testing.assert_allclose(found, [size * unit, -size * unit], rtol=1e-6)


def test_a_leaf_at_zero_moves_by_the_least():
    p = np.zeros(4, np.float32)
    for tx in (gradtx.scale_by_param_block_norm(), gradtx.scale_by_param_block_rms()):
        np.testing.assert_allclose(tx.update(p + 2, tx.init(p), p)[0], 2e-3, rtol=1e-6)
