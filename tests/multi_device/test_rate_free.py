"""Distances and products of leaves that are split: as of the whole."""

import functools

import jax
import numpy as np
import pytest

import gradtx
from gradtx.distributed import zero1

from .meshes import N, P, mesh_of
from .test_axes import SPECS, tree
from .test_zero import assert_close, on_one_device, trained

MAKES = {
    "dadapt_adamw": functools.partial(gradtx.dadapt_adamw, estim_lr0=0.1),
    "dog": functools.partial(gradtx.dog, init_step=("heuristic", 0.1)),
    "dowg": functools.partial(gradtx.dowg, init_estim_sq_dist=0.1),
    "mechanize": functools.partial(gradtx.mechanize, gradtx.sgd(1.0), s_init=0.1),
    "momo": gradtx.momo,
    "momo_adam": functools.partial(gradtx.momo_adam, 1.0),
    "prodigy": functools.partial(gradtx.prodigy, estim_lr0=0.01),
}


def ten_steps(tx, params):
    def step(carry, i):
        params, state = carry
        grads = jax.tree.map(lambda p: 3 * p + 0.1 * i, params)
        return tx.step(grads, state, params, value=2.0), None

    start = params, tx.init(params)
    return jax.lax.scan(step, start, jax.numpy.arange(10.0))[0][0]


@pytest.mark.parametrize("name", MAKES)
def test_devices_with_parts_do_what_one_would(name):
    expected = jax.jit(functools.partial(ten_steps, MAKES[name]()))(tree())
    found = jax.jit(
        jax.shard_map(
            functools.partial(ten_steps, MAKES[name](axis_name="data")),
            mesh=mesh_of(N),
            in_specs=(SPECS,),
            out_specs=SPECS,
        )
    )(tree())
    alone = jax.jit(
        jax.shard_map(
            functools.partial(ten_steps, MAKES[name](axis_name=())),
            mesh=mesh_of(N),
            in_specs=(P("data"),),
            out_specs=P("data"),
            check_vma=False,  # numbers of the state differ between devices
        )
    )({"split": tree()["split"]})
    for key, value in expected.items():
        # Ten steps, each by a quotient of sums that are added in another order.
        np.testing.assert_allclose(found[key], value, rtol=2e-5, atol=1e-6)
    assert np.abs(alone["split"] - expected["split"]).max() > 1e-3


@pytest.mark.parametrize("name", ["dog", "prodigy"])
def test_shares_of_a_state_find_the_whole_distance(name):
    inner = MAKES[name]()
    assert_close(trained(zero1(inner, "data"), "step"), on_one_device(inner), rtol=1e-5)
