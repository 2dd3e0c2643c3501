"""A whole script of PyTorch's and its port on the page: the same losses and weights."""

import json

import jax
import numpy as np

import gradtx

from .torch_script import FILE, blocks

DATA = json.loads(FILE.read_text())
# After 200 steps of float64 losses are 3e-7 apart, and weights 1e-7: PyTorch's clipping
# adds 1e-6 to the norm. In float32, 1.4e-6.
TOLERANCE = 1e-6


def test_the_port_is_pytorchs_script():
    shared, _, ours = blocks()
    page = {"__name__": "page"}
    with jax.enable_x64(True):
        exec(shared + ours, page)
    np.testing.assert_allclose(page["losses"], DATA["losses"], rtol=0, atol=TOLERANCE)
    assert np.mean(page["losses"][-20:]) < 0.5 * np.mean(page["losses"][:20])
    for key, tree in (("params", page["params"]), ("averages", page["average"])):
        for name, expected in DATA[key].items():
            layer, kind = name.split(".")
            found = np.ravel(tree[layer][kind])
            np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)
    # And the state: what torch.save would have stored goes on here.
    numbers = {"embed": {"weight": 0}, "norm": {"weight": 1, "bias": 2}}
    numbers |= {"hidden": {"bias": 3, "weight": 6}, "head": {"bias": 4, "weight": 5}}
    saved = DATA["saved"]
    with jax.enable_x64(True):
        state = gradtx.from_torch(page["tx"], saved, numbers, page["params"])
    expected = page["state"].inner_opt_state
    for x, y in zip(
        jax.tree.leaves(state.inner_opt_state), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_allclose(x, y, rtol=0, atol=TOLERANCE)
