"""Steps that a value, the parameters or chance decide on, beside their formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx

from .loops import example, single, steps_of
from .optimizers_layerwise import averaged


def polyak(grads, w, values, longest, scaling, f_min, eps, variant):
    """Loizou et al. 2021, eq. 3, on the scaled gradient; one norm over all arrays."""
    for grad, value in zip(grads, values, strict=True):
        grad = {key: scaling * g for key, g in grad.items()}
        square = sum(np.sum(np.abs(g) ** 2) for g in grad.values())
        gap = max(value - f_min, 0) if variant == "sps+" else value - f_min
        step = min(gap / (square + eps), longest)
        w = {key: w[key] - step * g for key, g in grad.items()}
        yield w


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scaling": 2.0, "f_min": -0.5, "eps": 3.0},
        {"max_learning_rate": 0.05},
        {"max_learning_rate": float("inf"), "f_min": 1.0},
        {"f_min": 1.0, "variant": "sps+"},
    ],
)
@pytest.mark.parametrize("dtype", [float, complex])
def test_polyaks_step(dtype, options):
    params, grads = example(dtype)
    values = 2 + 2 * np.cos(np.arange(20.0))  # below f_min at times
    all_of = {
        "longest": options.get("max_learning_rate", 1.0),
        **{"scaling": 1.0, "f_min": 0.0, "eps": 0.0, "variant": "sps"},
        **{k: v for k, v in options.items() if k != "max_learning_rate"},
    }
    desired = list(polyak(steps_of(grads), params, values, **all_of))

    def run(tx, apply, params, grads, values):
        def body(carry, this):
            params, state = carry
            updates, state = tx.update(this[0], state, params, value=this[1])
            params = apply(params, updates)
            return (params, state), params

        start = params, tx.init(params)
        return jax.jit(lambda *xs: jax.lax.scan(body, start, xs)[1])(grads, values)

    with jax.enable_x64(True):
        trees = jax.tree.map(jnp.asarray, (params, grads))
        found = run(gradtx.polyak_sgd(**options), gradtx.apply_updates, *trees, values)
    for key, path in found.items():
        for step, w in enumerate(desired):
            np.testing.assert_allclose(path[step], w[key], rtol=1e-12)
    narrow = jax.tree.map(jnp.asarray, (single(params), single(grads)))
    ours, theirs = (
        run(m.polyak_sgd(**options), m.apply_updates, *narrow, np.float32(values))
        for m in (gradtx, optax)
    )
    for key, path in ours.items():
        # Two roundings a step, on parameters of order 1, over 20 steps.
        np.testing.assert_allclose(path, theirs[key], rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e-10, 1e20])
def test_polyaks_step_is_right_over_the_whole_range(scale):
    tx = gradtx.scale_by_polyak(max_learning_rate=float("inf"))
    g = scale * jnp.array([0.6, 0.8])
    value = jnp.float32(scale) * 2  # Optax stops where |g|^2 is below 2e-16
    np.testing.assert_allclose(
        tx.update(g, (), value=value)[0], 2 * np.array([0.6, 0.8]), rtol=1e-6
    )


def test_polyaks_step_on_narrow_or_zero_gradients():
    tx = gradtx.polyak_sgd()
    for dtype in (jnp.float16, jnp.bfloat16):
        for scale in (0.0, 1e-30, 6e4):
            p, g = jnp.ones(300, dtype), jnp.full(300, scale, dtype)
            p, _ = tx.step(g, tx.init(p), p, value=jnp.asarray(0.1, dtype))
            assert jnp.isfinite(p).all()
    with pytest.raises(ValueError, match=r"needs value: .*value=\.\.\."):
        tx.update(jnp.ones(2), tx.init(jnp.ones(2)), jnp.ones(2))
    with pytest.raises(ValueError, match="value must be a scalar"):
        tx.update(jnp.ones(2), tx.init(jnp.ones(2)), value=jnp.ones(2))


def test_parameters_are_kept_from_becoming_negative():
    params, grads = example(steps=60)
    params["w"][0, 0] = -0.5
    chain = [gradtx.sgd(0.1), gradtx.keep_params_nonnegative()]
    ours = gradtx.chain(*chain)
    theirs = optax.chain(optax.sgd(0.1), optax.keep_params_nonnegative())
    p = q = jax.tree.map(jnp.asarray, single(params))
    state, other = ours.init(p), theirs.init(q)
    touched = 0
    for g in steps_of(single(grads)):
        before, g = p, {key: g[key] for key in p}
        p, state = jax.jit(ours.step)(g, state, p)
        updates, other = theirs.update(g, other, q)
        q = optax.apply_updates(q, updates)
        for key, x in p.items():
            desired = np.maximum(before[key] - np.float32(0.1) * g[key], 0)
            np.testing.assert_allclose(x, desired, atol=3e-7)
            np.testing.assert_allclose(x, q[key], atol=3e-6)
            touched += np.sum(np.asarray(x) == 0)
    assert touched > 5
    narrow = jnp.array([1.0, 0.1], jnp.bfloat16)
    narrow, _ = ours.step(jnp.array([2.0, 3.0], jnp.float32), state, narrow)
    expected = jnp.array([0.8, 0.0], jnp.bfloat16)
    np.testing.assert_array_equal(*(x.astype(np.float32) for x in (narrow, expected)))


def test_noisy_sgd_is_sgd_on_gradients_with_noise():
    tx = gradtx.noisy_sgd(0.1, eta=4.0, gamma=0.5, key=3)
    g = {"w": jnp.ones((200, 50)), "b": jnp.float32(1)}
    state, noise = tx.init(g), gradtx.add_noise(4.0, 0.5, 3)
    behind = noise.init(g)
    for t in range(3):
        updates, state = tx.update(g, state)
        added, behind = noise.update(g, behind)
        # Gradient and noise are rounded at their own size, about 1, times the rate.
        np.testing.assert_allclose(updates["w"], -0.1 * added["w"], 3e-7, 3e-8)
        # Of 10,000 numbers the deviation is known to 1 / sqrt(20,000), 0.7 %.
        drawn = np.std(updates["w"]) / 0.1
        np.testing.assert_allclose(drawn, 2 / (1 + t) ** 0.25, rtol=0.03)
        np.testing.assert_allclose(np.mean(updates["w"]), -0.1, atol=0.01)
    again = gradtx.noisy_sgd(0.1, 4.0, 0.5, 3)
    np.testing.assert_array_equal(
        again.update(g, again.init(g))[0]["w"], tx.update(g, tx.init(g))[0]["w"]
    )


def test_optimism_comes_to_rest_where_descent_circles():
    # min over x, max over y of x y: Daskalakis et al. 2018, section 2.
    def far(tx):
        players = (jnp.ones([]), jnp.ones([]))

        def body(carry, _):
            (x, y), state = carry
            players, state = tx.step((y, -x), state, (x, y))
            return (players, state), None

        run = jax.lax.scan(body, (players, tx.init(players)), None, 400)
        return float(gradtx.global_norm(run[0][0]))

    assert far(gradtx.sgd(0.2)) > 100
    assert far(gradtx.optimistic_gradient_descent(0.2)) < 1e-3


def test_asgd_averages_the_iterates_and_gives_them():
    params, grads = example()
    rule = {"lambd": 0.5, "alpha": 0.6, "t0": 4.0, "weight_decay": 0.1}
    tx = gradtx.chain(gradtx.scale(1.0), gradtx.asgd(0.05, **rule))
    with jax.enable_x64(True):
        p = jax.tree.map(jnp.asarray, params)
        state = tx.init(p)
        np.testing.assert_array_equal(
            gradtx.asgd_eval_params(state, p)["w"], params["w"]
        )
        step = jax.jit(tx.step)
        for g in steps_of(grads):
            p, state = step(g, state, p)
        found = gradtx.asgd_eval_params(state, p)
    for key, w in params.items():
        calls = {k: (lambda step, v=v: v) for k, v in rule.items() if k[0] == "w"}
        path = averaged(grads[key], w, lambda step: 0.05, **{**rule, **calls})
        *_, (last, average) = path
        np.testing.assert_allclose(p[key], last, rtol=1e-12)
        np.testing.assert_allclose(found[key], average, rtol=1e-12)
    with pytest.raises(KeyError, match="average"):
        gradtx.asgd_eval_params(gradtx.sgd(0.1).init(p), p)


def test_the_average_is_nearer_than_the_iterates():
    # Polyak & Juditsky 1992: noise keeps the iterates away from the minimum at 0.
    tx = gradtx.asgd(0.5, lambd=0.0, t0=100)
    noise = jax.random.normal(jax.random.key(0), (1000, 200))

    def body(carry, e):
        p, state = carry
        return tx.step(p + e, state, p), None

    p = jnp.ones(200)
    (p, state), _ = jax.lax.scan(body, (p, tx.init(p)), noise)
    average = gradtx.asgd_eval_params(state, p)
    # One iterate deviates by sqrt(0.5 / 1.5), the average by 1 / sqrt(900).
    np.testing.assert_allclose(jnp.std(p), (1 / 3) ** 0.5, rtol=0.15)
    np.testing.assert_allclose(jnp.std(average), 1 / 30, rtol=0.15)


def test_ftrl_without_penalties_is_descent_by_entries():
    # McMahan et al. 2013, section 3.1: the rate is alpha / (beta + sqrt(n)).
    params, grads = example()
    for key, w in params.items():
        n, x = 0, w
        for g in grads[key]:
            n = n + g**2
            x = x - 0.3 / (0.5 + np.sqrt(n)) * g
        with jax.enable_x64(True):
            tx = gradtx.ftrl(0.3, beta=0.5)
            p = jnp.asarray(w)
            state = tx.init(p)
            for g in grads[key]:
                p, state = jax.jit(tx.step)(g, state, p)
        np.testing.assert_allclose(p, x, rtol=1e-12)


def test_ftrl_comes_to_sparse_weights():
    # Ten features, three of which count; an example a step, with noise.
    rng = np.random.default_rng(0)
    truth = np.zeros(10, np.float32)
    truth[:3] = 2.0, -1.5, 1.0
    x = rng.normal(size=(2000, 10)).astype(np.float32)
    y = x @ truth + 0.1 * rng.normal(size=2000).astype(np.float32)

    def train(tx):
        def body(carry, example):
            p, state = carry
            x, y = example
            return tx.step((x @ p - y) * x, state, p), None

        p = jnp.zeros(10)
        return jax.lax.scan(body, (p, tx.init(p)), (x, y))[0][0]

    sparse, dense = (train(gradtx.ftrl(0.5, l1=l1)) for l1 in (30.0, 0.0))
    np.testing.assert_array_equal(sparse[3:], 0)
    assert (jnp.abs(dense[3:]) > 0).all()
    np.testing.assert_allclose(sparse[:3], truth[:3], atol=0.05)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
def test_ftrl_and_asgd_on_narrow_tiny_or_large_gradients(dtype):
    for tx in (gradtx.ftrl(0.1, l1=1e-3), gradtx.asgd(1e-3, t0=0)):
        for scale in (0.0, 1e-30, 6e4, 1e36 if dtype != jnp.float16 else 6e4):
            p, g = jnp.ones(3, dtype), jnp.full(3, scale, dtype)
            state = tx.init(p)
            for _ in range(3):
                p, state = tx.step(g, state, p)
            for leaf in jax.tree.leaves((p, state)):
                finite = jnp.isfinite(leaf).all()
                assert finite, (tx, scale, leaf)
