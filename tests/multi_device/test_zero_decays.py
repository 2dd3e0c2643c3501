"""Decays, fixed norms and rates of leaves, with the state shared out or split."""

import jax
import numpy as np
import pytest

import gradtx
from gradtx.distributed import zero1

from .data_parallel import assert_close, is_matrix, on_one_device, trained
from .meshes import model

RATE = gradtx.cosine_decay_schedule(0.1, 10)
ADAM = gradtx.adam(RATE)


MAKES = {
    "corrected": gradtx.with_decay(ADAM, 0.3, "corrected", normalized=is_matrix),
    "cautious": gradtx.with_decay(ADAM, 0.3, "cautious", mask=is_matrix),
    "hyperball": gradtx.hyperball(ADAM),
    "layers": gradtx.layerwise_decay(ADAM, ["kernel", "bias", "gain"]),
    "mup": gradtx.mup_scale(
        ADAM,
        {"kernel": np.zeros((5, 3)), "bias": np.zeros(3), "gain": np.zeros(())},
        jax.tree.map(np.zeros_like, model()),
    ),
}


@pytest.mark.parametrize("name", MAKES)
def test_shares_get_what_the_whole_would(name):
    # Norms of shares are added in another order.
    found = trained(zero1(MAKES[name], "data"))
    assert_close(found, on_one_device(MAKES[name]), rtol=1e-6)


def test_a_stack_whose_layers_are_split_is_refused():
    layers = gradtx.layerwise_decay(ADAM, ["bias", ("kernel", 0), "gain"])
    with pytest.raises(
        ValueError, match="looks at whole leaves, which zero1 has split"
    ):
        trained(zero1(layers, "data"))
