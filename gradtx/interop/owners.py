"""Which transformation a part of a state belongs to."""

from collections.abc import Iterator
from typing import Any

from gradtx.core.compose import chain, check_states, named_chain, partition
from gradtx.core.transformation import inner_of
from gradtx.tree.names import (
    has_no_own,
    inner_of_wrapper,
    is_alias,
    parts_of_wrapper,
)


def owners(tx: Any, state: Any) -> Iterator[tuple[Any, Any]]:
    """Pairs of a transformation and its own state, the outer before the inner.

    Chains and aliases have none; those of a chain come in its order.
    """
    tx = inner_of("tx", tx)
    call = tx.call
    if call is None:  # from elsewhere
        yield tx, state
        return
    if call.factory is chain:
        check_states(state, len(call.args))
        for member, part in zip(call.args, state, strict=True):
            yield from owners(member, part)
        return
    if call.factory is named_chain:
        for name, member in call.args:
            yield from owners(member, state[name])
        return
    if is_alias(tx):
        yield from owners(tx.made_of, state)
        return
    inner = inner_of_wrapper(tx)
    if inner is not None and has_no_own(tx, inner, state):
        yield from owners(inner, state)
        return
    yield tx, state
    if call.factory is partition:
        members = call.bound.arguments["transforms"]
        for label, part in state.inner_states.items():
            yield from owners(members[label], part.inner_state)
        return
    for field, member in parts_of_wrapper(tx, state).items():
        yield from owners(member, getattr(state, field))
