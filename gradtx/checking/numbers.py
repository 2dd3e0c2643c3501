"""Findings about numbers that their dtype cannot hold."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gradtx.checking.order import Said
from gradtx.checking.walk import Step

# The widest gap between two neighbours in bfloat16 is this share of them: where 1 - b2
# is less, a second moment that should fall to b2 times itself may round back to itself.
GAP = 2.0**-8
# Squares below this are 0 in float16, so that gradients are below its root.
LEAST = 2.0**-24


def bfloat16_second_moment(steps: list[Step]) -> Iterator[Said]:
    """A second moment whose steps are less than half the gap to the next number."""
    for step in steps:
        b2 = _number(step.arguments.get("b2"))
        if b2 is not None and _is("nu_dtype", step, jnp.bfloat16) and 1 - b2 < GAP:
            yield (
                f"{step.where} keeps its second moment in bfloat16, whose neighbours "
                f"are up to 1/128 apart: with b2={b2:g} a change is rounded away.",
                f"Write nu_dtype=None, which is float32, or a b2 of at most "
                f"{1 - GAP:.3f}.",
            )


def eps_underflows(steps: list[Step]) -> Iterator[Said]:
    """An eps that is gone, or that does not stand for squares that are gone."""
    for step in steps:
        for name, value in step.arguments.items():
            if not name.startswith("eps"):
                continue
            dtype = getattr(value, "dtype", None)
            if dtype in (jnp.float16, jnp.bfloat16) and _number(value) == 0:
                yield (
                    f"{step.where} has {name}=0 as {dtype}: a smaller number than "
                    f"{float(jnp.finfo(dtype).smallest_subnormal):.1g} is zero there.",
                    f"Write {name} as a Python number: it is used in float32.",
                )
        eps = _number(step.arguments.get("eps"))
        if eps is not None and _is("nu_dtype", step, jnp.float16) and eps < LEAST**0.5:
            yield (
                f"{step.where} keeps its second moment in float16: squares of "
                f"gradients below {LEAST**0.5:.1e} are zero there, and eps={eps:g} is "
                f"all that they are divided by.",
                f"Write nu_dtype=None, which is float32, or an eps of at least "
                f"{LEAST**0.5:.1e}.",
            )


def from_elsewhere(steps: list[Step]) -> Iterator[Said]:
    """What is known by its functions only."""
    for step in steps:
        if step.call is None:
            made = getattr(step.tx[0], "__qualname__", "init").split(".")[0]
            yield (
                f"a pair of functions by {made} has no call that says what it is.",
                "Write its factory under gradtx.transformation, or take gradtx's.",
            )


def _is(name: str, step: Step, dtype: Any) -> bool:
    given = step.arguments.get(name)
    return given is not None and jnp.dtype(given) == dtype


def _number(value: Any) -> float | None:
    """A number that is known now."""
    if isinstance(value, Tracer) or not isinstance(
        value, int | float | np.ndarray | np.generic | jax.Array
    ):
        return None
    return float(value)
