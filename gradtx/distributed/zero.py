"""ZeRO, stage 1: each device keeps the state of its share of every parameter."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradtx.core.axes import AxisName, Names, gathered, names_of, size_of, splitting
from gradtx.core.plan import need_params
from gradtx.core.transformation import inner_of, transformation
from gradtx.core.trees import absent, check_inexact, leaves_like, leaves_of
from gradtx.core.widths import handed_out
from gradtx.distributed import owners
from gradtx.distributed.average import check_differ


@transformation
def zero1(inner: Any, axis_name: AxisName, *, whole_leaves: bool = False):
    """Average the gradients, and update on each device a share of the parameters.

    Along the axes each of N devices has all parameters and gradients of its own data:

        g_i = share_i(mean(g))   (reduce-scatter)
        p_i, s_i = inner(g_i, s_i, p_i)
        p = (p_1, ..., p_N)   (all-gather)

    With `update` it is the updates that are gathered. A leaf is split flat and evenly,
    with up to N - 1 zeros at the end; a share has as many dimensions as its leaf (all
    but the first of length 1), so that masks and labels that go by name or by number of
    dimensions mean what they say. 0-d leaves are averaged and updated on every device.
    On the wire: the bytes of one all-reduce.

    What looks at the whole tree inside of `inner` (`clip_by_global_norm`,
    `apply_if_finite`) adds up over the devices by itself. What looks at whole leaves
    (`clip_by_block_rms`, `adaptive_grad_clip`, `centralize`) needs `whole_leaves`, and
    is refused without. To accumulate gradients, wrap it, `MultiSteps(zero1(tx,
    "data"), k)`: then it communicates once in k micro-batches; the other way round it
    would each time.

    Call `init`, `update` and `step` under `pmap` or `shard_map` over the axes.
    `step` is the better one: what it gathers it need not add. Take gradients for
    parameters that vary, see `average_across`. The state differs between devices:
    `shard_specs` says how it leaves `shard_map`.

    State: 1/N of the inner one's on each device; with `whole_leaves` that of the
    device with the most, a vector for each dtype.

    Args:
      inner: the transformation of the shares.
      axis_name: the mesh axis, or axes, of data parallel training.
      whole_leaves: give each device whole leaves instead of a share of each, the
        largest first to who has least. For rules that look at a whole leaf; a leaf of
        more than 1/N of all entries keeps the balance from being even. Then nothing
        in `inner` may look at the whole tree, and the program holds N branches.

    Raises:
      TypeError: if inner is not a transformation.
      ValueError: no axis is named, one is not there, the updates are the same along
        it already, no params, or inner looks at more than it is given.

    Source: Rajbhandari et al., ZeRO: memory optimizations toward training trillion
    parameter models (2020), section 5.1.

    Example:
      >>> import jax, jax.numpy as jnp, gradtx
      >>> tx = gradtx.distributed.zero1(gradtx.sgd(0.5, momentum=0.9), "data")
      >>> def step(g):  # the same parameters on each device
      ...     params = jnp.zeros(4)
      ...     params, state = tx.step(g, tx.init(params), params)
      ...     return params, state[0].trace.shape
      >>> jax.vmap(step, axis_name="data", out_axes=(0, None))(jnp.ones((2, 4)))
      (Array([[-0.5, -0.5, -0.5, -0.5],
             [-0.5, -0.5, -0.5, -0.5]], dtype=float32), (2,))
    """
    names = names_of(axis_name)
    if not names:
        raise ValueError("zero1: axis_name names no axis.")
    tx = inner_of("zero1: inner", inner)

    def init(params):
        if whole_leaves:
            return owners.init(tx, params, names)
        with splitting(names):
            return tx.init(shares(params, names))

    def run(updates, state, params, extra, apply):
        need_params(params)
        leaves, treedef = leaves_of(updates)
        check_inexact(leaves, updates)
        given = leaves_like(treedef, params, "params", updates)
        size_of(names)
        check_differ(updates, names)
        if whole_leaves:
            return owners.run(tx, updates, state, params, names, extra, apply)
        call = tx.step if apply else tx.update
        mine = treedef.unflatten(scattered(leaves, names))
        here = shares(params, names)
        with splitting(names):
            result, state = call(mine, state, here, **extra)
        if not apply:  # as wide as they are handed out: that is what goes on the wire
            result = handed_out(result, mine, here)
        found = leaves_like(treedef, result, "what the inner one gives", updates)
        return treedef.unflatten(whole(found, given, names)), state

    def update(updates, state, params=None, **extra):
        return run(updates, state, params, extra, apply=False)

    def step(updates, state, params, **extra):
        return run(updates, state, params, extra, apply=True)

    return init, update, step


def _is_split(x: Any) -> bool:
    return not absent(x) and jnp.ndim(x) > 0 and jnp.size(x) > 0


def _rows(x: jax.Array, n: int) -> jax.Array:
    """A leaf as n rows, with zeros at the end."""
    width = -(-x.size // n)
    flat = jnp.ravel(x)
    if width * n > x.size:
        flat = jnp.pad(flat, (0, width * n - x.size))
    return flat.reshape(n, width)


def _share(row: jax.Array, like: Any) -> jax.Array:
    """One row, with as many dimensions as its leaf."""
    return row.reshape(-1, *[1] * (jnp.ndim(like) - 1))


def shares(params: Any, names: Names) -> Any:
    """The parts of the parameters that this device updates."""
    n, here = size_of(names), lax.axis_index(names)

    def share(x: Any) -> Any:
        if not _is_split(x):
            return x
        x = jnp.asarray(x)
        return _share(lax.dynamic_index_in_dim(_rows(x, n), here, keepdims=False), x)

    leaves, treedef = leaves_of(params)
    return treedef.unflatten(map(share, leaves))


def scattered(leaves: list[Any], names: Names) -> list[Any]:
    """The mean over the devices: to each its part, in one reduce-scatter a leaf."""
    n = size_of(names)
    split = [_rows(jnp.asarray(x), n) for x in leaves if _is_split(x)]
    rows = iter(lax.psum_scatter(split, names) if split else ())
    return [
        _share(next(rows) / n, x)
        if _is_split(x)
        else (x if absent(x) else lax.pmean(x, names))
        for x in leaves
    ]


def whole(parts: list[Any], like: list[Any], names: Names) -> list[Any]:
    """Whole leaves again, the same on every device."""

    def joined(part: Any, x: Any) -> Any:
        if absent(part) or not _is_split(x):
            return part
        flat = gathered(jnp.ravel(part), names, tiled=True)
        return flat[: jnp.size(x)].reshape(jnp.shape(x))

    return [joined(part, x) for part, x in zip(parts, like, strict=True)]
