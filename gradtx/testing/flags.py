"""Checks of ways to run: outside of `jit`, and under JAX's flags for finding faults."""

import contextlib
import functools
import gc
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.testing.trial import (
    Make,
    expect_types,
    extra_of,
    gradients,
    make_trial,
    one_step,
    updates_of,
)

_COMPILED = "/jax/core/compile/backend_compile_duration"


@contextlib.contextmanager
def _compilations() -> Iterator[list[Any]]:
    """What is compiled inside of it: a list that grows."""
    seen: list[Any] = []

    def listen(event: str, duration_secs: float, **about: Any) -> None:
        if event == _COMPILED:
            seen.append(about.get("fun_name"))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield seen
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def compiles_once_without_jit(make: Make) -> None:
    """Outside of `jit`, built anew in each step it compiles in the first ones only."""
    _, params, state = make_trial(make).eager[-1]
    for step in (2, 3):  # one more to warm up: wrappers take turns
        with _compilations() as seen:
            _, params, state = one_step(make(), gradients(step), state, params)
    assert not seen, (
        f"{make()!r} built anew compiled {len(seen)} programs in its fourth step: "
        f"{seen[:3]}"
    )


def steps_under_strict_flags(make: Make) -> None:
    """No tracer leaks, no dtype or rank is promoted unasked, with 64 bits allowed."""
    trial = make_trial(make)

    def both(grads: Any, state: Any, params: Any) -> Any:
        extra = extra_of(trial.tx, grads, params)
        updates = updates_of(trial.tx, grads)
        _, moved = trial.tx.update(updates, state, params, **extra)
        return moved, trial.tx.step(updates, state, params, **extra)

    with (
        jax.enable_x64(True),
        _swept(),
        jax.checking_leaks(),
        jax.numpy_dtype_promotion("strict"),
        jax.numpy_rank_promotion("raise"),
    ):
        given = trial.shapes_of()
        moved, (params, state) = jax.jit(both).trace(*given).out_info
    expect_types(params, given[2], "parameters", "those before the step")
    for name, new in (("update", moved), ("step", state)):
        expect_types(new, given[1], f"the state after {name}", "the one before")


@contextlib.contextmanager
def _swept() -> Iterator[None]:
    """The garbage collector looks at new objects only: each leak check calls it.

    Late in a long run there are millions of old ones, and a trace took 20 s. Where a
    run has frozen some itself, they stay so, and these with them.
    """
    stay = _frozen_by_the_run()
    gc.freeze()
    try:
        yield
    finally:
        if not stay:
            gc.unfreeze()


@functools.cache  # to count them takes longer than the check: half a second, late
def _frozen_by_the_run() -> bool:
    return gc.get_freeze_count() > 0


def steps_under_nan_checks(make: Make) -> None:
    """No operation gives NaN, for gradients as usual and for zeros."""
    with jax.debug_nans(True):
        _two_steps(make)


def steps_under_infinity_checks(make: Make) -> None:
    """No operation gives infinity, for gradients as usual and for zeros."""
    with jax.debug_infs(True):
        _two_steps(make)


def _two_steps(make: Make) -> None:
    trial = make_trial(make)
    params = trial.params()
    state = trial.tx.init(params)
    for grads in (gradients(0), jax.tree.map(jnp.zeros_like, gradients(0))):
        jax.block_until_ready(one_step(trial.tx, grads, state, params))
