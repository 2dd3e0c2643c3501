"""Parameters of every dtype that JAX has: computed in float32, stored as given."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx


def _exists(dtype):
    @jax.jit
    def rounded(x):
        return (x.astype(dtype).astype(x.dtype) / 2).astype(dtype)

    try:
        if jnp.zeros(1, dtype).dtype != dtype:  # int1 comes out as bool
            return False
        # float6: of NumPy's, not of XLA's; newer ones have it, and cannot compile this.
        return not jnp.issubdtype(dtype, jnp.floating) or bool(rounded(jnp.ones(1)) > 0)
    except jax.errors.JaxRuntimeError:
        return False


# Those of 64 bits are in the conformance suite, under x64.
DTYPES = {
    dtype.name: dtype
    for scalar in vars(jnp).values()
    if isinstance(scalar, type(jnp.float32))
    for dtype in [jnp.dtype(scalar)]
    if dtype.name not in ("float64", "complex128", "int64", "uint64")
    if _exists(dtype)
}
INEXACT = {n: d for n, d in DTYPES.items() if jnp.issubdtype(d, jnp.inexact)}
WHOLE = {n: d for n, d in DTYPES.items() if n not in INEXACT}
# It has neither a sign nor a zero: an update cannot be stored in it.
UNSIGNED = "float8_e8m0fnu"

FACTORIES = {
    "sgd": functools.partial(gradtx.sgd, 0.5, momentum=0.9),
    "adam": functools.partial(gradtx.adam, 0.5),
    "adamw": functools.partial(gradtx.adamw, 0.5, weight_decay=0.0),
    "lion": functools.partial(gradtx.lion, 0.5, weight_decay=0.0),
    "rmsprop": functools.partial(gradtx.rmsprop, 0.5, decay=0.0, eps=0.0),
    "adagrad": functools.partial(
        gradtx.adagrad, 0.5, initial_accumulator_value=0.0, eps=0.0
    ),
    "lbfgs": functools.partial(gradtx.lbfgs, 0.5, linesearch=None),
    "accumulated": lambda: gradtx.MultiSteps(gradtx.sgd(0.5), 1),
    "if finite": lambda: gradtx.apply_if_finite(gradtx.sgd(0.5), 3),
    "flattened": lambda: gradtx.flatten(gradtx.sgd(0.5, momentum=0.9)),
    "clipped": lambda: gradtx.chain(gradtx.clip_by_global_norm(1e3), gradtx.sgd(0.5)),
    "injected": lambda: gradtx.inject_hyperparams(gradtx.sgd)(0.5),
    "masked": lambda: gradtx.masked(gradtx.sgd(0.5), True),
}
each_factory = pytest.mark.parametrize("make", FACTORIES.values(), ids=FACTORIES)


def stepped(tx, params, grads):
    """The parameters by `step`, and by `update` and `apply_updates`; the states."""

    @jax.jit
    def both(params, grads):
        state = tx.init(params)
        new, after = tx.step(grads, state, params)
        updates, _ = tx.update(grads, state, params)
        return new, gradtx.apply_updates(params, updates), state, after

    return both(params, grads)


@each_factory
def test_narrow_floats_move_as_float32(make):
    if make is FACTORIES["lbfgs"]:  # its first step has the length 1 in all
        params = {n: jnp.ones(1, d) for n, d in INEXACT.items() if n == "float8_e5m2"}
    else:
        params = {name: jnp.ones(2, dtype) for name, dtype in INEXACT.items()}
    new, applied, state, after = stepped(make(), params, params)
    for name, p in params.items():
        assert new[name].dtype == applied[name].dtype == p.dtype
        # From 1 down by 0.5: all of them hold 1, 0.5 and, but for one, -0.5.
        found = np.asarray(new[name].astype(jnp.complex64))
        if name != UNSIGNED:
            np.testing.assert_allclose(found, 0.5, rtol=1e-6, err_msg=name)
            np.testing.assert_array_equal(applied[name], new[name])
    for old, leaf in zip(jax.tree.leaves(state), jax.tree.leaves(after), strict=True):
        assert leaf.dtype == old.dtype
        wide = not jnp.issubdtype(leaf.dtype, jnp.inexact)
        assert wide or jnp.finfo(leaf.dtype).bits >= 32


@each_factory
@pytest.mark.parametrize("missing", ["None", "float0"])
def test_leaves_without_a_gradient_stay(make, missing):
    params = {n: jnp.ones(2, d) for n, d in WHOLE.items()} | {"w": jnp.ones(2)}
    none = None if missing == "None" else np.zeros(2, jax.dtypes.float0)
    tx, grads = make(), dict.fromkeys(params, none) | {"w": jnp.ones(2)}
    state = tx.init(params)  # float0 goes through no jit
    for new in (
        tx.step(grads, state, params)[0],
        gradtx.apply_updates(params, tx.update(grads, state, params)[0]),
    ):
        assert float(new["w"][0]) < 1
        for name, dtype in WHOLE.items():
            assert new[name].dtype == dtype
            np.testing.assert_array_equal(new[name], params[name])


@each_factory
def test_a_gradient_of_whole_numbers_is_refused_by_name(make):
    tx = make()
    for name, dtype in WHOLE.items():
        params = {"w": jnp.ones(2), "x": jnp.ones(2, dtype)}
        with pytest.raises(TypeError, match=rf"updates\['x'\] is {name}; it must be"):
            tx.update(params, tx.init(params), params)


NO_NUMBERS = {
    "key": lambda: jax.random.key(0),
    "text": lambda: "float32",  # a static field that is not declared so
    "type": lambda: jnp.float32,
    "strings": lambda: np.array(["a"]),
    "objects": lambda: np.array([None]),
}


@each_factory
@pytest.mark.parametrize("leaf", NO_NUMBERS.values(), ids=NO_NUMBERS)
def test_what_is_no_number_is_refused_by_name(make, leaf):
    tx, params = make(), {"w": jnp.ones(2), "x": leaf()}
    with pytest.raises(TypeError, match=r"params\['x'\] is (?s:.*), not an array"):
        tx.init(params)
    masked = gradtx.masked(tx, {"w": True, "x": False})
    grads = {"w": jnp.ones(2), "x": None}
    new, _ = masked.step(grads, masked.init(params), params)
    assert new["x"] is params["x"]


def test_noise_of_narrow_floats():
    tree = {name: jnp.ones(100, dtype) for name, dtype in INEXACT.items()}
    noise = gradtx.tree.random_like(jax.random.key(0), tree)
    for name, dtype in INEXACT.items():
        assert noise[name].dtype == dtype
        if name != UNSIGNED:
            assert 0.5 < float(jnp.std(noise[name].astype(jnp.complex64))) < 1.5
