"""L-BFGS, line searches and Newton's method against their references, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx
from gradtx.linesearch.interpolation import Point, by_slopes, by_values

from . import quasi_newton as reference

# Inverses of products of differences: a dozen operations that cancel, from 1.1e-16.
TOLERANCE = 1e-11
SIZE = 6


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def journey(steps=9, seed=0):
    """Parameters and gradients of a convex function, not along any method's path."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(SIZE, SIZE))
    hessian = root @ root.T + 0.1 * np.eye(SIZE)
    params = np.cumsum(rng.normal(size=(steps, SIZE)), axis=0)
    return params, params @ hessian + 0.1 * params**3


def as_tree(x):
    """The same numbers as a matrix, a vector and a 0-d array."""
    return {"w": jnp.asarray(x[:4]).reshape(2, 2), "b": (jnp.asarray(x[4:5]), x[5])}


def as_vector(tree):
    return np.concatenate([np.ravel(tree["w"]), tree["b"][0], [tree["b"][1]]])


def directions(tx, params, grads, to=as_tree, back=as_vector):
    state, found, update = tx.init(to(params[0])), [], jax.jit(tx.update)
    for p, g in zip(params, grads, strict=True):
        updates, state = update(to(g), state, to(p))
        found.append(back(updates))
    return np.stack(found), state


def test_the_two_loops_are_the_matrix():
    params, grads = journey()
    pairs = list(zip(np.diff(params, axis=0), np.diff(grads, axis=0), strict=True))
    h = reference.inverse_hessian(pairs, 0.3, SIZE)
    found = reference.two_loops(grads[-1], pairs, 0.3)
    np.testing.assert_allclose(found, h @ grads[-1], rtol=TOLERANCE)


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("memory_size", [1, 3, 20])
def test_the_direction_is_the_matrix_times_the_gradient(memory_size, scaled):
    params, grads = journey()
    tx = gradtx.scale_by_lbfgs(memory_size, scale_init_precond=scaled)
    found, _ = directions(tx, params, grads)
    desired = reference.lbfgs_directions(params, grads, memory_size, scaled)
    np.testing.assert_allclose(found, desired, rtol=TOLERANCE, atol=TOLERANCE)


def test_with_a_memory_for_all_steps_it_is_bfgs():
    rng = np.random.default_rng(3)
    root = rng.normal(size=(SIZE, SIZE))
    hessian, start = root @ root.T / SIZE + np.eye(SIZE), rng.normal(size=SIZE)

    def gradient(x):
        return hessian @ x + 0.1 * x**3

    steps, rate = 12, 0.3
    tx = gradtx.lbfgs(rate, steps, scale_init_precond=False, linesearch=None)

    @jax.jit
    def path(x):
        def step(carry, _):
            x, state = tx.step(gradient(carry[0]), carry[1], carry[0])
            return (x, state), x

        return jax.lax.scan(step, (x, tx.init(x)), length=steps)[1]

    desired = reference.bfgs(gradient, start, rate, steps)
    np.testing.assert_allclose(path(jnp.array(start)), desired, rtol=0, atol=1e-10)
    assert np.linalg.norm(desired[-1]) < 0.1 * np.linalg.norm(start)


def test_a_complex_parameter_is_two_real_ones():
    params, grads = journey()
    found, _ = directions(
        gradtx.scale_by_lbfgs(3),
        *(params, grads),
        to=lambda x: jnp.asarray(x[:3] + 1j * x[3:]),
        back=lambda z: np.concatenate([z.real, z.imag]),
    )
    desired = reference.lbfgs_directions(params, grads, 3)
    np.testing.assert_allclose(found, desired, rtol=TOLERANCE, atol=TOLERANCE)


def test_pairs_that_curve_down_are_left_out():
    params, grads = journey()
    grads[4] -= 100 * (params[4] - params[3])  # s.y < 0 to there, > 0 from there
    curvature = np.sum(np.diff(params, axis=0) * np.diff(grads, axis=0), axis=1)
    assert (curvature < 0).tolist() == [False] * 3 + [True] + [False] * 4
    found, state = directions(gradtx.scale_by_lbfgs(3), params, grads)
    desired = reference.lbfgs_directions(params, grads, 3)
    np.testing.assert_allclose(found, desired, rtol=TOLERANCE, atol=TOLERANCE)
    assert np.all(np.sum(found * grads, axis=1) > 0)  # -u leads down throughout
    assert np.all(np.asarray(state.weights_memory) >= 0)


def test_a_step_that_does_not_move_empties_the_memory():
    params, grads = journey()
    params[5], grads[5] = params[4], grads[4]
    found, _ = directions(gradtx.scale_by_lbfgs(5), params, grads)
    desired = reference.lbfgs_directions(params, grads, 5)
    np.testing.assert_allclose(found, desired, rtol=TOLERANCE, atol=TOLERANCE)
    np.testing.assert_allclose(found[5], grads[5] / np.linalg.norm(grads[5]))


def test_a_nan_is_forgotten():
    params, grads = journey()
    grads[4, 0] = np.nan
    found, state = directions(gradtx.scale_by_lbfgs(3), params, grads)
    assert np.isnan(found[4]).any()
    assert np.isfinite(found[5:]).all()
    assert np.isfinite(state.diff_updates_memory["w"]).all()


def test_the_direction_is_optaxs():
    params, grads = journey()
    for scaled in (True, False):
        ours, state = directions(gradtx.scale_by_lbfgs(3, scaled), params, grads)
        theirs, peer = directions(optax.scale_by_lbfgs(3, scaled), params, grads)
        # They divide by s.y where we multiply by its inverse, and the other way round.
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)
        assert state._fields == peer._fields
        for field in state._fields:
            a, b = getattr(state, field), getattr(peer, field)
            jax.tree.map(np.testing.assert_allclose, a, b)


def test_the_cubic_is_lowest_where_it_is_interpolated():
    rng = np.random.default_rng(0)
    inside = 0
    for a, fa, da, b, fb, db in rng.normal(size=(300, 6)):
        # As in a search: the far end lies where the near one leads down to.
        da = -np.sign(b - a) * abs(da)
        lo, hi = (Point(*map(jnp.float64, ends)) for ends in ((a, fa, da), (b, fb, db)))
        found = float(by_slopes(lo, hi, jnp.float64(0.0)))
        low, high = sorted((a + 0.1 * (b - a), b - 0.1 * (b - a)))
        # The ends are clipped to, and clipping rounds.
        assert low - 1e-12 <= found <= high + 1e-12
        best = reference.cubic_minimum(a, fa, da, b, fb, db)
        if best is not None and low < best < high:
            inside += 1
            np.testing.assert_allclose(found, best, rtol=1e-6, atol=1e-9)
    assert inside > 50


def test_three_values_and_a_slope_say_where_it_is_lowest():
    rng = np.random.default_rng(1)
    met = {"cubic": 0, "parabola": 0, "middle": 0}
    for a, fa, da, b, fb, c, fc in rng.normal(size=(500, 7)):
        da = -np.sign(b - a) * abs(da)
        fb = fb if fb > fa else 2 * fa - fb
        lo, hi, third = (
            Point(*map(jnp.float64, x)) for x in ((a, fa, da), (b, fb, 0), (c, fc, 0))
        )
        found = float(by_values(lo, hi, third, jnp.float64(0.0)))
        best = reference.cubic_through(a, fa, da, b, fb, c, fc)
        lowest = a - da * (b - a) ** 2 / (2 * (fb - fa - da * (b - a)))
        kind, desired = "middle", (a + b) / 2
        if 0.1 < (lowest - a) / (b - a) < 0.9:
            kind, desired = "parabola", lowest
        if best is not None and 0.2 < (best - a) / (b - a) < 0.8:
            kind, desired = "cubic", best
        met[kind] += 1
        # A system of equations against a formula, for points close to each other, too.
        np.testing.assert_allclose(found, desired, rtol=1e-6, atol=1e-6)
        without = float(by_values(lo, hi, lo, jnp.float64(0.0)))
        assert np.isclose(without, lowest) or np.isclose(without, (a + b) / 2)
    assert min(met.values()) > 50, met


def test_where_values_say_nothing_slopes_do():
    noise = jnp.float64(1e-12)
    lo, hi = Point(1.0, 5.0, -1.0), Point(2.0, 5.0 + 1e-13, 3.0)
    lo, hi = (Point(*map(jnp.float64, x)) for x in (lo, hi))
    np.testing.assert_allclose(by_values(lo, hi, lo, noise), 1.25)
    nothing = hi._replace(value=jnp.float64(np.inf), slope=jnp.float64(np.inf))
    np.testing.assert_allclose(by_values(lo, nothing, lo, noise), 1.5)


# Functions of More & Thuente (1994), section 5, a barrier, and one of many minima.
LINES = {
    "4.1": (lambda a: -a / (a**2 + 2.0), 1e-3, 0.1),
    "4.2": (lambda a: (a + 0.004) ** 5 - 2 * (a + 0.004) ** 4, 0.05, 0.1),
    "yang": (
        lambda a: (
            0.01 * jnp.sqrt(1 + (1 - a) ** 2 * 1e4) + 0.01 * jnp.sqrt(a**2 * 1e4 + 1)
        ),
        1e-4,
        1e-3,
    ),
    "log": (lambda a: a - 0.1 * jnp.log(a + 0.01), 1e-4, 0.1),
    "wave": (lambda a: 0.1 * a**2 - jnp.sin(3 * a) - a, 1e-4, 0.5),
}


# Evaluations that are too many: in line 4.2, from far away, values alone creep.
@pytest.mark.parametrize(("interpolation", "most"), [("slopes", 25), ("values", 40)])
@pytest.mark.parametrize("name", LINES)
def test_the_zoomed_step_satisfies_strong_wolfe(name, interpolation, most):
    phi, c1, c2 = LINES[name]
    tx = gradtx.scale_by_zoom_linesearch(
        *(50, None, 0.0, 2.0, c1, c2, None, 0.0), interpolation=interpolation
    )
    zero = jnp.zeros([])
    value, grad = jax.value_and_grad(phi)(zero)

    @jax.jit
    def search(guess):
        state = tx.init(zero)._replace(learning_rate=guess)
        kwargs = {"value": value, "grad": grad, "value_fn": phi}
        return tx.update(jnp.ones([]), state, zero, **kwargs)

    for guess in (1e-3, 0.1, 10.0, 1e3):
        step, state = search(jnp.asarray(guess))
        info = state.info
        assert all(reference.strong_wolfe(phi, jax.grad(phi), float(step), c1, c2))
        assert float(info.decrease_error) == float(info.curvature_error) == 0
        assert state.learning_rate == step > 0
        np.testing.assert_allclose(state.value, phi(step), rtol=1e-15)
        # Terms of order 10 that cancel, added up in another order under jit.
        desired = jax.grad(phi)(step)
        np.testing.assert_allclose(state.grad, desired, rtol=1e-12, atol=1e-13)
        assert int(info.num_linesearch_steps) <= most


@pytest.mark.parametrize("factor", [0.5, 0.8])
@pytest.mark.parametrize("c1", [1e-4, 0.3])
def test_backtracking_takes_the_references_steps(factor, c1):
    def f(p):
        return jnp.sum(jnp.cosh(p) - 1) + 3 * p[0] * p[1]

    tx = gradtx.scale_by_backtracking_linesearch(
        30, slope_rtol=c1, decrease_factor=factor, max_learning_rate=4.0
    )
    peer = optax.scale_by_backtracking_linesearch(
        30, slope_rtol=c1, decrease_factor=factor, max_learning_rate=4.0
    )
    p, guess = jnp.array([2.0, 1.5]), 1.0
    state, theirs = tx.init(p), peer.init(p)
    for _ in range(4):
        value, grad = jax.value_and_grad(f)(p)
        kwargs = {"value": value, "grad": grad, "value_fn": f}
        updates, state = tx.update(-grad, state, p, **kwargs)
        _, theirs = peer.update(-grad, theirs, p, **kwargs)
        start, slope = p, -grad @ grad
        guess, taken = reference.backtracking(
            lambda t, at=start, g=grad: f(at - t * g),
            *(slope, min(1.5 * guess, 4.0), factor, c1, 30),
        )
        np.testing.assert_allclose(state.learning_rate, guess, rtol=1e-14)
        np.testing.assert_allclose(theirs.learning_rate, guess, rtol=1e-14)
        assert int(state.info.num_linesearch_steps) == taken
        assert int(theirs.info.num_linesearch_steps) == taken
        p = gradtx.apply_updates(p, updates)
        np.testing.assert_allclose(state.value, f(p), rtol=1e-14)


def test_with_a_small_tolerance_newton_takes_the_exact_step():
    rng = np.random.default_rng(2)
    basis, _ = np.linalg.qr(rng.normal(size=(SIZE, SIZE)))
    hessian, best = basis * [0.1, 0.2, 0.5, 2.0, 5.0, 10.0] @ basis.T, np.arange(6.0)

    def quadratic(x):
        return (x - best) @ hessian @ (x - best) / 2

    def one_step(tx, x):
        value, grad = jax.value_and_grad(quadratic)(x)
        kwargs = {"value": value, "grad": grad, "value_fn": quadratic}
        return tx.step(grad, tx.init(x), x, **kwargs)

    start = jnp.array(rng.normal(size=SIZE))
    for tx in (gradtx.newton(tol=1e-13), gradtx.newton(tol=0.0, linesearch=None)):
        x, state = jax.jit(one_step, static_argnums=0)(tx, start)
        np.testing.assert_allclose(x, best, rtol=0, atol=1e-11)
        assert gradtx.tree.get(state, "residual") <= 1e-13
    # Half of the gradient at first, by default: not there yet.
    x, _ = one_step(gradtx.newton(linesearch=None), start)
    assert np.abs(x - best).max() > 1e-3


@pytest.mark.parametrize("damping", [0.0, 0.7])
@pytest.mark.parametrize("lowest", [0.01, -3.0])
def test_newtons_direction_is_that_of_conjugate_gradients(lowest, damping):
    rng = np.random.default_rng(1)
    basis, _ = np.linalg.qr(rng.normal(size=(SIZE, SIZE)))
    hessian = basis * [lowest, 0.1, 0.5, 2.0, 5.0, 20.0] @ basis.T
    tx = gradtx.scale_by_newton_cg(damping, max_cg_steps=5)

    def f(tree):
        x = jnp.concatenate([tree["w"].ravel(), tree["b"][0], tree["b"][1][None]])
        return x @ hessian @ x / 2

    @jax.jit
    def direction(g, p):
        return tx.update(g, tx.init(p), p, value_fn=f)

    negative = 0
    for seed in range(8):
        p = 10.0 ** (seed - 3) * np.random.default_rng(seed).normal(size=SIZE)
        g = hessian @ p
        updates, state = direction(as_tree(g), as_tree(p))
        size = np.linalg.norm(g)
        z, taken, curved = reference.conjugate_gradients(
            hessian + damping * np.eye(SIZE), g, min(0.5, size**0.5) * size, 5
        )
        desired = g / max(size, 1) if curved and taken == 1 else z
        # Conjugate directions lose some digits to rounding.
        np.testing.assert_allclose(as_vector(updates), desired, rtol=1e-9, atol=1e-12)
        assert int(state.num_hvps) == taken
        assert bool(state.negative_curvature) == curved
        assert as_vector(updates) @ g > 0
        negative += curved
    assert bool(negative) == (lowest < 0)
