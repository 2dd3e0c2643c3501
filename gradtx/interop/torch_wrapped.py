"""Runs of PyTorch's, continued within `MultiSteps` and `inject_hyperparams`."""

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.interop.torch_saved import Owned, error
from gradtx.schedules.arguments import gather, sort, spread
from gradtx.schedules.hyperparams import Hyperparams, InjectHyperparamsState
from gradtx.schedules.inject import Injected
from gradtx.schedules.stateful import WrappedScheduleState, is_stateful
from gradtx.wrappers.accumulate import NOTHING, MultiSteps, MultiStepsState


def is_wrapped(factory: Any) -> bool:
    return factory is MultiSteps or isinstance(factory, Injected)


def wrapped(run: Any, tx: Any, state: Any, owned: Owned) -> Any:
    """The state of a wrapper, from shapes like it; `run` converts what is inside."""
    if tx.call.factory is MultiSteps:
        return _accumulating(run, tx, state, owned)
    return _injected(run, tx, state, owned)


def _accumulating(run: Any, tx: Any, state: Any, owned: Owned) -> MultiStepsState:
    """With no micro-batch gathered: PyTorch's gradients are not in its state_dict."""
    said = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), state.skip_state)
    return MultiStepsState(
        mini_step=jnp.zeros([], jnp.int32),
        gradient_step=jnp.array(run.count(owned), jnp.int32),
        inner_opt_state=run.part(tx.inner_opt, state.inner_opt_state, owned),
        acc_grads=jax.tree.map(
            lambda x: jnp.full(x.shape, NOTHING, x.dtype), state.acc_grads
        ),
        skip_state=said,
    )


def _injected(run: Any, tx: Any, state: Any, owned: Owned) -> Any:
    """A learning rate that is a number is the one that PyTorch has stopped with."""
    factory, signature = tx.call.factory, tx.call.factory.__signature__
    arguments = spread(signature, repr(factory), tx.call.args, tx.call.kwargs)
    numbers, schedules = sort(signature, arguments, factory.static_args)
    for name, fn in schedules.items():
        if is_stateful(fn):
            raise error(f"{tx!r}: {name} has a state, which PyTorch's has not.")
    rates = {float(p.group["lr"]) for p in owned if p is not None}
    if "learning_rate" in numbers and len(rates) == 1:
        numbers["learning_rate"] = rates.pop()
    count = run.count(owned) if schedules or run.counts(owned) else 0
    # The last step's, and the next one's: saved before or after scheduler.step().
    last, following = (
        {name: float(fn(jnp.int32(max(at, 0)))) for name, fn in schedules.items()}
        for at in (count - 1, count)
    )
    by_place, by_name = gather(signature, arguments | numbers | last)
    made = factory.inner_factory(*by_place, **by_name)
    inner = run.part(made, state.inner_state, owned)
    if "learning_rate" in schedules:
        both = last["learning_rate"], following["learning_rate"]
        for p in owned:
            if p is not None and p.says.get("lr") == both[:1]:
                p.says["lr"] = both
    values = numbers | last
    hyperparams = Hyperparams(
        {
            name: jnp.array(values[name], x.dtype)
            for name, x in state.hyperparams.items()
        }
    )
    count = jnp.array(count, jnp.int32)
    if isinstance(state, InjectHyperparamsState):
        return InjectHyperparamsState(count, hyperparams, inner)
    states = {name: WrappedScheduleState(jnp.copy(count)) for name in schedules}
    return type(state)(count, hyperparams, states, inner)
