"""The linear assignment problem: pairs of rows and columns at the least cost."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer

from gradtx.core.trees import compute_dtype


class _Prices(NamedTuple):
    row_of: jax.Array  # of each column, -1 for one that is free, int32
    u: jax.Array  # price of each row
    v: jax.Array  # price of each column, at most 0
    solvable: jax.Array  # bool


def hungarian_algorithm(cost_matrix: Any) -> tuple[jax.Array, jax.Array]:
    """The pairs of rows and columns whose costs have the smallest sum.

        min sum_k c[i_k, j_k],   no row and no column twice,   k = 1 .. min(n, m)

    Row after row is taken in along the shortest path, by the costs c_ij - u_i - v_j
    that prices u, v leave, and the pairs on it are exchanged. For n <= m that takes at
    most n^2 looks at a row of costs, n^2 m operations. It works under `jit` and `vmap`.
    `cost_matrix[i, j].sum()` has a derivative, 1 for each pair that is chosen.

    Of several best assignments it gives one. Costs are compared in float32 at least
    (float64 for float64 and, under x64, integers): the smallest sum up to rounding.

    Args:
      cost_matrix: c, of shape (n, m), real. An infinite cost forbids a pair.

    Returns:
      `(i, j)`, int32 of shape (min(n, m),), the rows in ascending order, as
      `scipy.optimize.linear_sum_assignment` gives them. Under `jit`, where costs are
      not known, -1 throughout if there is a NaN or no assignment of finite cost.

    Raises:
      ValueError: not two axes, a cost of NaN or minus infinity, or no assignment of
        finite cost.
      TypeError: complex costs.

    Source: Crouse, On implementing 2D rectangular assignment algorithms (2016), section
    II; Jonker and Volgenant, A shortest augmenting path algorithm (1987). In place of
    their updates of u it is read off the pairs, where c_ij = u_i + v_j.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> cost = jnp.array([[8, 4, 7], [5, 2, 3], [9, 6, 7], [9, 4, 8]])
      >>> i, j = gradtx.assignment.hungarian_algorithm(cost)
      >>> i.tolist(), j.tolist(), int(cost[i, j].sum())
      ([0, 1, 3], [0, 2, 1], 15)
    """
    cost = _checked(cost_matrix)
    n, m = cost.shape
    if min(n, m) == 0:
        return jnp.zeros([0], jnp.int32), jnp.zeros([0], jnp.int32)
    i, j, solvable = _solve(cost)
    if not isinstance(solvable, Tracer) and not solvable:
        raise ValueError(
            "hungarian_algorithm: there is no assignment of finite cost: cost_matrix "
            "has too many infinite entries."
        )
    return i, j


def _checked(cost_matrix: Any) -> jax.Array:
    """The costs, as numbers that are not differentiated."""
    name = "hungarian_algorithm"
    cost = jnp.asarray(cost_matrix)
    if cost.ndim != 2:
        raise ValueError(
            f"{name}: cost_matrix must have two axes, rows and columns, got the shape "
            f"{cost.shape}. Map over more of them with jax.vmap."
        )
    if jnp.issubdtype(cost.dtype, jnp.complexfloating):
        raise TypeError(f"{name}: cost_matrix must be real, got {cost.dtype}.")
    whole = not jnp.issubdtype(cost.dtype, jnp.floating)
    wide = jax.dtypes.canonicalize_dtype(float) if whole else compute_dtype(cost.dtype)
    cost = lax.stop_gradient(cost.astype(wide))
    if not isinstance(cost, Tracer):
        wrong = np.argwhere(np.isnan(cost) | (np.asarray(cost) == -np.inf))
        if len(wrong):
            i, j = map(int, wrong[0])
            raise ValueError(
                f"{name}: cost_matrix[{i}, {j}] is {cost[i, j]}; a cost is a number, "
                f"or infinite for a pair that must not be."
            )
    return cost


@jax.jit
def _solve(cost: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Rows, columns, and whether there is an assignment at all."""
    n, m = cost.shape
    known = ~jnp.any(jnp.isnan(cost) | (cost == -jnp.inf))
    if n > m:
        j, i, solvable = _solve_wide(cost.T)
        order = jnp.argsort(i)
        i, j = i[order], j[order]
    else:
        i, j, solvable = _solve_wide(cost)
    solvable &= known
    return jnp.where(solvable, i, -1), jnp.where(solvable, j, -1), solvable


def _solve_wide(cost: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The same for no more rows than columns: every row has its column."""
    n, m = cost.shape
    none = jnp.full([m], -1, jnp.int32)
    start = _Prices(
        none, jnp.zeros([n], cost.dtype), jnp.zeros([m], cost.dtype), jnp.array(True)
    )
    end = lax.fori_loop(0, n, lambda i, prices: _take_in(cost, i, prices), start)
    rows = jnp.where(end.row_of < 0, n, end.row_of)
    columns = jnp.full([n], -1, jnp.int32)
    columns = columns.at[rows].set(jnp.arange(m, dtype=jnp.int32), mode="drop")
    return jnp.arange(n, dtype=jnp.int32), columns, end.solvable


class _Search(NamedTuple):
    row: jax.Array  # whose costs come next
    column: jax.Array  # the last that was reached
    length: jax.Array  # of the path there
    lengths: jax.Array  # of the shortest paths to columns so far
    before: jax.Array  # the row before each column on its path
    reached: jax.Array  # columns whose path is settled


def _take_in(cost: jax.Array, new: jax.Array, prices: _Prices) -> _Prices:
    """One row more, along the shortest path from it to a free column."""
    row_of, u, v, solvable = prices
    m = cost.shape[1]

    def goes_on(search: _Search) -> jax.Array:
        taken = row_of[search.column] >= 0
        return (search.length < jnp.inf) & ((search.column < 0) | taken)

    def look(search: _Search) -> _Search:
        through = search.length + (cost[search.row] - u[search.row] - v)
        shorter = ~search.reached & (through < search.lengths)
        lengths = jnp.where(shorter, through, search.lengths)
        before = jnp.where(shorter, search.row, search.before)
        left = jnp.where(search.reached, jnp.inf, lengths)
        length = left.min()
        # Of equally near columns a free one: there the search is over.
        column = jnp.argmax((left == length) + ((left == length) & (row_of < 0)))
        column = column.astype(jnp.int32)
        reached = search.reached.at[column].set(True)
        return _Search(row_of[column], column, length, lengths, before, reached)

    search = lax.while_loop(
        goes_on,
        look,
        _Search(
            row=jnp.asarray(new, jnp.int32),
            column=jnp.array(-1, jnp.int32),
            length=jnp.zeros([], cost.dtype),
            lengths=jnp.full([m], jnp.inf, cost.dtype),
            before=jnp.full([m], -1, jnp.int32),
            reached=jnp.zeros([m], bool),
        ),
    )
    found = search.length < jnp.inf
    # Prices under which the path costs nothing, and nothing costs less than that.
    paid = jnp.where(search.reached & found, search.length - search.lengths, 0)
    v = v - paid

    def exchange(carry: tuple[Any, ...]) -> tuple[Any, ...]:
        row_of, column, _ = carry
        row = search.before[column]
        # The column that the row has had so far is the next to be given away.
        had = jnp.argmax(row_of == row).astype(jnp.int32)
        return row_of.at[column].set(row), had, row != new

    row_of, _, _ = lax.while_loop(
        lambda carry: carry[2], exchange, (row_of, search.column, found)
    )
    paired = row_of >= 0
    rows = jnp.where(paired, row_of, 0)
    own = cost[rows, jnp.arange(m)] - v
    u = u.at[jnp.where(paired, row_of, cost.shape[0])].set(own, mode="drop")
    return _Prices(row_of, u, v, solvable & found)
