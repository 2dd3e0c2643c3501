"""GaLore: another optimizer run on gradients projected to a few dimensions."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gradtx.core import check
from gradtx.core.axes import (
    AxisName,
    alike,
    check_alone,
    need_all,
    need_whole,
)
from gradtx.core.compose import chain
from gradtx.core.leafwise import slot_dtype
from gradtx.core.masking import MaskOrFn, spread_list
from gradtx.core.numerics import safe_increment
from gradtx.core.per_leaf import PerLeaf
from gradtx.core.plan import check_state
from gradtx.core.stacks import layers_of, over_layers, stack_axes, stacked_shape
from gradtx.core.transformation import inner_of, transformation
from gradtx.core.trees import (
    absent,
    as_array,
    check_inexact,
    failure,
    is_function,
    leaves_like,
    leaves_of,
    paths_of,
)
from gradtx.core.types import Scalar, ScalarOrSchedule, State, Updates
from gradtx.core.widths import widened
from gradtx.optimizers.adam import scale_by_adam
from gradtx.transforms.decay import add_decayed_weights
from gradtx.transforms.scale import scale_by_learning_rate


class GaLoreDimensionNumbers(NamedTuple):
    """Which axes of a leaf are the inputs and which the outputs of its matrix.

    Example:
      >>> import gradtx
      >>> gradtx.GaLoreDimensionNumbers(0, (1, 2))  # (width, heads, size)
      GaLoreDimensionNumbers(reduction_axis=0, output_axis=(1, 2))
    """

    reduction_axis: Sequence[int] | int = 0
    output_axis: Sequence[int] | int = 1


class GaLoreState(NamedTuple):
    count: jax.Array  # steps taken, int32
    base_optimizer_state: State  # of the projected leaves
    projector: Updates  # its columns are the basis; None where none is projected


# One for all leaves of two or more axes, a tree of them with None for leaves that are
# not projected, or a function from the parameters to one.
DimensionNumbersOrFn = Any | Callable[[Any], Any]


@transformation
def scale_by_galore(
    rank: int = 128,
    update_proj_gap: int = 200,
    scale: Scalar = 1.0,
    base_optimizer: Any = None,
    weight_dimension_numbers: DimensionNumbersOrFn | None = None,
    *,
    axis_name: AxisName = None,
):
    """Run another transformation in the space of the gradient's singular vectors.

        R_t = P_t' g_t
        u_t = scale P_t base_optimizer(R_t)

    for a matrix with at least as many rows as columns: P_t are the first left singular
    vectors of its gradient, as many as rank, found anew every `update_proj_gap` steps.
    Else they are the right ones, R_t = g_t P_t and u_t = scale base_optimizer(R_t)
    P_t'. So it is the longer axis that is shortened, which makes the moments smallest;
    the paper shortens the other. The moments stay as they are when the basis changes.

    Leaves that are no matrix go to the base optimizer as they are, without scale. It
    gets no parameters, since those would have other shapes: decay comes after it.

    State: for an n by m matrix, n <= m, rank m numbers of the basis, and the base
    optimizer's state of n by rank; one int32.

    Args:
      rank: of the projection, above 0.
      update_proj_gap: steps from one singular value decomposition to the next, above 0.
      scale: factor of the projected leaves' updates, a finite number. The paper has
        0.25.
      base_optimizer: a transformation that needs no parameters; by default
        `scale_by_adam()`.
      weight_dimension_numbers: which axes make up a matrix, `GaLoreDimensionNumbers`:
        one for all leaves of two or more axes, a tree of them like the parameters (or a
        prefix of it) with `None` for leaves that are not projected, or a function from
        the parameters to one. By default leaves of two axes are the matrices.
      axis_name: `()` for matrices that differ between devices inside of `shard_map`, of
        which each device has its own, whole; those that are split take `jit` with
        sharded arrays.

    Raises:
      ValueError: a number out of range, axes that are not all axes of a leaf, the name
        of a mesh axis, or a matrix that differs between devices.
      TypeError: base_optimizer is not a transformation.

    Source: Zhao et al., GaLore: memory-efficient LLM training by gradient low-rank
    projection (2024), algorithm 2.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.scale_by_galore(rank=1, base_optimizer=gradtx.identity())
      >>> params = jnp.ones((3, 2))
      >>> g = jnp.array([[1.0, 2.0], [2.0, 4.0], [0.0, 0.0]])  # of rank one
      >>> updates, state = tx.update(g, tx.init(params))
      >>> bool(jnp.allclose(updates, g, atol=1e-5)), state.projector.shape
      (True, (3, 1))
    """
    check.count("rank", rank, 1)
    check.count("update_proj_gap", update_proj_gap, 1)
    check.finite("scale", scale)
    check_alone(axis_name)
    given = scale_by_adam() if base_optimizer is None else base_optimizer
    tx = inner_of("scale_by_galore: base_optimizer", given)

    def matrices(tree):
        return _matrices(weight_dimension_numbers, tree, rank)

    def init(params):
        leaves, treedef = leaves_of(params)
        low, bases = list(leaves), list(leaves)
        axes = stack_axes(params)
        for i, matrix in enumerate(matrices(params)):
            x = leaves[i]
            if absent(x):
                continue
            bases[i] = None
            if matrix is not None:
                shapes = [
                    stacked_shape(shape, x, axes[i])
                    for shape in (matrix.basis, matrix.low)
                ]
                bases[i] = jnp.zeros(shapes[0], slot_dtype(x))
                low[i] = jnp.zeros(shapes[1], jnp.result_type(x))
        state = tx.init(treedef.unflatten(low))
        return GaLoreState(jnp.zeros([], jnp.int32), state, treedef.unflatten(bases))

    def update(updates, state, params=None, **extra):
        check_state(state, GaLoreState)
        need_whole()
        check_inexact(leaves_of(updates)[0], updates)
        updates = widened(updates)
        leaves, treedef = leaves_of(updates)
        bases = leaves_like(treedef, state.projector, "the state", updates)
        anew = state.count % update_proj_gap == 0
        groups, axes = {}, stack_axes(updates)
        for i, matrix in enumerate(matrices(updates)):
            if matrix is not None:
                need_all(leaves[i], axis_name, paths_of(updates)[i][0])
                groups.setdefault((matrix, axes[i]), []).append(i)
        low = list(leaves)
        for kind, here in groups.items():
            rows = [(as_array(leaves[i]), None, bases[i]) for i in here]
            for i, found in zip(here, _down(*kind)(rows, anew), strict=True):
                low[i], bases[i] = found
        new, inner = tx.update(treedef.unflatten(low), state.base_optimizer_state)
        found = leaves_like(treedef, new, "what base_optimizer gives", updates)
        for kind, here in groups.items():
            rows = [(found[i], bases[i], ()) for i in here]
            for i, u in zip(here, _up(*kind)(rows, jnp.asarray(scale)), strict=True):
                found[i] = u[0]
        count = safe_increment(state.count)
        bases = treedef.unflatten(bases)
        return treedef.unflatten(found), GaLoreState(count, inner, bases)

    return init, update


class _Matrix(NamedTuple):
    """How a leaf is a matrix, and how it is projected."""

    shape: tuple[int, ...]  # of the leaf
    order: tuple[int, ...]  # its axes, those of the rows first
    rows: int
    columns: int
    rank: int

    @property
    def left(self) -> bool:
        return self.rows >= self.columns

    @property
    def basis(self) -> tuple[int, int]:
        return max(self.rows, self.columns), self.rank

    @property
    def low(self) -> tuple[int, int]:
        return (self.rank, self.columns) if self.left else (self.rows, self.rank)

    def of(self, x: jax.Array) -> jax.Array:
        return x.transpose(self.order).reshape(self.rows, self.columns)

    def back(self, x: jax.Array) -> jax.Array:
        long = [self.shape[i] for i in self.order]
        inverse = sorted(range(len(long)), key=lambda i: self.order[i])
        return x.reshape(long).transpose(inverse)


@functools.cache
def _down(matrix: _Matrix, layers: int | None) -> PerLeaf:
    """From gradient and basis to the projected gradient and the new basis."""

    def singular(g: jax.Array, basis: jax.Array) -> jax.Array:
        u, _, v = jnp.linalg.svd(g, full_matrices=False)
        chosen = u[:, : matrix.rank] if matrix.left else v[: matrix.rank].conj().T
        return chosen.astype(basis.dtype)

    def down(leaf: Any, anew: Any) -> Any:
        g, basis = matrix.of(leaf[0]), leaf[2]
        basis = lax.cond(anew, singular, lambda g, basis: alike(basis, g), g, basis)
        if matrix.left:
            return _product(basis.conj().T, g), basis
        return _product(g, basis), basis

    return PerLeaf(down if layers is None else over_layers(down, layers))


@functools.cache
def _up(matrix: _Matrix, layers: int | None) -> PerLeaf:
    """From the projected update and the basis to the update."""

    def up(leaf: Any, scale: Any) -> Any:
        low, basis, none = leaf
        full = _product(basis, low) if matrix.left else _product(low, basis.conj().T)
        return matrix.back(jnp.asarray(scale, full.real.dtype) * full), none

    return PerLeaf(up if layers is None else over_layers(up, layers))


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    dtype = jnp.promote_types(a.dtype, b.dtype)
    exact = lax.Precision.HIGHEST
    return jnp.matmul(a.astype(dtype), b.astype(dtype), precision=exact)


def _is_numbers(x: Any) -> bool:
    return x is None or isinstance(x, GaLoreDimensionNumbers)


def _matrices(given: Any, tree: Any, rank: int) -> list[_Matrix | None]:
    """For each leaf how it is a matrix, or None."""
    layers = layers_of(tree)
    dims = [0 if absent(x) else jnp.ndim(x) for x in leaves_of(layers)[0]]
    made = given(layers) if is_function(given) else given
    if made is None:
        each = [GaLoreDimensionNumbers() if n == 2 else None for n in dims]
    elif isinstance(made, GaLoreDimensionNumbers):
        each = [made if n > 1 else None for n in dims]
    else:
        each = spread_list("weight_dimension_numbers", made, tree, _is_numbers)
    return [
        None if absent(x) or numbers is None else _matrix(x, numbers, rank, path)
        for (path, x), numbers in zip(paths_of(layers), each, strict=True)
    ]


def _matrix(x: Any, numbers: Any, rank: int, path: str) -> _Matrix | None:
    shape = jnp.shape(x)
    if not isinstance(numbers, GaLoreDimensionNumbers):
        raise failure(
            f"weight_dimension_numbers{path} must be GaLoreDimensionNumbers or None, "
            f"got {numbers!r:.60}.",
            TypeError,
        )
    parts = [(a,) if isinstance(a, int) else tuple(a) for a in numbers]
    fit = all(-len(shape) <= i < len(shape) for part in parts for i in part)
    rows, columns = [tuple(i % max(len(shape), 1) for i in part) for part in parts]
    if not fit or sorted(rows + columns) != list(range(len(shape))) or not columns:
        raise failure(
            f"weight_dimension_numbers{path} must name each axis of the leaf once, "
            f"which has shape {shape}; got {numbers}."
        )
    if 0 in shape:
        return None
    m, n = (math.prod(shape[i] for i in part) for part in (rows, columns))
    return _Matrix(shape, rows + columns, m, n, min(rank, m, n))


@transformation
def galore(
    learning_rate: ScalarOrSchedule,
    rank: int = 128,
    update_proj_gap: int = 200,
    scale: Scalar = 1.0,
    base_optimizer: Any = None,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: MaskOrFn | None = None,
    weight_dimension_numbers: DimensionNumbersOrFn | None = None,
    *,
    axis_name: AxisName = None,
):
    """GaLore: `scale_by_galore`, then weight decay, then the learning rate.

    State: for an n by m matrix, n <= m, rank m numbers and the base optimizer's state
    of n by rank; one int32.

    Args:
      learning_rate: a finite number or a schedule.
      rank, update_proj_gap, scale, base_optimizer, weight_dimension_numbers,
        axis_name: see `scale_by_galore`. A base optimizer with a rate of its own wants
        learning_rate -1.0: it goes downhill already.
      weight_decay, mask: see `add_decayed_weights`; decoupled, in the full space.

    Raises:
      ValueError: a number out of range, a mask that does not fit, or axes that are not
        all axes of a leaf.
      TypeError: base_optimizer is not a transformation.

    Source: Zhao et al., GaLore: memory-efficient LLM training by gradient low-rank
    projection (2024), algorithm 2.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.galore(1e-2, rank=2)
      >>> params = {"kernel": jnp.ones((5, 7)), "bias": jnp.ones(7)}
      >>> state = tx.init(params)
      >>> state[0].base_optimizer_state.mu["kernel"].shape
      (5, 2)
    """
    return chain(
        scale_by_galore(
            rank,
            update_proj_gap,
            scale,
            base_optimizer,
            weight_dimension_numbers,
            axis_name=axis_name,
        ),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )
