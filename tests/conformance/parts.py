"""Aliases whose parts are checked themselves: what is left to ask of these."""

import inspect
from typing import Any

import jax.numpy as jnp

import gradtx
from gradtx.testing.values import is_matrix

# What a chain does if each of its members does: these are about the arithmetic of one
# rule. All others are asked of every transformation, such as to be finite for extreme
# gradients, since a part may be given what another has made of them.
OF_EACH_PART = frozenset(
    {
        "agrees_when_leaves_are_split",  # axis_name is handed on, see `lost` below
        "compiles_once_without_jit",
        "eager_equals_jit",
        "has_derivatives_by_hyperparameters",  # they are handed on, too
        "leaves_its_inputs_alone",
        "lives_through_a_nan",
        "rounds_nothing_on_the_way",
        "rounds_once_into_the_parameters",
        "runs_under_vmap",
        "state_lies_like_the_parameters",
        "steps_the_same_on_several_devices",
        "steps_under_infinity_checks",
        "steps_under_nan_checks",
        "steps_under_strict_flags",
        "takes_complex",
    }
)


def parts_of(tx: Any) -> list[Any]:
    """The transformations that an alias stands for, in order; none for a rule.

    None either for what a wrapped factory makes, as of `inject_hyperparams`: it does
    more than the one that it is shown as.
    """
    if getattr(tx, "made_of", None) is None or not inspect.isfunction(tx.call.factory):
        return []
    call = tx.made_of.call
    return list(call.args) if call.factory is gradtx.chain else [tx.made_of]


def path(tx: Any) -> Any:
    """A hashable that is equal for calls that differ in floats of the same sign only.

    They compute the same formula, with another number in it. 0 goes with the positive
    ones: derivatives are asked for there, too.
    """
    return _path(tx.call.key)


def _path(key: Any) -> Any:
    if isinstance(key, frozenset):
        return frozenset(map(_path, key))
    if not isinstance(key, tuple):
        return key
    if len(key) == 2 and key[0] is float:
        return float, float.fromhex(key[1]) < 0
    return tuple(map(_path, key))


def resting_on_others(made: dict[str, Any]) -> set[str]:
    """Names of the aliases all of whose parts are among the others, by `path`.

    Each of those is checked whole, or is an alias of such ones itself.
    """
    paths = {name: path(tx) for name, tx in made.items() if tx is not None}

    def known(part: Any, name: str) -> bool:
        if getattr(part, "call", None) is None:
            return False
        return any(p == path(part) for n, p in paths.items() if n != name)

    return {
        name
        for name, tx in made.items()
        if (parts := parts_of(tx)) and all(known(part, name) for part in parts)
    }


# (name, argument) -> why nothing changes with it, or not what has its name.
IDLE = {
    ("adafactor", "weight_decay_mask"): "nothing decays",
    ("dog", "mask"): "nothing decays",
    ("dowg", "mask"): "nothing decays",
    ("dpsgd", "seed"): "key is given, which goes before it",
    ("dpsgd", "nesterov"): "there is no momentum",
    ("optimistic_adam", "learning_rate"): "it is in the two numbers of the second part",
    ("rmsprop", "nesterov"): "there is no momentum",
    ("sgd_plain", "accumulator_dtype"): "there is no momentum",
    ("sgd_plain", "nesterov"): "there is no momentum",
}


def lost(tx: Any) -> list[str]:
    """The arguments of an alias that do not arrive in its parts.

    Each is changed in turn. Then the parts must be others, and if one has an argument
    of that name, it must have this value.
    """
    found = []
    for name, value in tx.call.bound.arguments.items():
        new = _another(name, value)
        if new is value:
            continue
        bound = tx.call.bound
        bound.arguments[name] = new
        try:
            changed = tx.call.factory(*bound.args, **bound.kwargs)
        except ValueError:  # it goes with another argument
            continue
        given = [
            arguments[name]
            for part in parts_of(changed)
            for arguments in [dict(part.call.bound.arguments)]
            if name in arguments
        ]
        if parts_of(changed) == parts_of(tx) or (given and new not in given):
            found.append(name)
    return found


def _another(name: str, value: Any) -> Any:
    """Another value that the argument may have; the same where none is known."""
    if name.endswith("_dtype"):
        return jnp.bfloat16
    if name == "axis_name":
        return "shards"
    if name == "mask" or name.endswith("_mask"):
        return is_matrix
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value * (1 - 1e-6) or 1e-6
    return value
