"""Functions of one example over a batch, by micro-batches."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx
from gradtx.microbatching import AccumulationType as Kind, micro_grad, micro_vmap

X = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
Y = np.arange(6, dtype=np.float32)
W = jnp.array([0.5, -1.0, 2.0])


def each(w, x, *, y):
    return (x @ w - y) ** 2, {"x": x}


@pytest.mark.parametrize("size", [2, 6, None])
@pytest.mark.parametrize("kind", Kind)
def test_micro_vmap_is_vmap_then_the_reduction(kind, size):
    run = micro_vmap(each, (None, -1), microbatch_size=size, accumulator=kind)
    value, rest = jax.jit(run)(W, X.T, y=Y)
    expected = (X @ np.asarray(W) - Y) ** 2, X
    reduce = {Kind.CONCAT: lambda x: x, Kind.SUM: lambda x: x.sum(0)}
    for found, x in zip((value, rest["x"]), expected, strict=True):
        wanted = reduce.get(kind, lambda x: x.mean(0))(x)
        # Sums over six numbers, in another order.
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_micro_vmap_takes_a_tree_of_kinds_and_another_vmap():
    named = []

    def vmap(fun, in_axes, out_axes):
        named.append((in_axes, out_axes))
        return jax.vmap(fun, in_axes, out_axes, axis_name="examples")

    def fun(x):
        return x.sum(), jax.lax.axis_size("examples")

    run = micro_vmap(
        fun, microbatch_size=2, vmap_fn=vmap, accumulator=(Kind.MEAN, Kind.SUM)
    )
    mean, total = run(X)
    np.testing.assert_allclose(mean, X.sum(1).mean(), rtol=1e-5, atol=1e-6)
    assert total == 12  # six examples that see two each
    assert set(named) == {((0,), 0)}


def loss(w, x, y):
    return jnp.mean((x @ w - y) ** 2)


def reference():
    """Gradients of each example by the loss (x w - y)^2, and its values, in float64."""
    x, w = np.float64(X), np.float64(W)
    away = x @ w - Y
    return 2 * away[:, None] * x, away**2


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("kind", [Kind.SUM, Kind.MEAN, Kind.CONCAT])
def test_micro_grad_is_each_gradient_transformed(kind, keep):
    def with_aux(w, x, y):
        assert x.ndim == (2 if keep else 1)
        return loss(w, x, y), y

    run = micro_grad(
        with_aux,
        has_aux=True,
        batch_argnums=(1, -1),
        keep_batch_dim=keep,
        microbatch_size=3,
        accumulator=kind,
        transform_fn=lambda g: {"clipped": jnp.clip(g, -1, 1), "square": g**2},
        metrics_fn=gradtx.tree.norm,
    )
    found, aux = jax.jit(run)(W, X, Y)
    g, values = reference()
    reduce = {Kind.SUM: np.sum, Kind.MEAN: np.mean}.get(kind, lambda x, axis: x)
    close = {"rtol": 1e-5, "atol": 1e-5}  # float32, differences of numbers near 5
    np.testing.assert_allclose(
        found["clipped"], reduce(np.clip(g, -1, 1), axis=0), **close
    )
    np.testing.assert_allclose(found["square"], reduce(g**2, axis=0), **close)
    np.testing.assert_allclose(aux.values, values, **close)
    np.testing.assert_allclose(aux.metrics, np.linalg.norm(g, axis=1), **close)
    np.testing.assert_array_equal(aux.aux.reshape(-1), Y)


def test_micro_grad_is_optaxs():
    def run(lib):
        by = {"argnums": (0, 1), "batch_argnums": (2, 3), "microbatch_size": 2}
        fun = lib.microbatching.micro_grad(lambda c, w, x, y: c * loss(w, x, y), **by)
        return fun(2.0, W, X, Y)

    (grads, aux), (their_grads, their_aux) = run(gradtx), run(optax)
    assert aux._fields == their_aux._fields
    assert aux.metrics is aux.aux is None
    for x, y in zip(
        (*grads, aux.values), (*their_grads, their_aux.values), strict=True
    ):
        np.testing.assert_allclose(x, y, rtol=1e-5)


def test_mistakes_are_told():
    with pytest.raises(ValueError, match="micro_vmap: out_axes must be 0, got 1"):
        micro_vmap(each, out_axes=1)
    with pytest.raises(ValueError, match="in_axes has 1 axes, and 2 arguments"):
        micro_vmap(jnp.dot, (0,))(X, X)
    with pytest.raises(TypeError, match="micro_vmap: the result is int32"):
        micro_vmap(jnp.sum, accumulator=Kind.MEAN)(jnp.ones((2, 2), int))
    with pytest.raises(ValueError, match=r"of 6, args\[2\] one of 5"):
        micro_grad(loss, batch_argnums=(1, 2), microbatch_size=2)(W, X, Y[:5])
