"""Checks of derivatives: hyperparameters may be learned by gradients of their own."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.testing.trial import (
    Make,
    arguments_of,
    one_step,
    prepare,
    rebuilt,
)

# An entry without any gradient: squares and roots of 0 are where derivatives break.
START = np.array([[0.8, -0.5], [0.3, 0.6]])
GRADIENTS = np.array(
    [[[1.5, -0.4], [0.0, 0.7]], [[1.1, 0.6], [0.0, 0.9]], [[-0.8, 0.5], [0.0, 1.3]]]
)
WEIGHTS = np.array([[1.0, -0.7], [0.4, 0.3]])

# Differences of four moves, by the five-point formulas: central, and from one side at
# 0, below which an argument may not go. A move is 1/50 of the argument at most, whose
# own size is what the loss varies with (eps), so that the fifth derivative adds 1e-6.
MOVE, SHARE = 1e-6, 1 / 50
CENTRAL = {-2: 1 / 12, -1: -8 / 12, 1: 8 / 12, 2: -1 / 12}
FORWARD = {0: -25 / 12, 1: 4.0, 2: -3.0, 3: 4 / 3, 4: -1 / 4}
RTOL = 1e-5
ROUNDING = 3e-15  # of a loss of about 1 in float64, a few operations long


def has_derivatives_by_hyperparameters(make: Make) -> None:
    """`jax.grad` by every float, at 0 too, is what differences of three steps say."""
    tx = make()
    numbers = {n: x for n, x in arguments_of(tx).items() if isinstance(x, float)}
    if not numbers:
        return
    names = list(numbers)
    at = np.array(list(numbers.values()))
    points = [at] + [
        np.where(np.arange(len(at)) == i, 0.0, at)
        for i, name in enumerate(names)
        if at[i] and _may_be_zero(tx, name)
    ]
    moves = [_moves(x) for point in points for x in point]
    places = [
        point + h * k * (np.arange(len(at)) == i)
        for point in points
        for i, x in enumerate(point)
        for h, formula in [_moves(x)]
        for k in formula
    ]
    with jax.enable_x64(True):
        loss = _loss(tx, names)

        @jax.jit
        def both(places: jax.Array) -> Any:  # one program; gradients of a few are asked
            return jax.lax.map(jax.value_and_grad(loss), places)

        values, found = both(jnp.asarray(np.array([*points, *places])))
    found = found[: len(points)]
    values = iter(np.asarray(values[len(points) :]))
    for (j, name), got, (h, formula) in zip(
        ((j, name) for j in range(len(points)) for name in names),
        np.asarray(found).ravel(),
        moves,
        strict=True,
    ):
        want = sum(share * next(values) for share in formula.values()) / h
        rounding = ROUNDING * sum(map(abs, formula.values())) / h
        where = ", ".join(f"{n}={v:g}" for n, v in zip(names, points[j], strict=True))
        assert np.isclose(got, want, rtol=RTOL, atol=rounding), (
            f"the derivative by {name} at {where} is {got}, differences say {want}"
        )


def _may_be_zero(tx: Any, name: str) -> bool:
    try:
        rebuilt(tx, name, 0.0)
    except ValueError:
        return False
    return True


def _loss(tx: Any, names: list[str]) -> Any:
    """From the numbers to a sum over the parameters after three steps."""

    def loss(values: jax.Array) -> jax.Array:
        bound = tx.call.bound
        bound.arguments.update(zip(names, values, strict=True))
        made = tx.call.factory(*bound.args, **bound.kwargs)
        params = prepare(made, {"kernel": jnp.asarray(START)})

        def step(carry: Any, grads: Any) -> Any:
            _, params, state = one_step(made, grads, *carry)
            return (state, params), None

        grads = {"kernel": jnp.asarray(GRADIENTS)}
        (_, params), _ = jax.lax.scan(step, (made.init(params), params), grads)
        leaves = jax.tree.leaves(params)  # two, of fast and slow weights
        return jnp.sum(WEIGHTS * jnp.stack(leaves))

    return loss


def _moves(x: float) -> tuple[float, dict[int, float]]:
    """How far to move an argument, and the formula for the derivative."""
    return (min(MOVE, SHARE * x), CENTRAL) if x > 0 else (MOVE, FORWARD)
