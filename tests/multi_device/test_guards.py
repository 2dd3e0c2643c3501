"""Guards that leave steps out: all devices leave out the same ones."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.distributed import average_across, state_sharding, zero1

from .meshes import P, mesh_of

DEVICES = 2
SGD = gradtx.sgd(0.5, momentum=0.5)
LOSSES = np.float32([[1, 3], [2, 1], [0, 3], [90, 0], [2, 2], [np.nan, 1], [1, 2]])
GRADS = np.cos(np.arange(LOSSES.size * 4, dtype=np.float32)).reshape(-1, DEVICES, 4)


def run(step, check_vma=True):
    """The parameters after all steps, the same on both devices, and what is counted."""

    def loop(losses, grads):
        params = jnp.ones(4)
        carry = params, step.tx.init(params)

        def body(carry, given):
            return step(*given, *carry), None

        params, state = jax.lax.scan(body, carry, (losses[:, 0], grads[:, 0]))[0]
        skipped = gradtx.tree.get(state, "total_skipped")
        return params, skipped, gradtx.tree.get(state, "scale", jnp.ones([]))

    each = P(None, "data")
    mapped = jax.shard_map(
        loop,
        mesh=mesh_of(DEVICES),
        in_specs=(each, each),
        out_specs=P(),  # with check_vma proof that the devices agree
        check_vma=check_vma,
    )
    return jax.tree.map(np.asarray, jax.jit(mapped)(LOSSES, GRADS))


def stepping(tx, scaled=False):
    """A step of a device; where it is scaled, a NaN for a loss is one of gradients."""

    def step(loss, g, params, state):
        if scaled:
            g = gradtx.loss_scale(state) * g + 0 * loss
        return tx.step(g, state, params, value=loss)

    step.tx = tx
    return step


def alone(taken):
    """The parameters of one device that sees all data in the steps that are taken."""
    params, trace = np.ones(4), np.zeros(4)
    for g in GRADS[taken].mean(1):
        trace = 0.5 * trace + g
        params = params - 0.5 * trace
    return params


guarded = functools.partial(gradtx.skip_spikes, SGD, 4, of="loss", warmup=2)


@pytest.mark.parametrize("check_vma", [True, False])
@pytest.mark.parametrize(
    "tx",
    [
        gradtx.chain(average_across("data"), guarded(axis_name="data")),
        gradtx.chain(average_across("data"), guarded(axis_name=lambda u: P("data"))),
        zero1(guarded(), "data"),
    ],
    ids=["behind average_across", "by a function", "inside of zero1"],
)
def test_a_spike_is_of_the_mean_loss_of_all_devices(tx, check_vma):
    params, skipped, _ = run(stepping(tx), check_vma)
    # 45 and NaN, the means; 90 alone is on the first device.
    assert skipped == 2
    # A mean is taken before or after it is cut in shares.
    np.testing.assert_allclose(params, alone([0, 1, 2, 4, 6]), rtol=1e-6)


@pytest.mark.parametrize("check_vma", [True, False])
@pytest.mark.parametrize(
    "tx",
    [
        gradtx.chain(average_across("data"), gradtx.loss_scaling(SGD)),
        zero1(gradtx.loss_scaling(SGD), "data"),
        gradtx.loss_scaling(zero1(SGD, "data"), axis_name="data"),
    ],
    ids=["behind average_across", "inside of zero1", "around zero1"],
)
def test_a_gradient_that_overflows_on_one_device_lowers_the_scale_of_all(tx, check_vma):
    params, skipped, scale = run(stepping(tx, scaled=True), check_vma)
    assert (skipped, scale) == (1, 2.0**14)
    np.testing.assert_allclose(params, alone([0, 1, 2, 3, 4, 6]), rtol=1e-6)


def test_devices_that_would_not_agree_are_refused():
    tx = gradtx.chain(average_across("data"), guarded())
    with pytest.raises(
        ValueError,
        match=r"skip_spikes: value differs between devices along \['data'\], which "
        r"axis_name=None does not name.*lax.pmean",
    ):
        run(stepping(tx))
    with pytest.raises(ValueError, match="skip_spikes: looks at all leaves"):
        run(stepping(zero1(guarded(), "data", whole_leaves=True)))


def test_a_window_is_on_every_device_also_where_a_parameter_is_as_long():
    params = {"w": jnp.ones(4)}
    tx = gradtx.chain(
        gradtx.clip_by_history(4, multiple=2.0),
        gradtx.loss_scaling(gradtx.skip_spikes(SGD, 4)),
    )
    clip, scaled = state_sharding(tx, params, P("data"), mesh=mesh_of(DEVICES))
    guard = scaled.inner_state
    assert {x.spec for x in (clip.norms, scaled.scale, guard.losses)} == {P()}
    assert guard.inner_state[0].trace["w"].spec == P("data")
