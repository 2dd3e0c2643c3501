"""Rows without a gradient stay as they are: for embeddings."""

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.axes import AxisName, across, axes_of, names_of, need_whole
from gradtx.core.outcome import OutcomeError
from gradtx.core.plan import Inputs, Plan, plan_of, updating
from gradtx.core.rules import Rule
from gradtx.core.stacks import refuse_stacks
from gradtx.core.transformation import inner_of, transformation
from gradtx.core.trees import (
    absent,
    as_array,
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
        with momentum, chains of such. What wraps an optimizer (`MultiSteps`, `masked`)
        goes around it, not inside.
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
        refuse_stacks(updates, "of which lazy would take each for a row.")
        inputs, rebuild = plan.prepare(updates, state, params)
        leaves, treedef = leaves_of(updates)
        rows = treedef.unflatten(
            None if absent(g) else _rows(g, axis_name, path)
            for (path, _), g in zip(paths_of(updates), leaves, strict=True)
        )
        more = [x._replace(slots=[rows, *x.slots]) for x in inputs]
        back = lambda new: rebuild([slots[1:] for slots in new[:-1]])  # noqa: E731
        return [*more, Inputs([rows])], back

    rules = [_kept(rule) for rule in plan.rules]
    rules.append(Rule(lambda u, rows: (jnp.where(rows, u, 0), rows), slots=("rows",)))
    return tx.init, updating(Plan(rules, prepare, plan.reads_updates))


def _kept(rule: Rule) -> Rule:
    """A rule that leaves its slots as they are where rows are not there."""

    def fn(*given):
        at = 1 + rule.twice + rule.with_params
        rows, old = given[at], given[at + 1 :]
        out = rule.fn(*given[:at], *old)
        u, *new = out if isinstance(out, tuple) else (out,)
        return (
            u,
            rows,
            *(_selected(rows, *both) for both in zip(new, old, strict=False)),
        )

    # Written last: in front of the parameters XLA would copy the old ones.
    return rule._replace(fn=fn, slots=("rows", *rule.slots), last=rule.slots)


def _selected(rows: Any, new: Any, old: Any) -> Any:
    """A slot: the new values of the rows that are there, and the old of the others."""

    def select(n: Any, o: Any) -> Any:
        if jnp.shape(o)[:1] != rows.shape[:1] or jnp.ndim(o) != rows.ndim:
            raise OutcomeError(
                f"keeps an entry {jax.typeof(o)} for updates{{leaf}}, without a row "
                f"for each of the parameter's: lazy goes around what keeps entries "
                f"shaped like the parameter.",
                ValueError,
            )
        return jnp.where(rows, n, o)

    return jax.tree.map(select, new, old)


def _rows(g: Any, axis_name: AxisName, path: str) -> jax.Array:
    """Whether each row has a gradient, with as many axes as the leaf."""
    g = as_array(g)
    columns = tuple(range(1, g.ndim))
    # The largest: a sum of comparisons XLA would store as large as the leaf.
    largest = jnp.max(jnp.abs(g), columns, keepdims=True, initial=0)
    return across((largest != 0).astype(jnp.int32), axes_of(g, axis_name, path)) > 0
