"""Extra arguments of `update`, such as the value of the loss."""

import functools
from typing import Any

import jax.numpy as jnp

from gradtx.core.leafwise import slot_dtype
from gradtx.core.trees import absent, callers, dtype_of, is_inexact, leaves_of


def scalar_dtype(params: Any) -> Any:
    """The dtype of values, slopes and steps: the widest of the parameters' real ones.

    At least float32.
    """
    dtypes = [
        slot_dtype(p, real=True)
        for p in leaves_of(params)[0]
        if not absent(p) and is_inexact(dtype_of(p))
    ]
    return jnp.dtype(functools.reduce(jnp.promote_types, dtypes, jnp.float32))


def need_extra(**arguments: Any) -> None:
    """Raise, with their names, if extra arguments of `update` are missing."""
    missing = [name for name, value in arguments.items() if value is None]
    if missing:
        names = " > ".join(callers.get()) or "update"
        given = ", ".join(f"{name}=..." for name in arguments)
        raise ValueError(
            f"{names} needs {', '.join(missing)}: call update(updates, state, "
            f"params, {given})."
        )
