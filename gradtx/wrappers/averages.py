"""Averages of the parameters: what is evaluated in place of the last of them."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gradtx.core import check
from gradtx.core.apply import apply_updates
from gradtx.core.leafwise import Slot, slot_dtype
from gradtx.core.numerics import as_float, now, safe_increment
from gradtx.core.per_leaf import PerLeaf
from gradtx.core.plan import check_state, lift, need_params
from gradtx.core.transformation import inner_of, transformation
from gradtx.core.trees import (
    absent,
    as_array,
    compute_dtype,
    dtype_of,
    is_inexact,
    leaves_like,
    leaves_of,
    map_present,
)
from gradtx.core.types import Params, ScalarOrSchedule, State
from gradtx.core.widths import handed_out
from gradtx.transforms.evaluation import Reader
from gradtx.wrappers.inner import one_of
from gradtx.wrappers.micro_steps import MultiStepsState
from gradtx.wrappers.skip import ApplyIfFiniteState

DECAY = 0.999


class AverageWeightsState(NamedTuple):
    count: jax.Array  # steps that were taken, int32
    num_averaged: jax.Array  # entries that were averaged, int32
    weight: jax.Array  # sum of the entries' weights, float32 at least; see below
    average: Params  # shaped like params, float32 at least; None for integers
    inner_state: State  # the inner transformation's
    # With a window, weight is how many entries there are, and average has them along a
    # new first axis, in the parameters' dtypes.


def _read(state: AverageWeightsState, p: jax.Array, average: jax.Array) -> jax.Array:
    wide = p.astype(compute_dtype(p.dtype))
    if average.ndim > p.ndim:  # a window: what is not there yet is 0
        count = jnp.maximum(state.weight, 1).astype(wide.real.dtype)
        average = jnp.sum(average.astype(wide.dtype), axis=0) / count
    return jnp.where(state.weight > 0, average, wide)


READER = Reader(("average",), _read)


@transformation
def average_weights(
    inner: Any,
    decay: ScalarOrSchedule | str | None = None,
    *,
    window: int | None = None,
    start: int = 0,
    every: int = 1,
):
    """Keep an average of the parameters, to evaluate and to store in their place.

        a_n = a_{n-1} + r_n (p_n - a_{n-1}),   r_n = (1 - decay_n) / w_n
        w_n = decay_n w_{n-1} + 1 - decay_n,   a_0 = w_0 = 0

    over the entries p_1, p_2, ...: the parameters after steps start + every,
    start + 2 every, ... This is the exponential moving average, divided by 1 - decay^n
    where decay is a number: the first entry counts in full, nothing starts from zero.
    "polyak" is the plain mean of all entries, r_n = 1/n; `window=k` the mean of the
    last k (LAWA, with every=m for snapshots m steps apart). `eval_params` gives it.

    The average is of what the steps leave behind, in float32 at least, whatever the
    parameters are: in bfloat16 an average with a decay above 0.996 cannot move. The
    training goes on as without. A leaf without a gradient is averaged as it is.

    A step reads the new parameters besides, and reads and writes the average: 12 bytes
    a parameter, and nothing in between. With start or every it does so in a branch of
    `lax.cond`: other steps do not touch the average.

    Put it around the whole optimizer, inside or outside of `MultiSteps` and of what
    leaves out steps, as `apply_if_finite` does: a micro-batch, or a step left out, is
    no step. What is chained behind it the average does not see.

    State: one array per parameter (k of the parameter's dtype with a window), two
    int32, one number, and the inner state.

    Args:
      inner: the optimizer.
      decay: how much of the average stays at an entry, in [0, 1), by default 0.999, an
        average over some 1/(1 - decay) entries; a schedule, by the number of entries
        before; or "polyak".
      window: how many entries to average, a whole number from 1, in place of a decay.
      start: the steps before the first that counts, a whole number.
      every: steps from one entry to the next, a whole number from 1.

    Raises:
      ValueError: a number out of range, decay and window together, another word than
        "polyak"; no params in `update`.
      TypeError: an inner that is no transformation.

    Source: Polyak & Juditsky, Acceleration of stochastic approximation by averaging
    (1992); Kingma & Ba, Adam (2015), section 7.2, for the average without bias;
    Kaddour, Stop wasting my time! (2022), and Sanyal et al., Early weight averaging
    meets high learning rates (2023), for the window.

    Example:
      >>> import gradtx
      >>> tx = gradtx.average_weights(gradtx.sgd(1.0), decay=0.5)
      >>> params, state = 0.0, tx.init(0.0)
      >>> for gradient in (-1.0, -1.0):  # to 1.0, and to 2.0
      ...     params, state = tx.step(gradient, state, params)
      >>> round(float(gradtx.eval_params(state, params)), 6)  # (0.5 + 2.0) / 1.5
      1.666667
    """
    kept = _check_kind(decay, window)
    check.count("start", start)
    check.count("every", every, 1)
    always = (
        isinstance(start, int) and isinstance(every, int) and (start, every) == (0, 1)
    )
    tx = inner_of("average_weights: inner", inner)
    slot = Slot(_nothing) if window is None else _ring(window)

    def init(params):
        return AverageWeightsState(
            count=jnp.zeros([], jnp.int32),
            num_averaged=jnp.zeros([], jnp.int32),
            weight=as_float(0),
            average=map_present(slot.init, params),
            inner_state=tx.init(params),
        )

    def entered(state):
        """The weights with one more entry, and the entry's part of the average."""
        n = state.num_averaged
        if window is not None:
            return jnp.minimum(state.weight + 1, as_float(window)), n % window
        if kept == "polyak":
            total, new = state.weight + 1, 1.0
        else:
            d = now("decay", kept, n)
            new = 1 - d if isinstance(d, float | int) else 1 - as_float(d)
            total = state.weight * d + new
        # Of weights that are all 0, a decay of 1, there is no average.
        return total, jnp.where(total > 0, new / jnp.where(total > 0, total, 1), 0)

    def enter(params, average, part):
        return (_move if window is None else _put)(params, average, part)

    def stay(params, average, part):
        return average

    def follow(state, params, inner_state):
        real = _took_a_step(state.inner_state, inner_state)
        total, part = entered(state)
        count = safe_increment(state.count)
        n = safe_increment(state.num_averaged)
        if always and real is None:
            average = enter(params, state.average, part)
            return AverageWeightsState(count, n, total, average, inner_state)
        take = (count > start) & ((count - start) % every == 0)
        if real is not None:
            take, count = take & real, jnp.where(real, count, state.count)
        return AverageWeightsState(
            count=count,
            num_averaged=jnp.where(take, n, state.num_averaged),
            weight=jnp.where(take, total, state.weight),
            average=one_of(take, enter, stay, params, state.average, part),
            inner_state=inner_state,
        )

    def update(updates, state, params=None, **extra):
        check_state(state, AverageWeightsState)
        need_params(params)
        new, inner_state = tx.update(updates, state.inner_state, params, **extra)
        moved = apply_updates(params, handed_out(new, updates, params))
        return new, follow(state, moved, inner_state)

    def step(updates, state, params, **extra):
        check_state(state, AverageWeightsState)
        params, inner_state = tx.step(updates, state.inner_state, params, **extra)
        return params, follow(state, params, inner_state)

    return init, update, step


def _check_kind(decay: Any, window: Any) -> Any:
    """The decay, by default `DECAY`; nothing is left to guess beside a window."""
    if window is not None:
        if decay is not None:
            raise ValueError(
                f"average_weights: decay={decay!r} and window={window!r} are two "
                f"averages; give one of them."
            )
        check.count("window", window, 1)
        return None
    if decay is None:
        return DECAY
    if isinstance(decay, str):
        if decay != "polyak":
            raise ValueError(
                f"average_weights: decay must be a number in [0, 1), a schedule or "
                f'"polyak", got {decay!r}.'
            )
    elif not callable(decay):
        check.decay("decay", decay)
    return decay


def _nothing(p: Any) -> Any:
    return jnp.zeros_like(p, slot_dtype(p)) if is_inexact(dtype_of(p)) else None


def _ring(window: int) -> Slot:
    """Room for so many entries. Each is exact in the parameter's own dtype."""

    def init(p: Any) -> Any:
        if not is_inexact(dtype_of(p)):
            return None
        return jnp.broadcast_to(jnp.zeros_like(p, dtype_of(p)), (window, *jnp.shape(p)))

    return Slot(init, like_param=False)


def _toward(p: Any, average: Any, part: Any) -> tuple[Any, Any]:
    return p, average if average is None else average + part * (p - average)


_toward_each = lift(_toward)
_put_each = PerLeaf(
    lambda leaf, place: lax.dynamic_update_index_in_dim(leaf[0], leaf[1], place, 0)
)


def _trained(params: Any, average: Any) -> Any:
    """The parameters of which there is an average; None for the others."""
    leaves, treedef = leaves_of(params)
    columns = leaves_like(treedef, average, "the state", params)
    pairs = zip(leaves, columns, strict=True)
    return treedef.unflatten(None if absent(a) else p for p, a in pairs)


def _move(params: Any, average: Any, part: Any) -> Any:
    return _toward_each(_trained(params, average), (average,), scalars=(part,))[1][0]


def _put(params: Any, average: Any, place: Any) -> Any:
    leaves, treedef = leaves_of(average)
    given = treedef.flatten_up_to(params)
    here = [i for i, ring in enumerate(leaves) if not absent(ring)]
    new = _put_each([(leaves[i], as_array(given[i])) for i in here], place)
    for i, ring in zip(here, new, strict=True):
        leaves[i] = ring
    return treedef.unflatten(leaves)


def _took_a_step(before: State, after: State) -> jax.Array | None:
    """Whether a step was taken, by what wrappers inside keep of it; None if none does.

    `total_skipped` in a state is how many steps it has left out.
    """

    def is_one(x: Any) -> bool:
        kinds = MultiStepsState, ApplyIfFiniteState
        return isinstance(x, kinds) or "total_skipped" in getattr(x, "_fields", ())

    found = []
    flat = [jax.tree.leaves(state, is_leaf=is_one) for state in (before, after)]
    for old, new in zip(*flat, strict=True):
        inner = "inner_state"
        if isinstance(new, MultiStepsState):
            took = new.gradient_step != old.gradient_step
            inner = "inner_opt_state"
        elif isinstance(new, ApplyIfFiniteState):
            took = new.last_finite
        elif is_one(new):
            took = new.total_skipped == old.total_skipped
        else:
            continue
        deeper = _took_a_step(getattr(old, inner, ()), getattr(new, inner, ()))
        found.append(took if deeper is None else took & deeper)
    return functools.reduce(jnp.logical_or, found) if found else None
