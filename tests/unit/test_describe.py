"""`describe` says in a few lines all that a transformation does."""

import jax
import jax.numpy as jnp
import optax
import pytest

import gradtx
from gradtx.testing import discover, sample

COSINE = gradtx.cosine_decay_schedule(0.1, 10)
WARM = gradtx.warmup_cosine_decay_schedule(0.0, 0.01, warmup_steps=20, decay_steps=500)


def by_rank(params):
    return jax.tree.map(lambda p: jnp.ndim(p) > 1, params)


def test_a_description_expands_aliases_and_what_is_inside():
    tx = gradtx.chain(gradtx.clip(1.0), gradtx.masked(gradtx.sgd(0.1), by_rank))
    assert gradtx.describe(tx).splitlines() == [
        "chain",
        "  clip(max_delta=1.0)",
        "  masked(mask=by_rank, mask_compatible_extra_args=False, otherwise='keep')",
        "    inner: sgd(0.1)",
        "      scale_by_learning_rate(learning_rate=0.1, flip_sign=True)",
    ]


def test_a_description_labels_members():
    tx = gradtx.named_chain(("first", gradtx.identity()), ("then", gradtx.clip(2.0)))
    assert gradtx.describe(tx).splitlines()[1:] == [
        "  first: identity()",
        "  then: clip(max_delta=2.0)",
    ]
    tx = gradtx.partition({"w": gradtx.identity()}, "w")
    assert gradtx.describe(tx).splitlines() == [
        "partition(param_labels='w', mask_compatible_extra_args=False)",
        "  w: identity()",
    ]


def test_a_description_of_what_has_no_call():
    pair = gradtx.GradientTransformation(*gradtx.identity())
    assert "GradientTransformation(init=" in gradtx.describe(gradtx.chain(pair))
    assert gradtx.describe(gradtx.chain(optax.adam(0.1))).splitlines() == [
        "chain",
        "  GradientTransformationExtraArgs(init=chain.<locals>.init_fn,"
        " update=chain.<locals>.update_fn)",
    ]


@pytest.mark.parametrize("name", discover(gradtx))
def test_it_fits_a_terminal(name):
    factory = getattr(gradtx, name)
    args, kwargs = sample(factory)
    lines = gradtx.describe(factory(*args, **kwargs)).splitlines()
    assert max(map(len, lines)) <= 100


def test_a_line_that_goes_on_is_deeper_than_what_is_inside():
    tx = gradtx.chain(gradtx.lion(WARM, weight_decay=0.001, mask=by_rank))
    assert gradtx.describe(tx).splitlines() == [
        "chain",
        "  lion(warmup_cosine_decay_schedule(0.0, 0.01, warmup_steps=20,"
        " decay_steps=500),",
        "      weight_decay=0.001, mask=by_rank)",
        "    scale_by_lion(b1=0.9, b2=0.99, mu_dtype=None, mode='hard',"
        " smooth_beta=1.0)",
        "    add_decayed_weights(weight_decay=0.001, mask=by_rank)",
        "    scale_by_learning_rate(learning_rate=warmup_cosine_decay_schedule(...),"
        " flip_sign=True)",
    ]


def test_it_is_as_narrow_as_asked():
    assert gradtx.describe(gradtx.chain(gradtx.scale(0.5), gradtx.clip(1.0)), 8) == (
        "chain\n  scale(step_size=0.5)\n  clip(max_delta=1.0)"  # no space to break at
    )
    narrow = gradtx.describe(gradtx.sgd(WARM), 40)
    assert max(map(len, narrow.splitlines()[:3])) <= 40
    assert narrow.split() == gradtx.describe(gradtx.sgd(WARM)).split()


def test_a_schedule_is_written_out_once():
    whole = "cosine_decay_schedule(0.1, 10)"
    assert gradtx.describe(gradtx.sgd(COSINE)).count(whole) == 1
    assert gradtx.describe(gradtx.chain(gradtx.sgd(COSINE))).count(whole) == 1
    assert whole in gradtx.describe(gradtx.scale_by_schedule(COSINE))


def test_schedules_of_one_name_stay_apart():
    @gradtx.transformation
    def two(rate, decay):
        return gradtx.chain(
            gradtx.scale_by_schedule(decay), gradtx.scale_by_learning_rate(rate)
        )

    text = gradtx.describe(two(COSINE, gradtx.cosine_decay_schedule(0.2, 10)))
    assert "(...)" not in text
    assert text.count("cosine_decay_schedule(0.1, 10)") == 2
    assert "cosine_decay_schedule(...)" in gradtx.describe(two(COSINE, COSINE))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (gradtx.adam, r"adam.* call it.*adam\(\.\.\.\)"),
        (
            gradtx.inject_hyperparams(gradtx.adam),
            r"call it.*inject_hyperparams\(adam\)\(\.\.\.\)",
        ),
        (COSINE, r"transformation .*got cosine_decay_schedule\(0\.1, 10\)"),
        ([gradtx.adam(0.1)], r"transformation .*got \[adam\(0\.1\)\]"),
        (0.1, r"transformation .*got 0\.1"),
        (None, r"transformation .*got None"),
    ],
)
def test_it_refuses_what_is_no_transformation(given, message):
    with pytest.raises(TypeError, match=f"^describe: .*(?i:{message})"):
        gradtx.describe(given)
