"""Projections: the nearest point of a set, over a tree as over one vector."""

import functools
import inspect
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.optimize
from jax.flatten_util import ravel_pytree

from gradtx import projections

A, B = np.array([1.0, -2.0, 0.5, 3.0, 0.0]), 1.5
SIMPLEX = [{"type": "eq", "fun": lambda y: y.sum() - 1.2}]
# Name: arguments, constraints and bounds of the quadratic program, points of the set
# from points of the space.
CONVEX = {
    "projection_non_negative": ((), [], (0, None), np.abs),
    "projection_box": ((-0.3, 0.8), [], (-0.3, 0.8), lambda y: np.clip(y, -0.3, 0.8)),
    "projection_hypercube": ((0.7,), [], (0, 0.7), lambda y: np.clip(y, 0, 0.7)),
    "projection_linf_ball": ((0.6,), [], (-0.6, 0.6), lambda y: np.clip(y, -0.6, 0.6)),
    "projection_simplex": (
        (1.2,),
        SIMPLEX,
        (0, None),
        lambda y: 1.2 * np.abs(y) / np.abs(y).sum(),
    ),
    "projection_l1_ball": ((1.2,), None, None, lambda y: 0.9 * y / np.abs(y).sum()),
    "projection_l2_ball": (
        (1.1,),
        [{"type": "ineq", "fun": lambda y: 1.21 - y @ y}],
        None,
        lambda y: y / np.linalg.norm(y),
    ),
    "projection_hyperplane": (
        (A, B),
        [{"type": "eq", "fun": lambda y: A @ y - B}],
        None,
        lambda y: y + (B - A @ y) * np.eye(5)[3] / 3,
    ),
    "projection_halfspace": (
        (A, B),
        [{"type": "ineq", "fun": lambda y: B - A @ y}],
        None,
        lambda y: y + (B - abs(A @ y) - A @ y) * np.eye(5)[3] / 3,
    ),
    "projection_vector": ((A,), None, None, lambda y: y[0] * A),
}


def quadratic_program(name, x):
    """The nearest point, by scipy."""
    _, constraints, bounds, _ = CONVEX[name]
    if name == "projection_vector":
        found = scipy.optimize.minimize_scalar(lambda t: np.sum((x - t * A) ** 2))
        return found.x * A
    if name == "projection_l1_ball":  # y = u - v, both without negative entries
        split = [{"type": "ineq", "fun": lambda w: 1.2 - w.sum()}]
        return _solve(lambda w: w[:5] - w[5:], x, 10, split, (0, None))
    return _solve(lambda y: y, x, 5, constraints, bounds)


def _solve(point, x, n, constraints, bounds):
    found = scipy.optimize.minimize(
        lambda w: np.sum((x - point(w)) ** 2) / 2,
        np.full(n, 0.1),
        method="SLSQP",
        constraints=constraints,
        bounds=bounds and [bounds] * n,
        options={"ftol": 1e-15, "maxiter": 500},
    )
    return point(found.x)


@functools.cache
def compiled(name):
    args = CONVEX[name][0]
    return jax.jit(lambda x: getattr(projections, name)(x, *args))


@pytest.mark.parametrize("name", CONVEX)
def test_it_is_the_nearest_point(name):
    rng = np.random.default_rng(0)
    inside = CONVEX[name][3]
    with jax.enable_x64(True):
        for size in (0.1, 1.0, 5.0):
            x = size * rng.normal(size=5)
            found = np.asarray(compiled(name)(x))
            # SLSQP ends at differences of 1e-15 in the value: 1e-7 in the point.
            np.testing.assert_allclose(found, quadratic_program(name, x), atol=1e-6)
            # By definition: from P(x), no point of the set lies towards x.
            for y in rng.normal(size=(50, 5)):
                assert (x - found) @ (inside(y) - found) <= 1e-12
            again = compiled(name)(found)
            np.testing.assert_allclose(again, found, atol=1e-15)


@pytest.mark.parametrize("name", CONVEX)
def test_derivatives_are_those_of_differences(name):
    rng = np.random.default_rng(1)
    with jax.enable_x64(True):
        for size in (0.2, 2.0):
            x, v = size * rng.normal(size=5), rng.normal(size=5)
            project = compiled(name)
            found = jax.jvp(project, (x,), (v,))[1]
            h = 1e-6
            differences = (project(x + h * v) - project(x - h * v)) / (2 * h)
            # Piecewise smooth: rounding over h.
            np.testing.assert_allclose(found, differences, atol=1e-8)
            forward, reverse = jax.jacfwd(project)(x), jax.jacrev(project)(x)
            np.testing.assert_allclose(forward, reverse, atol=1e-14)


def test_the_derivative_of_the_simplex_goes_by_its_support():
    x = jnp.array([0.9, -1.0, 0.4, 0.2, -0.5])
    support = np.asarray(projections.projection_simplex(x) > 0)
    assert support.sum() == 3
    expected = np.diag(support) - np.outer(support, support) / support.sum()
    found = jax.jacobian(projections.projection_simplex)(x)
    np.testing.assert_allclose(found, expected, atol=1e-6)  # float32
    by_scale = jax.jacobian(projections.projection_simplex, argnums=1)(x, 1.0)
    np.testing.assert_allclose(by_scale, support / 3, rtol=1e-6)


def test_spheres_have_no_nearer_point():
    rng = np.random.default_rng(2)
    with jax.enable_x64(True):
        for size in (0.1, 3.0):
            x = size * rng.normal(size=4)
            x[0] = 0.0
            found = np.asarray(projections.projection_l2_sphere(x, 1.5))
            np.testing.assert_allclose(found, 1.5 * x / np.linalg.norm(x), rtol=1e-14)
            found = np.asarray(projections.projection_l1_sphere(x, 1.5))
            np.testing.assert_allclose(np.abs(found).sum(), 1.5, rtol=1e-14)
            # The sphere is made of simplices, one for each choice of signs.
            distances = []
            for signs in itertools.product([-1, 1], repeat=4):
                part = [{"type": "eq", "fun": lambda y: y.sum() - 1.5}]
                y = _solve(lambda y: y, signs * x, 4, part, (0, None))
                distances.append(np.linalg.norm(y - signs * x))
            nearest = np.linalg.norm(found - x)
            np.testing.assert_allclose(nearest, min(distances), atol=1e-7)


def test_at_zero_spheres_have_a_point_and_no_nan():
    for project in (projections.projection_l1_sphere, projections.projection_l2_sphere):
        for zero in (jnp.zeros(4), jnp.zeros(4) + 0j):
            point = jax.jit(project)(zero, 2.0)
            order = 1 if project is projections.projection_l1_sphere else 2
            size = jnp.linalg.norm(point, order)
            np.testing.assert_allclose(size, 2.0, rtol=1e-6)
        assert np.isfinite(jax.jit(jax.jacobian(project))(jnp.zeros(4))).all()


ALL = [*CONVEX, "projection_l1_sphere", "projection_l2_sphere"]


def narrow(name):
    """Its other arguments, arrays in float32."""
    args = CONVEX[name][0] if name in CONVEX else (1.3,)
    return tuple(np.float32(a) if isinstance(a, np.ndarray) else a for a in args)


@pytest.mark.parametrize("name", ALL)
def test_a_tree_is_one_vector(name):
    args = narrow(name)
    x = np.array([0.9, -1.3, 0.4, 2.0, -0.2], np.float32)
    tree = {
        "w": x[:4].reshape(2, 2),
        "b": x[4],
        "none": None,
        "empty": np.zeros((0, 2)),
    }
    given = args
    if args and isinstance(args[0], np.ndarray):  # a, of the same structure
        a = args[0]
        given = {**tree, "w": a[:4].reshape(2, 2), "b": a[4]}, *args[1:]
    found = jax.jit(getattr(projections, name))(tree, *given)
    assert found["none"] is None
    assert found["empty"].shape == (0, 2)
    assert found["w"].dtype == jnp.float32
    alone_of = jax.jit(lambda x: getattr(projections, name)(x, *args))
    whole = alone_of(x)
    flat = np.append(found["w"].ravel(), found["b"])
    np.testing.assert_allclose(flat, whole, rtol=1e-6, atol=1e-7)  # order of sums
    batch = np.stack([x, -x, 0.1 * x])
    for one, row in zip(batch, jax.jit(jax.vmap(alone_of))(batch), strict=True):
        alone = alone_of(one)
        np.testing.assert_allclose(row, alone, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ALL)
def test_bfloat16_is_computed_in_float32_and_rounded_once(name):
    args = narrow(name)
    x = jnp.array([0.9, -1.3, 0.4, 2.0, -0.2], jnp.bfloat16)
    project = jax.jit(lambda x: getattr(projections, name)(x, *args))
    found = project(x)
    assert found.dtype == jnp.bfloat16
    wide = project(x.astype(jnp.float32))
    np.testing.assert_array_equal(found, wide.astype(jnp.bfloat16))


@pytest.mark.parametrize("name", ALL)
def test_numbers_are_optaxs(name):
    args = narrow(name)
    x = jnp.array([0.9, -1.3, 0.4, 2.0, -0.2])
    found, theirs = (
        jax.jit(lambda x, lib=lib: getattr(lib, name)(x, *args))(x)
        for lib in (projections, optax.projections)
    )
    np.testing.assert_allclose(found, theirs, rtol=1e-6, atol=3e-7)  # float32


def test_an_offset_costs_the_simplex_no_digits():
    x = jax.random.normal(jax.random.key(0), (1000,))
    found = projections.projection_simplex(x + 2.0**14, 10.0)
    # The offset rounds x, by 2^-10; not the sum, which Optax misses by 4e-2.
    np.testing.assert_allclose(np.asarray(found, np.float64).sum(), 10, rtol=1e-6)
    np.testing.assert_allclose(
        found, projections.projection_simplex(x, 10.0), atol=2e-3
    )


def test_a_point_of_a_ball_stays_to_the_bit_and_a_nan_shows():
    x = jnp.array([0.1, -0.3, 0.2])
    for name in ("l1_ball", "l2_ball", "linf_ball"):
        np.testing.assert_array_equal(getattr(projections, f"projection_{name}")(x), x)
    for name in ALL:
        args = [a[:3] if np.ndim(a) else a for a in narrow(name)]
        assert jnp.isnan(
            getattr(projections, name)(x.at[1].set(jnp.nan), *args)
        ).any(), name


def test_a_radius_of_zero_leaves_one_point():
    x = {"w": jnp.array([0.5, -2.0]), "b": jnp.array(1.0)}
    for name in ("simplex", "l1_ball", "l1_sphere", "l2_ball", "l2_sphere"):
        flat, _ = ravel_pytree(getattr(projections, f"projection_{name}")(x, 0.0))
        np.testing.assert_array_equal(flat, 0)


def test_complex_numbers_are_kept_in_phase():
    x = jnp.array([3 + 4j, -0.5j, 0])
    for name, sizes in {
        "l1_ball": [2.0, 0, 0],
        "l1_sphere": [2.0, 0, 0],
        "linf_ball": [2.0, 0.5, 0],
    }.items():
        found = getattr(projections, f"projection_{name}")(x, 2.0)
        expected = np.array(sizes) * [0.6 + 0.8j, -1j, 1]
        np.testing.assert_allclose(found, expected, atol=1e-6)
        assert np.isfinite(jax.vjp(lambda x: x, x)[1](found)[0]).all()
    # The plane of the real part.
    a = jnp.array([1j, 0, 2.0])
    found = projections.projection_hyperplane(x, a, 1.0)
    np.testing.assert_allclose(jnp.vdot(a, found).real, 1.0, rtol=1e-6)


def test_directions_of_any_size_count():
    a = jnp.array([3e-30, 4e-30])
    for project in (
        projections.projection_hyperplane,
        projections.projection_halfspace,
    ):
        found = project(jnp.array([2.0, 1.0]), a, 5e-30)
        np.testing.assert_allclose(found, [1.4, 0.2], rtol=1e-6)
    zero = jnp.zeros(2)
    np.testing.assert_array_equal(projections.projection_hyperplane(a, zero, 1.0), a)
    np.testing.assert_array_equal(projections.projection_vector(a, zero), zero)


def test_bounds_are_numbers_or_trees():
    x = {"w": jnp.array([-2.0, 2.0]), "b": jnp.array(5.0)}
    lower = {"w": jnp.array([-1.0, -3.0]), "b": None}
    found = projections.projection_box(x, lower, {"w": 1.0, "b": np.inf})
    np.testing.assert_array_equal(found["w"], [-1, 1])
    assert found["b"] == 5
    found = projections.projection_box(x, -1, 1)
    np.testing.assert_array_equal(found["w"], [-1, 1])
    assert projections.projection_non_negative(jnp.array([-1, 2])).dtype == jnp.int32


def test_whole_trees_agree_when_leaves_are_split():
    x = {"w": jnp.array([[0.9, -1.3], [0.4, 2.0]]), "b": jnp.array([0.3, -0.2])}
    a = {"w": jnp.array([[1.0, -2.0], [0.5, 3.0]]), "b": jnp.array([0.0, 1.0])}
    for name in ALL:
        if "axis_name" not in inspect.signature(getattr(projections, name)).parameters:
            continue
        args = [a if isinstance(v, np.ndarray) else v for v in narrow(name)]
        axes = [0 if v is a else None for v in args]
        project = getattr(projections, name)
        part = functools.partial(project, axis_name="i")
        parts = jax.vmap(part, in_axes=(0, *axes), axis_name="i")
        split, whole = jax.jit(parts)(x, *args), jax.jit(project)(x, *args)
        for part, one in zip(*map(jax.tree.leaves, (split, whole)), strict=True):
            np.testing.assert_allclose(part, one, rtol=1e-6, atol=1e-7)
