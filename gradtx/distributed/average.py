"""Data parallel: the mean over devices that see different data."""

from jax import lax

from gradtx.core.axes import AxisName, names_of, size_of, types_tell, varying
from gradtx.core.leafwise import stateless_init
from gradtx.core.transformation import transformation
from gradtx.core.trees import absent, failure, leaves_of, paths_of


@transformation
def average_across(axis_name: AxisName):
    """Average the updates over the devices along mesh axes.

        u = 1/N sum_{i=1}^N g_i,   g_i on device i of N

    The first in a chain for data parallel training under `pmap` or `shard_map`: what
    follows is then the same on every device, to the bit. On the wire: one all-reduce,
    of the updates' size and in their dtype.

    Inside of `shard_map` the gradient for parameters that are the same on all devices
    is summed by `jax.grad` itself. Then there is nothing left to average, and the sum
    would pass for a mean: such updates are refused. Take the gradient for
    `jax.lax.pcast(params, axis_name, to="varying")`; then it is each device's own.

    State: none.

    Args:
      axis_name: a mesh axis, or several.

    Raises:
      ValueError: no axis is named, one is not there, or the updates are the same
        along it already (as types say; under `pmap` and with `check_vma=False` they do
        not).

    Example:
      >>> import jax, jax.numpy as jnp, gradtx
      >>> tx = gradtx.distributed.average_across("data")
      >>> def mean(g):
      ...     return tx.update(g, tx.init(g))[0]
      >>> jax.vmap(mean, axis_name="data")(jnp.array([1.0, 3.0]))
      Array([2., 2.], dtype=float32)
    """
    names = names_of(axis_name)
    if not names:
        raise ValueError("average_across: axis_name names no axis.")

    def update(updates, state, params=None):
        size_of(names)
        check_differ(updates, names)
        leaves, treedef = leaves_of(updates)
        there = [x for x in leaves if not absent(x)]
        means = iter(lax.pmean(there, names))
        return treedef.unflatten(x if absent(x) else next(means) for x in leaves), state

    return stateless_init, update


def check_differ(updates, names):
    """Raise if types say that the devices along an axis have the same already."""
    if not types_tell(names):
        return
    for path, x in paths_of(updates):
        same = () if absent(x) else sorted(set(names) - varying(x))
        if same:
            raise failure(
                f"updates{path} is the same on all devices along {same}: jax.grad has "
                f"summed it over them, and an average would not divide. Take the "
                f"gradient for jax.lax.pcast(params, {names}, to='varying')."
            )
