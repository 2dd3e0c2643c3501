"""Checks of widths: updates are not rounded on their way, parameters once."""

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.trees import paths_of
from gradtx.core.widths import widened
from gradtx.testing.trial import (
    Make,
    Stepped,
    copied,
    expect_close,
    extra_of,
    gradients,
    make_trial,
    numbers,
    one_step,
    updates_of,
)

NARROW = jnp.bfloat16


def rounds_nothing_on_the_way(make: Make) -> None:
    """bfloat16 gradients of float32 parameters do what the same float32 numbers do."""
    trial = make_trial(make)
    narrow, params = gradients(1, NARROW), trial.params()
    # Without jit: XLA may leave out a rounding that is followed by a widening.
    found = one_step(trial.tx, narrow, trial.start, params)
    args = widened(narrow), copied(trial.start), copied(params)
    expected = trial.step(trial.tx, *args)
    # As under jit: another program, other fusions. A rounding to bfloat16 is 4e-3.
    what = "from bfloat16 gradients"
    expect_close(found, expected, f"a step {what}", "from the same in float32", 3e-5)


def rounds_once_into_the_parameters(make: Make) -> None:
    """`step` of bfloat16 parameters gives the bfloat16 next to the float32 result.

    What asks for a function of the parameters is left out: the function rounds, too.
    """
    trial = make_trial(make)
    grads, params = gradients(1, NARROW), trial.params(NARROW)
    if extra_of(trial.tx, grads, params):
        return
    state = trial.tx.init(params)
    found, _ = jax.jit(trial.tx.step)(updates_of(trial.tx, grads), state, params)
    # The same step in float32, applied without a rounding to bfloat16.
    wide: Stepped = trial.step(
        trial.tx, widened(grads), trial.tx.init(widened(params)), widened(params)
    )
    for (path, x), (_, y) in zip(paths_of(found), paths_of(wide.params), strict=True):
        if x is None:
            continue
        error, size = np.abs(numbers(x) - numbers(y)), np.abs(numbers(y))
        # Half of the distance of two neighbours, and a last digit of float32.
        place = np.exp2(np.floor(np.log2(np.maximum(size, 1e-30))))
        half = float(jnp.finfo(NARROW).eps) / 2 * place
        assert (error <= half * (1 + 1e-3)).all(), (
            f"new params{path} are {x}, rounded more than once: in float32 they are {y}"
        )
