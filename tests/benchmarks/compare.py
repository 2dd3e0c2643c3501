"""One workload: gradtx, Optax and a step by hand, in turn on the same tree."""

import gc
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import gradtx

from . import trees
from .floor import FLOORS
from .measure import SAMPLE_SECONDS, analyse, compiled, interleave, ratio, spread, turn
from .workloads import Workload

LOOP, STEP, OPTAX, BY_HAND = "gradtx loop", "gradtx step", "optax loop", "by hand"


class Options(NamedTuple):
    tree: str = "gpt2"
    dtype: str = "float32"
    seconds: float = 3.0  # to time a workload for
    rounds: int = 5  # at least
    compiles: int = 1  # of which the median is taken
    copy_gb_s: float | None = None  # bandwidth of a copy, for the time of the minimum


class Way(NamedTuple):
    """A way to take a step; ways with the same owner move the same arrays along."""

    owner: str
    params: Callable[[Any], Any]  # from a tree of arrays
    init: Callable[[Any], Any]
    fn: Callable[[Any, Any, Any], tuple[Any, Any]]  # of params, state, grads
    grads: Callable[[Any], Any]  # from a tree of arrays

    def shapes(self, tree: Any) -> tuple[Any, Any, Any]:
        """Of parameters, state and gradients."""
        params = jax.eval_shape(self.params, tree)
        state = jax.eval_shape(self.init, params)
        return params, state, jax.eval_shape(self.grads, tree)


def ways(workload: Workload) -> dict[str, Callable[[], Way]]:
    """How to make each way; made anew, it has nothing that was traced before."""

    def loop(lib):
        tx = workload.build(lib)

        def fn(params, state, grads):
            extra = workload.extra(grads, params)
            updates, state = tx.update(grads, state, params, **extra)
            return lib.apply_updates(params, updates), state

        return Way(
            lib.__name__,
            lambda p: workload.params(lib, p),
            tx.init,
            fn,
            workload.grads,
        )

    def step():
        tx = workload.build(gradtx)

        def fn(params, state, grads):
            return tx.step(grads, state, params, **workload.extra(grads, params))

        return Way(
            "gradtx",
            lambda p: workload.params(gradtx, p),
            tx.init,
            fn,
            workload.grads,
        )

    def by_hand():
        floor = FLOORS[workload.floor]
        return Way(BY_HAND, lambda p: p, floor.init, floor.step, workload.grads)

    found: dict[str, Callable[[], Way]] = {LOOP: lambda: loop(gradtx), STEP: step}
    if workload.in_optax:
        found[OPTAX] = lambda: loop(optax)
    if workload.floor is not None:
        found[BY_HAND] = by_hand
    return found


def compare(workload: Workload, options: Options) -> dict[str, Any]:
    """Measure a workload.

    Returns:
      A record for JSON: by way the analysis, the milliseconds a step and their ratios
      to Optax's and to those by hand; and the fewest bytes that a step can move. A way
      that fails has `error` instead.
    """
    name = "hundred" if workload.eager else options.tree
    tree = trees.structs(trees.TREES[name](), options.dtype)
    record: dict[str, Any] = {
        "workload": workload.name,
        "transformation": repr(workload.build(gradtx)),
        "tree": name,
        "dtype": options.dtype,
        "leaves": len(jax.tree.leaves(tree)),
        "parameters": trees.size(tree),
        "ways": {},
    }
    ready: dict[str, Way] = {}
    for way, make in ways(workload).items():
        try:
            record["ways"][way], ready[way] = _prepared(workload, make, tree, options)
        except Exception as error:
            record["ways"][way] = _said(error)
    if STEP in ready:
        record["minimum"] = _minimum(workload, ready[STEP], tree, options)
    for way, times in _timed(workload, ready, tree, options).items():
        record["ways"][way] |= times
    return record


def _said(error: Exception) -> dict[str, str]:
    """A failure as data: one way's must not end the run of the others."""
    return {"error": f"{type(error).__name__}: {error}"}


def _prepared(
    workload: Workload, make: Callable[[], Way], tree: Any, options: Options
) -> tuple[dict[str, Any], Way]:
    """The analysis of a way, and the way with its step compiled."""
    if workload.eager:
        return {}, make()
    stages: list[dict[str, Any]] = []
    gc.collect()  # now, not while the clock runs
    for _ in range(options.compiles - 1):
        way = make()
        stages.append(analyse(way.fn, *way.shapes(tree), like=tree))
    way = make()
    numbers, step = compiled(way.fn, *way.shapes(tree), like=tree)
    for stage in "trace_seconds", "lower_seconds", "compile_seconds":
        numbers[stage] = statistics.median(n[stage] for n in [*stages, numbers])
    return numbers, way._replace(fn=step)


def _minimum(
    workload: Workload, way: Way, tree: Any, options: Options
) -> dict[str, Any]:
    n = trees.size(tree)
    p = trees.nbytes(tree) / n  # of the gradients, too
    least = workload.minimum(p, p, trees.nbytes(way.shapes(tree)[1]) / n)
    found = {"bytes_per_parameter": least}
    if options.copy_gb_s is not None and not workload.eager:
        found["milliseconds"] = least * n / options.copy_gb_s / 1e6
    return found


def _timed(
    workload: Workload, ready: dict[str, Way], tree: Any, options: Options
) -> dict[str, dict[str, Any]]:
    """By way the times of a step, and of each kind of step where there are two."""
    params = trees.arrays(tree, 0.02, seed=0)
    grads = workload.grads(trees.arrays(tree, 0.01, seed=1))

    def own(arrays):  # no buffer twice: all of them are donated
        return jax.tree.map(jnp.copy, arrays)

    held: dict[str, tuple[Any, Any]] = {}
    for way in ready.values():
        if way.owner not in held:
            mine = own(way.params(params))
            held[way.owner] = mine, own(way.init(mine))
    del params

    def stepping(way):
        def step():
            held[way.owner] = way.fn(*held[way.owner], grads)
            return held[way.owner]

        return step

    def kinds(step):
        """The seconds of each step of a cycle."""
        seconds = []
        for _ in range(workload.cycle):
            start = time.perf_counter()
            jax.block_until_ready(step())
            seconds.append(time.perf_counter() - start)
        return seconds

    found: dict[str, dict[str, Any]] = {}
    steps: dict[str, Callable[[], Any]] = {}
    turns: dict[str, Callable[[], float]] = {}
    for name, way in ready.items():
        try:
            steps[name] = stepping(way)
            turns[name] = turn(steps[name], workload.cycle)
        except Exception as error:
            found[name] = _said(error)
    if workload.cycle == 1:
        return found | _summary(interleave(turns, options.seconds, options.rounds))
    each = {name: lambda name=name: kinds(steps[name]) for name in turns}
    rows = {
        name: np.asarray(values)
        for name, values in interleave(each, options.seconds, options.rounds).items()
    }
    means = {name: values.mean(axis=1) for name, values in rows.items()}
    if any(values.min() < SAMPLE_SECONDS for values in means.values()):
        # Each step was waited for, which short ones need not be in training.
        means = interleave(turns, options.seconds, options.rounds)
    between = _summary({name: v[:, :-1].mean(axis=1) for name, v in rows.items()})
    last = _summary({name: values[:, -1] for name, values in rows.items()})
    for name, numbers in _summary(means).items():
        single = {"between": between[name], "last": last[name]}
        found[name] = numbers | {"kinds": single}
    return found


def _summary(times: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Milliseconds, and the ratios to the peers'."""
    return {
        name: {
            "milliseconds": spread(1e3 * np.asarray(values)),
            "ratios": {
                peer: ratio(values, times[peer])
                for peer in (OPTAX, BY_HAND)
                if peer in times and peer != name
            },
        }
        for name, values in times.items()
    }
