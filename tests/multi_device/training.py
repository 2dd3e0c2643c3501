"""A training run that stores itself and goes on from there, on any number of devices.

    python -m tests.multi_device.training DIRECTORY STEPS DEVICES

After each thing that it says it waits for a line: whoever started it lets it go on, or
kills it there.
"""

import os
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import gradtx
from gradtx.tree.named import from_named, to_named

EVERY = 3  # steps between two checkpoints; three of four fall into an accumulation
# Entry by entry, so that the number of devices changes no order of summation.
TX = gradtx.chain(
    gradtx.clip(1.0),
    gradtx.MultiSteps(
        gradtx.adamw(gradtx.linear_schedule(0.1, 0.0, 10), mu_dtype=jnp.bfloat16),
        every_k_schedule=4,
    ),
)


def waves(start):
    return {
        "kernel": np.cos(start + np.arange(128, dtype=np.float32)).reshape(8, 16),
        "bias": np.sin(start + np.arange(128, dtype=np.float32)),
        "gain": np.float32(np.cos(start)),
    }


def targets(i):
    """The data of a step."""
    return waves(10.0 + i)


def placed(tree, devices):
    """Shapes like the tree's arrays, cut along their first axis over the devices."""
    mesh = jax.make_mesh(
        (devices,), ("data",), (AxisType.Auto,), devices=jax.devices()[:devices]
    )

    def place(x):
        sharding = NamedSharding(mesh, PartitionSpec(*["data"][: x.ndim]))
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)

    return jax.tree.map(place, jax.eval_shape(lambda: tree))


def begin(devices):
    """Parameters and state before the first step."""
    params = waves(0.0)
    where = jax.tree.map(lambda x: x.sharding, placed(params, devices))
    params = jax.device_put(params, where)
    like = placed(jax.eval_shape(TX.init, params), devices)
    where = jax.tree.map(lambda x: x.sharding, like)
    return params, jax.jit(TX.init, out_shardings=where)(params)


def loss(params, data):
    parts = jax.tree.map(lambda p, t: jnp.sum((p - t) ** 2), params, data)
    return jax.tree.reduce(jnp.add, parts)


def step_of(params, state, data):
    return TX.step(jax.grad(loss)(params, data), state, params)


step = jax.jit(step_of, donate_argnums=(0, 1))


def store(path, params, state, i, say):
    """Write a file beside the last one, then put it in its place, all at once."""
    named = {f"state:{name}": x for name, x in to_named(TX, state).items()}
    named |= {f"params:{name}": x for name, x in params.items()}
    new = path.with_suffix(".new.npz")
    np.savez(new, step=i, **named)
    say(f"stored {i}")
    os.replace(new, path)


def load(path, devices):
    """Parameters, state and step, from the last file or from the beginning."""
    if not path.exists():
        return *begin(devices), 0
    with np.load(path) as file:
        parts = {"state": {}, "params": {}}
        for name in file:
            if name != "step":
                part, _, name_there = name.partition(":")
                parts[part][name_there] = file[name]
        like = placed(parts["params"], devices)
        params = jax.device_put(
            parts["params"], jax.tree.map(lambda x: x.sharding, like)
        )
        like = placed(jax.eval_shape(TX.init, params), devices)
        return params, from_named(TX, parts["state"], like), int(file["step"])


def run(directory, steps, devices, say=lambda text: None):
    """Train up to a number of steps; the result is in `run.npz`."""
    path = Path(directory) / "run.npz"
    params, state, begun = load(path, devices)
    say(f"from {begun}")
    for i in range(begun + 1, steps + 1):
        params, state = step(params, state, targets(i))
        say(f"step {i}")
        if i % EVERY == 0 or i == steps:
            store(path, params, state, i, say)
    return params, state


def say_and_wait(text):
    print(text, flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), say_and_wait)
