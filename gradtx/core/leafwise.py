"""The lift: a rule for one array becomes a transformation of trees."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.numerics import safe_increment
from gradtx.core.trees import (
    absent,
    callers,
    check_inexact,
    compute_dtype,
    failure,
    leaves_like,
    leaves_of,
    paths_of,
)
from gradtx.core.types import EmptyState


class Slot(NamedTuple):
    """How one array of state is made from a parameter."""

    init: Callable[[jax.Array], jax.Array]
    like_param: bool = True  # has the parameter's shape


def slot_dtype(param: Any, dtype: Any = None, real: bool = False) -> Any:
    """The dtype of a slot: as named, else the parameter's, at least float32.

    A real slot (a second moment) of a complex parameter has its real dtype.
    """
    chosen = compute_dtype(jnp.result_type(param)) if dtype is None else dtype
    return jnp.finfo(chosen).dtype if real else jnp.dtype(chosen)


def full(value: Any, dtype: Any = None, *, real: bool = False) -> Slot:
    """A slot shaped like the parameter, filled with a value.

    Args:
      value: what it starts from.
      dtype: of the slot; by default the parameter's, at least float32.
      real: whether it is real where the parameter is complex (a second moment).

    Raises:
      ValueError: a dtype that is not floating or complex.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.full(0.1).init(jnp.ones(2, jnp.bfloat16))
      Array([0.1, 0.1], dtype=float32)
    """
    if dtype is not None and not jnp.issubdtype(dtype, jnp.inexact):
        raise ValueError(f"a state dtype must be floating or complex, got {dtype}.")
    return Slot(lambda p: jnp.full_like(p, value, dtype=slot_dtype(p, dtype, real)))


def zeros(dtype: Any = None, *, real: bool = False) -> Slot:
    """A slot shaped like the parameter, filled with zeros; see `full`.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.zeros(jnp.bfloat16).init(jnp.ones(2))
      Array([0, 0], dtype=bfloat16)
    """
    return full(0, dtype, real=real)


def lift(
    rule: Callable[..., Any], *, with_params: bool = False
) -> Callable[..., tuple[Any, list[Any]]]:
    """Lift a rule for one array over trees.

    Args:
      rule: `rule(g, *slots, *scalars) -> update`, or `-> (update, *new_slots)` where
        there are slots; `rule(g, p, *slots, *scalars)` for `with_params=True`. Arrays
        reach it in at least float32 and go back in the dtypes they came in.
      with_params: whether the rule takes the parameter, second.

    Returns:
      `apply(updates, slots=(), params=None, scalars=()) -> (updates, new_slots)`,
      with a list of trees for slots. Each distinct shape is traced once. Leaves that
      are `None` are passed over and keep their slots.
    """

    def compute(g: Any, p: Any, slots: tuple, scalars: tuple) -> tuple[Any, tuple]:
        arrays = (g, *slots, p) if with_params else (g, *slots)
        width = functools.reduce(jnp.promote_types, map(_real_dtype, arrays))

        def up(x: Any) -> Any:  # also a scalar: it must not promote what it meets
            dtype = jnp.result_type(x)
            if not jnp.issubdtype(dtype, jnp.inexact):
                return x
            if jnp.issubdtype(dtype, jnp.complexfloating):
                return jnp.asarray(x, jnp.promote_types(width, jnp.complex64))
            return jnp.asarray(x, width)

        out = rule(*map(up, arrays[:1] + arrays[len(slots) + 1 :] + slots + scalars))
        new_g, *new_slots = out if slots else (out,)
        new_slots = [n.astype(s.dtype) for n, s in zip(new_slots, slots, strict=True)]
        return new_g.astype(g.dtype), tuple(new_slots)

    # A jit of its own: traced once a shape, called for every leaf; XLA inlines it.
    compute = jax.jit(compute)

    def apply(
        updates: Any,
        slots: Sequence[Any] = (),
        params: Any = None,
        scalars: Sequence[Any] = (),
    ) -> tuple[Any, list[Any]]:
        leaves, treedef = leaves_of(updates)
        check_inexact(leaves, updates)
        columns = [leaves_like(treedef, s, "the state", updates) for s in slots]
        given = (
            leaves_like(treedef, params, "params", updates)
            if with_params
            else [None] * len(leaves)
        )
        for i, g in enumerate(leaves):
            if absent(g):
                continue
            row = tuple(column[i] for column in columns)
            p = jnp.asarray(given[i]) if with_params else None
            leaves[i], new = compute(jnp.asarray(g), p, row, tuple(scalars))
            for column, value in zip(columns, new, strict=True):
                column[i] = value
        return treedef.unflatten(leaves), [treedef.unflatten(c) for c in columns]

    return apply


def _real_dtype(x: Any) -> Any:
    """The real dtype to compute in, at least float32."""
    return jnp.finfo(compute_dtype(jnp.result_type(x))).dtype


def _check_shapes(updates: Any, state: Any) -> None:
    """Raise unless updates have the shapes that the state was made for."""
    leaves, treedef = leaves_of(updates)
    made = leaves_like(treedef, state, "the state", updates)
    for i, (g, s) in enumerate(zip(leaves, made, strict=True)):
        if not absent(g) and jnp.shape(s) != jnp.shape(g):
            raise failure(
                f"updates{paths_of(updates)[i][0]} has shape {jnp.shape(g)}, the "
                f"state was made for shape {jnp.shape(s)}."
            )


def leafwise(
    State: Any,
    rule: Callable[..., Any],
    *,
    scalars: Callable[[jax.Array], Sequence[Any]] | None = None,
    with_params: bool = False,
    **slots: Slot,
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """A transformation from a rule for one array.

    Args:
      State: the NamedTuple of the state: a `count` if it has that field, and the
        slots. `EmptyState` where there is none.
      rule: see `lift`.
      scalars: from the count of this step (1 at the first) to the scalars that the
        rule takes last; computed once for the whole tree.
      with_params: whether the rule takes the parameter, second; then `update` needs it.
      **slots: how each array of state is made, by field name, in the rule's order.

    Returns:
      `init, update`.

    Example:
      >>> from typing import NamedTuple
      >>> import jax.numpy as jnp, gradtx
      >>> class SignState(NamedTuple):
      ...     mu: gradtx.Updates  # momentum, shaped like params
      >>> @gradtx.transformation
      ... def scale_by_sign_of_momentum(decay=0.9):
      ...     def rule(g, mu):
      ...         mu = decay * mu + (1 - decay) * g
      ...         return jnp.sign(mu), mu
      ...     return gradtx.leafwise(SignState, rule, mu=gradtx.zeros())
      >>> scale_by_sign_of_momentum()
      scale_by_sign_of_momentum()
    """
    apply = lift(rule, with_params=with_params)
    counted = "count" in State._fields
    shaped = next((name for name, slot in slots.items() if slot.like_param), None)

    def init(params: Any) -> Any:
        leaves, treedef = leaves_of(params)

        def fill(slot: Slot) -> Any:
            return treedef.unflatten([p if absent(p) else slot.init(p) for p in leaves])

        fields = {name: fill(slot) for name, slot in slots.items()}
        if counted:
            fields["count"] = jnp.zeros([], jnp.int32)
        return State(**fields)

    def update(
        updates: Any, state: Any, params: Any = None, **extra: Any
    ) -> tuple[Any, Any]:
        check_state(state, State)
        if with_params:
            need_params(params)
        fields = {}
        if counted:
            fields["count"] = safe_increment(state.count)
        values = scalars(fields["count"]) if scalars else ()
        columns = [getattr(state, name) for name in slots]
        if shaped is not None:
            _check_shapes(updates, getattr(state, shaped))
        updates, columns = apply(updates, columns, params, values)
        return updates, State(**fields, **dict(zip(slots, columns, strict=True)))

    return init, update


def stateless_init(params: Any) -> EmptyState:
    """The `init` of a transformation without a state."""
    return EmptyState()


def check_state(state: Any, State: Any) -> None:
    """Raise unless the state is of the transformation's own kind."""
    if not isinstance(state, State):
        raise failure(
            f"the state is a {type(state).__name__}, not a {State.__name__}. "
            f"Call update(updates, state, params) with the state that init made.",
            TypeError,
        )


def need_params(params: Any) -> None:
    """Raise if `update` was called without parameters."""
    if params is None:
        names = " > ".join(callers.get()) or "update"
        raise ValueError(f"{names} needs params: call update(updates, state, params).")
