"""Parameters kept in a set: a projection after every step."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.masking import fitting
from gradtx.core.plan import lift, need_params
from gradtx.core.transformation import inner_of, transformation
from gradtx.core.trees import absent, dtype_of, failure, is_none, leaves_of, paths_of
from gradtx.core.widths import inside

Projection = Callable[[Any], Any]


@transformation
def project(inner: Any, projection: Any):
    """Let an optimizer run, and bring the parameters back into a set.

        p_t = P(p_{t-1} + u_t)                         u_t from the inner optimizer

    Projected gradient descent, where the inner one is `sgd`, with the minimum over a
    convex set as its fixed point. Adaptive optimizers (Adam) stay in the set, but may
    stop beside that minimum: P is the nearest point whatever the scale of each entry's
    steps; of sets that are boxes they do not. It is the whole step, so
    the learning rate, decay and momentum are inside, and what leaves steps out
    (`MultiSteps`, `apply_if_finite`) is outside; what moves several copies of the
    parameters, as `lookahead` does, too.

    `update` gives P(p + u) - p, so that `apply_updates` gets there but for rounding;
    `step` writes P(p + u) itself, computed in at least float32 and rounded once into
    the parameter. A parameter in bfloat16 may round to just outside. Parameters that
    begin elsewhere are in the set after one step. A leaf whose gradient is `None` is
    held still, and P does not see it.

    State: the inner one. `update` needs params.

    Args:
      inner: the optimizer.
      projection: P, a function from a tree to one of the same structure and shapes,
        as those of `gradtx.projections`, other arguments bound with
        `functools.partial`. Or a tree like the parameters (or a prefix of it) of such
        functions, each for the subtree at its place, and of `None`, which leaves
        everything there as it is.

    Raises:
      ValueError: no params in `update`, projections that do not fit the parameters, or
        one that changes structure or shapes.
      TypeError: if inner is no transformation, or projection no function.

    Source: Bertsekas, On the Goldstein-Levitin-Polyak gradient projection method
    (1976), equation 2.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> from gradtx.projections import projection_simplex
      >>> tx = gradtx.project(gradtx.sgd(1.0), {"p": projection_simplex, "b": None})
      >>> params = {"p": jnp.array([0.5, 0.5]), "b": jnp.array(1.0)}
      >>> gradient = {"p": jnp.array([0.0, 0.5]), "b": jnp.array(3.0)}
      >>> params, state = tx.step(gradient, tx.init(params), params)
      >>> params["p"], float(params["b"])
      (Array([0.75, 0.25], dtype=float32), -2.0)
    """
    tx = inner_of("project: inner", inner)
    for path, value in paths_of(projection):
        if value is not None and not callable(value):
            raise TypeError(
                f"project: projection{path} must be a function of a tree, or None, got "
                f"{value!r:.60}."
            )

    def reached(updates, state, params, extra):
        need_params(params)
        with inside():  # as wide as it was computed
            new, state = tx.update(updates, state, params, **extra)
        return _onto(projection, _moved(new, params=params)[0]), state

    def update(updates, state, params=None, **extra):
        new, state = reached(updates, state, params, extra)
        return _away(new, params=params)[0], state

    def step(updates, state, params, **extra):
        new, state = reached(updates, state, params, extra)
        return jax.tree.map(_written, new, params, is_leaf=is_none), state

    return tx.init, update, step


_moved = lift(lambda u, p: p + u, with_params=True)
_away = lift(lambda x, p: x - p, with_params=True)


def _written(x: Any, p: Any) -> Any:
    return p if absent(x) else jnp.asarray(x, dtype_of(p))


def _is_projection(x: Any) -> bool:
    return x is None or callable(x)


def _onto(projection: Any, tree: Any) -> Any:
    """The nearest point, checked to be of the tree's kind."""
    each = fitting("projection", projection, tree, _is_projection)

    def nearest(fn: Projection | None, part: Any) -> Any:
        if fn is None or not jax.tree.leaves(part):
            return part
        new = fn(part)
        _check_same(fn, part, new)
        return new

    return jax.tree.map(nearest, each, tree, is_leaf=_is_projection)


def _check_same(fn: Projection, part: Any, new: Any) -> None:
    leaves, treedef = leaves_of(part)
    others, other_def = leaves_of(new)
    shapes = [getattr(x, "shape", None) for x in leaves]
    if treedef != other_def or shapes != [getattr(x, "shape", None) for x in others]:
        raise failure(
            f"projection {getattr(fn, '__name__', fn)!s:.60} must keep structure and "
            f"shapes: given {_outline(part)}, it returned {_outline(new)}."
        )


def _outline(tree: Any) -> str:
    shapes = jax.tree.map(lambda x: getattr(x, "shape", x), tree)
    return f"{shapes!r:.80}"
