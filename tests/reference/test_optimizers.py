"""Every optimizer follows, in float64, the path that its paper prescribes."""

import inspect

import jax
import numpy as np
import pytest

import gradtx

from . import optimizers, optimizers_adaptive
from .loops import double, example, run, single
from .tables import NAMES, OPTIMIZERS, parametrize

# float64 rounds at 1.1e-16; 20 steps of a handful of operations, some of which cancel
# (a centered variance), stay below this.
TOLERANCE = 1e-12


def reference(name):
    return vars(optimizers).get(name) or vars(optimizers_adaptive)[name]


def path(tx, params, grads):
    with jax.enable_x64(True):
        return run(tx, params, grads, gradtx.apply_updates)


def expected(name, params, grads, rate, **kwargs):
    return {
        key: np.stack(reference(name)(list(grads[key]), p, rate, **kwargs))
        for key, p in params.items()
    }


def assert_same(actual, desired):
    assert actual.keys() == desired.keys()
    for key, x in desired.items():
        assert actual[key].dtype == x.dtype, key
        np.testing.assert_allclose(actual[key], x, rtol=TOLERANCE, err_msg=key)


@parametrize(OPTIMIZERS)
def test_the_path_is_the_papers(case):
    params, grads = example(case.dtype)
    tx = getattr(gradtx, case.name)(case.rate, **case.kwargs)
    desired = expected(case.name, params, grads, case.rate, **case.kwargs)
    assert_same(path(tx, params, grads), desired)


@parametrize(OPTIMIZERS)
def test_the_path_in_float32_stays_near(case):
    params, grads = map(single, example(case.dtype))
    tx = getattr(gradtx, case.name)(case.rate, **case.kwargs)
    wide = (double(params), double(grads))
    desired = expected(case.name, *wide, case.rate, **case.kwargs)
    for key, x in run(tx, params, grads, gradtx.apply_updates).items():
        assert x.dtype == params[key].dtype, key
        # Parameters are below 2, so 20 steps round 20 times by up to 6e-8, and all in
        # the same direction where only the decay moves them.
        np.testing.assert_allclose(x, desired[key], rtol=0, atol=1.3e-6, err_msg=key)


@pytest.mark.parametrize("name", NAMES)
def test_the_defaults_are_the_references(name):
    ours = inspect.signature(getattr(gradtx, name)).parameters
    for key, parameter in inspect.signature(reference(name)).parameters.items():
        if parameter.default is not parameter.empty:
            assert ours[key].default == parameter.default, key


@pytest.mark.parametrize("name", ["adamw", "nadamw", "adamaxw", "lion", "adadelta"])
def test_a_mask_spares_a_leaf_the_decay(name):
    params, grads = example()
    mask = "weight_decay_mask" if name == "adadelta" else "mask"
    options = {"weight_decay": 0.1, mask: {"w": True, "b": False}}
    desired = {
        "w": expected(name, params, grads, 1e-2, weight_decay=0.1)["w"],
        "b": expected(name, params, grads, 1e-2, weight_decay=0.0)["b"],
    }
    tx = getattr(gradtx, name)(1e-2, **options)
    assert_same(path(tx, params, grads), desired)


def test_adadelta_needs_no_rate():  # Zeiler 2012: it has none, and descends
    params, grads = example()
    desired = expected("adadelta", params, grads, 1.0)
    assert_same(path(gradtx.adadelta(), params, grads), desired)


def test_adam_lp_of_2_is_adam_with_epsilon_in_the_root():
    params, grads = example()
    same = {"b2": 0.9**2, "eps": 0.0, "eps_root": 1e-8}  # its decay is b2^p
    desired = expected("adam", params, grads, 1e-2, **same)
    tx = gradtx.adam_lp(1e-2, b2=0.9, p=2.0, eps=1e-8)
    assert_same(path(tx, params, grads), desired)


def test_adam_lp_tends_to_adamax():
    # 20 terms add at most 20^(1/40) - 1 = 8 % to the p-th root of the largest of them,
    # the weights 1 - b2^p and 1 - b2^(p t) change it by 1 %, and a step is about 1e-2.
    params, grads = example()
    grads = {key: g + np.where(g < 0, -1, 1) for key, g in grads.items()}
    desired = expected("adamax", params, grads, 1e-2, b2=0.9)
    tx = gradtx.adam_lp(1e-2, b2=0.9, p=40.0, eps=0.0)
    for key, x in path(tx, params, grads).items():
        np.testing.assert_allclose(x, desired[key], atol=0.09 * 20 * 1e-2, err_msg=key)
