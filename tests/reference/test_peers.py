"""Where Optax has the name, the numbers are Optax's, in float32 as users run it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx

from .loops import SHAPES, example, run, single, transform
from .tables import OPTIMIZERS, SCHEDULES, TRANSFORMS, parametrize

# Two roundings of 6e-8 a step, on parameters of order 1, over 20 steps in which the
# roundings do not all point the same way.
TOLERANCE = 1e-6

# Not compared, and why.
OPTAX_IS_WRONG = {
    ("acprop", complex): "as for real numbers",
    ("acprop", float): "it takes g_t - mu_{t-1}: google-deepmind/optax#1716",
    ("adan", complex): "as for real numbers",
    ("adan", float): "it weighs differences by 1 - b2: google-deepmind/optax#1715",
    ("adopt", complex): "it clips by order, which complex numbers have not",
    ("simplified_ademamix", complex): "its second moment is g^2, not |g|^2",
    ("rprop", float): "its updates are a step late: google-deepmind/optax#1725",
    ("adadelta", complex): "its second moment is g^2, not |g|^2: a complex number",
    ("dadapt_adamw", complex): "its estimate of the distance is complex",
    ("madgrad", complex): "its second moment is g^2, of which it takes a cube root",
    ("prodigy", complex): "its estimate of the distance is complex",
    ("galore", complex): "it transposes bases, and does not conjugate them",
    ("sm3", complex): "it refuses complex numbers",
    ("sm3", float): "it refuses 0-d leaves",
}
# Differences of large numbers, in which Optax alone loses digits: test_optimizers.py
# holds gradtx to the float64 path.
OPTAX_ROUNDS = {
    ("adopt", "eps", "use_clipping"): 1e-5,  # 1 - b2, for b2 = 0.9999
    ("radam",): 1e-5,  # rho, and b2 = 0.999
    ("rmsprop", "bias_correction", "centered", "eps"): 1e-5,  # the variance
}
# With a rate that changes, Optax weighs the iterates by that of the next step.
OPTAX_LAGS = {"schedule_free_adamw", "schedule_free_sgd"}
OURS_ALONE = {  # options that Optax has nowhere
    "amsgrad",
    "dampening",
    "decay_rate_fn",
    "eps_before_correction",
    "fresh",
    "maximum_of",
    "momentum_decay",
    "p",
    "periodic",
    "scale_rule",
}
OURS_IN_OTHERS = {"bias_correction", "eps_in_sqrt"}  # ... that it has in rmsprop only


# A schedule, for which Optax has a number only.
SCHEDULED = {"novograd"}


def peer(name):
    """The factory of Optax with that name, if there is one."""
    return getattr(optax.contrib, name, None) or getattr(optax, name, None)


def changes(case):
    return callable(case.rate) or "warmup_steps" in case.kwargs


def shared(case):
    alone = OURS_ALONE if case.name == "rmsprop" else OURS_ALONE | OURS_IN_OTHERS
    return (
        peer(case.name)
        and (case.name, case.dtype) not in OPTAX_IS_WRONG
        and not alone & case.kwargs.keys()
        and not (case.name in OPTAX_LAGS and changes(case))
        and not (case.name in SCHEDULED and callable(case.kwargs.get("weight_decay")))
    )


def assert_same(actual, desired, tolerance=TOLERANCE):
    assert actual.keys() == desired.keys()
    for key, x in desired.items():
        assert actual[key].dtype == x.dtype, key
        np.testing.assert_allclose(
            actual[key], x, rtol=tolerance, atol=tolerance, err_msg=key
        )


@pytest.mark.filterwarnings("ignore:`optimistic_adam` is:DeprecationWarning")
@parametrize([case for case in OPTIMIZERS if shared(case)])
def test_an_optimizer_takes_optaxs_path(case):
    params, grads = map(single, example(case.dtype))
    ours = getattr(gradtx, case.name)(case.rate, **case.kwargs)
    theirs = peer(case.name)(case.rate, **case.kwargs)
    assert_same(
        run(ours, params, grads, gradtx.apply_updates),
        run(theirs, params, grads, optax.apply_updates),
        tolerance=OPTAX_ROUNDS.get((case.name, *sorted(case.kwargs)), TOLERANCE),
    )


@parametrize([case for case in TRANSFORMS if shared(case)])
def test_a_transformation_gives_optaxs_updates(case):
    params, grads = map(single, example(case.dtype, SHAPES))
    ours = getattr(gradtx, case.name)(**case.kwargs)
    theirs = peer(case.name)(**case.kwargs)
    assert_same(transform(ours, params, grads), transform(theirs, params, grads))


@parametrize([case for case in SCHEDULES if shared(case)])
def test_a_schedule_has_optaxs_values(case):
    ours, theirs = (getattr(m, case.name)(**case.kwargs) for m in (gradtx, optax))
    steps = jnp.arange(60)
    actual, desired = jax.vmap(ours)(steps), jax.vmap(theirs)(steps)
    assert actual.dtype == desired.dtype
    np.testing.assert_allclose(actual, desired, rtol=TOLERANCE, atol=TOLERANCE)
