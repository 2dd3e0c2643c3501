"""Runs of PyTorch's optimizers, continued: their state_dict as a state."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.compose import MaskedState, PartitionState, chain, partition
from gradtx.core.masking import resolve_mask
from gradtx.core.numerics import value_at
from gradtx.core.transformation import inner_of
from gradtx.core.trees import leaves_of
from gradtx.core.types import MaskedNode
from gradtx.interop.torch_saved import (
    Owned,
    as_array,
    error,
    is_among,
    parameters_of,
    shapes_of,
)
from gradtx.interop.torch_wrapped import is_wrapped, wrapped
from gradtx.optimizers.adam import scale_by_adam
from gradtx.optimizers.rmsprop import scale_by_rms, scale_by_stddev
from gradtx.transforms.decay import AddDecayedWeightsState, add_decayed_weights
from gradtx.transforms.momentum import trace
from gradtx.transforms.scale import (
    ScaleByLearningRateState,
    scale,
    scale_by_learning_rate,
)
from gradtx.tree.names import is_alias

_SLOTS = {"mu": "exp_avg", "nu": "exp_avg_sq", "nu_max": "max_exp_avg_sq"}
_RMS_SLOTS = {"mu": "grad_avg", "nu": "square_avg"}


def from_torch(
    tx: Any, state_dict: Any, names: Any, params: Any = None, *, step: int | None = None
) -> Any:
    """The state that goes on where an optimizer of PyTorch has stopped.

    For `Adam`, `AdamW`, `SGD` and `RMSprop`; the table in "Coming from PyTorch" says
    which call is theirs here. PyTorch itself is not needed.

    Args:
      tx: `adam`, `adamw`, `sgd`, `rmsprop`, or their parts; chained with what has no
        state (clipping, decay), within `maximize`, and in `partition` where there are
        several groups. Within `inject_hyperparams` the learning rate that PyTorch has
        stopped with goes before the one of `tx`; within `MultiSteps` no micro-batch
        is gathered yet.
      state_dict: `optimizer.state_dict()`, its tensors as they are or as arrays.
      names: a tree like the parameters; at each leaf the parameter's number in the
        state_dict (its place in `model.parameters()`), or its name, if the optimizer
        was given names (`model.named_parameters()`).
      params: the parameters or their shapes, to compare the shapes with.
      step: the number of steps taken, for `SGD`, which does not count, with a schedule
        or `MultiSteps`.

    Returns:
      The state, in arrays of its own.

    Raises:
      ValueError: what is missing, too much, of another shape or another number than in
        `tx`, by its name; a part of `tx` that has no counterpart in PyTorch.

    Example:
      >>> import numpy as np, gradtx
      >>> group = dict(lr=0.1, momentum=0.9, dampening=0, nesterov=False, params=[0])
      >>> state = {0: {"momentum_buffer": np.ones(2)}}
      >>> saved = {"state": state, "param_groups": [group]}
      >>> gradtx.from_torch(gradtx.sgd(0.1, 0.9), saved, names={"w": 0})[0].trace
      {'w': Array([1., 1.], dtype=float32)}
    """
    tx = inner_of("from_torch: tx", tx)
    owned = parameters_of(state_dict, names)
    shapes = shapes_of(owned, names, params)
    run = _Run(shapes, step)
    state = run.part(tx, jax.eval_shape(tx.init, shapes), owned)
    run.compare(owned)
    return state


class _Chain(NamedTuple):
    """What came before in the chain."""

    scaled: bool = False  # Adam's or RMSprop's division, or momentum
    rate: Any = None  # the learning rate


class _Run:
    """One conversion, member by member."""

    def __init__(self, shapes: Any, step: int | None):
        self.shapes = shapes
        self.step = step
        self.before = _Chain()

    def part(self, tx: Any, state: Any, owned: Owned) -> Any:
        """The state of a transformation, from shapes like it."""
        while is_alias(tx):
            tx = tx.made_of
        call: Any = tx.call
        factory = getattr(call, "factory", None)
        if factory is chain:
            members = zip(call.args, state, strict=True)
            return tuple(
                self.part(inner_of("tx", member), part, owned)
                for member, part in members
            )
        if factory is partition:
            return self.groups(tx, state, owned)
        if is_wrapped(factory):
            return wrapped(self, tx, state, owned)
        handler = _HANDLERS.get(factory)
        if handler is not None:
            return handler(self, call.bound.arguments, state, owned)
        if jax.tree.leaves(state):
            raise error(f"{tx!r} has a state that no optimizer of PyTorch has.")
        return state

    def groups(self, tx: Any, state: Any, owned: Owned) -> PartitionState:
        """Each label's member, with the parameters that are its own."""
        arguments = tx.call.bound.arguments
        # Where a momentum has leaves, the member of that label has.
        probe = partition(
            {label: trace(0.5) for label in arguments["transforms"]},
            arguments["param_labels"],
        )
        masks = jax.eval_shape(probe.init, self.shapes).inner_states
        made, before = {}, self.before
        for label, member in arguments["transforms"].items():
            leaves = _leaves(masks[label].inner_state.trace)
            mine = [
                p if isinstance(x, jax.ShapeDtypeStruct) else None
                for p, x in zip(owned, leaves, strict=True)
            ]
            self.before = before
            part = state.inner_states[label].inner_state
            made[label] = MaskedState(self.part(inner_of("tx", member), part, mine))
        return PartitionState(made)

    def counts(self, owned: Owned) -> bool:
        """Whether it is known how many steps were taken."""
        return self.step is not None or any(p and "step" in p.state for p in owned)

    def count(self, owned: Owned) -> int:
        """The steps taken, the same for all."""
        counts = {
            int(p.state["step"]): p.name
            for p in owned
            if p is not None and "step" in p.state
        }
        if len(counts) > 1:
            raise error(f"the steps taken differ: {counts}. Here is one count for all.")
        if counts:
            return next(iter(counts))
        if self.step is None:
            raise error("PyTorch's SGD does not count its steps: give step=.")
        return self.step

    def fill(self, slot: Any, owned: Owned, key: str, factor: Any = None) -> Any:
        """A slot of the state from the entries of one name."""
        leaves, treedef = jax.tree.flatten(slot, is_leaf=_stops)
        filled = []
        for p, leaf in zip(owned, leaves, strict=True):
            if p is not None:
                value = p.get(key) if factor is None else factor(p) * p.get(key)
                leaf = jnp.array(value, leaf.dtype)
            filled.append(leaf)
        return treedef.unflatten(filled)

    def want(self, kinds: tuple[str, ...], owned: Owned, what: str) -> None:
        for p in owned:
            if p is not None and p.kind not in kinds:
                raise error(f"{p.where} is of {p.kind}, and {what} is not its part.")

    def compare(self, owned: Owned) -> None:
        """Raise for numbers that are not those of PyTorch."""
        problems: dict[str, None] = {}
        for p in owned:
            if p is None:
                continue
            says = _UNSAID | p.says
            for name in _NEEDED[p.kind]:
                if name not in says:
                    problems[f"nothing in tx has the {name} of {p.where}"] = None
            for name, values in says.items():
                if name in p.group and not is_among(p.group[name], values):
                    said = f"{name} is {p.group[name]} in {p.where}, here {values[0]}"
                    problems[said] = None
        if problems:
            raise error(f"{'; '.join(problems)}.")


# What holds unless a part of tx says something else.
_UNSAID: dict[str, tuple[Any, ...]] = {
    "maximize": (False,),
    "momentum": (0,),
    "weight_decay": (0,),
}
_NEEDED = {"Adam": ("betas", "lr"), "SGD": ("lr",), "RMSprop": ("alpha", "lr")}


def _stops(x: Any) -> bool:
    return x is None or isinstance(x, MaskedNode)


def _leaves(tree: Any) -> list[Any]:
    return jax.tree.leaves(tree, is_leaf=_stops)


def _say(owned: Owned, **says: Any) -> None:
    for p in owned:
        if p is not None:
            p.says |= {name: (value,) for name, value in says.items()}


def _refuse(what: str, arguments: Mapping[str, Any], **wanted: Any) -> None:
    for name, value in wanted.items():
        if not is_among(arguments[name], (value,)):
            raise error(
                f"{what} has {name}={arguments[name]!r}, PyTorch's is {value!r}."
            )


def _adam(run: _Run, arguments: Any, state: Any, owned: Owned) -> Any:
    run.want(("Adam",), owned, "scale_by_adam")
    _refuse("adam", arguments, eps_root=0, nesterov=False, bias_correction=True)
    _refuse("adam", arguments, eps_before_correction=False)
    largest = arguments["amsgrad"]
    if largest not in (False, "uncorrected"):
        raise error(f"adam has amsgrad={largest!r}, PyTorch's is 'uncorrected'.")
    betas = arguments["b1"], arguments["b2"]
    _say(owned, betas=betas, eps=arguments["eps"], amsgrad=bool(largest))
    run.before = run.before._replace(scaled=True)
    return _slots(run, state, owned, _SLOTS)


def _rms(centered: bool) -> Callable[..., Any]:
    def handler(run: _Run, arguments: Any, state: Any, owned: Owned) -> Any:
        run.want(("RMSprop",), owned, "scale_by_rms")
        _refuse("rmsprop", arguments, eps_in_sqrt=False, bias_correction=False)
        alpha, eps = arguments["decay"], arguments["eps"]
        _say(owned, alpha=alpha, eps=eps, centered=centered)
        run.before = run.before._replace(scaled=True)
        return _slots(run, state, owned, _RMS_SLOTS)

    return handler


def _slots(run: _Run, state: Any, owned: Owned, keys: Mapping[str, str]) -> Any:
    made = {
        name: run.fill(getattr(state, name), owned, key)
        for name, key in keys.items()
        if name in state._fields
    }
    if "count" in state._fields:
        made["count"] = jnp.array(run.count(owned), jnp.int32)
    return type(state)(**made)


def _trace(run: _Run, arguments: Any, state: Any, owned: Owned) -> Any:
    run.want(("SGD", "RMSprop"), owned, "trace")
    _say(owned, momentum=arguments["decay"])
    rate = run.before.rate
    for p in owned:
        if p is not None and p.kind == "RMSprop":
            _refuse("trace", arguments, nesterov=False, dampening=0)
    _say(owned, nesterov=arguments["nesterov"], dampening=arguments["dampening"])
    run.before = run.before._replace(scaled=True)
    # Behind the learning rate it holds steps, PyTorch's holds what they are made of.
    factor = None if rate is None else lambda p: -as_array(p.group["lr"])
    made = {"trace": run.fill(state.trace, owned, "momentum_buffer", factor)}
    if "count" in state._fields:  # whether a first gradient was seen is all it is for
        count = run.count(owned) if run.counts(owned) else 1
        made["count"] = jnp.array(count, jnp.int32)
    return type(state)(**made)


def _rate(run: _Run, arguments: Any, state: Any, owned: Owned) -> Any:
    rate = arguments["learning_rate"]
    run.before = run.before._replace(rate=rate)
    if not arguments["flip_sign"]:
        raise error("scale_by_learning_rate has flip_sign=False: say maximize(tx).")
    if not callable(rate):
        _say(owned, lr=rate)
        return state
    count = run.count(owned)
    # Saved before or after scheduler.step().
    values = [value_at("learning_rate", rate, max(count - i, 0)) for i in (0, 1)]
    for p in owned:
        if p is not None:
            p.says["lr"] = tuple(values)
    return ScaleByLearningRateState(jnp.array(count, jnp.int32), jnp.array(values[1]))


def _decay(run: _Run, arguments: Any, state: Any, owned: Owned) -> Any:
    decay, mask = arguments["weight_decay"], arguments["mask"]
    new = state
    if callable(decay):
        count = run.count(owned)
        value = value_at("weight_decay", decay, max(count - 1, 0))
        new = AddDecayedWeightsState(jnp.array(count, jnp.int32), value)
        decay = value_at("weight_decay", decay, count)
    chosen = [True] * len(owned)
    if mask is not None:
        chosen = leaves_of(resolve_mask(mask, run.shapes))[0]
    decoupled = run.before.scaled
    for p, takes in zip(owned, chosen, strict=True):
        if p is None or not takes or is_among(decay, (0,)):
            continue
        p.says["weight_decay"] = (decay,)
        if p.kind == "Adam":
            p.says["decoupled_weight_decay"] = (decoupled,)
        elif decoupled:
            raise error(
                f"add_decayed_weights stands behind {p.kind}'s own part; in PyTorch it "
                f"is before: chain(add_decayed_weights(...), {p.kind.lower()}(...))."
            )
    return new


def _scale(run: _Run, arguments: Any, state: Any, owned: Owned) -> Any:
    if run.before.rate is not None and arguments["step_size"] > 0:  # of a group
        for p in owned:
            if p is not None:
                p.says["lr"] = tuple(arguments["step_size"] * x for x in p.says["lr"])
        return state
    if not is_among(arguments["step_size"], (-1,)) or run.before != _Chain():
        raise error("scale has no counterpart in PyTorch but behind the learning rate.")
    _say(owned, maximize=True)
    return state


_HANDLERS: dict[Any, Callable[..., Any]] = {
    add_decayed_weights: _decay,
    scale: _scale,
    scale_by_adam: _adam,
    scale_by_learning_rate: _rate,
    scale_by_rms: _rms(False),
    scale_by_stddev: _rms(True),
    trace: _trace,
}
