"""Numbers of a step: exact ones from the compiler, and times of interleaved runs."""

import math
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .trees import nbytes, size

SAMPLE_SECONDS = 0.02  # a sample of many short steps lasts at least that
MOST_STEPS = 200  # in one sample
MOST_ROUNDS = 200

Turn = Callable[[], float]  # runs, and says how many seconds a step took


def analyse(
    step_fn: Callable[..., Any],
    params: Any,
    state: Any,
    grads: Any,
    like: Any = None,
    **options: Any,
) -> dict:
    """What the compiler says of a step; no array is made.

    Args:
      step_fn: `(params, state, grads) -> (params, state)`; parameters and state are
        donated.
      params, state, grads: trees of `jax.ShapeDtypeStruct`.
      like: the tree whose entries count as parameters, where the gradients are of
        several examples.
      **options: of XLA, for this program.

    Returns:
      - `parameters`, `leaves`: of that tree, or of the gradients.
      - `equations`: of the jaxpr, those of inner jaxprs with every call;
        `distinct_equations`: with the first call only.
      - `bytes_accessed`, `flops`: by `cost_analysis`.
      - `temp_bytes`, `argument_bytes`, `output_bytes`, `alias_bytes` (of what is
        donated and taken up): by `memory_analysis`. `state_bytes`: of the state.
      - `per_parameter`: `bytes_accessed`, `temp_bytes` and `state_bytes` for each.
      - `trace_seconds`, `lower_seconds`, `compile_seconds`.
    """
    return compiled(step_fn, params, state, grads, like, **options)[0]


def compiled(
    step_fn: Callable[..., Any],
    params: Any,
    state: Any,
    grads: Any,
    like: Any = None,
    **options: Any,
) -> tuple[dict, Callable[..., Any]]:
    """The same, and the compiled step."""
    with warnings.catch_warnings():
        # A number says so: alias_bytes.
        warnings.filterwarnings("ignore", "Some donated buffers were not usable")
        times = [time.perf_counter()]
        traced = jax.jit(step_fn, donate_argnums=(0, 1)).trace(params, state, grads)
        times.append(time.perf_counter())
        lowered = traced.lower()
        times.append(time.perf_counter())
        step = lowered.compile(options)
        times.append(time.perf_counter())
    memory, cost = step.memory_analysis(), step.cost_analysis()
    like = grads if like is None else like
    parameters = size(like)
    every, distinct = equations(traced.jaxpr.jaxpr)
    numbers = {
        "parameters": parameters,
        "leaves": len(jax.tree.leaves(like)),
        "equations": every,
        "distinct_equations": distinct,
        "bytes_accessed": int(cost["bytes accessed"]),
        "flops": int(cost.get("flops", 0)),
        "temp_bytes": memory.temp_size_in_bytes,
        "argument_bytes": memory.argument_size_in_bytes,
        "output_bytes": memory.output_size_in_bytes,
        "alias_bytes": memory.alias_size_in_bytes,
        "state_bytes": nbytes(state),
    }
    kinds = "bytes_accessed", "temp_bytes", "state_bytes"
    numbers["per_parameter"] = {kind: numbers[kind] / parameters for kind in kinds}
    stages = "trace_seconds", "lower_seconds", "compile_seconds"
    return numbers | dict(zip(stages, np.diff(times).tolist(), strict=True)), step


def equations(jaxpr: Any) -> tuple[int, int]:
    """The equations of a jaxpr, inner ones with every call, and with the first only."""
    totals: dict[int, int] = {}
    distinct = 0

    def total(jaxpr):
        nonlocal distinct
        if id(jaxpr) not in totals:
            distinct += len(jaxpr.eqns)
            totals[id(jaxpr)] = len(jaxpr.eqns) + sum(
                total(inner) for eqn in jaxpr.eqns for inner in _inner(eqn)
            )
        return totals[id(jaxpr)]

    return total(jaxpr), distinct


def _inner(eqn: Any):
    """The jaxprs among the parameters of an equation."""
    for value in jax.tree.leaves(list(eqn.params.values())):
        value = getattr(value, "jaxpr", value)  # a closed one
        if hasattr(value, "eqns"):
            yield value


def turn(step: Callable[[], Any], cycle: int = 1) -> Turn:
    """A sample of a step: warmed up, and long enough for the clock.

    Args:
      step: takes a step and returns what to wait for.
      cycle: a sample has a multiple of so many steps.
    """

    def run(steps: int) -> float:
        result = None
        start = time.perf_counter()
        for _ in range(steps):
            result = step()
        jax.block_until_ready(result)
        return (time.perf_counter() - start) / steps

    run(cycle)
    seconds = max(run(cycle), 1e-7)
    cycles = math.ceil(min(SAMPLE_SECONDS / seconds, MOST_STEPS) / cycle)
    return lambda: run(cycle * cycles)


def interleave(
    turns: Mapping[str, Callable[[], Any]], seconds: float, rounds: int
) -> dict[str, list[Any]]:
    """Run turns side by side: A B C, C B A, A B C, ...

    What disturbs the machine disturbs all of them, and a ratio within a round less
    than either time.

    Args:
      turns: by name.
      seconds: the time to spend.
      rounds: the fewest rounds, however long they take.

    Returns:
      By name what each turn gave, a value a round.
    """
    values: dict[str, list[Any]] = {name: [] for name in turns}
    order, start = list(turns), time.perf_counter()
    for done in range(MOST_ROUNDS):
        if done >= max(rounds, 1) and time.perf_counter() - start > seconds:
            break
        for name in order:
            values[name].append(turns[name]())
        order.reverse()
    return values


def spread(values: Any) -> dict[str, float]:
    """The median and the quartiles."""
    low, median, high = np.quantile(np.asarray(values), (0.25, 0.5, 0.75)).tolist()
    return {"median": median, "low": low, "high": high, "samples": len(values)}


def ratio(these: Any, those: Any) -> dict[str, float]:
    """The median of the pairs' ratios, with its quartiles."""
    return spread(np.asarray(these) / np.asarray(those))


def copy_bandwidth(nbytes: int, seconds: float = 1.0) -> dict[str, float]:
    """What moving a big array takes: bytes read and written in a second, in GB/s."""
    box = [jnp.ones(nbytes // 4, jnp.float32)]
    source = jnp.ones(nbytes // 4, jnp.float32)
    into_new = jax.jit(lambda x: x + 1)
    in_place = jax.jit(lambda x: x + 1, donate_argnums=0)

    def donated():
        box[0] = in_place(box[0])
        return box[0]

    turns = {"copy": turn(lambda: into_new(source)), "in place": turn(donated)}
    values = interleave(turns, seconds, rounds=5)
    return {name: 2 * nbytes / min(times) / 1e9 for name, times in values.items()}
