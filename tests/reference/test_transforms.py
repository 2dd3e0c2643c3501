"""Every transformation and every wrapper computes, in float64, its formula."""

import functools
import inspect

import jax
import numpy as np
import pytest

import gradtx

from . import optimizers, optimizers_adaptive, transforms
from .loops import SHAPES, example, run, run_steps, stacked, steps_of, transform
from .tables import TRANSFORM_REFERENCES, TRANSFORMS, parametrize

TOLERANCE = 1e-12  # float64 rounds at 1.1e-16; sums of up to 60 squares stay below this

MOMENTUM = (
    gradtx.sgd(1e-2, momentum=0.9),
    functools.partial(optimizers.sgd, learning_rate=1e-2, momentum=0.9),
)
ADAM = (
    gradtx.adam(1e-2),
    functools.partial(optimizers_adaptive.adam, learning_rate=1e-2),
)
both_inner = pytest.mark.parametrize("inner", [MOMENTUM, ADAM], ids=["sgd", "adam"])


def assert_same(actual, desired):
    assert actual.keys() == desired.keys()
    for key, x in desired.items():
        assert actual[key].dtype == x.dtype, key
        np.testing.assert_allclose(actual[key], x, rtol=TOLERANCE, err_msg=key)


def reference(name):
    [found] = [vars(m)[name] for m in TRANSFORM_REFERENCES if name in vars(m)]
    return found


def by_update(tx, params, grads):
    return run(tx, params, grads, gradtx.apply_updates)


both_ways = pytest.mark.parametrize("loop", [by_update, run_steps])


@parametrize(TRANSFORMS)
def test_the_updates_are_the_formula(case):
    params, grads = example(case.dtype, SHAPES)
    if case.name == "zero_nans":
        grads["kernel"][3, 1, :2] = np.nan, np.inf
        grads["number"][5] = np.nan
    tx = getattr(gradtx, case.name)(**case.kwargs)
    with jax.enable_x64(True):
        actual = transform(tx, params, grads)
    rule = reference(case.name)
    assert_same(actual, stacked(rule(steps_of(grads), params, **case.kwargs)))


@pytest.mark.parametrize("name", sorted({case.name for case in TRANSFORMS}))
def test_the_defaults_are_the_references(name):
    ours = inspect.signature(getattr(gradtx, name)).parameters
    for key, parameter in inspect.signature(reference(name)).parameters.items():
        if parameter.default is not parameter.empty:
            assert ours[key].default == parameter.default, key


@pytest.mark.parametrize("axis", [0, -1, (0, 2), (0, 1, 2)])
def test_adaptive_grad_clip_takes_its_units_along_given_axes(axis):
    params, grads = example(shapes={"pile": (2, 3, 4)})
    tx = gradtx.adaptive_grad_clip(0.7, axis=axis)
    with jax.enable_x64(True):
        actual = transform(tx, params, grads)
    rule = transforms.adaptive_grad_clip
    desired = rule(steps_of(grads), params, clipping=0.7, axis=axis)
    assert_same(actual, stacked(desired))


@both_ways
@both_inner
@pytest.mark.parametrize(
    "options",
    [
        {"every_k_schedule": 1},
        {"every_k_schedule": 3},
        {"every_k_schedule": 4, "use_grad_mean": False},
        {"every_k_schedule": lambda n: 1 + n},
    ],
    ids=["1", "3", "4, sum", "1 + n"],
)
def test_multi_steps_takes_a_step_on_the_mean(options, inner, loop):
    params, grads = example()
    ours, theirs = inner
    with jax.enable_x64(True):
        tx = gradtx.MultiSteps(ours, **options, accumulator_dtype=np.float64)
        actual = loop(tx, params, grads)
    assert_same(actual, each(transforms.multi_steps, params, grads, theirs, **options))


@both_ways
@both_inner
def test_multi_steps_leaves_out_what_is_not_finite(inner, loop):
    params, grads = example()
    for key in grads:
        grads[key][[0, 4, 5]] = np.nan
    ours, theirs = inner
    with jax.enable_x64(True):
        tx = gradtx.MultiSteps(
            ours,
            every_k_schedule=3,
            should_skip_update_fn=gradtx.skip_not_finite,
            accumulator_dtype=np.float64,
        )
        actual = loop(tx, params, grads)

    def skip(g):
        return not np.all(np.isfinite(g))

    desired = each(transforms.multi_steps, params, grads, theirs, 3, skip=skip)
    assert_same(actual, desired)


@both_ways
@both_inner
@pytest.mark.parametrize("reset_state", [False, True], ids=["keep", "reset"])
@pytest.mark.parametrize("period", [1, 6])
def test_lookahead_returns_to_the_slow_weights(period, reset_state, inner, loop):
    params, grads = example()
    ours, theirs = inner
    with jax.enable_x64(True):
        tx = gradtx.lookahead(ours, period, 0.4, reset_state)
        actual = loop(tx, gradtx.LookaheadParams.init_synced(params), grads)
    desired = {
        key: transforms.lookahead(list(grads[key]), p, theirs, period, 0.4, reset_state)
        for key, p in params.items()
    }
    for i, weights in enumerate([actual.fast, actual.slow]):
        assert_same(weights, {k: np.stack([w[i] for w in desired[k]]) for k in params})


@both_ways
@both_inner
@pytest.mark.parametrize("most", [0, 2, 5])
def test_apply_if_finite_gives_up_after_too_many_errors(most, inner, loop):
    params, grads = example()
    for key in grads:  # one, then two, then four in a row
        grads[key][[2, 5, 6, 12, 13, 14, 15]] = np.nan
    ours, theirs = inner
    with jax.enable_x64(True):
        actual = loop(gradtx.apply_if_finite(ours, most), params, grads)
    assert_same(actual, each(transforms.apply_if_finite, params, grads, theirs, most))


@both_ways
def test_apply_if_finite_looks_at_the_whole_tree(loop):
    params, grads = example()
    ours, theirs = MOMENTUM
    spoilt = {key: g.copy() for key, g in grads.items()}
    spoilt["w"][4, 2, 1] = np.inf
    spoilt["b"][9] = np.nan
    for key in grads:
        grads[key][[4, 9]] = np.nan  # what the other leaf saw
    with jax.enable_x64(True):
        actual = loop(gradtx.apply_if_finite(ours, 3), params, spoilt)
    assert_same(actual, each(transforms.apply_if_finite, params, grads, theirs, 3))


def each(wrapper, params, grads, *args, **kwargs):
    return {
        key: np.stack(wrapper(list(grads[key]), p, *args, **kwargs))
        for key, p in params.items()
    }
