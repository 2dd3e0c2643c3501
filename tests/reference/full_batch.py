"""Functions to minimize to the last digits, as data: L-BFGS and Newton run on these."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gradtx


class Problem(NamedTuple):
    value_fn: Any  # of the parameters and the data, by name
    start: np.ndarray
    data: dict[str, np.ndarray]


def rosenbrock(x):
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def logistic(w, x, y):
    """With labels of -1 and 1, and a little weight decay."""
    return jnp.mean(jnp.logaddexp(0, -y * (x @ w))) + 5e-4 * jnp.sum(w**2)


def least_squares(w, x, y):
    return jnp.mean((x @ w - y) ** 2) / 2


def rosenbrock_from(size, seed):
    """The classical start for seed 0; near it for odd ones, else anywhere."""
    rng, classical = np.random.default_rng(seed), np.tile([-1.2, 1.0], size // 2)
    start = rng.uniform(-2, 2, size)
    if seed % 2 or not seed:
        start = classical + (seed > 0) * 0.5 * rng.normal(size=size)
    return Problem(rosenbrock, start, {})


def logistic_of(seed):
    """100 examples of 20 features, the last a tenth of the first in size."""
    rng = np.random.default_rng(100 + seed)
    x = rng.normal(size=(100, 20)) * np.logspace(0, -1, 20)
    y = np.sign(x @ rng.normal(size=20) + 0.5 * rng.normal(size=100))
    return Problem(logistic, 2.0 * rng.normal(size=20) * (seed > 0), {"x": x, "y": y})


def least_squares_of(seed):
    """80 equations for 30 numbers; the condition grows with the seed, from 10 on."""
    rng = np.random.default_rng(200 + seed)
    x = rng.normal(size=(80, 30)) * np.logspace(0, -seed / 3, 30)
    y = rng.normal(size=80)
    return Problem(least_squares, rng.normal(size=30) * (seed > 0), {"x": x, "y": y})


FAMILIES = {
    "rosenbrock, 2": [rosenbrock_from(2, seed) for seed in range(5)],
    "rosenbrock, 100": [rosenbrock_from(100, seed) for seed in range(5)],
    "logistic regression": [logistic_of(seed) for seed in range(5)],
    "least squares": [least_squares_of(seed) for seed in range(5)],
}


def solver(tx, value_fn, tolerance, steps=2000):
    """A compiled run until the gradient is that small; its results by name.

    Each value and gradient is computed once; `evaluations` says how many there were.
    """
    value_and_grad = gradtx.value_and_grad_from_state(value_fn)

    @jax.jit
    def solve(params, data):
        def goes_on(carry):
            _, state, _, taken = carry
            norm = gradtx.tree.norm(state[-1].grad)
            return ((taken == 0) | (norm > tolerance)) & (taken < steps)

        def step(carry):
            params, state, evaluations, taken = carry
            value, grad = value_and_grad(params, state=state, **data)
            params, state = tx.step(
                *(grad, state, params),
                **{"value": value, "grad": grad, "value_fn": value_fn, **data},
            )
            evaluations += state[-1].info.num_linesearch_steps
            return params, state, evaluations, taken + 1

        start = params, tx.init(params), jnp.int32(1), jnp.int32(0)
        params, state, evaluations, taken = jax.lax.while_loop(goes_on, step, start)
        norm = gradtx.tree.norm(jax.grad(value_fn)(params, **data))
        return {
            "params": params,
            "state": state,
            "norm": norm,
            "evaluations": evaluations,
            "steps": taken,
        }

    return solve
