"""Micro-batches on several devices, each with tokens of its own: one mean over all."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.distributed import average_across, zero1

from .meshes import N, P, mesh_of

# Gradients and weights by micro-batch and device; one device has no token at first.
GRADS = np.cos(np.arange(2.0 * N)).reshape(2, N)
TOKENS = (np.arange(2 * N) * 7 % 13).reshape(2, N)


def run(tx, pmap=False):
    """A parameter after two micro-batches on all devices, as each has it."""

    def train(grads, tokens):
        params = jnp.zeros(())
        state = tx.init(params)
        for g, w in zip(grads[:, 0], tokens[:, 0], strict=True):
            params, state = tx.step(g, state, params, weight=w)
        return params[None]

    grads, tokens = jnp.asarray(GRADS, jnp.float32), jnp.asarray(TOKENS)
    if pmap:
        columns = (x.T[:, :, None] for x in (grads, tokens))
        return jax.pmap(train, axis_name="data")(*columns)[:, 0]
    split = P(None, "data")
    return jax.jit(
        jax.shard_map(
            train, mesh=mesh_of(N), in_specs=(split, split), out_specs=P("data")
        )
    )(grads, tokens)


def averaged(**kwargs):
    inner = gradtx.chain(average_across("data"), gradtx.sgd(1.0))
    return gradtx.MultiSteps(inner, 2, weighted=True, **kwargs)


@pytest.mark.parametrize("pmap", [False, True])
@pytest.mark.parametrize("wrapped", ["average_across", "zero1"])
def test_the_mean_is_over_the_tokens_of_all_devices(wrapped, pmap):
    tx = averaged(weight_axes="data")
    if wrapped == "zero1":
        inner = zero1(gradtx.sgd(1.0), "data")
        tx = gradtx.MultiSteps(inner, 2, weighted=True, weight_axes="data")
    expected = -(GRADS * TOKENS).sum() / TOKENS.sum()
    # Sums over sixteen gradients in float32.
    np.testing.assert_allclose(run(tx, pmap), np.full(N, expected), rtol=1e-5)
    plain = -((GRADS * TOKENS).sum(0) / TOKENS.sum(0)).mean()
    assert abs(plain - expected) > 0.01  # the mean of the devices' means


def test_weights_that_differ_are_refused_without_a_name():
    with pytest.raises(ValueError, match=r"weight differs between .*\['data'\]"):
        run(averaged())
    alone = run(averaged(weight_axes=()))  # each by its own tokens: it was asked for
    plain = -((GRADS * TOKENS).sum(0) / TOKENS.sum(0)).mean()
    np.testing.assert_allclose(alone, np.full(N, plain), rtol=1e-5)


def test_weights_that_are_the_same_need_no_name():
    tx = averaged()
    train = functools.partial(weigh_alike, tx)
    found = jax.jit(
        jax.shard_map(train, mesh=mesh_of(N), in_specs=P("data"), out_specs=P())
    )(jnp.arange(8.0))
    np.testing.assert_allclose(found, [-3.5])


def weigh_alike(tx, grads):
    params = jnp.zeros(1)
    state = tx.init(params)
    for weight in (2, 6):
        params, state = tx.step(grads, state, params, weight=weight)
    return params
