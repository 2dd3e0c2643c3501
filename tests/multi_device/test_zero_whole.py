"""A state that is shared out by whole leaves."""

import jax
import numpy as np
import pytest

import gradtx
from gradtx.distributed import zero1
from gradtx.distributed.owners import owners
from tests.benchmarks.trees import TREES, nbytes, structs

from .data_parallel import assert_close, is_matrix, on_one_device, program, trained
from .meshes import N
from .wire import wire_bytes

WHOLE = [
    gradtx.clip_by_block_rms(1.0),
    gradtx.adaptive_grad_clip(0.1),
    gradtx.centralize(),
    gradtx.scale_by_factored_rms(min_dim_size_to_factor=2),
    gradtx.scale_by_sm3(),
]


@pytest.mark.parametrize("inner", WHOLE, ids=str)
def test_what_needs_whole_leaves_is_refused_by_name(inner):
    tx = zero1(gradtx.chain(inner, gradtx.sgd(0.1)), "data")
    with pytest.raises(
        ValueError, match=rf"zero1 > chain > {inner.call.name}: .*whole_leaves=True"
    ):
        trained(tx, steps=1)


@pytest.mark.parametrize("step", ["step", "update"])
@pytest.mark.parametrize("inner", WHOLE, ids=str)
def test_whole_leaves_get_what_they_would_on_one_device(inner, step):
    inner = gradtx.chain(inner, gradtx.adamw(1e-2, weight_decay=0.1, mask=is_matrix))
    found = trained(zero1(inner, "data", whole_leaves=True), step)
    # As above: gradients are added in another order.
    assert_close(found, on_one_device(inner), rtol=5e-7)


def test_muon_says_so_and_takes_whole_leaves():
    inner = gradtx.muon(1e-2)  # other devices' matrices are not in its step
    with pytest.raises(ValueError, match=r"zero1 > muon > .*: .*whole_leaves=True"):
        trained(zero1(inner, "data"), steps=1)
    found = trained(zero1(inner, "data", whole_leaves=True), "update")
    # Gradients are added in another order, and the polynomial makes the difference
    # larger by up to its slope at 0, 485, of a step of 1e-2.
    assert_close(found, on_one_device(inner), rtol=2e-5)


def test_without_types_the_same():
    tx = zero1(gradtx.chain(WHOLE[0], gradtx.sgd(0.1)), "data", whole_leaves=True)
    found = trained(tx, check_vma=False)
    jax.tree.map(np.testing.assert_array_equal, found, trained(tx))


def test_whole_leaves_are_balanced():
    # 8 | 5, then 8 | 5 + 3, then 8 + 3 | 8, then 11 | 8 + 1
    assert owners([8, 1, 5, 3, 3], 2) == [0, 1, 1, 1, 0]
    sizes = [p.size for p in jax.tree.leaves(structs(TREES["resnet50"](), "float32"))]
    loads = [0] * N
    for size, device in zip(sizes, owners(sizes, N), strict=True):
        loads[device] += size
    assert max(loads) <= 1.01 * sum(sizes) / N


def test_whole_leaves_keep_the_wire_of_one_all_reduce():
    layers = {str(i): {"kernel": (16, 24), "bias": (24,)} for i in range(N)}
    params = structs(layers, "float32")
    inner = gradtx.chain(gradtx.clip_by_block_rms(1.0), gradtx.adam(1e-3))
    compiled, state, _ = program(zero1(inner, "data", whole_leaves=True), params)
    sent = wire_bytes(compiled)
    assert set(sent) == {"reduce-scatter", "all-gather"}
    assert sum(sent.values()) == 2 * (N - 1) / N * nbytes(params)
    assert nbytes(state) == 2 * nbytes(params) + 4 * N  # and a count on each


def test_all_leaves_and_some_do_not_go_together():
    inner = gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.sgd(0.1))
    with pytest.raises(
        ValueError, match=r"zero1 > chain > clip_by_global_norm: looks at all leaves"
    ):
        trained(zero1(inner, "data", whole_leaves=True), steps=1)
