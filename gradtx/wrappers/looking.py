"""A transformation run so that what its clip finds out is handed on."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import Tracer

from gradtx.core.compose import chain, check_states, grouped, named_chain, run, run_step
from gradtx.core.numerics import again, select
from gradtx.core.plan import Plan
from gradtx.core.transformation import inner_of
from gradtx.core.trees import absent, at_work
from gradtx.tree.names import is_alias


class Looking:
    """A transformation; of a chain the members, up to one that clips and from there.

    Args:
      tx: the transformation.
    """

    def __init__(self, tx: Any):
        self.tx = tx
        while is_alias(tx):
            tx = tx.made_of
        call = tx.call
        self._name = "" if call is None else call.name
        self._keys: list[str] | None = None  # of the states of named_chain
        self._alone = False  # no chain, and the state is no tuple
        if call is not None and call.factory is named_chain:
            self._keys = [name for name, _ in call.args]
            members = [inner for _, inner in call.args]
        elif call is not None and call.factory is chain:
            members = [*call.args]
        else:
            members, self._alone = [tx], True
        self._groups = grouped([inner_of(self._name, member) for member in members])
        clips = [isinstance(group, Plan) and group.clips for _, group in self._groups]
        self._at = clips.index(True) if any(clips) else None
        self.clips = self._at is not None

    def __call__(
        self, updates: Any, state: Any, params: Any, extra: Any, *, apply: bool
    ) -> tuple[Any, Any, Any, Any]:
        """Update, or with `apply` step.

        Returns:
          The updates or parameters, the state, what the clip has found out, if there
          is one, and the updates as it has seen them.
        """
        if self._at is None:
            call = self.tx.step if apply else self.tx.update
            return *call(updates, state, params, **extra), None, updates
        with at_work(*() if self._alone else (self._name,)):
            states = (state,) if self._alone else state
            if self._keys is not None:
                states = tuple(state[key] for key in self._keys)
            check_states(states, sum(n for n, _ in self._groups))
            done = sum(n for n, _ in self._groups[: self._at])
            n, plan = self._groups[self._at]
            rest = self._groups[self._at + 1 :]
            seen, before = run(
                self._groups[: self._at], updates, states[:done], params, extra
            )
            last = apply and not rest
            here = states[done : done + n]
            new, (clip, at) = handing_on(plan)(seen, here, params, apply=last)
            after: tuple[Any, ...] = ()
            if rest:
                go = run_step if apply else run
                new, after = go(rest, new, states[done + n :], params, extra)
        every = (*before, *at, *after)
        if self._keys is not None:
            return new, dict(zip(self._keys, every, strict=True)), clip, seen
        return new, every[0] if self._alone else every, clip, seen


def handing_on(plan: Plan) -> Plan:
    """The same plan; with its new state comes what its clip has found out."""

    def prepare(updates: Any, state: Any, params: Any) -> Any:
        inputs, rebuild = plan.prepare(updates, state, params)
        return inputs, lambda new: (inputs[0].clip, rebuild(new))

    return plan.replace(prepare)


def apart(updates: Any) -> Any:
    """The updates, of which what is computed for metrics is for these alone.

    XLA finds the squares of a norm to be those of Adam behind it, and stores them.
    """
    return jax.tree.map(lambda x: again(x) if isinstance(x, Tracer) else x, updates)


def gated(new: Any, old: Any, total: jax.Array) -> Any:
    """Parameters, or updates, not before a sum of squares is known.

    What is written over parameters has to wait for what looks at them, or XLA copies
    them first. It does not see that a sum of squares is never below 0.
    """
    known = {id(x) for x in jax.tree.leaves(old)}  # what is handed on as it is

    def wait(x: Any) -> Any:
        if absent(x) or id(x) in known:
            return x
        return select(total < 0, 0, jnp.asarray(x))

    return jax.tree.map(wait, new)


def stored(updates: Any, total: jax.Array) -> Any:
    """Updates, stored before a sum of squares of them is known, and read from there.

    XLA would compute them again, from copies of the old state.
    """
    leaves, treedef = jax.tree.flatten(updates)
    return treedef.unflatten(
        lax.cond(
            total < 0,
            lambda xs: [jnp.zeros_like(x) for x in xs],
            lambda xs: xs,
            [jnp.asarray(x) for x in leaves],
        )
    )
