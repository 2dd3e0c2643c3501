"""The pair of functions that a transformation is."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax

from gradtx.core.apply import apply_updates
from gradtx.core.call import Remembered
from gradtx.core.types import Params, State, Updates
from gradtx.core.widths import inside


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

        The same numbers, rounded once, into the parameter; and cheaper where a wrapper
        knows how: one that skips a step leaves the parameters untouched. For float32
        gradients and parameters they are the same to the bit, unless the compiler joins
        a multiplication with the addition that now stands beside it (one rounding
        instead of two).

        Donate `params` and `state` in the order in which they come back,
        `jit(lambda params, state, grads: tx.step(grads, state, params),
        donate_argnums=(0, 1))`: XLA pairs buffers in order of appearance.

        Returns:
          The new parameters and the new state.
        """
        if self._step is not None:
            return self._step(updates, state, params, **extra)
        with inside():  # rounded once, when they are applied
            updates, state = self.update(updates, state, params, **extra)
        return apply_updates(params, updates), state

    def table(self, params: Params) -> str:
        """The groups of the parameters, a line each; see `groups`.

        Of `layerwise_decay` the layers, of `mup_scale` the leaves.

        Args:
          params: arrays, or shapes without arrays.

        Raises:
          TypeError: there are no groups in it.
        """
        for tx in _inside(self):
            for value in tx.call.bound.arguments.values() if tx.call else ():
                if hasattr(value, "table") and not isinstance(value, Remembered):
                    return value.table(params)
        raise TypeError(f"{self!r:.60} has no groups, see gradtx.groups.")


def _inside(tx: Any) -> Iterator[Any]:
    """The transformation, what it is made of, and those among its arguments."""
    if not isinstance(tx, GradientTransformation):
        return
    yield tx
    if tx.made_of is not None:
        yield from _inside(tx.made_of)
    if tx.call is not None:
        for value in (*tx.call.args, *tx.call.kwargs.values()):
            yield from _inside(value)


class GradientTransformationExtraArgs(GradientTransformation):
    """A transformation whose `update` takes any extra keyword arguments.

    Every transformation that gradtx builds is one: it hands on what it does not use.
    """


for _cls in (GradientTransformation, GradientTransformationExtraArgs):
    jax.tree_util.register_static(_cls)
