"""L-BFGS and Newton's method in training loops: compiled once, donated, in trees."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx

OPTIMIZERS = {"lbfgs": gradtx.lbfgs, "newton": gradtx.newton}
each = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
START = {"w": jnp.array([[-1.2, 1.0], [0.5, 2.0]]), "b": (jnp.float32(3.0), None)}


def value_fn(tree, shift=0.0):
    """Rosenbrock along each row, and a parabola."""
    x, y = tree["w"].T
    rows = jnp.sum(100 * (y - x**2) ** 2 + (1 - x) ** 2)
    return rows + (tree["b"][0] - shift) ** 2


value_and_grad = gradtx.value_and_grad_from_state(value_fn)


def step(tx, params, state, shift=0.0):
    value, grad = value_and_grad(params, state=state, shift=shift)
    kwargs = {"value": value, "grad": grad, "value_fn": value_fn, "shift": shift}
    return tx.step(grad, state, params, **kwargs)


@each
def test_a_tree_goes_to_its_minimum_in_one_trace_and_in_place(make):
    traces = []

    def traced(tx, params, state):
        traces.append(None)
        return step(tx, params, state, 2.0)

    jitted = jax.jit(traced, static_argnums=0, donate_argnums=(1, 2), keep_unused=True)
    params = jax.tree.map(jnp.copy, START)
    state = make().init(params)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # donated buffers that were not usable
        for _ in range(120):
            old = jax.tree.leaves((params, state))
            params, state = jitted(make(), params, state)
            assert all(x.is_deleted() for x in old)
    assert len(traces) == 1
    np.testing.assert_allclose(params["w"], 1, atol=1e-3)  # float32, condition 2,500
    np.testing.assert_allclose(params["b"][0], 2, atol=1e-5)
    assert params["b"][1] is None


@each
def test_a_scan_over_steps_is_the_loop(make):
    tx = make()

    def body(carry, _):
        carry = step(tx, *carry)
        return carry, carry[1][-1].info.num_linesearch_steps

    carry = START, tx.init(START)
    scanned, counts = jax.jit(lambda c: jax.lax.scan(body, c, None, 5))(carry)
    assert counts.min() >= 1
    jitted = jax.jit(lambda params, state: step(tx, params, state))
    for _ in range(5):
        carry = jitted(*carry)
    # Other fusions of float32, and five steps of differences of differences.
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=2e-3, atol=1e-4),
        *(scanned[0], carry[0]),
    )


@each
def test_the_state_holds_no_buffer_of_the_callers(make):
    tx = make()
    params = jax.tree.map(jnp.copy, START)

    def pointers(tree):
        return {x.unsafe_buffer_pointer() for x in jax.tree.leaves(tree)}

    def update(params, grad, value, state):
        kwargs = {"value": value, "grad": grad, "value_fn": value_fn}
        return tx.update(grad, state, params, **kwargs)

    value, grad = jax.value_and_grad(value_fn)(params)
    state = tx.init(params)
    assert not pointers(params) & pointers(state)
    for run in (update, jax.jit(update)):
        updates, state = run(params, grad, value, tx.init(params))
        assert not pointers((params, grad, value, updates)) & pointers(state)


def test_lbfgs_is_as_good_as_optaxs_and_its_state_the_same():
    counts = {}
    for lib in (gradtx, optax):
        tx, params = lib.lbfgs(), START["w"].ravel()
        state, fn = (
            tx.init(params),
            lambda x: value_fn({"w": x.reshape(2, 2), "b": [0]}),
        )
        vag = lib.value_and_grad_from_state(fn)

        @jax.jit
        def run(params, state, tx=tx, fn=fn, vag=vag, lib=lib):
            value, grad = vag(params, state=state)
            kwargs = {"value": value, "grad": grad, "value_fn": fn}
            updates, state = tx.update(grad, state, params, **kwargs)
            return lib.apply_updates(params, updates), state

        counts[lib] = 1
        while float(fn(params)) > 1e-6:
            params, state = run(params, state)
            counts[lib] += int(state[-1].info.num_linesearch_steps)
        shapes = [(x.shape, x.dtype) for x in jax.tree.leaves(state)]
        counts[lib, "state"] = shapes, [type(s).__name__ for s in state]
        counts[lib, "fields"] = [s._fields for s in (state[0], state[2], state[2].info)]
    assert counts[gradtx] <= counts[optax]
    assert counts[gradtx, "fields"] == counts[optax, "fields"]
    assert counts[gradtx, "state"][0] == counts[optax, "state"][0]


def test_minibatches_reach_the_function_by_name():
    """The state's value is another minibatch's, and not read: each step descends."""
    tx, x = gradtx.lbfgs(), jnp.arange(8.0).reshape(4, 2)

    def loss(p, batch):
        return jnp.mean((p - batch) ** 2)

    def body(carry, batch):
        params, state = carry
        value, grad = jax.value_and_grad(loss)(params, batch)
        kwargs = {"value": value, "grad": grad, "value_fn": loss, "batch": batch}
        params, state = tx.step(grad, state, params, **kwargs)
        return (params, state), (value, loss(params, batch), state[-1].value)

    params = jnp.float32(0.0)
    start = params, tx.init(params)
    _, (before, after, stored) = jax.lax.scan(body, start, x)
    assert jnp.all(after < before)
    np.testing.assert_allclose(stored, after, rtol=1e-6)


def test_without_a_line_search_it_takes_the_direction():
    params = jnp.array([2.0, 2.0])
    for tx in (gradtx.lbfgs(linesearch=None), gradtx.lbfgs(1.0, linesearch=None)):
        updates, _ = tx.update(jnp.array([3.0, 4.0]), tx.init(params), params)
        np.testing.assert_allclose(updates, [-0.6, -0.8], rtol=1e-6)
    tx = gradtx.lbfgs(0.5, linesearch=None)
    updates, _ = tx.update(jnp.array([3.0, 4.0]), tx.init(params), params)
    np.testing.assert_allclose(updates, [-0.3, -0.4], rtol=1e-6)


def test_leaves_without_gradients_are_held_fixed():
    params = {"w": jnp.array([2.0, -1.0]), "n": jnp.int32(3), "frozen": jnp.ones(2)}

    def fn(p):
        return jnp.sum(p["n"] * p["w"] ** 2) + jnp.sum(p["frozen"] * p["w"])

    for make in OPTIMIZERS.values():
        tx = make()

        @jax.jit
        def run(p, state, tx=tx):
            value, grad = jax.value_and_grad(fn, allow_int=True)(p)
            grad["frozen"] = None  # and that of n has the dtype float0
            kwargs = {"value": value, "grad": grad, "value_fn": fn}
            return tx.step(grad, state, p, **kwargs)

        p, state = params, tx.init(params)
        for _ in range(8):
            p, state = run(p, state)
        np.testing.assert_allclose(p["w"], -1 / 6, rtol=1e-4)
        assert int(p["n"]) == 3
        np.testing.assert_array_equal(p["frozen"], 1)


def test_value_and_grad_are_read_from_the_state():
    p = jnp.array([1.0, -2.0], jnp.bfloat16)
    tx = gradtx.scale_by_zoom_linesearch(10)
    read = gradtx.value_and_grad_from_state(lambda p, c=1.0: c * jnp.sum(p**2))
    state = tx.init(p)
    value, grad = read(p, 3.0, state=state)  # nothing there yet
    assert value.dtype == jnp.float32
    assert grad.dtype == jnp.bfloat16
    assert (float(value), grad.tolist()) == (15.0, [6.0, -12.0])
    known = state._replace(value=jnp.float32(7.0), grad=jnp.array([1.0, 2.0]))
    value, grad = read(p, c=3.0, state=(state[:0], known))
    assert (float(value), grad.tolist()) == (7.0, [1.0, 2.0])
    assert grad.dtype == jnp.bfloat16
    for lost in (jnp.nan, jnp.inf):
        value, _ = read(p, c=3.0, state=known._replace(value=jnp.float32(lost)))
        assert float(value) == 15.0


def test_value_and_grad_say_what_is_not_in_the_state():
    p = jnp.ones(2)
    read = gradtx.value_and_grad_from_state(lambda p: jnp.sum(p**2))
    with pytest.raises(ValueError, match="no value and gradient"):
        read(p, state=gradtx.adam(0.1).init(p))
    tx = gradtx.scale_by_backtracking_linesearch(5)
    with pytest.raises(ValueError, match="store_grad=True"):
        read(p, state=tx.init(p))
    two = gradtx.chain(gradtx.lbfgs(), gradtx.scale_by_zoom_linesearch(5))
    with pytest.raises(KeyError, match="'value' is at several places"):
        read(p, state=two.init(p))


def test_zero1_does_not_split_what_looks_at_all():
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    tx = gradtx.distributed.zero1(gradtx.scale_by_lbfgs(), "data")
    params = jnp.ones(4)

    def run(p):
        gradient = jax.lax.pcast(p, "data", to="varying")
        return tx.update(gradient, tx.init(p), p)[0]

    spec = jax.sharding.PartitionSpec()
    with pytest.raises(ValueError, match=r"scale_by_lbfgs: looks at whole leaves"):
        jax.shard_map(run, mesh=mesh, in_specs=spec, out_specs=spec)(params)


def test_newton_refuses_complex_parameters():
    p = {"a": jnp.ones(2), "z": jnp.ones(2, jnp.complex64)}
    tx = gradtx.newton()
    with pytest.raises(TypeError, match=r"newton.*params\['z'\] is complex"):
        tx.update(p, tx.init(p), p, value=0.0, grad=p, value_fn=jnp.sum)


def test_newton_needs_the_function():
    p = jnp.ones(2)
    with pytest.raises(ValueError, match=r"newton > .*newton_cg needs value_fn: call"):
        gradtx.newton().update(p, gradtx.newton().init(p), p)


def test_newton_leaves_a_saddle():
    """Where the gradient sees only the valley, curvature shows once there is noise."""

    def fn(p):
        return p[0] ** 2 - p[1] ** 2 + p[1] ** 4

    tx = gradtx.newton()
    p = jnp.array([0.1, 1e-3])
    state, met = tx.init(p), False
    read = gradtx.value_and_grad_from_state(fn)

    @jax.jit
    def run(p, state):
        value, grad = read(p, state=state)
        return tx.step(grad, state, p, value=value, grad=grad, value_fn=fn)

    for _ in range(30):
        p, state = run(p, state)
        met |= bool(state[0].negative_curvature)
    assert met
    np.testing.assert_allclose(jnp.abs(p), [0, 0.5**0.5], atol=1e-4)
