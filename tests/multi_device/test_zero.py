"""A state that is shared out: the numbers, the wire and the memory."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import gradtx
from gradtx.distributed import average_across, zero1
from tests.benchmarks.trees import TREES, nbytes, structs

from .data_parallel import (
    LARGE,
    STEPS,
    assert_close,
    is_matrix,
    on_one_device,
    program,
    trained,
)
from .meshes import N, P, batch, loss, mesh_of, model, own_gradients
from .wire import collectives, wire_bytes

ELEMENTWISE = {
    "adamw, matrices decay": gradtx.adamw(1e-2, weight_decay=0.1, mask=is_matrix),
    "lion": gradtx.lion(1e-3),
    "partition": gradtx.partition(
        {True: gradtx.adam(1e-2), False: gradtx.sgd(0.1, momentum=0.9)}, is_matrix
    ),
    "rmsprop": gradtx.rmsprop(1e-2, momentum=0.9),
}


@pytest.mark.parametrize("step", ["step", "update"])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_shares_get_what_the_whole_would(name, step):
    inner = ELEMENTWISE[name]
    # Eight gradients are added in another order, and rates of 1e-2 divide by their
    # root mean square: a few ulp of the largest entry after three steps.
    expected = on_one_device(inner)
    assert_close(trained(zero1(inner, "data"), step), expected, rtol=5e-7)


def test_given_the_same_means_a_step_is_the_same_to_the_ulp():
    inner = gradtx.adamw(1e-2, weight_decay=0.1, mask=is_matrix)
    params = model()
    grads = jax.tree.map(jnp.sin, params)  # the same on each device: no rounding

    def run(params, grads):
        mine = jax.tree.map(lambda g: lax.pcast(g, "data", to="varying"), grads)
        tx = zero1(inner, "data")
        return tx.step(mine, tx.init(params), params)[0]

    mapped = jax.shard_map(run, mesh=mesh_of(N), in_specs=P(), out_specs=P())
    found = jax.jit(mapped)(params, grads)
    expected = jax.jit(inner.step)(grads, inner.init(params), params)[0]
    for key, value in expected.items():
        np.testing.assert_array_max_ulp(found[key], np.asarray(value), maxulp=1)


def test_a_global_norm_inside_is_of_all_shares():
    inner = gradtx.chain(gradtx.clip_by_global_norm(0.01), gradtx.sgd(1.0))
    # The sum over shares rounds otherwise than the sum over leaves.
    assert_close(trained(zero1(inner, "data")), on_one_device(inner), rtol=1e-6)


@pytest.mark.parametrize(
    "inner",
    # The second starts from the parameters themselves.
    [gradtx.lamb(0.01, weight_decay=0.1), gradtx.ftrl(0.1, l1=0.01)],
    ids=["lamb", "ftrl"],
)
def test_norms_of_leaves_inside_are_of_all_shares(inner):
    assert_close(trained(zero1(inner, "data")), on_one_device(inner), rtol=1e-6)


@pytest.mark.parametrize("wrapper", ["apply_if_finite", "zero_nans"])
def test_a_nan_on_one_device_is_seen_by_all(wrapper):
    inner = {
        "apply_if_finite": gradtx.apply_if_finite(gradtx.sgd(1.0), 5),
        "zero_nans": gradtx.chain(gradtx.zero_nans(), gradtx.sgd(1.0)),
    }[wrapper]
    tx = zero1(inner, "data")

    def run(params, bad):
        grads = jax.tree.map(lambda p: jnp.ones_like(p) * bad[0], params)
        return tx.step(grads, tx.init(params), params)[0]

    bad = jnp.ones(N).at[5].set(jnp.nan)
    mapped = jax.shard_map(
        run, mesh=mesh_of(N), in_specs=(P(), P("data")), out_specs=P()
    )
    params = jax.jit(mapped)(model(), bad)
    jax.tree.map(np.testing.assert_array_equal, params, model())


def test_without_types_and_under_pmap_the_same():
    tx = zero1(ELEMENTWISE["adamw, matrices decay"], "data")
    expected = trained(tx)
    found = trained(tx, check_vma=False)
    # One program sums as the other does.
    jax.tree.map(np.testing.assert_array_equal, found, expected)

    @functools.partial(jax.pmap, axis_name="data")
    def run(params, batches):
        state = tx.init(params)
        for x, y in batches:
            params, state = tx.step(jax.grad(loss)(params, x, y), state, params)
        return params

    everywhere = jax.tree.map(lambda p: jnp.stack([p] * N), model())
    batches = [batch(i) for i in range(STEPS)]
    batches = jax.tree.map(lambda x: x.reshape(N, -1, x.shape[-1]), batches)
    found = run(everywhere, batches)
    for key, value in expected.items():
        for replica in found[key]:
            # pmap compiles a program of its own, which may fuse otherwise.
            np.testing.assert_allclose(replica, value, rtol=1e-6, atol=1e-7)
            np.testing.assert_array_equal(replica, found[key][0])


def test_the_bytes_on_the_wire_are_those_of_one_all_reduce():
    params = structs(LARGE, "float32")
    inner = gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adamw(1e-3))
    averaged, *_ = program(gradtx.chain(average_across("data"), inner), params)
    shared, *_ = program(zero1(inner, "data"), params)
    all_reduce = 2 * (N - 1) / N * nbytes(params)
    assert wire_bytes(averaged) == {"all-reduce": all_reduce}
    sent = wire_bytes(shared)
    # Beside: the norm, and the mean of the 0-d leaf.
    assert sent.pop("all-reduce") <= 2 * (N - 1) / N * 2 * 4
    assert set(sent) == {"reduce-scatter", "all-gather"}
    assert sum(sent.values()) <= all_reduce
    largest = max(c.entries for c in collectives(shared) if c.kind == "all-reduce")
    assert largest <= 2  # single numbers, joined by the compiler


@pytest.mark.parametrize("devices", [8, 256])
def test_the_state_of_a_device_is_its_part(devices):
    params = structs(TREES["gpt2"](), "float32")
    tx = zero1(gradtx.scale_by_adam(), "data")

    def init(params):
        return tx.init(params)

    shared = jax.eval_shape(
        jax.vmap(init, axis_name="data", axis_size=devices, in_axes=None), params
    )
    whole = nbytes(jax.eval_shape(gradtx.scale_by_adam().init, params))
    assert nbytes(shared) <= 1.01 * whole + 4 * devices  # and a count on each


def test_a_compiled_step_holds_no_whole_state():
    params = structs(LARGE, "float32")
    tx = zero1(gradtx.adam(1e-3), "data")
    compiled, state, _ = program(tx, params)
    size = nbytes(params)
    # Parameters, gradients of one device, and a share of two moments.
    arguments = compiled.memory_analysis().argument_size_in_bytes
    assert arguments <= 2 * size + 2 * size / N + 64
    assert nbytes(state) <= 2 * size + 64  # of all devices together


def test_accumulation_communicates_once_in_k_micro_batches():
    params = structs(LARGE, "float32")
    params.pop("gain")
    tx = gradtx.MultiSteps(zero1(gradtx.adam(1e-3), "data"), 4)
    compiled, *_ = program(tx, params)
    lines = compiled.as_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("ENTRY"))
    inside = [c.kind for c in collectives(compiled)]
    assert sorted(set(inside)) == ["all-gather", "reduce-scatter"]
    always = [line for line in lines[start:] if "reduce-scatter(" in line]
    assert not always  # they are in a branch of the conditional


def test_accumulated_shares_are_those_of_the_mean():
    # Every step runs k micro-batches of one kind: their mean is that of one.
    k, inner = 2, gradtx.adam(1e-2)
    tx = gradtx.MultiSteps(zero1(inner, "data"), k)

    def run(params, batches):
        state = tx.init(params)
        for x, y in batches:
            for _ in range(k):
                grads = own_gradients(params, x, y)
                params, state = tx.step(grads, state, params)
        return params

    mapped = jax.shard_map(
        run, mesh=mesh_of(N), in_specs=(P(), P("data")), out_specs=P()
    )
    found = jax.jit(mapped)(model(), [batch(i) for i in range(STEPS)])
    assert_close(found, on_one_device(inner), rtol=5e-7)
