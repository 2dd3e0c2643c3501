"""Names for the arrays of a state, from what the transformation is."""

from typing import Any

import jax

from gradtx.core.call import Call, Remembered, show
from gradtx.core.compose import chain, check_states, named_chain, partition
from gradtx.core.pair import GradientTransformation
from gradtx.core.transformation import inner_of, unguarded

# Steps that many optimizers share. They keep their names within an alias, so that its
# own entries are called the same whether or not these have a state.
_SHARED = ("add_decayed_weights", "scale_by_learning_rate")

Scope = tuple[str, ...]


class _Unwritten(str):
    """A part of a scope that keeps names apart, and is not in them."""


def names_of(tx: Any, state: Any, plain: bool = False) -> list[str]:
    """The names of a state's leaves, in their order; see `to_named`.

    Plain ones begin with the step that an entry belongs to, without optimizer, group
    and name in a chain; entries of two groups may then have one name.

    Raises:
      TypeError: `tx` is not a transformation, or the state is not its own.
      ValueError: two leaves have one name.
    """
    tx = inner_of("tx", tx)
    try:
        names = jax.tree.leaves(_Namer(plain).tree(tx, state, ()))
        if len(names) != len(jax.tree.leaves(state)):  # a named_chain with fewer names
            raise TypeError("the state has more entries.")
    except (AttributeError, KeyError, TypeError) as error:
        raise TypeError(
            f"{tx!r} does not make a state like {state!r:.60}: give the one that its "
            f"init made, or a step since."
        ) from error
    seen: set[str] = set()
    for name in () if plain else names:
        if name in seen:
            raise ValueError(f"{tx!r}: two entries of the state are named {name!r}.")
        seen.add(name)
    return names


class _Namer:
    """Names for one state; it knows which are taken."""

    def __init__(self, plain: bool):
        self.plain = plain
        self.taken: set[Scope] = set()

    def claim(self, scope: Scope, name: Any) -> Scope:
        """A name within a scope, numbered if it is taken."""
        number, base = 0, (*scope, _escaped(str(name)))
        while base in self.taken:
            number += 1
            base = (*scope, f"{_escaped(str(name))}.{number}")
        self.taken.add(base)
        return base

    def inside(self, scope: Scope, name: Any) -> Scope:
        """The scope of a group, or of a member that has been given a name."""
        return (*scope, _Unwritten(name)) if self.plain else self.claim(scope, name)

    def tree(self, tx: Any, state: Any, scope: Scope, base: Scope | None = None) -> Any:
        """A tree of names like the state; `base` is a name lent by an alias."""
        tx = inner_of("tx", tx)
        call = tx.call
        if call is None:  # from elsewhere
            return self.fields(base or self.claim(scope, _origin(tx)), state)
        if call.factory is chain:
            check_states(state, len(call.args))
            core = _core(call.args)
            return tuple(
                self.tree(member, part, scope, base if i == core else None)
                for i, (member, part) in enumerate(zip(call.args, state, strict=True))
            )
        if call.factory is named_chain:
            return {
                name: self.tree(member, state[name], self.inside(scope, name))
                for name, member in call.args
            }
        inner = inner_of_wrapper(tx)
        if is_alias(tx):
            if inner is None and not self.plain:
                base = base or self.claim(scope, call.name)
            return self.tree(tx.made_of, state, base or scope, base)
        if inner is not None and has_no_own(tx, inner, state):
            return self.tree(inner, state, scope, base)
        if call.factory is partition:
            if base is None:
                base = scope if self.plain else self.claim(scope, _factory(call))
            members = call.bound.arguments["transforms"]
            return {  # in the order of the state's own dict
                label: self.tree(
                    members[label], part.inner_state, self.inside(base, label)
                )
                for label, part in state.inner_states.items()
            }
        base = base or self.claim(scope, _factory(call))
        parts = parts_of_wrapper(tx, state)
        if not parts:
            return self.fields(base, state)
        own = self.fields(base, state._replace(**dict.fromkeys(parts)))
        named = {
            field: self.tree(member, getattr(state, field), scope)
            for field, member in parts.items()
        }
        return own._replace(**named)

    def fields(self, base: Scope, state: Any) -> Any:
        """Names by field and parameter, as a tree like the state."""

        def name(path: Any, leaf: Any) -> str:
            keys = [jax.tree_util.keystr((key,), simple=True) for key in path]
            parts = [_escaped(key) for key in keys]
            self.taken.add((*base, *parts[:1]))
            written = (part for part in base if not isinstance(part, _Unwritten))
            return "/".join((*written, *parts))

        return jax.tree_util.tree_map_with_path(name, state)


def _escaped(name: str) -> str:
    return name.replace("%", "%25").replace("/", "%2F")


def _origin(tx: Any) -> str:
    """The function that made a pair which does not know its call."""
    init = unguarded(tx.init)
    return getattr(init, "__qualname__", type(init).__name__).split(".")[0]


def _factory(call: Call) -> str:
    """The factory's name; of `inject_hyperparams(adam)`, the first."""
    factory = call.factory
    while isinstance(factory, Remembered) and factory.call is not None:
        factory = factory.call.factory
    return show(factory)


def _core(members: tuple[Any, ...]) -> int | None:
    """The member that an alias is named for: the first that is not shared by many."""
    for i, tx in enumerate(members):
        call = getattr(tx, "call", None)
        if call is None or call.name not in _SHARED:
            return i
    return None


def is_alias(tx: GradientTransformation) -> bool:
    """Whether its state is that of what it is made of."""
    made_of = tx.made_of
    return made_of is not None and unguarded(tx.init) is unguarded(made_of.init)


def inner_of_wrapper(tx: Any) -> Any:
    """The one transformation that it wraps; None where there is not one."""
    found = _all_inner(tx)
    return found[0] if len(found) == 1 else None


def _all_inner(tx: Any) -> list[Any]:
    """The transformations that it wraps, in the order of its arguments."""
    call = getattr(tx, "call", None)
    if call is None:
        return []
    if tx.made_of is not None and not is_alias(tx):  # by inject_hyperparams
        return [tx.made_of]
    return [x for x in call.bound.arguments.values() if _is_transformation(x)]


def _is_transformation(x: Any) -> bool:
    if type(x) is tuple:  # of two functions: schedules more likely
        return False
    try:
        inner_of("", x)
    except TypeError:
        return False
    return True


def parts_of_wrapper(tx: Any, state: Any) -> dict[str, Any]:
    """The fields of a wrapper's state that hold inner ones, and whose they are.

    Several are in the order of the arguments.
    """
    inner, fields = _all_inner(tx), _inner_fields(state)
    if len(inner) == 1:
        return dict(zip(fields, inner, strict=False))
    return dict(zip(fields, inner, strict=True)) if len(fields) == len(inner) else {}


def _inner_fields(state: Any) -> list[str]:
    """The fields of a wrapper's state that are named for an inner one."""
    return [name for name in getattr(state, "_fields", ()) if name.endswith("_state")]


def has_no_own(tx: Any, inner: Any, state: Any) -> bool:
    """Whether a wrapper's state is the inner transformation's."""
    if _named_for(tx, state):
        return False
    wrapped = inner
    while wrapped is not None:
        if _named_for(wrapped, state):
            return True
        wrapped = inner_of_wrapper(wrapped)
    if _inner_fields(state):
        return False
    while getattr(inner, "made_of", None) is not None and is_alias(inner):
        inner = inner.made_of
    call = getattr(inner, "call", None)
    if call is not None and call.factory is chain:
        return type(state) in (tuple, list) and len(state) == len(call.args)
    return call is None or call.factory is not named_chain or isinstance(state, dict)


def _named_for(tx: Any, state: Any) -> bool:
    """Whether the state's class is named for the factory, as MultiStepsState is."""
    call = getattr(tx, "call", None)
    name = type(state).__name__.removesuffix("State").lower()
    return call is not None and name == _factory(call).replace("_", "").lower()
