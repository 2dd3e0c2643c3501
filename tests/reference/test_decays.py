"""Every kind of decay and the fixed norm compute, in float64, their formula."""

import jax
import numpy as np
import pytest

import gradtx

from . import decays
from .loops import example, run, run_steps
from .test_transforms import assert_same

PEAK, DECAY = 0.1, 0.3
KINDS = ("coupled", "decoupled", "independent", "corrected", "cautious")
RATE = gradtx.warmup_cosine_decay_schedule(0.02, PEAK, 5, 20, 0.01)


def rate(t):
    """The same in NumPy: up in 5 steps, down in 15 along half a cosine."""
    if t < 5:
        return 0.02 + (PEAK - 0.02) * t / 5
    return 0.01 + (PEAK - 0.01) * (1 + np.cos(np.pi * (t - 5) / 15)) / 2


def both(loop, tx):
    params, grads = example()
    with jax.enable_x64(True):
        return loop(tx, params, grads)


def each(rule, **kwargs):
    params, grads = example()
    return {key: np.stack([*rule(grads[key], params[key], **kwargs)]) for key in params}


def by_update(tx, params, grads):
    return run(tx, params, grads, gradtx.apply_updates)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_its_formula(kind):
    tx = gradtx.adamw(RATE, weight_decay=gradtx.decay(DECAY, kind))
    desired = each(getattr(decays, kind), rate=rate, decay=DECAY, peak=PEAK)
    assert_same(both(run_steps, tx), desired)
    # The decay matters: another kind is another path.
    other = KINDS[KINDS.index(kind) - 1]
    far = each(getattr(decays, other), rate=rate, decay=DECAY, peak=PEAK)
    assert np.abs(far["w"] - desired["w"]).max() > 1e-3


def test_layers_without_normalisation_decay_decoupled():
    tx = gradtx.with_decay(
        *(gradtx.adam(RATE), DECAY, "corrected"), normalized={"w": True, "b": False}
    )
    numbers = dict(rate=rate, decay=DECAY, peak=PEAK)
    desired = each(decays.corrected, **numbers)
    desired["b"] = each(decays.corrected, normalized=False, **numbers)["b"]
    assert_same(both(by_update, tx), desired)


def test_hyperball_is_its_formula():
    tx = gradtx.hyperball(gradtx.adam(RATE), mask=True)
    assert_same(both(run_steps, tx), each(decays.hyperball, rate=rate))
