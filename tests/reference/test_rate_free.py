"""Estimates that grow, rates from values, scales that are learned: as in the papers."""

import inspect
import warnings

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx

from . import optimizers_rate_free as papers
from .loops import STEPS, example, run, single, steps_of
from .test_optimizers import TOLERANCE, assert_same, expected, path

VALUES = 3.0 * 0.9 ** np.arange(STEPS)


def drifting():
    """Gradients that agree on a direction, so that the way to go is far."""
    params, grads = example()
    return params, {key: 0.3 * g + np.sign(params[key]) for key, g in grads.items()}


@pytest.mark.parametrize(
    ("name", "field", "kwargs"),
    [
        ("prodigy", "estim_lr", {}),
        ("prodigy", "estim_lr", {"estim_lr_coef": 0.5, "weight_decay": 0.1}),
        ("prodigy", "estim_lr", {"safeguard_warmup": True, "beta3": 0.9}),
        ("dadapt_adamw", "estim_lr", {"weight_decay": 0.1}),
        ("dog", "max_dist", {}),
        ("dowg", "estim_sq_dist", {}),
    ],
)
def test_estimates_grow_as_in_the_paper(name, field, kwargs):
    params, grads = drifting()
    tx = getattr(gradtx, name)(1.0, **kwargs)
    assert_same(path(tx, params, grads), expected(name, params, grads, 1.0, **kwargs))
    step, state, moved = jax.jit(tx.step), tx.init(params), params
    first = gradtx.tree.get(state, field)
    for g in steps_of(grads):
        moved, state = step(g, state, moved)
    assert gradtx.tree.get(state, field) > 2 * first


def with_values(tx, params, grads, apply_updates):
    def step(carry, given):
        (params, state), (g, value) = carry, given
        updates, state = tx.update(g, state, params, value=value)
        params = apply_updates(params, updates)
        return (params, state), params

    start = params, tx.init(params)
    loop = jax.jit(lambda start, given: jax.lax.scan(step, start, given)[1])
    given = jax.tree.map(jnp.asarray, (grads, VALUES.astype(params["w"].real.dtype)))
    return jax.tree.map(np.asarray, loop(start, given))


MOMO = [
    ("momo", {}),
    ("momo", {"beta": 0.5, "lower_bound": -1.0, "weight_decay": 0.1}),
    ("momo", {"lower_bound": 0.5, "adapt_lower_bound": True, "weight_decay": 0.1}),
    ("momo_adam", {}),
    ("momo_adam", {"b1": 0.5, "b2": 0.9, "eps": 0.1, "weight_decay": 0.1}),
    ("momo_adam", {"lower_bound": 0.5, "adapt_lower_bound": True}),
]


@pytest.mark.parametrize(("name", "kwargs"), MOMO)
@pytest.mark.parametrize("rate", [0.05, lambda step: 3.0 / (step + 1)])
def test_the_rate_from_a_value_is_the_papers(name, kwargs, rate):
    params, grads = drifting()
    with jax.enable_x64(True):
        tx = getattr(gradtx, name)(rate, **kwargs)
        ours = with_values(tx, params, grads, gradtx.apply_updates)
    desired = expected(name, params, grads, rate, values=VALUES, **kwargs)
    for key, x in desired.items():
        # Some come close to 0, where a relative error is none of theirs.
        np.testing.assert_allclose(ours[key], x, rtol=TOLERANCE, atol=1e-14)
    params, grads = single(params), single(grads)
    theirs = with_values(
        getattr(optax.contrib, name)(rate, **kwargs), params, grads, optax.apply_updates
    )
    for key, x in theirs.items():
        # Differences of values and products of about 10 give a rate: some more digits
        # of float32 are lost than in a plain path, in both.
        np.testing.assert_allclose(x, desired[key], rtol=0, atol=1e-5, err_msg=key)


@pytest.mark.parametrize("name", ["momo", "momo_adam"])
def test_the_defaults_of_a_rate_from_a_value_are_the_references(name):
    ours = inspect.signature(getattr(gradtx, name)).parameters
    for key, p in inspect.signature(getattr(papers, name)).parameters.items():
        if p.default is not p.empty:
            assert ours[key].default == p.default, key


def test_momo_goes_to_a_least_value_at_once():
    # Of |p|^2 the model of a value and its gradient is half of the way.
    p = jnp.array([3.0, 4.0])
    tx = gradtx.momo(100.0, beta=0.0)
    state = tx.init(p)
    for i in range(1, 4):
        p, state = tx.step(2 * p, state, p, value=p @ p)
        np.testing.assert_allclose(p, np.array([3, 4]) / 2**i, rtol=1e-6)


@pytest.mark.parametrize("name", ["momo", "momo_adam"])
def test_a_missing_value_is_named_with_who_needs_it(name):
    tx = gradtx.chain(gradtx.clip(1.0), getattr(gradtx, name)())
    p = jnp.ones(2)
    with pytest.raises(ValueError, match=f"chain > {name} needs value: call update"):
        tx.update(p, tx.init(p), p)
    with pytest.raises(ValueError, match=r"value must be a scalar, .* shape \(2,\)"):
        tx.update(p, tx.init(p), p, value=p)


def test_layer_wise_dog_is_dog_of_one_leaf():
    params, grads = drifting()
    with jax.enable_x64(True):
        tx = gradtx.scale_by_distance_over_gradients(
            1e-3, 1e-4, param_dtype=float, global_scale=-1.0
        )
    dog = {
        key: np.stack(
            papers.dog(list(grads[key]), p, 1.0, ("heuristic", 1e-3), eps=1e-4)
        )
        for key, p in params.items()
    }
    assert_same(path(tx, params, grads), dog)


@pytest.mark.parametrize("kwargs", [{}, {"weight_decay": 0.0, "num_betas": 3}])
@pytest.mark.parametrize("store_delta", [False, True])
def test_a_scale_is_learned_as_in_the_paper(kwargs, store_delta):
    params, grads = drifting()
    rows = [np.concatenate([g["w"].ravel(), [g["b"]]]) for g in steps_of(grads)]
    w = np.append(params["w"].ravel(), params["b"])
    velocity, updates = np.zeros_like(w), []
    for g in rows:
        velocity = 0.9 * velocity + g
        updates.append(-1e-2 * velocity)
    desired = np.stack(papers.mechanize(rows, w, updates, s_init=1e-3, **kwargs))
    base = gradtx.sgd(1e-2, momentum=0.9)
    kwargs = {"s_init": 1e-3, **kwargs}
    tx = gradtx.mechanize(base, store_delta=store_delta, **kwargs)
    ours = path(tx, params, grads)
    ours = np.concatenate([ours["w"].reshape(STEPS, -1), ours["b"][:, None]], axis=1)
    # Of a difference by a scale of 1e-3 three digits are lost, and more in h.
    rtol = TOLERANCE if store_delta else 1e-9
    np.testing.assert_allclose(ours, desired, rtol=rtol)
    assert np.abs(desired - w).max() > 1e-2
    theirs = optax.contrib.mechanize(optax.sgd(1e-2, momentum=0.9), **kwargs)
    found = run(theirs, single(params), single(grads), optax.apply_updates)
    # In float32 a scale of 1e-3 leaves the distance 1e-4 of its digits.
    np.testing.assert_allclose(
        found["w"].reshape(STEPS, -1), desired[:, :-1], atol=1e-3
    )


def test_mechanic_begins_where_the_first_step_finds_the_parameters():
    tx = gradtx.mechanize(gradtx.sgd(1.0), s_init=0.1)
    p = jnp.ones(2)
    moved, state = tx.step(p, tx.init(jax.eval_shape(lambda: p)), p)
    np.testing.assert_array_equal(state.x0, p)
    np.testing.assert_allclose(moved, 0.9, rtol=1e-6)


def test_mechanic_learns_in_bfloat16():
    # In units of 1 a step of 1e-6 is lost to bfloat16, and to float32: the sum is kept.
    tx = gradtx.mechanize(gradtx.sgd(1.0))
    p = jnp.ones(2, jnp.bfloat16)
    state, step = tx.init(p), jax.jit(tx.step)
    for _ in range(60):
        p, state = step(p - 3, state, p)
    assert (p > 2).all()


@pytest.mark.parametrize(
    "tx",
    [gradtx.scale_by_dog(("learning_rate", 0.1)), gradtx.scale_by_dowg()],
    ids=repr,
)
def test_where_sums_are_out_of_range_the_rate_is_1_at_most(tx):
    p = jnp.array([1.0, -1.0])
    g, step = jnp.array([1e30, 0.5]), jax.jit(tx.update)
    state = tx.init(p)
    for _ in range(4):  # the distance is soon as large, and its square infinite
        updates, state = step(g, state, p)
        assert (jnp.abs(updates) <= g * (1 + 1e-6)).all(), updates
        p = p - updates
    assert jnp.isfinite(p).all()
    assert float(jnp.abs(p).max()) > 1e29


def test_an_axis_may_be_missing_where_the_state_is_made():
    p = jnp.arange(4.0)
    whole = gradtx.dog(1.0, ("heuristic", 0.5))
    parted = gradtx.dog(1.0, ("heuristic", 0.5), axis_name="parts")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        state = parted.init(p)  # outside, of whole leaves
    chex.assert_trees_all_equal(state, whole.init(p))
    inside = jax.vmap(parted.init, axis_name="parts")(p.reshape(2, 2))
    dist = gradtx.tree.get(inside, "max_dist")
    np.testing.assert_allclose(dist, gradtx.tree.get(state, "max_dist"), rtol=1e-6)
