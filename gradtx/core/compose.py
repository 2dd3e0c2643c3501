"""Transformations out of transformations: one after another, or side by side."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import jax

from gradtx.core.apply import apply_updates
from gradtx.core.examples import like
from gradtx.core.masking import (
    covering,
    fitting,
    for_part,
    hide,
    hide_alike,
    reveal,
    stands_for_all,
)
from gradtx.core.plan import Inputs, Plan, Rebuild, plan_of, updating
from gradtx.core.stacks import layers_of
from gradtx.core.transformation import hands_on, inner_of, transformation
from gradtx.core.trees import failure, is_function, is_none, leaves_of, paths_of


@transformation
def chain(*transforms: Any):
    """Apply transformations one after another: the first sees the gradients.

        u_0 = g,   u_i = T_i(u_{i-1}),   the result is u_n

    An empty chain is the identity. `step` is handed down to the last member.

    Args:
      *transforms: transformations; pairs `init, update` from elsewhere (Optax) too.

    Returns:
      A transformation whose state is the tuple of the members' states.

    Raises:
      TypeError: if an argument is not a transformation; it is named by its place.

    Example:
      >>> import gradtx
      >>> gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.sgd(0.1))
      chain(clip_by_global_norm(1.0), sgd(0.1))
    """
    members = [inner_of(f"chain: argument {i}", tx) for i, tx in enumerate(transforms)]
    groups = grouped(members)

    @hands_on
    def init(params):
        return tuple(tx.init(params) for tx in members)

    if len(groups) == 1 and isinstance(groups[0][1], Plan):
        plan = groups[0][1].checked(lambda state: check_states(state, len(members)))
        return init, updating(plan)

    def update(updates, state, params=None, **extra):
        check_states(state, len(members))
        return run(groups, updates, state, params, extra)

    def step(updates, state, params, **extra):
        check_states(state, len(members))
        return run_step(groups, updates, state, params, extra)

    return init, like(update, *members[:1]), step


@transformation
def named_chain(*transforms: tuple[str, Any]):
    """Apply transformations one after another, with their states by name.

    Args:
      *transforms: pairs `(name, transformation)`; the names differ.

    Returns:
      A transformation whose state is a dict from name to state.

    Raises:
      TypeError: if an argument is not such a pair.
      ValueError: if a name comes twice.

    Example:
      >>> import gradtx
      >>> tx = gradtx.named_chain(("clip", gradtx.clip(1.0)), ("opt", gradtx.sgd(0.1)))
      >>> sorted(tx.init(1.0))
      ['clip', 'opt']
    """
    names: list[str] = []
    members = []
    for i, pair in enumerate(transforms):
        if not (
            isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str)
        ):
            raise TypeError(
                f"named_chain: argument {i} must be (name, transformation), "
                f"got {pair!r}."
            )
        if pair[0] in names:
            raise ValueError(f"named_chain: the name {pair[0]!r} comes twice.")
        names.append(pair[0])
        members.append(inner_of(f"named_chain: {pair[0]!r}", pair[1]))
    groups = grouped(members)

    @hands_on
    def init(params):
        return {n: tx.init(params) for n, tx in zip(names, members, strict=True)}

    def listed(state):
        if not isinstance(state, dict) or set(state) != set(names):
            raise failure(f"the state must be a dict with the keys {names}.", TypeError)
        return [state[name] for name in names]

    def update(updates, state, params=None, **extra):
        updates, states = run(groups, updates, listed(state), params, extra)
        return updates, dict(zip(names, states, strict=True))

    def step(updates, state, params, **extra):
        params, states = run_step(groups, updates, listed(state), params, extra)
        return params, dict(zip(names, states, strict=True))

    return init, like(update, *members[:1]), step


def grouped(members):
    """Members that run together: pairs of how many they are and a plan, or the member.

    Neighbours with plans are joined, up to one that has to see their result.
    """
    groups: list[tuple[int, Any]] = []
    waiting: list[Plan] = []

    def close():
        if waiting:
            groups.append((len(waiting), join(waiting)))
            waiting.clear()

    for tx in members:
        plan = plan_of(tx.update)
        if plan is None or plan.reads_updates:
            close()
        if plan is None:
            groups.append((1, tx))
        else:
            waiting.append(plan)
    close()
    return groups


def run(groups, updates, states, params, extra):
    """Update through groups in turn; the states come back as a tuple."""
    new = []
    for n, group in groups:
        here, states = states[:n], states[n:]
        if isinstance(group, Plan):
            updates, some = group(updates, here, params)
            new += some
        else:
            updates, state = group.update(updates, here[0], params, **extra)
            new.append(state)
    return updates, tuple(new)


def run_step(groups, updates, states, params, extra):
    """The same, with the application left to the last group."""
    if not groups:
        return apply_updates(params, updates), ()
    n, last = groups[-1]
    firsts, here = states[: len(states) - n], states[len(states) - n :]
    updates, new = run(groups[:-1], updates, firsts, params, extra)
    if isinstance(last, Plan):
        params, some = last(updates, here, params, apply=True)
    else:
        params, state = last.step(updates, here[0], params, **extra)
        some = (state,)
    return params, (*new, *some)


def check_states(state: Any, n: int) -> None:
    """Raise unless there is a state for each member."""
    if not isinstance(state, tuple | list) or len(state) != n:
        found = f"{len(state)}" if isinstance(state, tuple | list) else f"{state!r:.60}"
        raise failure(
            f"the state must be a tuple of {n} states, one a member, got {found}. "
            f"Call update(updates, state, params) with the state that init made.",
            TypeError,
        )


class MaskedState(NamedTuple):
    """The state of a transformation that sees a part of the leaves."""

    inner_state: Any  # made from parameters with MaskedNode() at the others


class PartitionState(NamedTuple):
    """The states of `partition`."""

    inner_states: Any  # dict from label to MaskedState


@transformation
def partition(
    transforms: Mapping[Hashable, Any],
    param_labels: Any | Callable[[Any], Any],
    *,
    mask_compatible_extra_args: bool = False,
):
    """Give each group of leaves its own transformation.

    Args:
      transforms: from label to transformation. A label is any hashable value: a
        string, a number, an enum, a tuple, `None`.
      param_labels: a tree of labels like the parameters (or a prefix of it: a label
        stands for all leaves below), or a function from the parameters to one. What
        is in transforms is a label, even if it is a tree itself, as a tuple is.
      mask_compatible_extra_args: whether a member sees its leaves only of extra
        arguments that are trees like the updates.

    Returns:
      A transformation with the state `PartitionState`. Leaves that a member does not
      own are not in its state.

    Raises:
      ValueError: a label without a transformation, or labels that do not fit.

    Example:
      >>> import jax, jax.numpy as jnp, gradtx
      >>> def by_rank(params):
      ...     label = lambda p: "matrix" if p.ndim > 1 else "vector"
      ...     return jax.tree.map(label, params)
      >>> members = {"matrix": gradtx.adamw(1e-3), "vector": gradtx.sgd(0.1)}
      >>> tx = gradtx.partition(members, by_rank)
      >>> params = {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}
      >>> sorted(tx.init(params).inner_states)
      ['matrix', 'vector']
    """
    members = {
        label: inner_of(f"partition: transforms[{label!r}]", tx)
        for label, tx in transforms.items()
    }

    places = {label: i for i, label in enumerate(members)}

    def place(label):
        try:
            return places.get(label)
        except TypeError:  # no hash, as of a list
            return None

    def is_label(x):
        return is_none(x) or place(x) is not None

    def masks(tree):
        if stands_for_all(tree):
            return dict.fromkeys(places, True)
        given = is_function(param_labels)
        labels = param_labels(layers_of(tree)) if given else param_labels
        known = f" transforms has {list(members)}."
        labels = fitting("param_labels", labels, tree, is_label, known)
        each = covering(labels, tree, is_label)
        for i, (leaf, label) in enumerate(zip(leaves_of(tree)[0], each, strict=True)):
            if leaf is not None and place(label) is None:
                path = paths_of(tree)[i][0]
                raise failure(f"param_labels{path} is {label!r};{known}")
        found = jax.tree.map(place, labels, is_leaf=is_label)
        return {
            label: jax.tree.map(lambda x, i=i: x == i, found, is_leaf=is_none)
            for label, i in places.items()
        }

    @hands_on
    def init(params):
        inner = {
            label: MaskedState(members[label].init(hide(params, mask)))
            for label, mask in masks(params).items()
        }
        return PartitionState(inner)

    def each(call, updates, state, params, extra, result):
        inner = {}
        # Labels read shapes, say: the parameters' where they are there.
        for label, mask in masks(updates if params is None else params).items():
            given = extra
            if mask_compatible_extra_args:
                given = hide_alike(extra, updates, mask)
            part, inner_state = call(members[label])(
                hide(updates, mask),
                state.inner_states[label].inner_state,
                None if params is None else hide(params, mask),
                **for_part(given, params, mask),
            )
            result = reveal(part, result, mask)
            inner[label] = MaskedState(inner_state)
        return result, PartitionState(inner)

    @hands_on
    def update(updates, state, params=None, **extra):
        return each(lambda tx: tx.update, updates, state, params, extra, updates)

    def step(updates, state, params, **extra):
        return each(lambda tx: tx.step, updates, state, params, extra, params)

    return init, update, step


multi_transform = partition


def join(plans: Sequence[Plan]) -> Plan:
    """One plan for several in a row; its state is the tuple of their states."""
    plans = tuple(plans)
    if len(plans) == 1:
        prepare_one = plans[0].prepare

        def prepare(updates: Any, states: Any, params: Any) -> Any:
            inputs, rebuild = prepare_one(updates, states[0], params)
            return inputs, lambda new: (rebuild(new),)

        return plans[0].replace(prepare)

    def prepare_all(updates: Any, states: Any, params: Any) -> Any:
        inputs: list[Inputs] = []
        backs: list[tuple[int, int, Rebuild]] = []
        for plan, state in zip(plans, states, strict=True):
            some, rebuild = plan.prepare(updates, state, params)
            backs.append((len(inputs), len(inputs) + len(some), rebuild))
            inputs += some
        return inputs, lambda new: tuple(back(new[i:j]) for i, j, back in backs)

    rules = [rule for plan in plans for rule in plan.rules]
    return Plan(rules, prepare_all, plans[0].reads_updates, plans[0].clips)
