"""Programs with loops, outside of `jit`: compiled once, however often they are built.

A loop or a branch is compiled where it stands, and found again by the functions in it.
Those of a line search are made in each step, since they close over the step's arrays;
so outside of `jit` each step compiled a program that was there already.
"""

import functools
import hashlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.core import Tracer
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun


def compiled_once(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The same function; outside of `jit` it runs as one program, compiled once.

    It is traced at each call, so that functions among its arguments are called as they
    now are, and arrays that they close over count with their values of now. What comes
    out is compared with the programs that were compiled before, text by text. A tenth
    of the time to compile goes into that.

    Within a trace, under `jax.disable_jit` and `jax.debug_nans`, with effects (prints)
    in it, or where something needs an array's value to be traced, it runs as it is.
    """

    @functools.wraps(fn)
    def run(*args: Any, **kwargs: Any) -> Any:
        leaves, treedef = jax.tree.flatten((args, kwargs))
        arrays = [isinstance(x, jax.Array | np.ndarray | np.generic) for x in leaves]
        given = [x for x, is_array in zip(leaves, arrays, strict=True) if is_array]
        if any(isinstance(x, Tracer) for x in given) or _step_by_step():
            return fn(*args, **kwargs)
        structures: list[Any] = []

        def flat(*given: Any) -> list[Any]:
            now = iter(given)
            full = [
                next(now) if is_array else x
                for x, is_array in zip(leaves, arrays, strict=True)
            ]
            args, kwargs = treedef.unflatten(full)
            results, structure = jax.tree.flatten(fn(*args, **kwargs))
            structures.append(structure)
            return results

        try:
            closed = jax.make_jaxpr(flat)(*given)
        except jax.errors.JAXTypeError:  # an `if` on an array of the caller's
            return fn(*args, **kwargs)
        consts = closed.consts
        if closed.effects or any(isinstance(x, Tracer) for x in consts):
            return fn(*args, **kwargs)
        # Arrays that were closed over become arguments: their values are no part of
        # the program.
        run = jax.jit(lambda c, g: jaxpr_as_fun(ClosedJaxpr(closed.jaxpr, c))(*g))
        lowered = run.lower(consts, given)
        places = [
            (getattr(x, "sharding", None), getattr(x, "committed", False))
            for x in (*consts, *given)
        ]
        text = hashlib.sha256(lowered.as_text().encode()).digest()
        avals = *closed.in_avals, *closed.out_avals  # weak types are not in the text
        program = _Program((text, tuple(map(str, avals)), tuple(places)), lowered)
        return structures[-1].unflatten(_compile(program)(consts, given))

    return run


def _step_by_step() -> bool:
    """Whether someone is looking for a fault, operation by operation."""
    config: Any = jax.config
    return config.jax_disable_jit or config.jax_debug_nans or config.jax_debug_infs


class _Program:
    """What is to be compiled; compares by its key."""

    def __init__(self, key: Any, lowered: Any):
        self.key = key
        self.lowered = lowered

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Program) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@functools.lru_cache(maxsize=128)
def _compile(program: _Program) -> Callable[..., Any]:
    compiled = program.lowered.compile()
    program.lowered = None  # the memory keeps the key alone
    return compiled
