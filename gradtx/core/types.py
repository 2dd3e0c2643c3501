"""The types that everything is made of."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from gradtx.core.call import Remembered

Params = Any  # a pytree of arrays; None stands for a leaf that is not there
Updates = Any  # a pytree with the structure of the parameters
State = Any  # a pytree that only its transformation looks into
Scalar = float | jax.Array
Schedule = Callable[[Any], Any]  # step count, from 0 -> value
ScalarOrSchedule = Scalar | Schedule


class EmptyState(NamedTuple):
    """The state of a transformation that has none."""


class MaskedNode(NamedTuple):
    """Stands where a mask has taken a leaf out of a tree."""


class _Pair(NamedTuple):
    init: Callable[[Params], State]
    update: Callable[..., tuple[Updates, State]]


class GradientTransformation(Remembered, _Pair):
    """A pair of pure functions that turns gradients into updates.

        init(params) -> state
        update(updates, state, params=None, **extra) -> (updates, state)

    It unpacks as `init, update = tx` and has a third function, `step`. One that a
    factory decorated with `transformation` made also prints, compares, hashes and
    pickles as the call that made it; one put together by hand,
    `GradientTransformation(init, update)`, compares by its two functions. It is a
    static node of a pytree: it passes through `jit` as a plain argument.
    """

    # Set after construction: NamedTuples are rebuilt as type(x)(*fields) elsewhere.
    made_of: "GradientTransformation | None" = None  # what an alias expands to
    _step: Callable[..., tuple[Params, State]] | None = None

    def step(
        self, updates: Updates, state: State, params: Params, **extra: Any
    ) -> tuple[Params, State]:
        """Transform the updates and apply them: `update`, then `apply_updates`.

        The same numbers, unless the compiler joins a multiplication with the addition
        that now stands beside it (one rounding instead of two); and cheaper where a
        wrapper knows how: one that skips a step leaves the parameters untouched.

        Donate `params` and `state` in the order in which they come back,
        `jit(lambda params, state, grads: tx.step(grads, state, params),
        donate_argnums=(0, 1))`: XLA pairs buffers in order of appearance.

        Returns:
          The new parameters and the new state.
        """
        if self._step is not None:
            return self._step(updates, state, params, **extra)
        from gradtx.core.apply import apply_updates  # it builds on this module

        updates, state = self.update(updates, state, params, **extra)
        return apply_updates(params, updates), state


class GradientTransformationExtraArgs(GradientTransformation):
    """A transformation whose `update` takes any extra keyword arguments.

    Every transformation that gradtx builds is one: it hands on what it does not use.
    """


for _cls in (GradientTransformation, GradientTransformationExtraArgs):
    jax.tree_util.register_static(_cls)
