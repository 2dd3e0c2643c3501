"""Replicas that have drifted apart are found, on one process and on two."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P

from gradtx.distributed.replicas import check_replicas

from .processes import outputs


def laid(array, spec, change=None):
    """An array over 2 x 4 devices, changed on some of them: from id to function."""
    kinds = (AxisType.Auto,) * 2
    mesh = jax.make_mesh((2, 4), ("data", "model"), axis_types=kinds)
    where = NamedSharding(mesh, spec)
    pieces = []
    for device, index in where.devices_indices_map(array.shape).items():
        piece = array[index].copy()
        if change is not None and device.id in change:
            change[device.id](piece)
        pieces.append(jax.device_put(piece, device))
    return jax.make_array_from_single_device_arrays(array.shape, where, pieces)


def array(dtype="float32"):
    values = np.arange(12.0).reshape(3, 4)
    values[0, 0] = np.nan
    return values.astype(dtype)


def add(amount, *where):
    def change(piece):
        piece[where] += amount

    return change


def test_equal_replicas_pass():
    bits = array(jnp.bfloat16)
    tree = {
        "split": laid(array(), P(None, "model")),
        "whole": laid(bits, P()),
        "key": jax.device_put(jax.random.key(0), laid(array(), P()).sharding),
        "empty": laid(np.zeros((0, 4), "float32"), P()),
        "elsewhere": np.zeros(3),
        "number": 1.0,
        "none": None,
    }
    check_replicas(tree)


DATA, MODEL = "mesh axis 'data' of .*", "mesh axis 'model' of .*"


@pytest.mark.parametrize(
    ("spec", "devices", "said"),
    [
        (P(None, "model"), [5], rf"{DATA}: device 5 differs from device 1 in 1 of 3 "),
        (P(None, "data"), [2], rf"{MODEL}: device 2 differs from device 0 in 1 of 6 "),
        (P(), [4, 5, 6, 7], rf"{DATA}: device 4 differs from device 0 in 1 of 12 "),
        (P(), [3, 7], rf"{MODEL}: device 3 differs from device 0"),
        (P(), [6], rf"{DATA} and {MODEL}: device 6 differs from device 0"),
    ],
)
def test_a_drift_is_found_along_its_axis(spec, devices, said):
    drift = {i: add(0.5, 1, 0) for i in devices}
    tree = {"a": laid(array(), spec), "b": laid(array(), spec, drift)}
    said = rf"tree\['b'\] have drifted apart along {said}.*1 of 2 arrays"
    with pytest.raises(ValueError, match=said) as raised:
        check_replicas(tree)
    assert raised.match("by up to 0.5")
    assert ("axis 'data'" in str(raised.value)) == (DATA in said)


@pytest.mark.parametrize(
    ("dtype", "change", "said"),
    [
        (
            "float32",
            lambda x: np.negative(x, out=x, where=x == 0),
            "1 of 12 .* up to 0",
        ),
        ("float32", lambda x: x.fill(np.nan), "11 of 12 entries .* up to nan"),
        (jnp.bfloat16, add(8, 2, 3), "1 of 12 entries .* up to 8"),
        ("int8", add(1, 2, 3), "1 of 12 entries .* up to 1"),
    ],
)
def test_bits_are_compared(dtype, change, said):
    values = array() if dtype == "float32" else np.nan_to_num(array()).astype(dtype)
    if "0" in said:
        values[1, 1] = 0
    with pytest.raises(ValueError, match=said):
        check_replicas(laid(values, P(), {3: change}))


def test_entries_along_the_first_axis_under_pmap():
    stacked = jax.pmap(lambda x: 2 * x)(jnp.ones((8, 3)))
    check_replicas({"w": stacked}, stacked=True)
    apart = {"w": stacked.at[4, 1].add(1)}
    check_replicas(apart)  # each entry has one place only
    said = r"tree\['w'\] .* along the first axis: device 4 .* 1 of 3 .* up to 1"
    with pytest.raises(ValueError, match=said):
        check_replicas(apart, stacked=True)
    with pytest.raises(ValueError, match="tree has no first axis"):
        check_replicas(jnp.ones([]), stacked=True)
    # On one device too: entries are compared, not devices.
    with pytest.raises(ValueError, match="along the first axis"):
        check_replicas(jnp.arange(3.0), stacked=True)


def test_inside_of_jit_it_says_so():
    with pytest.raises(TypeError, match="outside of jit"):
        jax.jit(check_replicas)(jnp.ones(2))


WORKER = """
import sys
import jax, numpy as np
from jax.sharding import NamedSharding, PartitionSpec as P
jax.config.update("jax_num_cpu_devices", 2)
port, rank = sys.argv[1], int(sys.argv[2])
jax.distributed.initialize(f"localhost:{port}", 2, rank)
from gradtx.distributed.replicas import check_replicas
where = NamedSharding(jax.make_mesh((2, 2), ("host", "core")), P(None, "core"))
def laid(drift):
    values = np.arange(4, dtype="float32")[None] + drift
    pieces = [
        jax.device_put(values[index], device)
        for device, index in where.addressable_devices_indices_map((1, 4)).items()
    ]
    return jax.make_array_from_single_device_arrays((1, 4), where, pieces)
check_replicas({"w": laid(0)})
try:
    check_replicas({"w": laid(0), "b": laid(rank)})
except ValueError as error:
    print(error)
"""


def test_processes_compare_digests():
    for out in outputs(2, "-c", WORKER):
        assert "tree['w'] have" not in out
        assert "replicas of tree['b'] have drifted apart along mesh axis 'host'" in out
        assert "of process 1 differs from device 0 of process 0" in out
