"""Rows without a gradient stay as they are: for embeddings."""

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.axes import AxisName, across, axes_of, names_of, need_whole
from gradtx.core.plan import Inputs, Plan, plan_of, updating
from gradtx.core.rules import Rule
from gradtx.core.transformation import inner_of, transformation
from gradtx.core.trees import (
    absent,
    as_array,
    failure,
    leaves_like,
    leaves_of,
    paths_of,
)


@transformation
def lazy(inner: Any, *, axis_name: AxisName = None):
    """Leave rows whose gradient is zero as they are, their state too.

        r_i = whether any entry of g_i is not 0, for each row i of a leaf
        u_i = inner(g)_i,   s_i = the inner state's   where r_i
        u_i = 0,            s_i as it was             elsewhere

    For the rows of an embedding, of which a batch has a few: without it a momentum goes
    on moving the words that are not there, and decay shrinks them. Counts go on: a row
    that comes at step t is corrected for t steps, as in torch.optim.SparseAdam, which
    is `lazy(adam(rate, eps_before_correction=True))`. There a row that is listed with
    a gradient of zeros counts as there; here it does not.

    A row is what the first axis of a leaf counts, an entry of a vector, or a number
    alone. Gradients are dense all the same, and all rows are read. Give other
    parameters an optimizer without it: `groups([("embed", lazy(adam(1e-3)))], ...)`.

    State: the inner one.

    Args:
      inner: a transformation whose state has a row for each: `adam`, `adagrad`, `sgd`
        with momentum, chains of such. What wraps an optimizer (`MultiSteps`,
        `inject_hyperparams`, `masked`) goes around it, not inside.
      axis_name: mesh axes over which the rows themselves are split, inside of `pmap`
        or `shard_map`; `()` if each device has rows of its own.

    Raises:
      TypeError: inner is not a transformation, or not made of rules for one array.
      ValueError: an entry of its state that has no rows, an axis that is not there, or
        a leaf that differs along one that is not named.

    Source: PyTorch's SparseAdam; the moments of other rows are neither faded nor used.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.lazy(gradtx.sgd(0.5, momentum=0.9))
      >>> params = jnp.ones((2, 1))
      >>> state = tx.init(params)
      >>> for g in ([[1.0], [1.0]], [[1.0], [0.0]]):
      ...     params, state = tx.step(jnp.array(g), state, params)
      >>> params[:, 0]
      Array([-0.45,  0.5 ], dtype=float32)
    """
    tx = inner_of("lazy: inner", inner)
    names_of(axis_name)
    plan = plan_of(tx.update)
    if plan is None:
        raise TypeError(
            f"lazy: inner must be made of rules for one array, got {tx!r}. What wraps "
            f"an optimizer goes around lazy: MultiSteps(lazy(adam(0.1)), 4)."
        )

    def prepare(updates, state, params):
        need_whole()
        inputs, rebuild = plan.prepare(updates, state, params)
        leaves, treedef = leaves_of(updates)
        paths = [path for path, _ in paths_of(updates)]
        rows = [
            None if absent(g) else _rows(g, axis_name, path)
            for path, g in zip(paths, leaves, strict=True)
        ]

        def kept(new, old):
            """A slot, with the old values of the rows that are not there."""
            both = (leaves_like(treedef, x, "the state", updates) for x in (new, old))
            return treedef.unflatten(
                n if r is None or o is None else jnp.where(_like(r, o, path), n, o)
                for r, path, n, o in zip(rows, paths, *both, strict=True)
            )

        def back(new):
            return rebuild(
                [
                    list(map(kept, slots, given.slots))
                    for slots, given in zip(new[:-1], inputs, strict=True)
                ]
            )

        return [*inputs, Inputs([treedef.unflatten(rows)])], back

    rules = [*plan.rules, Rule(_taken, slots=("rows",))]
    return tx.init, updating(Plan(rules, prepare, plan.reads_updates))


def _taken(u: Any, rows: Any) -> tuple[Any, Any]:
    return jnp.where(rows, u, 0), rows


def _rows(g: Any, axis_name: AxisName, path: str) -> jax.Array:
    """Whether each row has a gradient, with as many axes as the leaf."""
    g = as_array(g)
    columns = tuple(range(1, g.ndim))
    found = jnp.sum(g != 0, columns, dtype=jnp.int32, keepdims=True)
    return across(found, axes_of(g, axis_name, path)) > 0


def _like(rows: Any, slot: Any, path: str) -> Any:
    """The rows, for a slot that has them."""
    if jnp.shape(slot)[:1] != rows.shape[:1] or jnp.ndim(slot) != rows.ndim:
        raise failure(
            f"an entry of the state of updates{path} is {jax.typeof(slot)}, which has "
            f"no row for each of the {rows.shape[:1]} of the parameter: only what is "
            f"shaped like the parameter can stay as it is, row by row."
        )
    return rows
