"""gradtx inside the loops people have, and Optax inside of gradtx."""

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import pytest
from flax import linen as nn, nnx
from flax.training.train_state import TrainState

import gradtx

X = jnp.linspace(-1.0, 1.0, 12).reshape(6, 2)
Y = X @ jnp.array([[2.0], [-1.0]]) + 0.5
STEPS = 5


def made():
    return gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adamw(3e-4))


def peer():
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(3e-4))


def params():
    return {"kernel": jnp.array([[0.3], [-0.2]]), "bias": jnp.zeros(1)}


def loss(p):
    return jnp.mean((X @ p["kernel"] + p["bias"] - Y) ** 2)


def trained(tx, apply_updates):
    p = params()
    state = tx.init(p)

    @jax.jit
    def step(p, state):
        updates, state = tx.update(jax.grad(loss)(p), state, p)
        return apply_updates(p, updates), state

    for _ in range(STEPS):
        p, state = step(p, state)
    return p


@pytest.fixture(scope="module")
def expected():
    return trained(peer(), optax.apply_updates)


def close(actual, expected):
    # Float32 rounding of five steps; the corrections differ by 1e-5 of a 3e-4 step.
    chex.assert_trees_all_close(actual, expected, rtol=1e-6, atol=1e-7)


def test_alone(expected):
    close(trained(made(), gradtx.apply_updates), expected)


def test_inside_optax_chain(expected):
    tx = optax.chain(optax.identity(), made())
    close(trained(tx, optax.apply_updates), expected)


def test_optax_inside_gradtx_chain(expected):
    tx = gradtx.chain(optax.clip_by_global_norm(1.0), optax.adamw(3e-4))
    close(trained(tx, gradtx.apply_updates), expected)


def test_optax_inside_gradtx_chain_takes_extra_arguments():
    tx = gradtx.chain(gradtx.identity(), optax.contrib.reduce_on_plateau(patience=1))
    state = tx.init(params())
    for _ in range(3):
        _, state = tx.update(params(), state, params(), value=1.0, other=2)
    assert float(state[1].scale) < 1


def test_inside_optax_wrappers(expected):
    close(trained(optax.apply_if_finite(made(), 3), optax.apply_updates), expected)
    wrapped = optax.masked(made(), jax.tree.map(lambda _: True, params()))
    close(trained(wrapped, optax.apply_updates), expected)


def test_extra_arguments_cross_optax_chain_with_to_optax():
    @gradtx.transformation
    def scale_by_value():
        def init(p):
            return gradtx.EmptyState()

        def update(updates, state, params=None, *, value):
            return jax.tree.map(lambda g: value * g, updates), state

        return init, update

    tx = optax.chain(gradtx.to_optax(scale_by_value()), optax.scale(2.0))
    updates, _ = tx.update(params(), tx.init(params()), params(), value=3.0)
    chex.assert_trees_all_close(updates, jax.tree.map(lambda g: 6 * g, params()))


def test_flax_train_state(expected):
    model = nn.Dense(1)
    state = TrainState.create(apply_fn=model.apply, params=params(), tx=made())

    @jax.jit
    def step(state):
        def by_model(p):
            return jnp.mean((state.apply_fn({"params": p}, X) - Y) ** 2)

        return state.apply_gradients(grads=jax.grad(by_model)(state.params))

    for _ in range(STEPS):
        state = step(state)
    close(state.params, expected)


def test_flax_train_state_with_a_rebuilt_optimizer_is_not_traced_again():
    traces = []

    @jax.jit
    def step(state):
        traces.append(1)
        return state.apply_gradients(grads=params())

    for _ in range(2):
        apply_fn = None
        step(TrainState.create(apply_fn=apply_fn, params=params(), tx=made()))
    assert len(traces) == 1


def test_nnx_optimizer(expected):
    model = nnx.Linear(2, 1, rngs=nnx.Rngs(0))
    model.kernel[...] = params()["kernel"]
    model.bias[...] = params()["bias"]
    optimizer = nnx.Optimizer(model, made(), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer):
        grads = nnx.grad(lambda m: jnp.mean((m(X) - Y) ** 2))(model)
        optimizer.update(model, grads)

    for _ in range(STEPS):
        step(model, optimizer)
    close({"kernel": model.kernel[...], "bias": model.bias[...]}, expected)


def test_equinox_loop(expected):
    model = eqx.nn.Linear(2, 1, key=jax.random.key(0))
    given = params()
    where = lambda m: (m.weight, m.bias)  # noqa: E731 (as Equinox writes it)
    model = eqx.tree_at(where, model, (given["kernel"].T, given["bias"]))
    tx = made()
    state = tx.init(eqx.filter(model, eqx.is_inexact_array))

    @eqx.filter_jit
    def step(model, state, tx):
        grads = eqx.filter_grad(lambda m: jnp.mean((jax.vmap(m)(X) - Y) ** 2))(model)
        updates, state = tx.update(grads, state, eqx.filter(model, eqx.is_array))
        return eqx.apply_updates(model, updates), state

    for _ in range(STEPS):
        model, state = step(model, state, tx)
    close({"kernel": model.weight.T, "bias": model.bias}, expected)


def test_step_is_the_loop_in_one_call(expected):
    tx = made()
    p = params()
    state = tx.init(p)
    step = jax.jit(
        lambda p, state: tx.step(jax.grad(loss)(p), state, p), donate_argnums=(0, 1)
    )
    for _ in range(STEPS):
        p, state = step(p, state)
    close(p, expected)
