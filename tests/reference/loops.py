"""Gradients to test with, and one compiled loop over them."""

import jax
import jax.numpy as jnp
import numpy as np

STEPS = 20
PAIR = {"w": (3, 2), "b": ()}
SHAPES = {
    "kernel": (3, 4),
    "vector": (4,),
    "row": (1, 4),
    "pile": (2, 3, 4),
    "convolution": (2, 2, 3, 2),
    "number": (),
}


def example(dtype=float, shapes=None, steps=STEPS):
    """Parameters of order 1, and gradients of one shape more: the steps.

    Their scale swings (or a maximum would never be older than a step), signs change;
    the first entry is 0 throughout, the second every third time. 0-d ones are real.
    """
    rng = np.random.default_rng(0)
    params, grads = {}, {}
    for key, shape in (shapes or PAIR).items():
        g, p = rng.normal(size=(steps, *shape)), rng.normal(size=shape)
        if dtype is complex and shape:
            g = g + 1j * rng.normal(size=g.shape)
            p = p + 1j * rng.normal(size=p.shape)
        g = np.exp(np.sin(np.arange(steps))) * g.T
        grads[key] = np.ascontiguousarray(g.T)
        if shape:
            grads[key].reshape(steps, -1)[:, 0] = 0
            grads[key].reshape(steps, -1)[::3, 1] = 0
        params[key] = 1.5 + 0.3 * p
    return params, grads


def single(tree):
    """The same in float32 and complex64."""
    to = {"f": np.float32, "c": np.complex64}
    return {key: x.astype(to[x.dtype.kind]) for key, x in tree.items()}


def double(tree):
    """The same in float64 and complex128."""
    return {key: x.astype(np.result_type(x, np.float64)) for key, x in tree.items()}


def steps_of(grads):
    """The list of the trees that `grads` stacks."""
    count = len(next(iter(grads.values())))
    return [{key: g[i] for key, g in grads.items()} for i in range(count)]


def stacked(trees):
    """One tree of a list of them."""
    return {key: np.stack([tree[key] for tree in trees]) for key in trees[0]}


def run(tx, params, grads, apply_updates):
    """The parameters after every step of one compiled loop, stacked, in NumPy."""

    def body(carry, g):
        params, state = carry
        updates, state = tx.update(g, state, params)
        params = apply_updates(params, updates)
        return (params, state), params

    return _scan(lambda params: (params, tx.init(params)), body, params, grads)


def run_steps(tx, params, grads):
    """The same by `tx.step`."""

    def body(carry, g):
        params, state = tx.step(g, carry[1], carry[0])
        return (params, state), params

    return _scan(lambda params: (params, tx.init(params)), body, params, grads)


def transform(tx, params, grads):
    """The updates of every step of one compiled loop, at the same parameters."""

    def body(carry, g):
        params, state = carry
        updates, state = tx.update(g, state, params)
        return (params, state), updates

    return _scan(lambda params: (params, tx.init(params)), body, params, grads)


def _scan(init, body, params, grads):
    params, grads = jax.tree.map(jnp.asarray, (params, grads))
    loop = jax.jit(lambda params, grads: jax.lax.scan(body, init(params), grads)[1])
    return jax.tree.map(np.asarray, loop(params, grads))
