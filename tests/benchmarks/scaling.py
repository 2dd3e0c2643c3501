"""How cost grows: with leaves until a step is compiled, with parameters in the step."""

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from . import trees
from .compare import LOOP, OPTAX, STEP, ways
from .measure import analyse, compiled, interleave, ratio, spread, turn
from .workloads import workloads

LEAVES = 100, 300, 1_000, 3_000, 10_000
PARAMETERS = 1_000_000, 5_000_000, 25_000_000, 125_000_000, 500_000_000
BYTES_A_PARAMETER = 36  # of all arrays of a comparison in float32, copies included
SHARE_OF_MEMORY = 0.9


def over_leaves(most: int, dtype: str, deadline: float) -> Iterator[dict[str, Any]]:
    """Seconds to trace, to lower and to compile adamw on ever more tiny leaves.

    No size begins that would not end before the deadline: XLA's time to compile grows
    with up to the square of the leaves.
    """
    before, took = 0, 0.0
    for count in [n for n in LEAVES if n <= most]:
        start = time.perf_counter()
        if before and start + took * (count / before) ** 2 > deadline:
            return
        tree = trees.structs(trees.many(count), dtype)
        record: dict[str, Any] = {"leaves": count, "ways": {}}
        for name in (LOOP, STEP, OPTAX):
            way = ways(workloads()["adamw"])[name]()
            numbers = analyse(way.fn, *way.shapes(tree))
            record["ways"][name] = {
                key: numbers[key]
                for key in ("trace_seconds", "lower_seconds", "compile_seconds")
            }
        before, took = count, time.perf_counter() - start
        yield record


def over_parameters(
    most: int, dtype: str, seconds: float, device: jax.Device
) -> Iterator[dict[str, Any]]:
    """Milliseconds of a step of adamw on a single leaf, ever larger, while it fits."""
    for count in [n for n in PARAMETERS if n <= most]:
        if count * BYTES_A_PARAMETER > SHARE_OF_MEMORY * _memory(device):
            return
        times = interleave(_turns(count, dtype), seconds, rounds=3)
        yield {
            "parameters": count,
            "ways": {
                name: {
                    "milliseconds": spread([1e3 * t for t in values]),
                    "ratio": ratio(values, times[OPTAX]),
                }
                for name, values in times.items()
            },
        }


def _turns(count: int, dtype: str) -> dict[str, Callable[[], float]]:
    tree = trees.structs(trees.single(count), dtype)
    params, grads = trees.arrays(tree, 0.02, 0), trees.arrays(tree, 0.01, 1)
    held: dict[str, Any] = {}
    turns = {}
    for name in (LOOP, STEP, OPTAX):
        way = ways(workloads()["adamw"])[name]()
        fn = compiled(way.fn, *way.shapes(tree))[1]
        if way.owner not in held:
            held[way.owner] = jax.tree.map(jnp.copy, params), way.init(params)

        def step(fn=fn, owner=way.owner):
            held[owner] = fn(*held[owner], grads)
            return held[owner]

        turns[name] = turn(step)
    return turns


def _memory(device: jax.Device) -> float:
    """Bytes of memory of the device, or those of the machine that are free."""
    statistics = device.memory_stats() or {}
    if "bytes_limit" in statistics:
        return statistics["bytes_limit"]
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # a system that does not say
        return 8e9
