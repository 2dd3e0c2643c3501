"""Nothing is rounded inside of a chain, however it is put together."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx
from gradtx import MultiSteps, adamw, apply_if_finite, chain, masked, partition, sgd

PARAMS = {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}
ONES = jax.tree.map(lambda p: jnp.ones_like(p, jnp.bfloat16), PARAMS)

# Adam's first step is the sign, then 1e-3 of a parameter of 1: -1e-2 (1 + 1e-3).
RIGHT = -0.01001


def decayed(tx):
    return chain(tx, gradtx.add_decayed_weights(1e-3), gradtx.scale(-1e-2))


def w_or_b(params):
    return {"w": "w", "b": "b"}


WAYS = {
    "alias": adamw(1e-2, weight_decay=1e-3),
    "joined": decayed(gradtx.scale_by_adam()),
    # A member that has to see the result of the ones before it begins a new group.
    "apart": decayed(chain(gradtx.scale_by_adam(), gradtx.clip_by_global_norm(1e3))),
    "named": gradtx.named_chain(("adamw", adamw(1e-2, weight_decay=1e-3))),
    "optax": decayed(optax.scale_by_sign()),
    "optax's decay": chain(
        gradtx.scale_by_adam(), optax.add_decayed_weights(1e-3), optax.scale(-1e-2)
    ),
    "optax, injected": chain(
        gradtx.inject_hyperparams(optax.adamw)(1e-2, weight_decay=1e-3)
    ),
    "by hand": decayed(gradtx.GradientTransformation(*gradtx.scale_by_adam())),
    "injected": gradtx.inject_hyperparams(adamw)(1e-2, weight_decay=1e-3),
    "masked": masked(adamw(1e-2, weight_decay=1e-3), {"w": True, "b": True}),
    "partition": partition(dict.fromkeys("wb", adamw(1e-2, weight_decay=1e-3)), w_or_b),
    "flatten": gradtx.flatten(adamw(1e-2, weight_decay=1e-3)),
    "apply_if_finite": chain(
        apply_if_finite(decayed(gradtx.scale_by_adam()), 3), gradtx.identity()
    ),
    "MultiSteps": chain(MultiSteps(adamw(1e-2, weight_decay=1e-3), 1)),
    "maximize": gradtx.maximize(
        chain(gradtx.scale(-1.0), adamw(1e-2, weight_decay=1e-3))
    ),
}


@pytest.mark.parametrize("jit", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("name", WAYS)
def test_decay_of_float32_parameters_survives_bfloat16_gradients(name, jit):
    tx = WAYS[name]
    update, step = (jax.jit(f) if jit else f for f in (tx.update, tx.step))
    updates, _ = update(ONES, tx.init(PARAMS), PARAMS)
    params, _ = step(ONES, tx.init(PARAMS), PARAMS)
    for u, p in zip(*map(jax.tree.leaves, (updates, params)), strict=True):
        # 1e-7 is the last digit of float32; rounded to bfloat16 it was -0.0100098.
        np.testing.assert_allclose(u, RIGHT, rtol=3e-7)
        np.testing.assert_allclose(p, 1 + RIGHT, rtol=1e-7)
        assert u.dtype == p.dtype == jnp.float32


def test_all_of_the_decay_arrives_over_400_steps():
    rate, decay, n = 1e-2, 1e-4, 400
    tx, plain = adamw(rate, weight_decay=decay), gradtx.adam(rate)
    rng = np.random.default_rng(0)
    grads = jnp.asarray(rng.standard_normal((n, 64)), jnp.bfloat16)

    def run(tx, start):
        def body(carry, g):
            params, state = carry
            updates, state = tx.update(g, state, params)
            return (gradtx.apply_updates(params, updates), state), None

        return jax.lax.scan(body, (start, tx.init(start)), grads)[0][0]

    far, near = jnp.full(64, 100.0), jnp.zeros(64)
    # Adam's own steps do not depend on where it is: what is left is the decay's.
    lost = run(plain, near) + 100 - run(tx, far)
    # Adam's own path decays, too: at most rate * decay * n = 4e-4 of its length, 4 at
    # most. Rounded to bfloat16, 88% of the decay was lost.
    expected = 100 * (1 - (1 - rate * decay) ** n)
    np.testing.assert_allclose(lost, expected, atol=2e-3)


def test_small_steps_survive_float16_gradients():
    params, grads = jnp.ones(3), jnp.full(3, 1.0, jnp.float16)
    tx = gradtx.adam(1e-9)  # below the least of float16
    updates, _ = tx.update(grads, tx.init(params), params)
    np.testing.assert_allclose(updates, -1e-9, rtol=1e-6)


@pytest.mark.parametrize(
    ("gradient", "parameter", "wider"),
    [
        ("bfloat16", "float32", "float32"),
        ("float32", "bfloat16", "float32"),
        ("float16", "bfloat16", "float32"),  # neither holds the other
        ("bfloat16", "bfloat16", "bfloat16"),
        ("float16", "float16", "float16"),
    ],
)
def test_updates_are_handed_out_in_the_wider_dtype(gradient, parameter, wider):
    params, grads = jnp.ones(2, parameter), jnp.ones(2, gradient)
    for tx in (adamw(0.1), chain(adamw(0.1), optax.scale(1.0)), gradtx.identity()):
        updates, _ = tx.update(grads, tx.init(params), params)
        assert updates.dtype == wider
    updates, _ = sgd(0.1).update(grads, sgd(0.1).init(params))
    assert updates.dtype == gradient  # without parameters, that is all there is


def test_a_member_is_not_the_outermost():
    seen = []

    @gradtx.transformation
    def watch():
        def update(updates, state, params=None):
            seen.append(updates.dtype)
            return updates, state

        return lambda params: gradtx.EmptyState(), update

    params = jnp.ones(2, jnp.bfloat16)
    for tx in (
        chain(sgd(1.0), watch()),
        chain(chain(sgd(1.0)), watch()),
        masked(chain(sgd(1.0), watch()), True),
        chain(MultiSteps(sgd(1.0), 2), watch()),
        chain(apply_if_finite(sgd(1.0), 2), watch()),
        chain(gradtx.flatten(sgd(1.0)), watch()),
        chain(optax.sgd(1.0), watch()),
    ):
        updates, _ = tx.update(params, tx.init(params), params)
        assert updates.dtype == jnp.bfloat16
        assert seen.pop() == jnp.float32


def test_an_optax_state_is_float32_and_stays_so():
    params = {"w": jnp.ones(2, jnp.bfloat16)}
    tx = chain(gradtx.clip(1.0), optax.apply_if_finite(optax.adam(0.1), 3))
    state = tx.init(params)

    def step(carry, _):
        params, state = carry
        return tx.step(params, state, params), None

    (_, end), _ = jax.lax.scan(step, (params, state), length=2)
    mu = gradtx.tree.get(end, "mu")["w"]
    assert mu.dtype == jnp.float32


def test_noise_is_drawn_in_float32():
    params = jnp.zeros(1000)
    tx = chain(gradtx.add_noise(1.0, 0.0, key=0))
    updates, _ = tx.update(params.astype(jnp.bfloat16), tx.init(params), params)
    assert len(np.unique(updates)) == 1000  # bfloat16 has 256 numbers an octave


def test_a_user_of_stateless_computes_in_float32():
    tx = chain(gradtx.stateless_with_tree_map(lambda g, p: g / 3))
    params = jnp.ones(2)
    updates, _ = tx.update(params.astype(jnp.bfloat16), tx.init(params), params)
    np.testing.assert_allclose(updates, 1 / 3, rtol=1e-7)
