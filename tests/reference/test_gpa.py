"""Generalized primal averaging: its three lines, and the momenta that it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

from .loops import example
from .test_averages import as_arrays, followed
from .test_optimizers import TOLERANCE

RATE, MU = 0.05, 0.7


def primal(grads, w, rate, mu_x=0.9, mu_y=0.8):
    """2512.17131: the pairs (y, x), for the gradients that were taken at each y."""
    x = z = w
    for t, g in enumerate(grads):
        z = z - rate(t) * g
        x = mu_x * x + (1 - mu_x) * z
        yield mu_y * x + (1 - mu_y) * z, x


def falling(t):
    return RATE / (1 + t)


@pytest.mark.parametrize(
    "kwargs",
    [{}, {"mu_x": 0.5, "mu_y": 0.3}, {"mu_x": 0.0}, {"mu_y": 1.0}],
    ids=str,
)
def test_parameters_and_average_by_the_definition(kwargs):
    params, grads = example(steps=12)
    with jax.enable_x64(True):
        tx = gradtx.gpa(gradtx.sgd(falling), **kwargs)
        found = followed(tx, *map(as_arrays, (params, grads)))
    for key, w in params.items():
        pairs = list(primal(grads[key], w, falling, **kwargs))
        for tree, expected in zip(found, zip(*pairs, strict=True), strict=True):
            np.testing.assert_allclose(tree[key], np.stack(expected), rtol=TOLERANCE)


def test_narrow_parameters_keep_the_average_in_float32():
    params, grads = example(steps=12)
    narrow = as_arrays(params, jnp.bfloat16)
    tx = gradtx.gpa(gradtx.sgd(1e-3))
    step, state, moved = jax.jit(tx.step), tx.init(narrow), narrow
    for t in range(12):
        g = {key: jnp.asarray(x[t], jnp.float32) for key, x in grads.items()}
        moved, state = step(g, state, moved)
    for key, w in narrow.items():
        w = np.asarray(w, np.float64)
        *_, (y, x) = primal(grads[key].astype(np.float32), w, lambda t: 1e-3)
        np.testing.assert_allclose(state.x[key], x, rtol=2e-6)  # float32
        # Rounded once, into bfloat16.
        np.testing.assert_allclose(np.asarray(moved[key], np.float64), y, rtol=2**-8)
    assert {x.dtype for x in jax.tree.leaves(gradtx.eval_params(state, moved))} == {
        jnp.dtype(jnp.bfloat16)
    }


def valley(p):
    """Gradients that depend on where they are taken."""
    return {key: jnp.sin(x) + 0.3 * x for key, x in p.items()}


def path(tx, params, steps=30):
    def body(carry, _):
        params, state = carry
        params, state = tx.step(valley(params), state, params)
        return (params, state), (params, gradtx.eval_params(state, params))

    return jax.lax.scan(body, (params, tx.init(params)), None, steps)[1]


def by_hand(w, rate, mu, nesterov):
    """Polyak 1964, and Nesterov 1983, as they wrote them: positions, no velocity.

    Heavy ball:  x' = x - rate g(x) + mu (x - x_before)
    Nesterov:    x' = y - rate g(y),   y' = x' + mu (x' - x)
    """
    x = y = before = w
    for _ in range(30):
        g = np.sin(y) + 0.3 * y
        if nesterov:
            x, before = y - rate * g, x
            y = x + mu * (x - before)
        else:
            x, before = x - rate * g + mu * (x - before), x
            y = x
        yield y, x


@pytest.mark.parametrize("nesterov", [False, True], ids=["heavy ball", "Nesterov"])
def test_momentum_is_a_primal_average(nesterov):
    params, _ = example(steps=1)
    with jax.enable_x64(True):
        params = as_arrays(params)
        rate = RATE / (1 - MU)
        tx = gradtx.gpa(gradtx.sgd(rate), MU, MU if nesterov else 1.0)
        ys, xs = path(tx, params)
        sgd = gradtx.average_weights(gradtx.sgd(RATE, MU, nesterov=nesterov))
        theirs, _ = path(sgd, params)
    for key, w in params.items():
        pairs = by_hand(np.asarray(w), RATE, MU, nesterov)
        y, x = map(np.stack, zip(*pairs, strict=True))
        np.testing.assert_allclose(ys[key], y, rtol=TOLERANCE)
        np.testing.assert_allclose(xs[key], x, rtol=TOLERANCE)
        np.testing.assert_allclose(ys[key], theirs[key], rtol=TOLERANCE)


def test_a_base_optimizer_is_joined_or_not_with_the_same_numbers():
    params, grads = map(as_arrays, example(steps=5))
    base = gradtx.adamw(0.1)
    joined = followed(gradtx.gpa(base), params, grads)
    apart = followed(gradtx.gpa(gradtx.MultiSteps(base, 1)), params, grads)
    for one, other in zip(joined, apart, strict=True):
        for key in params:
            np.testing.assert_allclose(one[key], other[key], rtol=1e-6)  # float32


@pytest.mark.parametrize(
    ("kwargs", "said"),
    [
        ({"mu_x": 1.0}, r"mu_x must be in \[0, 1\), got 1.0"),
        ({"mu_y": 0}, r"mu_y must be in \(0, 1\], got 0: .*average_weights"),
        ({"mu_y": 1.1}, r"mu_y must be in \[0, 1\], got 1.1"),
    ],
)
def test_bad_numbers_are_refused(kwargs, said):
    with pytest.raises(ValueError, match=said):
        gradtx.gpa(gradtx.sgd(0.1), **kwargs)
