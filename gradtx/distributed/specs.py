"""How a state leaves and enters `shard_map`."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec

from gradtx.core.axes import AxisName, names_of, varying
from gradtx.core.trees import failure, map_present


def shard_specs(tx: Any, params: Any, mesh: Any, axis_name: AxisName) -> Any:
    """The `PartitionSpec` of each leaf of a state, for `shard_map`.

    For data parallel training: the parameters are the same on all devices, the
    gradients are not. What in the state differs between devices then (the shares of
    `zero1`, the accumulator of `MultiSteps` around it) has the axis on its first
    dimension, the rest is replicated. One `init` and one `update` are traced to find
    out; no array is made.

    Args:
      tx: a transformation that is called inside of `shard_map`.
      params: the parameters, arrays or their shapes.
      mesh: the mesh, or an abstract one.
      axis_name: the mesh axis, or axes, along which the gradients differ.

    Returns:
      A tree like the state, for `in_specs` and `out_specs`.

    Raises:
      ValueError: an axis that the mesh does not have, or a single number in the state
        that would differ between devices.

    Example:
      >>> import jax, jax.numpy as jnp, gradtx
      >>> mesh = jax.make_mesh((1,), ("data",))
      >>> tx = gradtx.distributed.zero1(gradtx.trace(0.9), "data")
      >>> gradtx.distributed.shard_specs(tx, jnp.ones(4), mesh, "data")
      TraceState(trace=P('data',))
    """
    names = names_of(axis_name)
    missing = [name for name in names if name not in mesh.axis_names]
    if missing:
        raise ValueError(
            f"shard_specs: axis_name={axis_name!r}: the mesh has {mesh.axis_names}, "
            f"no axis {missing[0]!r}."
        )
    everywhere = PartitionSpec()
    found: list[Any] = []

    def spec(path: Any, x: jax.Array, y: jax.Array) -> PartitionSpec:
        axes = varying(x) | varying(y)
        if axes and jnp.ndim(x) == 0:
            raise failure(
                f"shard_specs: state{jax.tree_util.keystr(path)} is a number that "
                f"differs between devices along {sorted(axes)}, and has no dimension "
                f"to be split. Name the axis where it is made (axis_name=...)."
            )
        split = tuple(name for name in mesh.axis_names if name in axes)
        return PartitionSpec(split) if split else everywhere

    def look(params: Any) -> jax.Array:
        def gradient(p: Any) -> jax.Array:
            return lax.pcast(jnp.zeros_like(p), names, to="varying")

        state = tx.init(params)
        after = tx.update(map_present(gradient, params), state, params)[1]
        found.append(jax.tree_util.tree_map_with_path(spec, state, after))
        return jnp.zeros([])

    jax.eval_shape(
        jax.shard_map(look, mesh=mesh, in_specs=everywhere, out_specs=everywhere),
        params,
    )
    return found[0]
