"""Checks of refusals: what is wrong raises an error that names it."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.testing.bad_values import BAD_VALUES
from gradtx.testing.leaves import bias, kernel, leaf_at, replaced
from gradtx.testing.trial import (
    Make,
    arguments_of,
    extra_of,
    gradients,
    make_trial,
    rebuilt,
    updates_of,
)

_NAN = (float("nan"),)


def refuses_a_missing_branch(make: Make) -> None:
    """Updates without a leaf that the parameters have."""
    grads = replaced(gradients(0), bias(), ())
    _expect_refusal(make, grads, bias(), "updates without a leaf of the params")


def refuses_another_shape(make: Make) -> None:
    """A gradient that would broadcast against its parameter."""
    whole = leaf_at(gradients(0), kernel())
    part = whole[:1] if len(whole) > 1 else whole[None]
    grads = replaced(gradients(0), kernel(), part)
    what = f"a gradient of shape {part.shape} for a parameter of shape {whole.shape}"
    _expect_refusal(make, grads, kernel(), what)


def refuses_integer_gradients(make: Make) -> None:
    """A gradient of integers, which no step can be computed from."""
    ones = jnp.ones_like(leaf_at(gradients(0), kernel()), jnp.int32)
    grads = replaced(gradients(0), kernel(), ones)
    _expect_refusal(make, grads, kernel(), "a gradient of integers")


def refuses_complex_gradients_of_real_params(make: Make) -> None:
    """A complex gradient of a real parameter, whose imaginary part would be lost."""
    turned = leaf_at(gradients(0), kernel()) * 1j
    grads = replaced(gradients(0), kernel(), turned)
    _expect_refusal(make, grads, kernel(), "a complex gradient of a real parameter")


def says_when_it_needs_params(make: Make) -> None:
    """Without parameters it works, or says that it needs them."""
    trial = make_trial(make)
    tx, shapes = trial.tx, trial.shapes_of()
    _run_or_refuse(
        lambda: jax.eval_shape(
            lambda g, s, p: tx.update(updates_of(tx, g), s, **extra_of(tx, g, p)),
            *shapes,
        ),
        "needs params",
        "update(updates, state) without params",
    )


def refuses_bad_hyperparameters(make: Make) -> None:
    """A number out of its range is refused at construction, by name."""
    tx = make()
    for name, value in arguments_of(tx).items():
        nan = _NAN if isinstance(value, float) else ()
        for bad in _bad(tx, name, nan) if value is not None else ():
            what = f"{name}={bad!r}"
            try:
                made = rebuilt(tx, name, bad)
            except (ValueError, TypeError) as error:
                _expect_named(name, what, error)
            else:
                raise AssertionError(f"expected an error for {what}, got {made!r}")


def _bad(tx: Any, name: str, otherwise: tuple[Any, ...]) -> tuple[Any, ...]:
    """Wrong values of a parameter: of this very factory, else of all with the name."""
    own = f"{getattr(tx.call, 'name', '')}.{name}"
    return BAD_VALUES.get(own, BAD_VALUES.get(name, otherwise))


def refuses_arrays_as_hyperparameters(make: Make) -> None:
    """An array of shape (1,) for a number, which would widen 0-d leaves, by name."""
    tx = make()
    for name, value in arguments_of(tx).items():
        checked = isinstance(value, float) or name in BAD_VALUES
        if not checked or not isinstance(value, float | int):
            continue
        what = f"{name} of shape (1,)"
        try:
            made = rebuilt(tx, name, jnp.full([1], value))
        except (ValueError, TypeError) as error:
            _expect_named(f"{name} must be a scalar", what, error)
        else:
            raise AssertionError(f"expected an error for {what}, got {made!r}")


def _expect_refusal(make: Make, grads: Any, path: str, what: str) -> None:
    """Assert an error that names the path."""
    trial = make_trial(make)
    try:
        jax.eval_shape(
            lambda grads, state, params: trial.tx.update(
                *(updates_of(trial.tx, grads), state, params),
                **extra_of(trial.tx, grads, params),
            ),
            *(grads, trial.start, trial.params()),
        )
    except (ValueError, TypeError) as error:
        _expect_named(path, what, error)
    else:
        raise AssertionError(f"expected an error for {what} at {path}, got none")


def _run_or_refuse(fn: Callable[[], Any], text: str, what: str) -> None:
    try:
        fn()
    except Exception as error:
        _expect_named(text, what, error)


def _expect_named(text: str, what: str, error: Exception) -> None:
    assert text in str(error), (
        f"expected an error for {what} that says {text!r}, got "
        f"{type(error).__name__}: {error}"
    )
