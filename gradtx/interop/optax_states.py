"""States of Optax's optimizers as states of gradtx's, and back."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.numerics import value_at
from gradtx.core.types import MaskedNode
from gradtx.interop.owners import owners
from gradtx.interop.raw import as_key, as_one, in_order, is_left_out, is_raw, revived
from gradtx.tree.access import Placeholder, fit

# Classes of one meaning under two names; others have one name in both libraries.
_ALIKE = [
    {"AddDecayedWeightsState", "WeightDecaySchedule"},
    {"DampenedTraceState", "TraceState"},
    {"InjectHyperparamsState", "InjectStatefulHyperparamsState"},
    {"ScaleByLearningRateState", "ScaleByScheduleState"},
]
# What gradtx's states hold besides, so that it can be read: it follows from the count.
_SHOWN = ("learning_rate", "weight_decay")
# What they hold besides of narrow parameters only, and a field that shows which those
# are.
_OF_NARROW = {"delta": "x0", "x": "z"}
# Where Optax has an array of size 0 for a leaf without an entry, gradtx None.
_OR_NONE = ("projector",)


def from_optax(tx: Any, state: Any, like: Any = None) -> Any:
    """The state of an Optax optimizer as that of the same in gradtx.

    The run goes on with the same numbers. States are matched by the names of their
    fields and, in chains, by their order; Optax itself is not needed.

    Args:
      tx: gradtx's transformation, made by the same call.
      state: the state that Optax's has; or what Orbax and Flax restore of it without
        a template: dicts and lists. Of a `TrainState` or an `nnx.Optimizer` it is the
        entry "opt_state".
      like: `tx.init(params)`, or a tree of shapes like it: then shapes are compared,
        and dtypes are gradtx's (float32 at least, where Optax stores bfloat16 moments
        of bfloat16 parameters). Without it dtypes stay. `flatten` and others that look
        at the parameters need it, and so do dicts and lists.

    Returns:
      The state, in arrays of its own.

    Raises:
      ValueError: a part without a counterpart, or of another shape; its path is named.
      TypeError: the state of `tx` cannot be told without `like`.

    Example:
      >>> import jax.numpy as jnp, optax, gradtx
      >>> params = {"w": jnp.ones(2)}
      >>> state = optax.adamw(1e-3).init(params)
      >>> gradtx.from_optax(gradtx.adamw(1e-3), state)[0].count
      Array(0, dtype=int32)
    """
    if like is None:
        if is_raw(state):
            raise TypeError(
                "from_optax: the state has lost its classes, as a checkpoint restored "
                "without a template has. Give like=tx.init(params)."
            )
        try:
            like = tx.init(Placeholder(None))
        except Exception as error:
            raise TypeError(
                f"from_optax: what the state of {tx!r} looks like depends on the "
                f"parameters. Give like=tx.init(params)."
            ) from error
    return _Conversion("from_optax", dict(_by_id(tx, like)), True).node(like, state, "")


def to_optax_state(tx: Any, state: Any, like: Any) -> Any:
    """The state of a transformation as that of the same in Optax: `from_optax` back.

    Args:
      tx: gradtx's transformation.
      state: its state.
      like: what the `init` of Optax's optimizer gives for the parameters, or a tree of
        shapes like it (`jax.eval_shape(optimizer.init, params)`).

    Returns:
      A state like `like`, in arrays of its own.

    Raises:
      ValueError: a part without a counterpart, or of another shape; its path is named.

    Example:
      >>> import jax.numpy as jnp, optax, gradtx
      >>> params, tx = {"w": jnp.ones(2)}, gradtx.adamw(1e-3)
      >>> like = optax.adamw(1e-3).init(params)
      >>> state = gradtx.to_optax_state(tx, tx.init(params), like)
      >>> type(state[0]).__module__.split(".")[0]
      'optax'
    """
    made = _Conversion("to_optax_state", dict(_by_id(tx, state)), False)
    return made.node(like, state, "")


def _by_id(tx: Any, state: Any) -> Iterator[tuple[int, Any]]:
    for owner, part in owners(tx, state):
        yield id(part), owner


class _Conversion:
    """One conversion: `target` says what to make, `source` has the numbers."""

    def __init__(self, name: str, owner: dict[int, Any], from_optax: bool):
        self.name = name
        self.owner = owner  # of the parts of gradtx's state, by id
        self.from_optax = from_optax
        self.count: Any = None  # of the steps, where one was met on the way in

    def error(self, text: str) -> ValueError:
        return ValueError(f"{self.name}: {text}")

    def node(self, target: Any, source: Any, path: str) -> Any:
        if self.from_optax and not isinstance(target, Placeholder):
            if is_left_out(source) and not jax.tree.leaves(target):
                return target
            source = revived(target, source)
            source = in_order(source) if _is_chain(target) else source
        kinds = type(target).__name__, type(source).__name__
        if "MaskedNode" in kinds and _all_masked(target) and _all_masked(source):
            return target  # one node for a branch, or one a leaf
        if isinstance(target, Placeholder):
            return _copied(source)
        if kinds[1] == "MaskedState" != kinds[0]:  # a mask that gradtx keeps inside
            return self.node(target, source.inner_state, path + ".inner_state")
        if kinds[0] == "MaskedState" != kinds[1]:
            return target._replace(
                inner_state=self.node(target.inner_state, source, path)
            )
        if hasattr(target, "_fields") and hasattr(source, "_fields"):
            return self.fields(target, source, path)
        chained = _is_chain(source) or hasattr(source, "_fields")
        if _is_chain(target) and (chained or isinstance(source, Mapping)):
            return self.members(target, source, path)
        if isinstance(target, Mapping) and isinstance(source, Mapping):
            return self.entries(target, source, path)
        return self.leaves(target, source, path)

    def fields(self, target: Any, source: Any, path: str) -> Any:
        """A NamedTuple, by the names of its fields."""
        if not target._fields and not source._fields:  # no state, by any name
            return target
        names = {type(target).__name__, type(source).__name__}
        if len(names) > 1 and names not in _ALIKE:
            raise self.error(
                f"{path or 'the state'} is {type(source).__name__}, where "
                f"{type(target).__name__} is wanted: is it made by the same call?"
            )
        if "count" in source._fields:
            self.count = source.count
        made = {}
        for name in target._fields:
            old = getattr(target, name)
            if name in source._fields:
                made[name] = self.node(old, getattr(source, name), f"{path}.{name}")
                if name in _OR_NONE and isinstance(old, Placeholder):
                    made[name] = jax.tree.map(
                        lambda x: x if x.size else None, made[name]
                    )
            else:
                made[name] = self.missing(target, source, name, path)
        for name in source._fields:
            known = name in (*_SHOWN, "count", "hyperparams_states")
            if not (known or name in target._fields) and jax.tree.leaves(
                getattr(source, name)
            ):
                raise self.error(f"{path}.{name} has no place in {type(target)}.")
        if "acc_grads" in made and "mini_step" in made:
            made["acc_grads"] = self.accumulated(target, source, made)
        return type(target)(**made)

    def missing(self, target: Any, source: Any, name: str, path: str) -> Any:
        """A field that the other library does not have."""
        call = getattr(self.owner.get(id(target)), "call", None)
        schedule = None if call is None else call.bound.arguments.get(name)
        if name in _SHOWN and callable(schedule):
            count = jnp.maximum(source.count - 1, 0)  # the last step's
            return fit(value_at(name, schedule, count), getattr(target, name), name)
        old = getattr(target, name)
        if not isinstance(old, Placeholder) and not jax.tree.leaves(old):
            return old
        if name == "count" and self.count is not None:  # an injected momentum's
            return fit(self.count, getattr(target, name), name)
        if name == "hyperparams_states":  # the counts of schedules
            return jax.tree.map(
                lambda x: fit(source.count, x, name), getattr(target, name)
            )
        if name in _OF_NARROW and not _arrays(getattr(target, name)):
            alike = getattr(source, _OF_NARROW[name])
            if all(x.dtype.itemsize >= 4 for x in jax.tree.leaves(alike)):
                return jax.tree.map(lambda x: None, alike)
        raise self.error(f"{path}.{name} is not in {type(source)}.")

    def accumulated(self, target: Any, source: Any, made: dict[str, Any]) -> Any:
        """Gradients of micro-batches: gradtx holds their sum, Optax their mean."""
        tx = self.owner.get(id(target if self.from_optax else source))
        call = getattr(tx, "call", None)
        steps = made["mini_step"]
        if call is None or not call.bound.arguments.get("use_grad_mean", True):
            share = 1
        else:
            share = steps if self.from_optax else 1 / jnp.maximum(steps, 1)
        # Between steps gradtx begins anew with whatever there is; Optax has zeros.
        return jax.tree.map(
            lambda x: jnp.where(steps > 0, share * x, 0).astype(x.dtype),
            made["acc_grads"],
        )

    def entries(self, target: Any, source: Any, path: str) -> Any:
        """A dict, by its keys. A hyperparameter that Optax lacks stays as it is."""
        hyperparams = path.endswith(".hyperparams")
        children, treedef = jax.tree_util.tree_flatten_with_path(
            target, is_leaf=lambda x: x is not target
        )
        made = []
        for (step,), old in children:
            key = getattr(step, "key", None)
            given = key if key in source else str(key)  # a number, as files have it
            if given in source:
                made.append(self.node(old, source[given], f"{path}[{key!r}]"))
            elif self.from_optax and _is_empty(old):
                made.append(old)
            elif hyperparams and isinstance(old, jax.Array):
                made.append(jnp.array(old))
            else:
                raise self.error(f"{path}[{key!r}] is not in it, only {[*source]}.")
        known = {*target, *map(str, target)}
        surplus = [key for key in source if key not in known]
        if surplus and not hyperparams:
            raise self.error(f"{path}[{surplus[0]!r}] has no place in {[*target]}.")
        return treedef.unflatten(made)

    def members(self, target: Any, source: Any, path: str) -> Any:
        """A chain: members that have a state, in their order."""
        alike = _is_chain(source) and len(source) == len(target)
        if alike and any(map(_is_leaf, target)):  # parameters in a list
            pairs = enumerate(zip(target, source, strict=True))
            return type(target)(
                self.node(old, new, f"{path}[{i}]") for i, (old, new) in pairs
            )
        wanted, given = list(_members(target, "")), list(_members(source, path))
        if len(wanted) != len(given):
            raise self.error(
                f"{path or 'the state'} has parts {_listed(given)}, where "
                f"{_listed(wanted)} are wanted: is it made by the same call?"
            )
        pairs = zip(wanted, given, strict=True)
        made = iter([self.node(old, new, at) for (_, old), (at, new) in pairs])

        def build(node: Any) -> Any:
            if _is_chain(node):
                return type(node)(build(x) for x in node)
            return node if _is_empty(node) else next(made)

        return build(target)

    def leaves(self, target: Any, source: Any, path: str) -> Any:
        """Arrays in any container, in their order."""
        old, treedef = jax.tree.flatten(target, is_leaf=_stops)
        new = jax.tree.leaves(source, is_leaf=_stops)
        if len(old) != len(new):
            raise self.error(
                f"{path or 'the state'} is {jax.tree.structure(source)}, where "
                f"{jax.tree.structure(target)} is wanted."
            )
        return treedef.unflatten(
            x
            if x is None or isinstance(x, tuple) or (y is None and _is_nothing(x))
            else fit(as_key(as_one(y, x), x), x, f"{self.name}: {path}")
            for x, y in zip(old, new, strict=True)
        )


def _is_nothing(x: Any) -> bool:
    """An array of size 0, which stands for none, as GaLore's bases in Optax."""
    return getattr(x, "size", None) == 0


def _stops(x: Any) -> bool:
    return x is None or type(x).__name__ == "MaskedNode"


def _arrays(tree: Any) -> list[Any]:
    return [x for x in jax.tree.leaves(tree) if hasattr(x, "dtype")]


def _all_masked(tree: Any) -> bool:
    leaves = jax.tree.leaves(tree, is_leaf=_stops)
    return all(map(_stops, leaves)) and not isinstance(tree, Placeholder)


def _copied(tree: Any) -> Any:
    """Copies of the arrays, with gradtx's own node where a mask has taken one out."""

    def copy(x: Any) -> Any:
        if x is None:
            return None
        return MaskedNode() if type(x).__name__ == "MaskedNode" else jnp.array(x)

    return jax.tree.map(copy, tree, is_leaf=_stops)


def _is_leaf(node: Any) -> bool:
    return _stops(node) or hasattr(node, "dtype")


def _is_chain(node: Any) -> bool:
    return type(node) in (tuple, list)


def _is_empty(node: Any) -> bool:
    """No state at all; a mask around none is none, too."""
    if is_left_out(node):
        return True
    if isinstance(node, Mapping) and [*node] == ["inner_state"]:
        return _is_empty(node["inner_state"])
    if type(node).__name__ == "MaskedNode" or not isinstance(node, tuple | list):
        return False
    return all(map(_is_empty, node))


def _members(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The states of a chain's members that have one, also of chains within."""
    node = in_order(node)
    if _is_chain(node):
        for i, x in enumerate(node):
            yield from _members(x, f"{path}[{i}]")
    elif not _is_empty(node):
        yield path, node


def _listed(parts: list[tuple[str, Any]]) -> str:
    return ", ".join(type(node).__name__ for _, node in parts) or "none"
