"""The lift: a rule for one array becomes a transformation of trees."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.axes import need_whole
from gradtx.core.call import show
from gradtx.core.encoded import policy
from gradtx.core.numerics import safe_increment
from gradtx.core.plan import Inputs, check_shapes, check_state, planned
from gradtx.core.stacks import made_for_layers, stack_axes
from gradtx.core.trees import (
    absent,
    compute_dtype,
    dtype_of,
    failure,
    is_abstract,
    leaves_of,
    paths_of,
    with_shape,
)
from gradtx.core.types import EmptyState


class Slot(NamedTuple):
    """How one array of state, or a small tree of them, is made from a parameter."""

    init: Callable[[jax.Array], Any]
    like_param: bool = True  # has the parameter's shape
    value: Any = None  # what it is filled with, if it may be stored as codes
    real: bool = False  # whether its numbers are real, and never negative


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

    def init(p: Any) -> jax.Array:
        return jnp.full_like(p, value, dtype=slot_dtype(p, dtype, real))

    return Slot(init, value=value, real=real)


def zeros(dtype: Any = None, *, real: bool = False) -> Slot:
    """A slot shaped like the parameter, filled with zeros; see `full`.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> gradtx.zeros(jnp.bfloat16).init(jnp.ones(2))
      Array([0, 0], dtype=bfloat16)
    """
    return full(0, dtype, real=real)


def initial(dtype: Any = None, *, narrow_only: bool = False) -> Slot:
    """A slot that starts as a copy of the parameter.

    Of a shape without an array it is zeros.

    Args:
      dtype: of the slot; by default the parameter's, at least float32. A complex
        parameter has a complex one.
      narrow_only: whether parameters of float32 and wider have none (`None`).

    Raises:
      ValueError: a dtype that is not floating or complex.
    """
    full(0, dtype)  # says what is wrong with the dtype

    def init(p: Any) -> Any:
        chosen = slot_dtype(p, dtype)
        if jnp.issubdtype(dtype_of(p), jnp.complexfloating):
            chosen = jnp.promote_types(chosen, jnp.complex64)
        if narrow_only and chosen == dtype_of(p):
            return None
        return jnp.zeros(p.shape, chosen) if is_abstract(p) else jnp.array(p, chosen)

    return Slot(init)


def reduced(axes: Any, dtype: Any = None, *, keepdims: bool = False) -> Slot:
    """A slot of real zeros, shaped like the parameter without some of its axes.

    Args:
      axes: a function from a parameter to the axes that are left out, or to None where
        the leaf has no such slot: an array of shape (1,) then stands for it.
      dtype: of the slot, see `full`.
      keepdims: whether axes that are left out stay, of length 1.
    """

    def init(p: Any) -> jax.Array:
        kind, gone = slot_dtype(p, dtype, real=True), axes(p)
        if gone is None:
            return jnp.zeros([1], kind)
        # From the sum's type, which says how the rest lies on a mesh.
        like = jax.eval_shape(lambda x: jnp.sum(x, axis=gone, keepdims=keepdims), p)
        return jnp.zeros_like(like, kind)

    return Slot(init, like_param=False)


def filled(slot: Slot, params: Any, name: str = "") -> Any:
    """The tree of a slot, made from the parameters that are there."""
    leaves, treedef = leaves_of(params)
    how = policy()
    if how is None or slot.value is None or not slot.like_param:
        made = [
            p if absent(p) else made_from(slot, p, axis)
            for p, axis in zip(leaves, stack_axes(params), strict=True)
        ]
        return treedef.unflatten(made)
    return treedef.unflatten(
        p if absent(p) else how(slot, name, path, with_shape(p))
        for path, p in paths_of(params)
    )


def made_from(slot: Slot, p: Any, axis: int | None) -> Any:
    """The slot of one parameter; of each layer along the axis, if there is one."""
    p = with_shape(p)
    if axis is None or slot.like_param:
        return slot.init(p)
    return made_for_layers(slot.init, p, axis)


def leafwise(
    State: Any,
    rule: Callable[..., Any],
    *,
    scalars: Callable[[jax.Array], Sequence[Any]] | None = None,
    with_params: bool = False,
    whole_leaf: bool = False,
    counter: str = "count",
    whole_numbers: bool = False,
    written_last: tuple[str, ...] = (),
    **slots: Slot,
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """A transformation from a rule for one array.

    Args:
      State: the NamedTuple of the state: a count if it has that field, and the
        slots. `EmptyState` where there is none.
      rule: `rule(g, *slots, *scalars) -> update`, or `-> (update, *new_slots)` where
        there are slots; `rule(g, p, *slots, *scalars)` for `with_params=True`. Arrays
        reach it in at least float32. Slots go back in the dtypes they came in; the
        update goes on as it is, and is rounded where it leaves the outermost chain.
      scalars: from the count of this step (1 at the first) to the scalars that the
        rule takes last; computed once for the whole tree.
      with_params: whether the rule takes the parameter, second; then `update` needs it.
      whole_leaf: whether the rule looks at more than one entry of a leaf. Then it does
        not run where a wrapper has split the leaves over devices.
      counter: the name of the field that counts the steps.
      whole_numbers: whether gradients may be integers, which reach the rule as float32.
      written_last: slots whose old values the update is made of. A `step` writes them
        after the parameter; else XLA would copy them first.
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
    check_parts(State, rule, scalars, slots, counter)
    counted = counter in State._fields
    shaped = next((name for name, slot in slots.items() if slot.like_param), None)

    def init(params: Any) -> Any:
        fields = {name: filled(slot, params, name) for name, slot in slots.items()}
        if counted:
            fields[counter] = jnp.zeros([], jnp.int32)
        return State(**fields)

    def prepare(updates: Any, state: Any, params: Any) -> Any:
        if State._fields:  # what has no state takes any, None too, and hands it on
            check_state(state, State)
        if whole_leaf:
            need_whole()
        if shaped is not None:
            check_shapes(updates, getattr(state, shaped))
        fields = {}
        if counted:
            fields[counter] = safe_increment(getattr(state, counter))
        values = _sequence(scalars(fields[counter])) if scalars else ()

        def rebuild(*columns: Any) -> Any:
            if not State._fields:
                return state
            return State(**fields, **dict(zip(slots, columns, strict=True)))

        return Inputs([getattr(state, name) for name in slots], values), rebuild

    return planned(
        *(init, rule, prepare),
        with_params=with_params,
        slots=tuple(slots),
        last=written_last,
        whole=whole_numbers,
        entrywise=not whole_leaf and all(slot.like_param for slot in slots.values()),
    )


def check_parts(
    State: Any,
    rule: Any,
    scalars: Any,
    slots: dict[str, Any],
    counter: str = "count",
) -> None:
    """Raise unless the arguments of `leafwise` go together.

    Raises:
      TypeError: what is none of what it should be, or has no counterpart.
    """
    if not isinstance(State, type) or not hasattr(State, "_fields"):
        raise failure(
            f"leafwise: State must be a NamedTuple class, got {State!r:.60}. Give "
            f"EmptyState where there is no state.",
            TypeError,
        )
    for name, fn in (("rule", rule), ("scalars", scalars)):
        if not callable(fn) and (name == "rule" or fn is not None):
            raise failure(
                f"leafwise: {name} must be a function, got {fn!r:.60}.", TypeError
            )
    if scalars is not None and counter not in State._fields:
        raise failure(
            f"leafwise: scalars are computed from the count of steps, and "
            f"{State.__name__} has no field `{counter}`, only "
            f"{_listed(State._fields)}.",
            TypeError,
        )
    for name, slot in slots.items():
        if not isinstance(slot, Slot):
            raise failure(
                f"leafwise: {name} must be a slot, got {show(slot):.60}. Say "
                f"{name}=zeros(), or {name}=full(value).",
                TypeError,
            )
    fields = [name for name in State._fields if name != counter]
    for name in slots:
        if name not in fields:
            raise failure(
                f"leafwise: {name} is given as a slot, and {State.__name__} has no "
                f"such field, only {_listed(fields)}.",
                TypeError,
            )
    for name in fields:
        if name not in slots:
            raise failure(
                f"leafwise: {State.__name__} has the field {name}, for which there is "
                f"no slot. Say {name}=zeros(), or {name}=full(value).",
                TypeError,
            )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _sequence(values: Any) -> tuple[Any, ...]:
    if isinstance(values, tuple | list):
        return tuple(values)
    raise failure(
        f"leafwise: scalars must return a tuple of what the rule takes last, as in "
        f"(x,), got {type(values).__name__}.",
        TypeError,
    )


def stateless_init(params: Any) -> EmptyState:
    """The `init` of a transformation without a state."""
    return EmptyState()
