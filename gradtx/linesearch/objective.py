"""What line searches share: the function that they call, and its parts as trees."""

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradtx.core.apply import apply_updates
from gradtx.core.extra import need_extra, scalar_dtype as scalar_dtype
from gradtx.core.leafwise import slot_dtype
from gradtx.core.plan import check_state, need_params
from gradtx.core.trees import (
    absent,
    callers,
    check_inexact,
    check_match,
    dtype_of,
    failure,
    is_inexact,
    leaves_like,
    leaves_of,
    map_present,
    paths_of,
)
from gradtx.core.widths import widened
from gradtx.tree import arithmetic


def bound(value_fn: Callable[..., Any], extra: Mapping[str, Any]) -> Callable[..., Any]:
    """The function of the parameters alone, given the extra arguments that it names.

    The others are for other members of a chain.
    """
    parameters = list(inspect.signature(value_fn).parameters.values())
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        known = {p.name for p in parameters[1:]}
        extra = {name: value for name, value in extra.items() if name in known}
    return functools.partial(value_fn, **extra) if extra else value_fn


def of_moving(
    fn: Callable[[Any], Any], updates: Any, params: Any
) -> tuple[Callable[[list[Any]], Any], list[jax.Array], list[int]]:
    """The function of the leaves that have updates alone; the others are held fixed.

    Returns:
      From a list of such leaves to the value; the list as it is now; their places.

    Raises:
      TypeError: one of them is complex.
    """
    leaves, treedef = leaves_of(updates)
    check_inexact(leaves, updates)
    at = leaves_like(treedef, params, "params", updates)
    moving = [i for i, u in enumerate(leaves) if not absent(u)]
    for i in moving:
        if dtype_of(at[i]).kind == "c" or dtype_of(leaves[i]).kind == "c":
            raise failure(
                f"params{paths_of(params)[i][0]} is complex, and needs real "
                f"parameters. Give its real and imaginary part as two leaves.",
                TypeError,
            )

    def value(p: list[Any]) -> Any:
        full = list(at)
        for i, x in zip(moving, p, strict=True):
            full[i] = x
        return fn(treedef.unflatten(full))

    return value, [jnp.asarray(at[i]) for i in moving], moving


def begin(
    State: Any,
    updates: Any,
    state: Any,
    params: Any,
    extra: Mapping[str, Any],
    *,
    value: Any,
    grad: Any,
    value_fn: Any,
) -> tuple[Callable[..., Any], jax.Array, jax.Array, Any]:
    """What a search begins with: the function of parameters alone, value, slope, grad.

    Raises:
      ValueError, TypeError: an argument that is missing or does not fit.
    """
    need_params(params)
    check_state(state, State)
    need_extra(value=value, grad=grad, value_fn=value_fn)
    check_direction(updates, grad)
    dtype = state.learning_rate.dtype
    fn = bound(value_fn, extra)
    grad = as_jax_gives(fn, params, updates, grad, dtype)
    return fn, jnp.asarray(value, dtype), slope(updates, grad, dtype), grad


def as_jax_gives(fn: Any, params: Any, updates: Any, grad: Any, dtype: Any) -> Any:
    """The gradient as `jax.grad` gives it, where its conjugate may have been given.

    Which of both it is says the derivative along the updates. It costs one gradient,
    for complex parameters only.
    """
    if not any(jnp.iscomplexobj(g) for g in jax.tree.leaves(grad)):
        return grad

    def along(step: jax.Array) -> jax.Array:
        return fn(apply_updates(params, arithmetic.scale(step, widened(updates))))

    exact = jax.grad(along)(jnp.zeros([], dtype))
    other = arithmetic.conj(grad)
    near, far = (jnp.abs(slope(updates, g, dtype) - exact) for g in (grad, other))
    return jax.tree.map(functools.partial(jnp.where, near <= far), grad, other)


def check_unless_infinite(
    check: Callable[..., None], name: str, value: Any, *limits: Any
) -> None:
    """A check of a number that may also be infinite, as one says "without a limit"."""
    if not (isinstance(value, float) and value == math.inf):
        check(name, value, *limits)


def check_direction(updates: Any, grad: Any) -> None:
    """Raise unless updates are numbers and the gradient is one for each of them."""
    check_inexact(leaves_of(updates)[0], updates)
    check_match("updates", updates, "grad", grad)


def no_gradient(params: Any) -> Any:
    """Zeros for a gradient to come; None for a parameter of integers."""
    return map_present(
        lambda p: jnp.zeros_like(p, slot_dtype(p)) if is_inexact(dtype_of(p)) else None,
        params,
    )


def stored(grad: Any, like: Any) -> Any:
    """A gradient in the dtypes of the state; where it has none, what was there."""
    old, treedef = leaves_of(like)
    return treedef.unflatten(
        x if absent(g) or x is None else jnp.asarray(g, x.dtype)
        for g, x in zip(leaves_of(grad)[0], old, strict=True)
    )


def slope(updates: Any, grad: Any, dtype: Any) -> jax.Array:
    """The derivative along the updates: of the value at params + t updates, at t = 0.

    For complex parameters `jax.grad` gives du/dx - i du/dy, so nothing is conjugated.
    """
    return jnp.real(arithmetic.vdot(arithmetic.conj(updates), grad)).astype(dtype)


def scaled(step: jax.Array, updates: Any) -> Any:
    """The updates times the step; zeros for a step of 0, also where they are NaN."""
    product = arithmetic.scale(step, widened(updates))
    return map_present(lambda u: jnp.where(step == 0, jnp.zeros_like(u), u), product)


def moved(params: Any, step: jax.Array, updates: Any) -> Any:
    """Where the parameters are after the step, rounded as they will be."""
    return apply_updates(params, scaled(step, updates))


def not_downhill(slope: jax.Array) -> jax.Array:
    """The error of a direction that does not lead down: 0 for one that stands still.

    Otherwise the slope, by which a short step would raise the value; inf for NaN.
    """
    return jnp.where(slope >= 0, slope, jnp.inf)


def say(failed: jax.Array, text: str, **numbers: jax.Array) -> None:
    """Print where the program runs, if it has failed."""
    name = " > ".join(callers.get())
    lax.cond(
        failed,
        lambda numbers: jax.debug.print(f"{name}: {text}", **numbers),
        lambda numbers: None,
        numbers,
    )
