"""muP: factors by shape, and activations that change alike at every width."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

WIDTHS = (8, 32, 128)
RATE, STEPS, SEEDS, INPUTS, OUTPUTS, EXAMPLES = 0.01, 3, 16, 4, 3, 8


def initial(width):
    """Weights of variance 1 / fan_in, those of the output of 1 / fan_in^2; per seed."""
    rng = np.random.default_rng(0)

    def normal(rows, columns, size):
        found = size * rng.normal(size=(SEEDS, rows, columns))
        return found.astype(np.float32)

    return {
        "first": normal(INPUTS, width, INPUTS**-0.5),
        "bias": np.zeros((SEEDS, width), np.float32),
        "hidden": normal(width, width, width**-0.5),
        "output": normal(width, OUTPUTS, 1 / width),
    }


def shapes(width):
    """Of one seed."""
    return jax.tree.map(lambda x: x[0], initial(width))


def activations(params, x):
    first = jnp.tanh(x @ params["first"] + params["bias"])
    hidden = jnp.tanh(first @ params["hidden"])
    return {"first": first, "hidden": hidden, "output": hidden @ params["output"]}


def changes(tx, params, x, y):
    """By layer: how much activations change in some steps, squared."""

    def loss(params):
        return jnp.mean((activations(params, x)["output"] - y) ** 2)

    def step(carry, _):
        return tx.step(jax.grad(loss)(carry[0]), carry[1], carry[0]), None

    after = jax.lax.scan(step, (params, tx.init(params)), length=STEPS)[0][0]
    before, after = activations(params, x), activations(after, x)
    return jax.tree.map(lambda a, b: jnp.mean((a - b) ** 2), before, after)


@jax.jit
def measured(params, x, y):
    """By width: with muP and, but for the narrowest, where it is the same, without."""
    adam, found = gradtx.adam(RATE), {}
    for width in WIDTHS:
        scaled = gradtx.mup_scale(adam, shapes(WIDTHS[0]), shapes(width))
        for name, tx in (("mup", scaled), ("plain", adam)):
            if name == "mup" or width > WIDTHS[0]:
                run = jax.vmap(functools.partial(changes, tx))
                sizes = run(params[width], x, y)
                found[name, width] = jax.tree.map(lambda s: jnp.mean(s) ** 0.5, sizes)
    return found


def test_activations_change_alike_at_every_width():
    rng = np.random.default_rng(1)
    x, y = (rng.normal(size=(SEEDS, EXAMPLES, n)) for n in (INPUTS, OUTPUTS))
    found = measured({width: initial(width) for width in WIDTHS}, x, y)

    def times(name, layer):
        """The largest change over the smallest, of all widths."""
        known = (found.get((name, w), found["mup", w]) for w in WIDTHS)
        sizes = [float(x[layer]) for x in known]
        return max(sizes) / min(sizes)

    for layer in ("first", "hidden", "output"):
        assert times("mup", layer) < 1.3  # measured: 1.2 at most, of 16 seeds
    # Without: sums over the width of steps that are of one size, up to tanh's bounds.
    assert times("plain", "hidden") > 4  # measured: 5 and 9
    assert times("plain", "output") > 4


def table_of(narrow, wide, **kwargs):
    """By path: role and factor, as the table has them."""
    make = functools.partial(jax.tree.map, lambda s: np.zeros(s), is_leaf=is_shape)
    tx = gradtx.mup_scale(gradtx.adam(RATE), make(narrow), make(wide), **kwargs)
    lines = tx.table(make(wide)).splitlines()[1:]
    return {
        line.split()[0]: (role, float(factor))
        for line in lines
        for role, factor in [re.split(r"\s+", line)[-2:]]
    }


def is_shape(x):
    return isinstance(x, tuple)


NARROW = {
    "embed": (9, 4),
    "hidden": (4, 16),
    "bias": (16,),
    "head": (4, 2),
    "one": (3,),
}
WIDE = {"embed": (9, 8), "hidden": (8, 64), "bias": (64,), "head": (8, 2), "one": (3,)}


@pytest.mark.parametrize(
    ("options", "embed", "hidden", "bias", "head"),
    [
        ({}, 1, 1 / 2, 1, 1 / 2),
        ({"output": "multiplier"}, 1, 1 / 2, 1, 1),
        ({"rule": "sgd"}, 2, 2, 4, 1 / 2),
        ({"rule": "sgd", "output": "multiplier"}, 2, 2, 4, 2),
        # The table of words is shared with the output: of shape (9 words, 4).
        ({"roles": [("embed", "output")]}, 1 / 2, 1 / 2, 1, 1 / 2),
    ],
)
def test_the_factor_of_each_role(options, embed, hidden, bias, head):
    found = table_of(NARROW, WIDE, **options)
    expected = {"embed": embed, "hidden": hidden, "bias": bias, "head": head, "one": 1}
    assert {path: factor for path, (_, factor) in found.items()} == expected
    assert found["one"][0] == "fixed"
    assert found["hidden"][0] == "hidden"


def test_kernels_whose_outputs_come_first():
    flip = {key: shape[::-1] for key, shape in NARROW.items()}
    wide = {key: shape[::-1] for key, shape in WIDE.items()}
    assert table_of(flip, wide, out_axis=0) == table_of(NARROW, WIDE)


def test_a_decay_inside_is_scaled_and_one_around_is_not():
    base, model = np.zeros((2, 2)), np.zeros((4, 4))
    adamw, adam = gradtx.adamw(0.5, weight_decay=0.5), gradtx.adam(0.5)
    inside = gradtx.mup_scale(adamw, base, model)
    around = gradtx.with_decay(gradtx.mup_scale(adam, base, model), 0.5)
    params = jnp.ones((4, 4))
    nothing = jnp.zeros((4, 4))

    def moved(tx):
        return float(tx.update(nothing, tx.init(params), params)[0][0, 0])

    assert (moved(inside), moved(around)) == (-0.125, -0.25)


ADAM = gradtx.adam(RATE)


@pytest.mark.parametrize(
    ("narrow", "wide", "options", "says"),
    [
        ({"a": (2,)}, {"b": (2,)}, {}, r"base\['a'\] has no counterpart in model"),
        ({"a": (2,)}, {"a": (2, 2)}, {}, r"'a' has shape \(2,\) in base, \(2, 2\)"),
        ((2, 2, 2), (4, 4, 4), {}, "grows in 3 dimensions"),
        ((2, 2), (4, 4), {"roles": [("**", "output")]}, "cannot be 'output'"),
        ((2, 2), (4, 2), {"roles": [("**", "hidden")]}, "cannot be 'hidden'"),
        ((2, 2), (4, 2), {"roles": [("x", "input")]}, "'x' matches no parameter"),
        ((2, 2), (4, 2), {"roles": [("x", "middle")]}, r"roles\[0\] must be one of"),
        ((2, 2), (4, 2), {"rule": "muon"}, "rule must be one of"),
    ],
)
def test_what_does_not_fit_is_told(narrow, wide, options, says):
    with pytest.raises(ValueError, match=says):
        table_of(narrow, wide, **options)


def test_parameters_that_are_not_the_models_are_told():
    tx = gradtx.mup_scale(ADAM, shapes(8), shapes(32))
    with pytest.raises(ValueError, match=r"'bias' has shape \(8,\), and model \(32,\)"):
        tx.init(shapes(8))
