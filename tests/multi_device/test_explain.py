"""What `explain` says is so, and nothing is allocated to say it."""

import math
import re
import time

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AbstractMesh, AxisType, NamedSharding, PartitionSpec as P

import gradtx
from gradtx.distributed.costs import explain
from gradtx.distributed.costs_table import human
from gradtx.distributed.sharding import state_sharding

TX = gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adamw(1e-3, mask=None))


def shapes(**leaves):
    return {k: jax.ShapeDtypeStruct(s, jnp.float32) for k, s in leaves.items()}


def llama(layers, width, hidden, keys, words):
    """The parameters of a Llama in bfloat16, by shape."""

    def array(*shape):
        return jax.ShapeDtypeStruct(shape, jnp.bfloat16)

    def layer():
        return {
            "attention": {
                "q": array(width, width),
                "k": array(width, keys),
                "v": array(width, keys),
                "o": array(width, width),
                "norm": array(width),
            },
            "mlp": {
                "gate": array(width, hidden),
                "up": array(width, hidden),
                "down": array(hidden, width),
                "norm": array(width),
            },
        }

    return {
        "embedding": array(words, width),
        "layers": [layer() for _ in range(layers)],
        "norm": array(width),
        "head": array(width, words),
    }


def test_seventy_billion_parameters_without_one_array():
    params = llama(80, 8192, 28672, 1024, 128256)
    mesh = AbstractMesh((64, 8), ("data", "model"))
    layout = jax.tree.map(lambda p: P("data", "model") if p.ndim > 1 else P(), params)
    before, start = jax.live_arrays(), time.perf_counter()
    found = explain(TX, params, mesh, layout, data_axes="data")
    text = str(found)
    print(f"{time.perf_counter() - start:.2f} s\n{text}")  # shown with -s
    assert {*map(id, jax.live_arrays())} <= {*map(id, before)}
    norms = 161 * 8192
    assert found.parameters == 70_553_706_496
    assert found.params_bytes == 2 * found.parameters
    scalars = 4
    assert found.state_bytes == 8 * found.parameters + scalars
    # All but the norms are split 512 times.
    own = (found.parameters - norms) // 512 + norms
    assert found.params_bytes_per_device == found.grads_bytes_per_device == 2 * own
    assert found.state_bytes_per_device == 8 * own + scalars
    assert found.moved_bytes_per_device == 3 * 2 * own + 2 * (8 * own + scalars)
    # The shard along "model" of all matrices, but for one's own part of 64.
    gathered = 2 * (found.parameters - norms) // 8 * 63 // 64
    assert [(x.op, x.axes, x.bytes) for x in found.traffic] == [
        ("all-gather", ("data",), gathered),
        ("all-gather", ("data",), gathered),
        ("reduce-scatter", ("data",), gathered),
        ("all-reduce", ("data",), 2 * norms * 2 * 63 // 64),
    ]
    [head, *lines] = text.split("\n\n")[0].splitlines()
    assert head.endswith("total  per device")
    assert len(lines) == len(found.rows) == 3 * 7 + 1


def test_bytes_are_those_of_the_arrays():
    mesh = jax.make_mesh((2, 4), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    params = jax.tree.map(
        lambda x, s: jax.device_put(jnp.ones(x.shape), NamedSharding(mesh, s)),
        shapes(w=(8, 4), b=(4,), c=()),
        {"w": P("data", "model"), "b": P("model"), "c": P()},
    )
    tx = gradtx.chain(gradtx.MultiSteps(TX, 2), gradtx.add_noise(0.1, 0.5, key=0))
    found = explain(tx, params, zero1_axis="data")
    where = state_sharding(tx, params, zero1_axis="data")
    state = jax.jit(tx.init, out_shardings=where)(params)
    state = jax.tree.map(
        lambda x: jax.random.key_data(x) if x.dtype.name.startswith("key") else x, state
    )
    leaves = jax.tree.leaves(state)
    assert found.state_bytes == sum(x.nbytes for x in leaves)
    here = [x.addressable_shards[0].data.nbytes for x in leaves]
    assert found.state_bytes_per_device == sum(here)
    assert found.state_bytes_per_device < found.state_bytes / 3
    rows = [row for row in found.rows if row.name != "params"]
    assert sum(row.leaves for row in rows) == len(leaves)
    assert sum(row.bytes for row in rows) == found.state_bytes
    assert sum(row.bytes_per_device for row in rows) == found.state_bytes_per_device


def sent_by(compiled, n):
    """What each of n devices sends in a ring, by operation; all take part in each."""
    sums = {}
    for line in compiled.as_text().splitlines():
        found = re.search(r"= ([^=]*?) (all-reduce|all-gather|reduce-scatter)\(", line)
        if found is None:
            continue
        results, op = found.groups()
        for shape in re.findall(r"f32\[([\d,]*)\]", results):
            size = 4 * math.prod(int(d) for d in shape.split(",") if d)
            rounds = {"all-reduce": 2, "all-gather": 1, "reduce-scatter": n}[op]
            sums[op] = sums.get(op, 0) + rounds * (n - 1) / n * size
    return sums


@pytest.mark.parametrize("zero1_axis", [None, "data"])
def test_traffic_is_that_of_the_compiled_step(zero1_axis):
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    params = shapes(w=(64, 32))
    found = explain(TX, params, mesh, zero1_axis=zero1_axis)
    here, split = NamedSharding(mesh, P()), NamedSharding(mesh, P("data"))
    where = state_sharding(TX, params, here, zero1_axis=zero1_axis)

    def step(params, state, x):
        grads = jax.grad(lambda p: jnp.mean(jnp.tanh(x @ p["w"]) ** 2))(params)
        return TX.step(grads, state, params)

    compiled = (
        jax.jit(step, in_shardings=(here, where, split), out_shardings=(here, where))
        .lower(params, jax.eval_shape(TX.init, params), shapes(x=(1024, 64))["x"])
        .compile()
    )
    sent = sent_by(compiled, 8)
    by_op = {x.op: x.bytes for x in found.traffic}
    scalar = 2 * 7 / 8 * 4  # for the norm of what is split
    if zero1_axis is None:
        assert by_op == sent
    else:
        # XLA on CPU has no reduce-scatter here: twice its bytes, in an all-reduce.
        assert sent["all-reduce"] == 2 * by_op["reduce-scatter"] + scalar
        assert sent["all-gather"] == by_op["all-gather"]


def rows_of(tx, params, **options):
    return [(r.name, r.leaves, r.shape) for r in explain(tx, params, **options).rows]


def test_rows_are_named_by_transformation_and_field():
    params = {"mlp/in": jnp.ones((4, 2)), "mu": {"out": jnp.ones((4, 2))}, "none": None}
    tx = gradtx.MultiSteps(gradtx.chain(gradtx.flatten(gradtx.lion(0.1)), TX), 2)
    assert rows_of(tx, params) == [
        ("params", 2, (4, 2)),
        ("MultiSteps/mini_step", 1, ()),
        ("MultiSteps/gradient_step", 1, ()),
        ("lion/count", 1, ()),
        ("lion/mu/float32", 1, (16,)),
        ("adamw/count", 1, ()),
        ("adamw/mu", 2, (4, 2)),
        ("adamw/nu", 2, (4, 2)),
        ("MultiSteps/acc_grads", 2, (4, 2)),
    ]
    assert rows_of(gradtx.trace(0.9), jnp.ones(3)) == [
        ("params", 1, (3,)),
        ("trace/trace", 1, (3,)),
    ]


def test_axes_without_the_batch_send_nothing():
    mesh = AbstractMesh((2, 4), ("data", "model"))
    params = shapes(w=(8, 4), b=(4,))
    layout = {"w": P(None, "model"), "b": P()}
    found = explain(TX, params, mesh, layout, data_axes=["data"])
    [sent] = found.traffic
    shards = 4 * (32 // 4 + 4)
    assert sent[2:] == (("data",), 2, shards)  # 2 (N-1)/N is 1
    assert "with the batch split along data;" in str(found)
    alone = explain(TX, params)
    assert alone.traffic == ()
    assert "sends" not in str(alone)


def test_integers_are_not_trained():
    params = shapes(w=(8, 4)) | {"table": jax.ShapeDtypeStruct((16,), jnp.int32)}
    tx = gradtx.masked(gradtx.trace(0.9), {"w": True, "table": False})
    found = explain(tx, params, AbstractMesh((2,), ("data",)))
    assert found.parameters == 32
    assert found.params_bytes - found.grads_bytes_per_device == 64
    assert found.sent_bytes_per_device == 128


def test_nothing_to_train():
    assert "0 trained parameters" in str(explain(gradtx.adam(0.1), {}))


def test_bad_axes():
    mesh = AbstractMesh((2, 4), ("data", "model"))
    with pytest.raises(ValueError, match=r"data_axes.*: there is no mesh axis 'batch'"):
        explain(TX, shapes(w=(8, 4)), mesh, data_axes="batch")
    with pytest.raises(ValueError, match="zero1_axis='data' is not among data_axes"):
        explain(TX, shapes(w=(8, 4)), mesh, zero1_axis="data", data_axes="model")


@pytest.mark.parametrize(
    ("n", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 << 50, "3072.0 TiB")],
)
def test_units(n, text):
    assert human(n) == text
