"""One of several processes that train together; prints the bits of its parameters.

python -m tests.multi_device.worker PORT RANK
"""

import functools
import sys

import gradtx
from gradtx.distributed import average_across, check_replicas, zero1

PROCESSES = 2
DEVICES = 4  # of each

INNER = gradtx.chain(gradtx.clip_by_global_norm(0.1), gradtx.adamw(1e-2))
NOT_FINITE = functools.partial(gradtx.skip_not_finite, axis_name="data")
TRAININGS = {
    "averaged": gradtx.chain(
        average_across("data"), gradtx.add_noise(0.01, 0.55, key=0), INNER
    ),
    "zero1": zero1(gradtx.apply_if_finite(INNER, 3), "data"),
    "whole leaves": zero1(gradtx.adamw(1e-2), "data", whole_leaves=True),
    "accumulated": gradtx.MultiSteps(
        zero1(INNER, "data"), 2, should_skip_update_fn=NOT_FINITE
    ),
}
SHARDED = "fully sharded"  # with INNER, in a jit


def main(port: str, rank: str) -> None:
    import jax
    import numpy as np

    jax.config.update("jax_num_cpu_devices", DEVICES)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"localhost:{port}", PROCESSES, int(rank))
    from tests.multi_device.data_parallel import fully_sharded, trained

    def place(array, sharding):
        own = np.asarray(array)
        return jax.make_array_from_callback(own.shape, sharding, own.__getitem__)

    found = {name: trained(tx, place=place) for name, tx in TRAININGS.items()}
    found[SHARDED] = fully_sharded(INNER, place)
    for name, params in found.items():
        check_replicas(params)
        for path, leaf in jax.tree_util.tree_leaves_with_path(params):
            bits = np.asarray(leaf.addressable_data(0)).tobytes().hex()
            print(name, jax.tree_util.keystr(path), bits, sep="\t")


if __name__ == "__main__":
    main(*sys.argv[1:])
