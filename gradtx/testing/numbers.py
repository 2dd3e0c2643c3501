"""Checks of numbers: dtypes that stay, moments wide enough, no NaN out of nothing."""

import functools
import inspect
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.trees import paths_of
from gradtx.core.types import ScalarOrSchedule
from gradtx.schedules.inject import inject_hyperparams
from gradtx.testing.extremes import expect_finite
from gradtx.testing.leaves import kernel, leaf_at, replaced
from gradtx.testing.trial import (
    Make,
    Trial,
    arguments_of,
    expect_close,
    expect_no_nan,
    expect_types,
    gradients,
    make_trial,
    one_step,
    rebuilt,
)


def is_finite_on_finite_gradients(make: Make) -> None:
    """No NaN comes of ordinary gradients: 0-d, empty and missing leaves included."""
    trial = make_trial(make)
    expect_no_nan(trial.start, "the first state")
    for i, (updates, params, state) in enumerate(trial.jitted):
        expect_no_nan(updates, f"step {i + 1}: updates")
        expect_no_nan(params, f"step {i + 1}: params")
        expect_no_nan(state, f"step {i + 1}: state")


def is_finite_on_extreme_gradients(make: Make) -> None:
    """Zero, tiny and large gradients give finite updates and parameters, and no NaN.

    In float32, bfloat16 and float16, at zero parameters too, by `update` and by `step`.
    A state may be infinite where squares are out of range.
    """
    expect_finite(make, "float32", "bfloat16", "float16")


def keeps_bfloat16(make: Make) -> None:
    """bfloat16 updates for bfloat16 gradients; a floating state of at least float32."""
    _expect_kept(make_trial(make), jnp.bfloat16)


def keeps_float16(make: Make) -> None:
    """float16 updates for float16 gradients; a floating state of at least float32."""
    _expect_kept(make_trial(make), jnp.float16)


def keeps_float64(make: Make) -> None:
    """Under x64 each of float32 and float64 stays what it is, the state's types too."""
    with jax.enable_x64(True):
        for dtype in (jnp.float32, jnp.float64):
            _expect_kept(make_trial(make), dtype)


def takes_complex(make: Make) -> None:
    """complex64 updates for complex64 gradients, finite for zero and extreme ones."""
    _expect_kept(make_trial(make), jnp.complex64)
    expect_finite(make, "complex64")


def takes_gradients_of_another_dtype(make: Make) -> None:
    """Updates are as wide as the wider of gradient and parameter; no dtype drifts."""
    trial = make_trial(make)
    wide, narrow = jnp.float32, jnp.bfloat16
    for own, other in ((wide, narrow), (narrow, wide)):
        _, state, params = trial.shapes_of(own)
        grads = jax.eval_shape(lambda dtype=other: gradients(0, dtype))
        updates, new_params, new_state = jax.eval_shape(
            lambda *a: one_step(trial.tx, *a), grads, state, params
        )
        _, _, expected = trial.shapes_of(wide)
        what = f"updates of {jnp.dtype(other)} gradients"
        expect_types(updates, expected, what, f"{jnp.dtype(own)} params: the wider")
        expect_types(new_params, params, "new params", "params")
        expect_types(new_state, state, "the state", "init's")


def lives_through_a_nan(make: Make) -> None:
    """A NaN in one gradient raises nothing and changes no type, also without `jit`."""
    trial = make_trial(make)
    grads = gradients(1)
    whole = leaf_at(grads, kernel())
    grads = replaced(grads, kernel(), whole.at[(0,) * whole.ndim].set(jnp.nan))
    updates, params, state = trial.jitted[0]
    new_updates, new_params, new_state = one_step(trial.tx, grads, state, params)
    expect_types(new_updates, updates, "updates", "without NaN")
    expect_types(new_params, params, "new params", "params")
    expect_types(new_state, state, "the state", "the old")


def stores_the_dtype_it_is_told(make: Make) -> None:
    """With an argument such as `mu_dtype` a slot is bfloat16, and stays so."""
    tx = make()
    for name in arguments_of(tx):
        if not name.endswith("_dtype"):
            continue
        trial = make_trial(lambda n=name: rebuilt(tx, n, jnp.bfloat16))
        _, state, _ = trial.shapes_of()
        _, _, new_state = trial.traced()
        slots = [
            leaf
            for leaf in jax.tree.leaves(state)
            if leaf.ndim and jnp.issubdtype(leaf.dtype, jnp.inexact)
        ]
        narrow = [leaf for leaf in slots if leaf.dtype == jnp.bfloat16]
        assert narrow or not slots, (
            f"no leaf of the state is bfloat16 with {name}=bfloat16: {state}"
        )
        expect_types(new_state, state, f"the state with {name}=bfloat16", "init's")


def takes_a_schedule(make: Make) -> None:
    """A schedule of one value does what that number does."""
    tx = make()
    numbers = {
        name: value
        for name, value in arguments_of(tx).items()
        if isinstance(value, float)
        and inspect.signature(tx.call.factory).parameters[name].annotation
        == ScalarOrSchedule
    }
    if not numbers:
        return
    scheduled = tx
    for name, value in numbers.items():
        scheduled = rebuilt(scheduled, name, functools.partial(_constant, value))
    trial = make_trial(lambda: scheduled)
    # The number is a float32 of the state here, a constant of the program there.
    what = f"with a schedule as {' and '.join(numbers)}"
    for i, expected in enumerate(make_trial(make).jitted[:2]):
        expect_close(
            trial.jitted[i].moved, expected.moved, what, "with the number", 3e-5
        )
    _, _, state = trial.jitted[1]
    expect_types(state, trial.start, f"the state {what}", "init's")


def takes_injected_hyperparameters(make: Make) -> None:
    """The same numbers with its floats as arrays, by `inject_hyperparams`."""
    tx = make()
    arguments = arguments_of(tx)
    if not any(isinstance(value, float) for value in arguments.values()):
        return
    static = [n for n, value in arguments.items() if not isinstance(value, float)]
    factory = inject_hyperparams(tx.call.factory, static_args=static)
    trial = make_trial(lambda: factory(*tx.call.args, **tx.call.kwargs))
    for i, expected in enumerate(make_trial(make).jitted[:2]):
        # float32 holds 1 - 0.999 to 1e-5, and its logarithm to 6e-5.
        what = f"step {i + 1} with injected hyperparameters"
        moved = trial.jitted[i].moved
        expect_close(moved, expected.moved, what, "with numbers", 2e-4)
    assert trial.traces == 1, f"expected one trace, got {trial.traces}"


def _constant(value: float, count: Any) -> float:
    return value


def _expect_kept(trial: Trial, dtype: Any) -> None:
    """One traced step in that dtype: no type changes, no narrow state."""
    _, state, params = trial.shapes_of(dtype)
    name = jnp.dtype(dtype).name
    for path, leaf in paths_of(state):
        assert leaf is None or _wide(leaf.dtype), (
            f"state{path} is {leaf.dtype} for {name} parameters: averages stand still "
            f"in it; make it at least float32"
        )
    updates, new_params, new_state = trial.traced(dtype)
    expect_types(updates, params, f"{name} updates", "params")
    expect_types(new_params, params, f"new {name} params", "params")
    expect_types(new_state, state, f"the state for {name}", "init's")


def _wide(dtype: Any) -> bool:
    return not jnp.issubdtype(dtype, jnp.floating) or jnp.finfo(dtype).bits >= 32
