"""Masks and labels: what is a callable tree is a tree; labels are any hashables."""

import enum
import functools
import inspect
from typing import NamedTuple

import equinox
import flax
import jax
import jax.numpy as jnp
import pytest

import gradtx
from gradtx.core.trees import first_misfit, is_function


class Scaled(equinox.Module):
    """A model that can be called, as most are."""

    w: jax.Array
    b: jax.Array

    def __call__(self, x):
        return self.w @ x + self.b


@flax.struct.dataclass
class Struct:
    w: jax.Array
    b: jax.Array

    def __call__(self, x):
        return self.w @ x + self.b


class Callable(NamedTuple):
    w: jax.Array
    b: jax.Array

    def __call__(self, x):
        return self.w @ x + self.b


MODELS = [Scaled, Struct, Callable]
each_model = pytest.mark.parametrize("model", MODELS)


def numbers(model):
    return model(jnp.ones((2, 2)), jnp.ones(2))


def moved(tx, params):
    """Whether w and b have moved."""
    new, _ = tx.step(params, tx.init(params), params)
    return [bool(jnp.any(new.w != params.w)), bool(jnp.any(new.b != params.b))]


@each_model
def test_a_callable_mask_is_a_tree(model):
    params, mask = numbers(model), model(True, False)
    plain = gradtx.add_decayed_weights(0.5, mask)
    updates, _ = plain.update(params, plain.init(params), params)
    assert (float(updates.w[0, 0]), float(updates.b[0])) == (1.5, 1.0)
    assert moved(gradtx.masked(gradtx.sgd(1.0), mask, otherwise="zero"), params) == [
        True,
        False,
    ]
    frozen = gradtx.chain(gradtx.sgd(1.0), gradtx.freeze(mask))
    assert moved(frozen, params) == [False, True]


@pytest.mark.parametrize(
    "make",
    [gradtx.adamw, gradtx.nadamw, gradtx.adamaxw, gradtx.lion, gradtx.adadelta],
    ids=lambda make: make.__name__,
)
def test_every_mask_takes_one(make):
    [name] = [n for n in inspect.signature(make).parameters if n.endswith("mask")]
    tx = make(1.0, weight_decay=0.5, **{name: Scaled(True, False)})
    params = numbers(Scaled)
    zero = jax.tree.map(jnp.zeros_like, params)
    updates, _ = tx.update(zero, tx.init(params), params)
    assert float(updates.b[0]) == 0.0 != float(updates.w[0, 0])


@each_model
def test_injected_hyperparameters_leave_it_alone(model):
    params = numbers(model)
    make = gradtx.inject_hyperparams(gradtx.adamw)
    tx = make(0.0, weight_decay=0.1, mask=model(True, False))
    state = tx.init(params)
    assert "mask" not in state.hyperparams
    state.hyperparams["learning_rate"] = 1.0
    updates, _ = tx.update(jax.tree.map(jnp.zeros_like, params), state, params)
    assert float(updates.w[0, 0]) == pytest.approx(-0.1)
    assert float(updates.b[0]) == 0.0


@each_model
def test_callable_labels_are_a_tree(model):
    params = numbers(model)
    members = {"on": gradtx.sgd(1.0), "off": gradtx.set_to_zero()}
    assert moved(gradtx.partition(members, model("on", "off")), params) == [True, False]


def test_a_callable_tree_of_axes_is_no_function():
    with pytest.raises(TypeError, match="axis_name must be the name of a mesh axis"):
        gradtx.clip_by_global_norm(1.0, axis_name=Scaled("x", "y"))


class ByRank(equinox.Module):
    """A function without numbers, written as a module."""

    def __call__(self, tree):
        return jax.tree.map(lambda x: x.ndim > 1, tree)


def by_rank(rank, tree):
    return jax.tree.map(lambda x: x.ndim > rank, tree)


def test_functions_in_a_node_are_called():
    wrapped = [
        ByRank(),
        jax.tree_util.Partial(by_rank, 1),
        functools.partial(by_rank, 1),
        equinox.filter_jit(lambda tree: Scaled(True, False)),
    ]
    for mask in wrapped:
        assert is_function(mask)
        tx = gradtx.masked(gradtx.sgd(1.0), mask, otherwise="zero")
        assert moved(tx, numbers(Scaled)) == [True, False]
    assert not any(map(is_function, [True, None, Scaled(True, False), {"a": True}]))


class Group(enum.Enum):
    BODY = 1
    HEAD = 2


@flax.struct.dataclass  # frozen, hashable, and a tree itself
class Named:
    name: str = flax.struct.field(pytree_node=False)
    number: int = 0


LABELS = {
    "strings": ("a", "b"),
    "numbers": (0, 1.5),
    "enums": (Group.BODY, Group.HEAD),
    "tuples": (("enc", 0), ("enc", 1)),
    "nested": ((), (("a",), None)),
    "none": (None, "b"),
    "structs": (Named("a"), Named("b")),
    "frozensets": (frozenset("a"), frozenset("b")),
}


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_labels_are_any_hashables(labels):
    one, two = labels
    members = {one: gradtx.scale(2.0), two: gradtx.scale(3.0)}
    params = {"x": (jnp.ones(2), jnp.ones(1)), "y": jnp.ones([]), "z": None}
    for given in (
        {"x": (one, two), "y": two, "z": None},
        {"x": one, "y": one, "z": two},  # a prefix: for both leaves of x
        lambda tree: {"x": two, "y": one, "z": one},
        one,
    ):
        tx = gradtx.partition(members, given)
        state = tx.init(params)
        assert set(state.inner_states) == {one, two}
        updates, _ = tx.update(params, state, params)
        asked = given(params) if callable(given) else given
        if asked is one:
            asked = {"x": one, "y": one}
        under = asked["x"] if asked["x"] == (one, two) else (asked["x"],) * 2
        for label, found in zip(
            (*under, asked["y"]), (*updates["x"], updates["y"]), strict=True
        ):
            assert float(found.ravel()[0]) == (2.0 if label == one else 3.0)
        assert updates["z"] is None


def test_a_tuple_that_is_no_label_is_a_tree_of_them():
    members = {"a": gradtx.scale(2.0), "b": gradtx.scale(3.0)}
    tx = gradtx.partition(members, ("a", "b"))
    updates, _ = tx.update((1.0, 1.0), tx.init((1.0, 1.0)))
    assert [float(u) for u in updates] == [2.0, 3.0]
    wrong = gradtx.partition(members, {"w": ("a", "c")})
    with pytest.raises(
        ValueError, match=r"param_labels\['w'\] is a tuple of 2.*an array.*\['a', 'b'\]"
    ):
        wrong.init({"w": jnp.ones(2)})
    with pytest.raises(ValueError, match=r"param_labels\['w'\] is \{1\}; transf"):
        gradtx.partition(members, {"w": {1}}).init({"w": jnp.ones(2)})


DIFFERENT = [
    (
        {"a": (True, False)},
        {"a": [1.0, 2.0]},
        r"\['a'\] is a tuple of 2, .* a list of 2",
    ),
    (
        {"a": {"w": True}},
        {"a": flax.core.freeze({"w": 1.0})},
        r"\['a'\] is a dict with \['w'\], .* has a flax.*FrozenDict with \['w'\]",
    ),
    (
        {"w": True, "b": False},
        Scaled(1.0, 2.0),
        r"mask is a dict with \['b'\], \['w'\], .*Scaled with .w, .b",
    ),
    (
        [Struct(True, False)],
        [Scaled(1.0, 2.0)],
        r"mask\[0\] is a .*Struct with .w, .b, where the tree has a .*Scaled with",
    ),
    ((True,), (1.0, 2.0), r"mask is a tuple of 1, where the tree has a tuple of 2"),
    ({"a": {"b": True}}, {"a": 2.0}, r"\['a'\] is a dict .*, where the tree has 2.0"),
]


@pytest.mark.parametrize(("mask", "params", "said"), DIFFERENT)
def test_what_differs_is_shown(mask, params, said):
    with pytest.raises(ValueError, match=said):
        gradtx.masked(gradtx.sgd(0.1), mask).init(params)


def test_updates_of_other_containers_are_shown_too():
    params, grads = {"a": [1.0, 2.0]}, {"a": (1.0, 2.0)}
    tx = gradtx.sgd(0.1)
    with pytest.raises(
        ValueError,
        match=r"updates\['a'\] is a tuple of 2, params\['a'\] is a list of 2",
    ):
        tx.update(grads, tx.init(params), params)


def test_trees_that_do_not_differ_have_no_misfit():
    tree = {"a": [1.0, (2.0, None)], "b": Scaled(1.0, 2.0)}
    assert first_misfit(tree, tree) is None
    assert first_misfit({"a": True, "b": False}, tree, prefix=True) is None
