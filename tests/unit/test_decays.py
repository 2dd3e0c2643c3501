"""Kinds of weight decay: how they go together, who takes them, and what is refused."""

import inspect
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.testing import discover, sample
from gradtx.testing.values import falling
from gradtx.wrappers.rates import members, peak_of

RATE, DECAY = 0.1, 0.3
PARAMS = {"w": jnp.array([[1.0, -2.0], [0.5, 3.0]]), "b": jnp.array([1.0, -1.0])}
GRADS = jax.tree.map(lambda p: jnp.cos(5 * p), PARAMS)


@jax.jit
def path(tx):
    """The parameters after each of five steps."""

    def step(carry, t):
        params, state = carry
        grads = jax.tree.map(lambda g: g * jnp.cos(t), GRADS)
        params, state = tx.step(grads, state, params)
        return (params, state), params

    return jax.lax.scan(step, (PARAMS, tx.init(PARAMS)), jnp.arange(5.0))[1]


def same(one, other):
    jax.tree.map(
        # Five steps of order 1 in float32, in which products are grouped otherwise.
        lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=1e-6),
        path(one),
        path(other),
    )


def is_w(params):
    return {key: key == "w" for key in params}


def test_decoupled_is_adamw_and_coupled_stands_in_front():
    adam = gradtx.adam(falling)
    same(
        gradtx.with_decay(adam, DECAY, mask=is_w),
        gradtx.adamw(falling, weight_decay=DECAY, mask=is_w),
    )
    same(
        gradtx.with_decay(adam, DECAY, "coupled"),
        gradtx.chain(gradtx.add_decayed_weights(DECAY), adam),
    )


def test_at_a_constant_rate_the_kinds_differ_by_a_number():
    def with_kind(kind, decay):
        return gradtx.with_decay(gradtx.adam(RATE), decay, kind)

    same(with_kind("independent", RATE * DECAY), with_kind("decoupled", DECAY))
    same(with_kind("corrected", DECAY), with_kind("decoupled", DECAY))


def test_the_decay_may_be_a_schedule_and_the_rate_an_injected_one():
    def decay(count):
        return DECAY * (count < 2)

    same(
        gradtx.lion(RATE, weight_decay=gradtx.decay(decay)),
        gradtx.lion(RATE, weight_decay=decay),
    )
    kind = gradtx.decay(DECAY, "independent", peak=RATE)
    injected = gradtx.inject_hyperparams(gradtx.adamw)(falling, weight_decay=kind)
    same(injected, gradtx.adamw(falling, weight_decay=DECAY / RATE))


def test_cautious_decay_stops_at_a_minimum_of_the_loss():
    # f = |p - 1|^2 / 2 has its minimum at 1; decoupled decay ends at 1 / (1 + 0.3),
    # coming from above and from below.
    def ends(kind):
        tx = gradtx.with_decay(gradtx.sgd(RATE), DECAY, kind)
        params, state = jnp.array([3.0, -3.0]), ()
        state = tx.init(params)

        def step(carry, _):
            return tx.step(carry[0] - 1, carry[1], carry[0]), None

        return jax.lax.scan(step, (params, state), length=400)[0][0]

    np.testing.assert_allclose(ends("decoupled"), 1 / (1 + DECAY), rtol=1e-6)
    # Within one decay of a step of it, below which no step leads down.
    np.testing.assert_allclose(ends("cautious"), 1, atol=RATE * DECAY)


TAKES = sorted(
    name
    for name, factory in discover(gradtx).items()
    if {"weight_decay", "weight_decay_rate"} & {*inspect.signature(factory).parameters}
    and not name.startswith("scale_by_")
)
# Their steps are no multiple of a learning rate that they are given, or are those of
# other parameters; `coupled` needs none.
ELSEWHERE = {
    *("add_decayed_weights", "asgd", "cocob", "dadapt_adamw", "dog", "dowg", "madgrad"),
    *("mechanize", "momo", "momo_adam", "muon", "prodigy", "schedule_free_adamw"),
    "schedule_free_sgd",
}


@pytest.mark.parametrize("name", TAKES)
def test_every_optimizer_takes_a_kind_in_place_of_a_number(name):
    factory = getattr(gradtx, name)
    args, kwargs = sample(factory)
    given = inspect.signature(factory).bind(*args, **kwargs).arguments
    [key] = {"weight_decay", "weight_decay_rate"} & {
        *inspect.signature(factory).parameters
    }

    def build(kind):
        return factory(**{**given, key: gradtx.decay(0.1, kind)})

    assert build("coupled").made_of.call.factory is gradtx.with_decay
    if name in ELSEWHERE:
        with pytest.raises(
            ValueError, match=rf"^with_decay: {name}\(.*: say learning_rate="
        ):
            build("cautious")
        return
    tx = build("cautious")
    assert repr(tx.made_of).endswith("0.1, kind='cautious')") or "mask" in repr(tx)
    assert pickle.loads(pickle.dumps(tx)) == tx


def test_in_groups_and_in_words():
    tx = gradtx.groups(
        [("b", dict(weight_decay=0.0))],
        default=gradtx.adamw(RATE, weight_decay=gradtx.decay(DECAY)),
    )
    same(tx, gradtx.adamw(RATE, weight_decay=DECAY, mask=is_w))
    text = gradtx.describe(gradtx.sophia(1.0, weight_decay=gradtx.decay(0.1)))
    assert "shrink_weights(weight_decay=0.1, learning_rate=1.0" in text
    masked = gradtx.lion(RATE, mask=is_w, weight_decay=gradtx.decay(DECAY))
    same(masked, gradtx.lion(RATE, mask=is_w, weight_decay=DECAY))


ADAM = gradtx.adam(RATE)
WARM = gradtx.warmup_cosine_decay_schedule(0.0, 0.5, 1, 10)


@pytest.mark.parametrize(
    ("rate", "peak"),
    [
        (0.25, 0.25),
        (WARM, 0.5),
        (gradtx.cosine_decay_schedule(0.125, 9), 0.125),
        (gradtx.linear_schedule(0.0, 2.0, 9), 2.0),
        (gradtx.warmup_stable_decay_schedule(0.0, 1.0, 2, 4, 10), 1.0),
    ],
)
def test_the_peak_is_known_from_the_rate(rate, peak):
    assert peak_of("x", rate, None) == peak
    if callable(rate):
        largest = np.max(rate(jnp.arange(12)))
        np.testing.assert_allclose(largest, peak)


REFUSED = [
    (lambda: gradtx.with_decay(ADAM, 0.1, "l2"), "kind must be one of"),
    (lambda: gradtx.decay(0.1, "l2"), "kind must be one of"),
    (lambda: gradtx.with_decay(ADAM, -0.1), "weight_decay must be at least 0"),
    (
        lambda: gradtx.with_decay(gradtx.adamw(RATE), 0.1),
        "adamw decays the weights itself, with weight_decay=0.0001: .*weight_decay=0.0",
    ),
    (lambda: gradtx.with_decay(gradtx.trace(0.9), 0.1), "has no learning rate in its"),
    (
        lambda: gradtx.with_decay(gradtx.chain(ADAM, ADAM), 0.1),
        "has 2 learning rates in its chain: say learning_rate=",
    ),
    (lambda: gradtx.with_decay(gradtx.dog(), 0.1), "estimates the size of its steps"),
    (
        lambda: gradtx.with_decay(gradtx.MultiSteps(ADAM, 2), 0.1),
        "no learning rate in its chain",
    ),
    (
        lambda: gradtx.with_decay(gradtx.adam(falling), 0.1, "independent"),
        "largest learning rate is not known from falling: say peak=",
    ),
    (
        lambda: gradtx.with_decay(ADAM, 0.1, peak=1.0),
        "decoupled decay has no use for peak",
    ),
    (
        lambda: gradtx.with_decay(ADAM, 0.1, "coupled", learning_rate=1.0),
        "coupled decay has no use for learning_rate",
    ),
    (lambda: gradtx.with_decay(ADAM, 0.1, "corrected", peak=0.0), "peak must be above"),
    (
        lambda: gradtx.lion(0.1, mask=is_w, weight_decay=gradtx.decay(0.1, mask=True)),
        "lion: mask is given, and decay has a mask",
    ),
    (
        lambda: gradtx.with_decay(gradtx.adam(0.0), 0.1, "independent"),
        "the peak, which is the learning rate, must be above 0",
    ),
]


@pytest.mark.parametrize(("make", "says"), REFUSED)
def test_what_is_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()


def test_a_kind_is_no_learning_rate():
    with pytest.raises(TypeError, match="adam: learning_rate is decay"):
        gradtx.adam(gradtx.decay(0.1))


def test_without_params_it_says_so():
    tx = gradtx.with_decay(gradtx.sgd(0.1), 0.1)
    with pytest.raises(ValueError, match="shrink_weights needs params"):
        tx.update(GRADS, tx.init(PARAMS))


def test_members_are_those_of_chains_and_aliases():
    named = gradtx.named_chain(("first", gradtx.clip(1.0)), ("then", gradtx.sgd(0.1)))
    names = [x.call.name for x in members(gradtx.chain(named))]
    assert names[0] == "chain"
    assert names[-1] == "scale_by_learning_rate"
    assert {"named_chain", "clip", "sgd"} < {*names}
