"""Checks of layouts: where a state lies on several devices, and what it costs there."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from gradtx.core.trees import map_present, paths_of
from gradtx.distributed.costs import explain
from gradtx.distributed.sharding import state_sharding
from gradtx.testing.leaves import bias, kernel
from gradtx.testing.trial import (
    Make,
    Stepped,
    expect_close,
    gradients,
    make_trial,
    one_step,
)


def _sharded(params: Any) -> Any:
    """A sharding for each parameter: along its last dimension, where that is even.

    On two devices, if there are as many.
    """
    devices = np.array(jax.devices()[:2])
    mesh = jax.sharding.Mesh(devices, ("data",), axis_types=(AxisType.Auto,))

    def lie(p: Any) -> NamedSharding:
        if not p.ndim or p.shape[-1] % len(devices):
            return NamedSharding(mesh, PartitionSpec())
        return NamedSharding(mesh, PartitionSpec(*[None] * (p.ndim - 1), "data"))

    return map_present(lie, params)


def state_lies_like_the_parameters(make: Make) -> None:
    """`state_sharding` knows where, and `init` under `jit` makes the state there."""
    trial = make_trial(make)
    params = trial.params()
    layout = _sharded(params)
    where = state_sharding(trial.tx, params, layout)
    shapes = jax.eval_shape(trial.tx.init, params)
    structure = jax.tree.structure(shapes)
    assert jax.tree.structure(where) == structure, (
        f"state_sharding has the structure {jax.tree.structure(where)}, the state has "
        f"{structure}"
    )
    # By name and shape, which is how one would guess it.
    lie = {path: sharding for path, sharding in _arrays(layout)}
    for (path, leaf), (_, found) in zip(_arrays(shapes), _arrays(where), strict=True):
        for name, (of, p) in itertools.product((kernel(), bias()), _arrays(params)):
            if path.endswith(name) and of.endswith(name) and leaf.shape == p.shape:
                assert found == lie[of], (
                    f"state{path} is to lie as {found.spec}, params{of} as "
                    f"{lie[of].spec}"
                )
    state = jax.jit(trial.tx.init, out_shardings=where)(jax.device_put(params, layout))
    expect_close(state, trial.start, "the state made in place", "that of init")


def steps_the_same_on_several_devices(make: Make) -> None:
    """Parameters and state split over devices, a step gives what it gives on one."""
    trial = make_trial(make)
    params, grads = trial.params(), gradients(0)
    lie = _sharded(grads), _sharded(params)
    where = state_sharding(trial.tx, params, lie[1])
    step = jax.jit(
        lambda g, s, p: one_step(trial.tx, g, s, p),
        in_shardings=(lie[0], where, lie[1]),
        out_shardings=Stepped(None, lie[1], where),
    )
    # Another program, other fusions, sums in another order: as for jit.
    what = "a step on several devices"
    expect_close(
        step(grads, trial.start, params), trial.jitted[0], what, "on one", 3e-5
    )


def can_be_explained(make: Make) -> None:
    """`explain` counts the bytes of the state, without making it."""
    trial = make_trial(make)
    found = explain(trial.tx, jax.eval_shape(trial.params)).state_bytes
    expected = sum(_data(x).nbytes for x in jax.tree.leaves(trial.start))
    assert found == expected, f"explain counts {found} bytes of state, of {expected}"


def _arrays(tree: Any) -> list[tuple[str, Any]]:
    return [(path, leaf) for path, leaf in paths_of(tree) if leaf is not None]


def _data(x: Any) -> Any:
    keys = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(x) if keys else x
