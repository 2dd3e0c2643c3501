"""Estimates of a Hessian, private gradients: by formula, by chance, by Optax."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx

MATRIX = np.array([[3.0, 1.0, -0.5], [1.0, -2.0, 0.25], [-0.5, 0.25, 0.0]])
PARAMS = {"a": jnp.array([1.0, -0.5]), "b": jnp.array(2.0), "fixed": jnp.arange(2)}
GRADS = {"a": jnp.zeros(2), "b": jnp.array(0.0), "fixed": None}


def bend(p):
    """Its Hessian is MATRIX."""
    x = jnp.concatenate([p["a"], p["b"][None]])
    return x @ jnp.asarray(MATRIX, x.dtype) @ x / 2


def test_hutchinsons_mean_is_the_diagonal():
    tx = gradtx.hutchinson_estimator_diag_hessian()
    keys = jax.random.split(jax.random.key(7), 2000)

    def estimate(key):
        state = tx.init(PARAMS)._replace(key=key)
        found, _ = tx.update(GRADS, state, PARAMS, obj_fn=bend)
        assert found["fixed"] is None
        return jnp.concatenate([found["a"], found["b"][None]])

    found = np.asarray(jax.jit(jax.vmap(estimate))(keys), np.float64)
    off = MATRIX - np.diag(np.diag(MATRIX))
    variance = (off**2).sum(1)
    # Five standard deviations of a mean of 2000.
    error = np.abs(found.mean(0) - np.diag(MATRIX))
    assert (error <= 5 * np.sqrt(variance / 2000)).all()
    np.testing.assert_allclose(found.var(0), variance, rtol=0.1)


def test_hutchinson_is_exact_for_a_diagonal_and_draws_anew():
    tx = gradtx.hutchinson_estimator_diag_hessian(random_seed=3)
    p = jnp.array([1.0, -2.0, 0.5])
    state, seen = tx.init(p), []
    for _ in range(3):
        found, state = tx.update(p, state, p, obj_fn=lambda p: jnp.sum(p**4))
        np.testing.assert_allclose(found, 12 * p**2, rtol=1e-6)
        seen.append(jax.random.key_data(state.key).tolist())
    assert len({tuple(x) for x in seen}) == 3


def test_sophias_path_is_optaxs_random_signs_among_it():
    p = {"a": jnp.array([1.0, -0.5]), "b": jnp.array(2.0)}
    options = {"gamma": 0.5, "b2": 0.9, "update_interval": 3, "weight_decay": 0.1}
    paths = []
    for lib, sophia in ((gradtx, gradtx.sophia), (optax, optax.contrib.sophia)):
        tx = sophia(0.1, **options)

        @jax.jit
        def step(p, state, tx=tx, lib=lib):
            grads = jax.grad(bend)(p)
            updates, state = tx.update(grads, state, p, obj_fn=bend)
            return lib.apply_updates(p, updates), state

        params, state = p, tx.init(p)
        for _ in range(8):
            params, state = step(params, state)
        paths.append((params, state[0].nu, state[0].mu))
    # Optax's correction of mu is off by up to 2e-5.
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4), *paths)


def test_sophia_prints_which_part_is_not_clipped(capfd):
    tx = gradtx.scale_by_sophia(
        verbose=True, print_win_rate_every_n_steps=2, gamma=1.0, fresh=True, b2=0.0
    )
    p = jnp.array([0.5, 2.0, -0.25, 3.0])  # Newton's step: two are above 1
    state = tx.init(p)
    for _ in range(3):
        _, state = tx.update(p, state, p, obj_fn=lambda p: jnp.sum(p**2) / 2)
    jax.effects_barrier()
    assert capfd.readouterr().out == "scale_by_sophia: win rate 0.5\n"


def test_sophia_names_what_is_missing():
    tx = gradtx.sophia(0.1)
    p = jnp.ones(2)
    with pytest.raises(ValueError, match=r"hutchinson_.* needs obj_fn: call update"):
        tx.update(p, tx.init(p), p)
    with pytest.raises(ValueError, match="scale_by_sophia needs params"):
        tx.update(p, tx.init(p), obj_fn=jnp.sum)


def test_sophia_takes_the_part_of_the_function_that_it_sees():
    tx = gradtx.partition(
        {"s": gradtx.sophia(0.1, gamma=1.0, fresh=True), "g": gradtx.sgd(0.1)},
        {"a": "s", "b": "g"},
    )
    p = {"a": jnp.array([1.0, -0.5]), "b": jnp.array(2.0)}
    _, state = tx.step(jax.grad(bend)(p), tx.init(p), p, obj_fn=bend)
    inner = state.inner_states["s"].inner_state[0]
    assert np.isfinite(inner.nu["a"]).all()
    assert (inner.nu["a"] != 0).all()


def clipped_sum(grads, limit):
    """Abadi et al. 2016, algorithm 1: the examples one after another."""
    count = len(next(iter(grads.values())))
    total, clipped = {k: np.zeros(g.shape[1:], g.dtype) for k, g in grads.items()}, 0
    for i in range(count):
        norm = np.sqrt(sum(np.sum(np.abs(g[i]) ** 2) for g in grads.values()))
        clipped += norm > limit
        factor = 1 / max(1, norm / limit) if limit else 0
        total = {k: total[k] + factor * g[i] for k, g in grads.items()}
    return total, clipped


def examples(dtype=float):
    rng = np.random.default_rng(1)
    grads = {"w": rng.normal(size=(5, 3, 2)), "b": rng.normal(size=5)}
    if dtype is complex:
        grads["w"] = grads["w"] + 1j * rng.normal(size=(5, 3, 2))
    grads["w"][2], grads["b"][2] = 0, 0
    return grads


@pytest.mark.parametrize("limit", [0.0, 1.0, 2.5, np.inf])
@pytest.mark.parametrize("dtype", [float, complex])
def test_examples_are_clipped_one_by_one(dtype, limit):
    grads = examples(dtype)
    with jax.enable_x64(True):
        sums, count = gradtx.per_example_global_norm_clip(grads, limit)
        leaf = {"w": grads["w"]}
        layers, counts = gradtx.per_example_layer_norm_clip(grads, limit)
        shares, _ = gradtx.per_example_layer_norm_clip(grads, limit, uniform=False)
    desired, clipped = clipped_sum(grads, limit)
    assert int(count) == clipped
    for key, x in desired.items():
        np.testing.assert_allclose(sums[key], x, rtol=1e-12)
        leaf = {key: grads[key]}
        alone, clipped = clipped_sum(leaf, limit * 0.5**0.5)
        np.testing.assert_allclose(layers[key], alone[key], rtol=1e-12)
        assert int(counts[key]) == clipped
        share = limit * (grads[key][0].size / 7) ** 0.5
        alone, _ = clipped_sum(leaf, share)
        np.testing.assert_allclose(shares[key], alone[key], rtol=1e-12)


@pytest.mark.parametrize("limit", [0.0, 1.25, np.inf])
def test_clipped_sums_are_optaxs(limit):
    grads = [jnp.array([[0, 0, 0], [0, 3, 4], [4, 0, 3], [3, 4, 0]]), jnp.ones((4, 2))]
    for name in ("per_example_global_norm_clip", "per_example_layer_norm_clip"):
        ours, theirs = (getattr(m, name)(grads, limit) for m in (gradtx, optax))
        jax.tree.map(
            lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6), *(ours, theirs)
        )


@pytest.mark.parametrize("scale", [1e-36, 1e-25, 1e25, 1e32])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_no_size_of_a_gradient_gets_around_the_limit(dtype, scale):
    grads = jnp.asarray(np.array([[3.0, 4.0], [1.0, 0.0]]) * scale, dtype)
    sums, count = gradtx.per_example_global_norm_clip(grads, 1.0)
    assert sums.dtype == jnp.float32
    wide = {"": np.asarray(grads, np.float64)}
    desired, clipped = clipped_sum(wide, 1.0)
    np.testing.assert_allclose(sums, desired[""], rtol=1e-5)
    assert int(count) == clipped


def test_what_is_longer_than_can_be_said_is_left_out():
    grads = jnp.array([[3e38, 3e38], [0.5, 0.0], [jnp.inf, 0.0]])
    sums, count = gradtx.per_example_global_norm_clip(grads[:2], 1.0)
    np.testing.assert_array_equal(sums, [0.5, 0.0])
    assert int(count) == 1
    sums, _ = gradtx.per_example_global_norm_clip(grads, 1.0)
    assert np.isnan(sums).any()  # nothing silent


def test_what_is_no_batch_is_refused():
    clip = gradtx.per_example_global_norm_clip
    with pytest.raises(ValueError, match=r"grads\['a'\] has 2.*\['b'\] has 3"):
        clip({"a": jnp.ones((2, 1)), "b": jnp.ones(3)}, 1.0)
    with pytest.raises(ValueError, match=r"grads\['a'\] is a number"):
        clip({"a": jnp.ones([])}, 1.0)
    with pytest.raises(ValueError, match="l2_norm_clip must be at least 0"):
        clip(jnp.ones(2), -1.0)
    tx = gradtx.dpsgd(0.1, 1.0, 0.5, 0)
    p = {"w": jnp.ones(2), "b": jnp.ones([])}
    state = tx.init(p)
    with pytest.raises(ValueError, match=r"\['b'\] has shape \(\).*jax.vmap"):
        tx.update(p, state, p)
    with pytest.raises(ValueError, match=r"\['w'\] has shape \(3,\)"):
        tx.update({"w": jnp.ones((4, 3)), "b": jnp.ones(4)}, state, p)
    with pytest.raises(ValueError, match="of no examples"):
        tx.update({"w": jnp.ones((0, 2)), "b": jnp.ones(0)}, state, p)
    with pytest.raises(ValueError, match="give either key or seed"):
        gradtx.differentially_private_aggregate(1.0, 0.5)


def private_path(grads, w, rate, limit, momentum=None):
    """Without noise: each step's mean of clipped gradients; of the same batch."""
    v = None
    for _ in range(3):
        total, _ = clipped_sum(grads, limit)
        g = {k: x / 5 for k, x in total.items()}
        v = g if v is None else {k: (momentum or 0) * v[k] + g[k] for k in g}
        w = {k: w[k] - rate * v[k] for k in w}
    return w


@pytest.mark.parametrize("momentum", [None, 0.9])
@pytest.mark.parametrize("step", [False, True])
def test_dpsgd_without_noise_is_the_papers(momentum, step):
    grads, start = examples(), {"w": np.ones((3, 2)), "b": np.ones(())}
    with jax.enable_x64(True):
        tx = gradtx.named_chain(("dp", gradtx.dpsgd(0.1, 0.7, 0.0, 0, momentum)))
        params, state = start, tx.init(start)
        for _ in range(3):
            if step:
                params, state = tx.step(grads, state, params)
            else:
                updates, state = tx.update(grads, state, params)
                params = gradtx.apply_updates(params, updates)
    desired = private_path(grads, start, 0.1, 0.7, momentum)
    for key, x in desired.items():
        np.testing.assert_allclose(params[key], x, rtol=1e-12)


def test_dpsgd_draws_optaxs_noise():
    grads = jax.tree.map(lambda g: jnp.asarray(g, jnp.float32), examples())
    paths = []
    for dpsgd in (gradtx.dpsgd, optax.contrib.dpsgd):
        with warnings.catch_warnings():  # Optax's own: seed is what it is called
            warnings.simplefilter("ignore", DeprecationWarning)
            tx = dpsgd(0.1, 0.7, 1.5, 11, momentum=0.9, nesterov=True)
        state, seen = tx.init({"w": jnp.ones((3, 2)), "b": jnp.ones(())}), []
        for _ in range(3):
            updates, state = tx.update(grads, state)
            seen.append(updates)
        paths.append(seen)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-7), *paths
    )


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.complex64])
def test_the_noise_has_its_deviation_in_each_real_direction(dtype):
    limit, sigma, n = 0.5, 3.0, 4
    tx = gradtx.differentially_private_aggregate(limit, sigma, seed=5)
    grads = jnp.zeros((n, 20_000), dtype)
    found, _ = tx.update(grads, tx.init(grads[0]))
    wanted = limit * sigma / n
    parts = [found.real, found.imag] if dtype == jnp.complex64 else [found]
    for part in parts:
        # The deviation of 20,000 numbers is off by 0.5 %, in one of three by more.
        np.testing.assert_allclose(float(jnp.std(part)), wanted, rtol=0.03)


def test_dpsgd_goes_where_hyperparameters_are_injected():
    factory = gradtx.inject_hyperparams(gradtx.dpsgd)
    tx = factory(0.1, l2_norm_clip=1.0, noise_multiplier=0.0, seed=0)
    params = jnp.ones(2)
    grads = jnp.array([[3.0, 4.0], [0.0, 0.5]])
    params, state = tx.step(grads, tx.init(params), params)
    np.testing.assert_allclose(params, [0.97, 0.935], rtol=1e-6)
    assert "learning_rate" in state.hyperparams
