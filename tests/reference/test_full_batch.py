"""L-BFGS takes no more evaluations than scipy's; Newton converges quadratically."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

import gradtx

from .full_batch import FAMILIES, solver
from .torch_wolfe import FILE, NORM

PYTORCH = json.loads(FILE.read_text())  # by LBFGS(line_search_fn="strong_wolfe")


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def scipys_evaluations(value_and_grad, problem):
    """How many values and gradients L-BFGS-B computes up to a gradient so small."""
    norms = []

    def fun(x):
        value, grad = value_and_grad(x, **problem.data)
        norms.append(np.linalg.norm(grad))
        return float(value), np.asarray(grad)

    # gtol bounds the largest entry: no vector with it so small has a longer norm.
    gtol = NORM / np.sqrt(problem.start.size)
    options = {"ftol": 0, "gtol": gtol, "maxiter": 10_000, "maxfun": 10_000}
    minimize(fun, problem.start, jac=True, method="L-BFGS-B", options=options)
    assert min(norms) <= NORM
    return 1 + int(np.argmax(np.array(norms) <= NORM))


@pytest.mark.parametrize("family", FAMILIES)
def test_lbfgs_takes_at_most_a_fifth_more_evaluations_than_others(family):
    fn = FAMILIES[family][0].value_fn
    solve = solver(gradtx.lbfgs(), fn, NORM)
    value_and_grad = jax.jit(jax.value_and_grad(fn))
    counts = []
    for problem, (pytorchs, lowest) in zip(
        FAMILIES[family], PYTORCH[family], strict=True
    ):
        found = solve(problem.start, problem.data)
        assert found["norm"] <= NORM
        value, _ = value_and_grad(found["params"], **problem.data)
        # Near a minimum a value is off by the square of the gradient's norm, over the
        # curvature; where PyTorch gives up the gradient is at 6e-8.
        np.testing.assert_allclose(value, lowest, rtol=0, atol=1e-12)
        theirs = scipys_evaluations(value_and_grad, problem)
        counts.append((int(found["evaluations"]), theirs))
        counts.append((int(found["evaluations"]), pytorchs or np.inf))
    assert all(ours <= 1.2 * theirs for ours, theirs in counts), counts


def test_evaluations_are_what_the_state_says():
    [problem, *_] = FAMILIES["rosenbrock, 2"]
    calls = []

    def counted(x):
        jax.debug.callback(lambda: calls.append(None))
        return problem.value_fn(x)

    found = solver(gradtx.lbfgs(), counted, NORM)(problem.start, {})
    jax.effects_barrier()
    assert found["norm"] <= NORM
    # One more: the solver looks at the gradient of what it returns.
    assert len(calls) == int(found["evaluations"]) + 1


@pytest.mark.parametrize("family", ["rosenbrock, 2", "logistic regression"])
def test_backtracking_gets_there_too(family):
    search = gradtx.scale_by_backtracking_linesearch(
        # At the end values agree to all digits, and only rounding tells them apart.
        30,
        decrease_factor=0.5,
        rtol=1e-15,
        store_grad=True,
    )
    solve = solver(gradtx.lbfgs(linesearch=search), FAMILIES[family][0].value_fn, 1e-6)
    for problem in FAMILIES[family]:
        assert solve(problem.start, problem.data)["norm"] <= 1e-6


def test_newton_converges_quadratically_with_forcing_1():
    fn = FAMILIES["logistic regression"][0].value_fn
    tx = gradtx.newton(forcing=1.0)
    value_and_grad = gradtx.value_and_grad_from_state(fn)

    @jax.jit
    def step(params, state, data):
        value, grad = value_and_grad(params, state=state, **data)
        kwargs = {"value": value, "grad": grad, "value_fn": fn, **data}
        return tx.step(grad, state, params, **kwargs)

    for problem in FAMILIES["logistic regression"]:
        params = jnp.asarray(problem.start)
        state, norms, products = tx.init(params), [], []
        for _ in range(12):
            params, state = step(params, state, problem.data)
            norms.append(float(gradtx.tree.norm(state[-1].grad)))
            products.append(int(state[0].num_hvps))
            if norms[-1] < 1e-13:
                break
        assert norms[-1] < 1e-13
        assert max(products) <= 25  # of 20 unknowns; rounding may cost a few more
        # Where rounding does not tell yet: log |g| doubles from step to step.
        small = [n for n in norms if 1e-14 < n < 1e-2]
        ratios = [
            np.log(small[i + 2] / small[i + 1]) / np.log(small[i + 1] / small[i])
            for i in range(len(small) - 2)
        ]
        assert ratios, norms
        assert ratios[-1] > 1.8, norms


def test_newton_gets_there_wherever_it_begins():
    for family in ("rosenbrock, 2", "least squares"):
        solve = solver(gradtx.newton(), FAMILIES[family][0].value_fn, NORM)
        for problem in FAMILIES[family]:
            assert solve(problem.start, problem.data)["norm"] <= NORM


def test_damping_makes_newton_linear():
    [problem, *_] = FAMILIES["least squares"]
    fn, damping = problem.value_fn, 0.1
    x = problem.data["x"]
    eigenvalues = np.linalg.eigvalsh(x.T @ x / len(x))
    # Exact steps of full length: along each eigenvector an error shrinks by a factor.
    tx = gradtx.newton(1.0, damping, 200, 1.0, linesearch=None)
    params = jnp.asarray(problem.start)
    best = np.linalg.lstsq(x, problem.data["y"], rcond=None)[0]
    state, errors = tx.init(params), []

    @jax.jit
    def step(params, state):
        grad = jax.grad(fn)(params, **problem.data)
        return tx.step(grad, state, params, value_fn=fn, **problem.data)

    for _ in range(30):
        params, state = step(params, state)
        errors.append(np.linalg.norm(params - best))
    slowest = damping / (damping + eigenvalues[0])
    np.testing.assert_allclose(errors[-1] / errors[-2], slowest, rtol=1e-2)
