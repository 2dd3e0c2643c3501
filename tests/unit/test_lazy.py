"""Rows without a gradient stay as they are, to the bit; the others move as inside."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

RNG = np.random.default_rng(0)
STEPS = 6
SHAPES = {"table": (4, 3), "cube": (2, 2, 2), "vector": (3,), "number": ()}
PARAMS = {name: RNG.normal(size=shape) for name, shape in SHAPES.items()}
# The first step has all rows, the second none.
THERE = {
    name: np.concatenate(
        [
            [np.full(shape[:1], x) for x in (True, False)],
            RNG.random((4, *shape[:1])) < 0.5,
        ]
    )
    for name, shape in SHAPES.items()
}
GRADS = {
    name: RNG.normal(size=(STEPS, *shape))
    * there.reshape(*there.shape, *(1,) * len(shape[1:]))
    for (name, shape), there in zip(SHAPES.items(), THERE.values(), strict=True)
}


def sparse_adam(grads, there, w, rate, b1=0.9, b2=0.99, eps=1e-8, decay=0.0):
    """Adam of rows: a row that is not there keeps its moments; all count the steps."""
    w = np.array(w, ndmin=1)
    mu, nu = np.zeros_like(w), np.zeros_like(w)
    for t, (g, rows) in enumerate(zip(grads, there, strict=True), start=1):
        g = np.array(g, ndmin=1)
        for i in np.flatnonzero(rows):
            mu[i] = b1 * mu[i] + (1 - b1) * g[i]
            nu[i] = b2 * nu[i] + (1 - b2) * g[i] ** 2
            scaled = mu[i] / (1 - b1**t) / (np.sqrt(nu[i] / (1 - b2**t)) + eps)
            w[i] = w[i] - rate * (scaled + decay * w[i])
    return w.reshape(np.shape(grads[0]))


def run(tx, params, grads, by_step):
    @jax.jit
    def step(carry, g):
        params, state = carry
        if by_step:
            return tx.step(g, state, params), None
        updates, state = tx.update(g, state, params)
        return (gradtx.apply_updates(params, updates), state), None

    return jax.jit(lambda p, g: jax.lax.scan(step, (p, tx.init(p)), g)[0])(
        params, grads
    )


@pytest.mark.parametrize("by_step", [False, True])
def test_adam_of_the_rows_that_are_there(by_step):
    with jax.enable_x64(True):
        tx = gradtx.lazy(gradtx.adamw(0.1, b2=0.99, weight_decay=0.2))
        actual, _ = run(tx, PARAMS, GRADS, by_step)
    for name, w in PARAMS.items():
        there = THERE[name]
        expected = sparse_adam(GRADS[name], there, w, 0.1, decay=0.2)
        np.testing.assert_allclose(actual[name], expected, rtol=1e-12)


def test_rows_without_a_gradient_do_not_move_by_a_bit():
    start = jnp.asarray(PARAMS["table"], jnp.bfloat16)
    grads = [jnp.ones_like(start), jnp.zeros_like(start).at[1].set(3.0)]
    tx = gradtx.chain(
        gradtx.clip_by_global_norm(1.0),
        gradtx.lazy(
            gradtx.chain(gradtx.trace(0.9), gradtx.adamw(0.1, mu_dtype="bfloat16"))
        ),
    )
    params, state = tx.step(grads[0], tx.init(start), start)
    after, new = tx.step(grads[1], state, params)
    before, behind = map(jax.tree.leaves, ((params, state), (after, new)))
    for x, y in zip(before, behind, strict=True):
        if x.ndim:
            others = np.array([0, 2, 3])
            np.testing.assert_array_equal(x[others], y[others])
            assert np.all(x[1] != y[1])


def test_a_nan_is_a_gradient():
    tx = gradtx.lazy(gradtx.sgd(0.1, momentum=0.9))
    params = jnp.ones((2, 2))
    grads = jnp.array([[jnp.nan, 0.0], [0.0, 0.0]])
    params, state = tx.step(grads, tx.init(params), params)
    assert np.isnan(params[0, 0])
    assert np.all(params[1] == 1)
    assert np.all(state[0].trace[1] == 0)


def test_columns_over_devices_make_one_row():
    params, tx = jnp.ones((3, 4)), gradtx.lazy(gradtx.adam(0.1), axis_name="columns")
    grads = jnp.zeros((3, 4)).at[0, 3].set(1.0)  # of the last device alone

    def split(x):
        return x.reshape(3, 2, 2).swapaxes(0, 1)

    moved = jax.vmap(
        lambda g, p: tx.step(g, jax.tree.map(jnp.ones_like, tx.init(p)), p)[0],
        axis_name="columns",
    )(split(grads), split(params))
    assert np.all(moved[:, 0] != 1)  # momentum moves the whole row
    assert np.all(moved[:, 1:] == 1)


def test_what_has_no_rows_is_refused():
    with pytest.raises(TypeError, match=r"goes around lazy: MultiSteps\(lazy\("):
        gradtx.lazy(gradtx.MultiSteps(gradtx.sgd(0.1), 2))
    with pytest.raises(TypeError, match="lazy: inner"):
        gradtx.lazy(0.1)
    tx = gradtx.lazy(gradtx.adam_mini(0.1))
    params = {"w": jnp.ones((3, 2))}
    entry = r"an entry float32\[1,2\] for updates\['w'\], without a row"
    with pytest.raises(ValueError, match=entry):
        tx.step(params, tx.init(params), params)
