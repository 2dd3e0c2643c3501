"""What the tests of many devices share: meshes, and a small model with its data."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import AxisType, PartitionSpec

N = 8
P = PartitionSpec


def mesh_of(
    *sizes: int, names: tuple[str, ...] = ("data", "model")
) -> jax.sharding.Mesh:
    """A mesh of the first devices, as many as the sizes say."""
    return jax.make_mesh(
        sizes,
        names[: len(sizes)],
        axis_types=(AxisType.Auto,) * len(sizes),
        devices=jax.devices()[: int(np.prod(sizes))],
    )


def model() -> dict[str, jax.Array]:
    """Parameters whose sizes 8 does not divide, and a 0-d one."""
    waves = {"kernel": (5, 7), "bias": (7,), "gain": ()}
    return {
        name: jnp.asarray(np.cos(1.3 * np.arange(np.prod(shape, dtype=int)) + i))
        .reshape(shape)
        .astype(jnp.float32)
        for i, (name, shape) in enumerate(waves.items())
    }


def batch(step: int, size: int = 2 * N) -> tuple[jax.Array, jax.Array]:
    """Inputs and targets of one step, the same each time."""
    rng = np.random.default_rng(step)
    x, y = rng.normal(size=(size, 5)), rng.normal(size=(size, 7))
    return jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)


def loss(params, x, y):
    out = params["gain"] * jnp.tanh(x @ params["kernel"] + params["bias"])
    return jnp.mean((out - y) ** 2)


def own_gradients(params, x, y, axis_name="data"):
    """Each device's own, under shard_map with types or without."""
    mine = jax.tree.map(lambda p: as_own(p, axis_name), params)
    return jax.grad(loss)(mine, x, y)


def as_own(p, axis_name):
    return lax.pcast(p, axis_name, to="varying")
