"""Hyperparameters in a state: a dict with fixed names, shapes and dtypes."""

import sys
from typing import Any, NamedTuple

import jax

from gradtx.tree.access import fit


class Hyperparams(dict):
    """The hyperparameters of a state: a dict with fixed names, shapes and dtypes.

    What is assigned takes the dtype of the old value, so that nothing compiles again.

    Raises:
      KeyError: a name that is not there.
      ValueError, TypeError: a value that the old shape or dtype cannot hold.
    """

    def __setitem__(self, name: str, value: Any) -> None:
        if name not in self:
            raise KeyError(f"there is no hyperparameter {name!r}; there are {[*self]}.")
        super().__setitem__(name, fit(value, self[name], f"hyperparams[{name!r}]"))

    def update(self, *args: Any, **kwargs: Any) -> None:
        for name, value in dict(*args, **kwargs).items():
            self[name] = value

    def __ior__(self, other: Any):
        self.update(other)
        return self

    def copy(self):
        return Hyperparams(self)

    def __reduce__(self) -> Any:  # pickle would assign item by item
        return Hyperparams, (dict(self),)


jax.tree_util.register_pytree_with_keys(
    Hyperparams,
    lambda h: (
        [(jax.tree_util.DictKey(name), h[name]) for name in sorted(h)],
        tuple(sorted(h)),
    ),
    lambda names, values: Hyperparams(zip(names, values, strict=True)),
    lambda h: ([h[name] for name in sorted(h)], tuple(sorted(h))),
)


class InjectHyperparamsState(NamedTuple):
    count: jax.Array  # steps taken, int32
    hyperparams: Hyperparams  # name to scalar, float32 at least (or a whole number)
    inner_state: Any  # of the transformation that they make


class InjectStatefulHyperparamsState(NamedTuple):
    count: jax.Array  # steps taken, int32
    hyperparams: Hyperparams  # name to scalar, float32 at least (or a whole number)
    hyperparams_states: dict[str, Any]  # name to the state of its schedule
    inner_state: Any  # of the transformation that they make


def tell_flax() -> None:
    """Flax serializes the types that it was told of, not their subclasses."""
    flax = sys.modules.get("flax.serialization")
    if flax is not None and not flax.is_serializable(Hyperparams):
        flax.register_serialization_state(
            Hyperparams,
            dict,
            lambda old, saved: Hyperparams({name: saved[name] for name in old}),
        )
