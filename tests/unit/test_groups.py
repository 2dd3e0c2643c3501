"""Groups: who is in which, what an error says, and the numbers of optimizers apart."""

import pickle
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

PARAMS = {
    "embed": {"table": jnp.ones((3, 2))},
    "layers": [{"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)} for _ in range(2)],
    "head": {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)},
}
PATHS = [
    *("embed/table", "head/bias", "head/kernel"),
    *(f"layers/{i}/{name}" for i in (0, 1) for name in ("bias", "kernel")),
]


def matched(pattern, params=PARAMS):
    """The paths that go to the pattern's group: those that it moves."""
    tx = gradtx.groups([(pattern, gradtx.sgd(1.0))], default=gradtx.set_to_zero())
    updates, _ = tx.update(params, tx.init(params), params)
    leaves = jax.tree_util.tree_flatten_with_path(updates)[0]
    return [
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, x in leaves
        if jnp.any(x)
    ]


def ends(text):
    return [path for path in PATHS if path.endswith(text)]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("head", ["head/bias", "head/kernel"]),  # a node and all below
        ("head/", ["head/bias", "head/kernel"]),
        ("head/bias", ["head/bias"]),
        ("*/bias", ["head/bias"]),  # one step
        ("**/bias", ends("bias")),
        ("layers/*/bias", ["layers/0/bias", "layers/1/bias"]),
        ("layers/**", PATHS[3:]),
        ("layers/1", PATHS[5:]),
        ("h?ad", ["head/bias", "head/kernel"]),
        ("**", PATHS),
        (re.compile("bias"), ends("bias")),
        (re.compile(r"^layers/.*(bias|scale)$"), ["layers/0/bias", "layers/1/bias"]),
        (lambda path, leaf: leaf.shape == (2, 3), ["head/kernel"]),
    ],
)
def test_what_a_pattern_matches(pattern, expected):
    assert matched(pattern) == expected


def test_a_dot_of_a_string_is_a_dot():
    params = {"a.b": jnp.ones(1), "a_b": jnp.ones(1), "x/y": jnp.ones(1)}
    assert matched("a.b", params) == ["a.b"]
    assert matched("x", params) == ["x/y"]  # as Haiku names its modules


def test_a_function_sees_only_leaves_that_are_there_and_left():
    def vector(path, leaf):
        return leaf.ndim == 1

    def wide(path, leaf):
        return leaf.shape[1] == 3  # a vector has no such axis

    tx = gradtx.groups([(vector, None), (wide, None)], default=gradtx.sgd(1.0))
    params = {**PARAMS, "none": None}
    updates, _ = tx.update(params, tx.init(params), params)
    assert updates["none"] is None
    assert not jnp.any(updates["head"]["kernel"])
    assert jnp.all(updates["embed"]["table"] == -1)
    only = gradtx.groups([(lambda path, leaf: leaf.ndim < 3, gradtx.sgd(1.0))])
    assert only.update(params, only.init(params))[0]["none"] is None


def test_each_group_moves_as_its_own_optimizer_alone():
    default = gradtx.adamw(1e-2, weight_decay=0.1)
    tx = gradtx.groups(
        [
            ("embed", None),
            ("**/bias", dict(weight_decay=0.0)),
            ("head", dict(learning_rate=1e-3, multiplier=0.5)),
            ("layers/0", gradtx.sgd(0.1)),
        ],
        default=default,
    )
    alone = {
        "embed/table": gradtx.sgd(0.0),
        "head/kernel": gradtx.chain(
            gradtx.adamw(1e-3, weight_decay=0.1), gradtx.scale(0.5)
        ),
        "layers/0/kernel": gradtx.sgd(0.1),
        "layers/1/kernel": default,
        **dict.fromkeys(ends("bias"), gradtx.adamw(1e-2, weight_decay=0.0)),
    }
    step = jax.jit(tx.step)
    params, state = PARAMS, tx.init(PARAMS)
    for _ in range(3):
        params, state = step(PARAMS, state, params)
    for path, found in zip(PATHS, jax.tree.leaves(params), strict=True):
        own, p = alone[path], jnp.ones_like(found)
        s = own.init(p)
        for _ in range(3):
            p, s = own.step(jnp.ones_like(p), s, p)
        np.testing.assert_allclose(found, p, rtol=1e-6, err_msg=path)  # as compiled


def test_frozen_parameters_have_no_state():
    tx = gradtx.groups([("embed", None)], default=gradtx.adam(0.1))
    assert not jax.tree.leaves(tx.init(PARAMS).inner_states["embed"])


def test_a_rate_is_read_and_set_by_group():
    adam = gradtx.inject_hyperparams(gradtx.adam)
    tx = gradtx.groups([("head", dict(learning_rate=0.5))], default=adam(0.1))
    state = tx.init(PARAMS)
    tree = gradtx.tree
    assert tree.get(state, "learning_rate", group="head") == 0.5
    assert tree.get(state, "learning_rate", group="default") == np.float32(0.1)
    changed = tree.set(state, tree.in_group("head"), learning_rate=2.0)
    assert tree.get(changed, "learning_rate", group="head") == 2.0
    assert tree.get(changed, "learning_rate", group="default") == np.float32(0.1)
    with pytest.raises(KeyError):
        tree.get(state, "learning_rate", group="tail")


def test_the_table():
    tx = gradtx.groups(
        [("**/bias", dict(weight_decay=0.0)), ("embed", None)],
        default=gradtx.adamw(1e-3),
    )
    expected = """\
group    leaves  parameters  optimizer
**/bias       3           7  adamw(learning_rate=0.001, weight_decay=0.0)
embed         1           6  frozen
default       3          14  adamw(0.001)
all           7          27"""
    assert tx.table(PARAMS) == expected
    shapes = jax.eval_shape(lambda: PARAMS)
    assert gradtx.chain(gradtx.clip(1.0), tx).table(shapes) == expected
    with pytest.raises(TypeError, match="has no groups"):
        gradtx.adam(0.1).table(PARAMS)


def test_it_passes_what_a_mask_leaves_of_the_parameters():
    tx = gradtx.groups([("head", None)], default=gradtx.sgd(1.0))
    tx = gradtx.masked(tx, {"embed": True, "layers": True, "head": False})
    updates, _ = tx.update(PARAMS, tx.init(PARAMS), PARAMS)
    chex.assert_trees_all_equal(updates["embed"]["table"], -jnp.ones((3, 2)))


def test_it_pickles_and_compares_by_its_call():
    def build():
        rules = [("head", dict(b1=0.8)), (re.compile("bias$"), None)]
        return gradtx.groups(rules, default=gradtx.adam(0.1))

    assert build() == build() == pickle.loads(pickle.dumps(build()))
    assert repr(build()).startswith("groups([('head', {'b1': 0.8}), ")


ADAMW = gradtx.adamw(0.1)


@pytest.mark.parametrize(
    ("rules", "default", "kind", "text"),
    [
        ([("haed", None)], ADAMW, ValueError, "'haed' matches no .* nearest: head/"),
        ([("head", None), ("head/bias", None)], ADAMW, ValueError, "taken by 'head'"),
        ([("head", None)], None, ValueError, "'embed/table' and 4 more, and there is"),
        ([("head", None), ("head", None)], ADAMW, ValueError, "'head' comes twice"),
        ([("default", None)], ADAMW, ValueError, "'default' comes twice"),
        ([("head", dict(wd=0.0))], ADAMW, TypeError, "no argument 'wd', only learning"),
        ([("head", dict(b1=1.5))], ADAMW, ValueError, "b1 must be in"),
        ([("head", dict(multiplier=-1.0))], ADAMW, ValueError, "multiplier"),
        ([("head", dict(b1=0.5))], None, TypeError, "there is no default"),
        ([("head", dict(multiplier=0.5))], None, TypeError, "there is none"),
        (
            [("head", dict(b1=0.5))],
            gradtx.chain(gradtx.clip(1.0), ADAMW),
            TypeError,
            "goes in front of groups",
        ),
        ([("head", gradtx.sgd)], ADAMW, TypeError, r"'head': .* Call it: sgd"),
        ([(7, None)], ADAMW, TypeError, "rule 0: a pattern is a string"),
        (["head"], ADAMW, TypeError, "rule 0 must be"),
        ([("head", None)], gradtx.sgd, TypeError, "groups: default"),
    ],
)
def test_what_is_wrong_is_said(rules, default, kind, text):
    with pytest.raises(kind, match=text):
        gradtx.groups(rules, default).init(PARAMS)
