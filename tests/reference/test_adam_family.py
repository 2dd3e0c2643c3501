"""What tables of one optimizer, one path, do not say of the relatives of Adam."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

from .loops import example, run, run_steps
from .optimizers_adam_family import ademamix
from .test_transforms import ADAM, MOMENTUM, assert_same
from .transforms_adam_family import cautious


def by_update(tx, params, grads):
    return run(tx, params, grads, gradtx.apply_updates)


@pytest.mark.parametrize("loop", [by_update, run_steps])
@pytest.mark.parametrize(("inner", "eps"), [(MOMENTUM, 1.0), (ADAM, 0.3)])
def test_cautious_takes_what_leads_down(inner, eps, loop):
    dtype = complex if inner is MOMENTUM else float
    params, grads = example(dtype)
    ours, theirs = inner
    with jax.enable_x64(True):
        actual = loop(gradtx.cautious(ours, eps=eps), params, grads)
    desired = {
        key: np.stack(cautious(list(grads[key]), p, theirs, eps))
        for key, p in params.items()
    }
    assert_same(actual, desired)


def test_cautious_around_the_scaling_alone_lets_weights_decay():
    params, grads = example()
    tx = gradtx.chain(
        gradtx.cautious(gradtx.scale_by_adam(), downhill=False),
        gradtx.add_decayed_weights(0.1),
        gradtx.scale_by_learning_rate(1e-2),
    )
    with jax.enable_x64(True):
        actual = by_update(tx, params, grads)
    for key, w in params.items():
        free = cautious(list(grads[key]), w * 0, ADAM[1])
        for step, move in enumerate(np.diff([w * 0, *free], axis=0)):
            w = w + move - 1e-2 * 0.1 * w
            np.testing.assert_allclose(actual[key][step], w, rtol=1e-12)


def test_cautious_goes_by_signs_and_shows_a_nan():
    tx = gradtx.cautious(gradtx.sgd(1e-3))
    g = jnp.array([1e-30, -1e-30, jnp.nan])  # of the first two the square is 0
    update, _ = tx.update(g, tx.init(g), g)
    np.testing.assert_allclose(update, [-1.5e-33, 1.5e-33, np.nan], rtol=1e-6)


@pytest.mark.parametrize(("name", "field"), [("adan", "g"), ("mars", "last")])
def test_the_gradient_in_the_state_is_an_array_of_its_own(name, field):
    tx = getattr(gradtx, name)(0.1)
    params, g = jnp.ones(3), jnp.arange(3.0)
    for update in (tx.update, jax.jit(tx.update)):
        _, state = update(g, tx.init(params), params)
        kept = getattr(state[0], field)
        np.testing.assert_array_equal(kept, g)
        assert kept.unsafe_buffer_pointer() != g.unsafe_buffer_pointer()


def test_the_schedules_of_ademamix_have_a_count_of_their_own():
    # Set back in the middle of a run, they begin again; the corrections do not.
    params, grads = example(steps=6)
    options = {"alpha": lambda t: 1.0 * t, "b3": lambda t: 1 - 1 / (2.0 + t)}
    again = {n: lambda t, s=s: s(t % 3) for n, s in options.items()}
    tx = gradtx.scale_by_ademamix(**options)
    with jax.enable_x64(True):
        state, found = tx.init(params["w"]), []
        for t, g in enumerate(grads["w"]):
            if t == 3:
                state = state._replace(count_m2=jnp.zeros_like(state.count_m2))
            update, state = tx.update(jnp.asarray(g), state)
            found.append(update)
    path = ademamix(list(grads["w"]), params["w"], 1.0, **again)
    desired = -np.diff([params["w"], *path], axis=0)
    np.testing.assert_allclose(found, desired, rtol=1e-12)


def test_the_authors_slow_average_of_ademamix_warms_up_by_its_half_life():
    # The equation of the docstring, against what it is to do: t/T of the way between
    # the half-lives of b1 and b3.
    b1, b3, steps = 0.9, 0.9999, 1000
    for t in (0, 1, 400, 1000, 2000):
        mixed = (1 - t / steps) * np.log(b3) + t / steps * np.log(b1)
        decay = min(np.exp(np.log(b1) * np.log(b3) / mixed), b3) if mixed < 0 else b3
        first, last = (np.log(0.5) / np.log(b) for b in (b1, b3))
        half_life = first + min(t / steps, 1) * (last - first)
        np.testing.assert_allclose(decay, 0.5 ** (1 / half_life), rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (functools.partial(gradtx.grokfast, 1.0), ValueError, "alpha must be in [0, 1"),
        (
            functools.partial(gradtx.adopt, 0.1, clip_value_fn=0.25),
            TypeError,
            "clip_value_fn must be a function of the step, got 0.25",
        ),
        (
            functools.partial(gradtx.cautious, 0.1),
            TypeError,
            "cautious: base_optimizer",
        ),
    ],
)
def test_what_is_wrong_is_named(make, error, text):
    with pytest.raises(error) as found:
        make()
    assert text in str(found.value)
