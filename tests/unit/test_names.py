"""Names of a state's leaves: they last through edits, and no two are the same."""

import inspect
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
import pytest

import gradtx
from gradtx.core.pair import GradientTransformation
from gradtx.tree.named import from_named, to_named

from .test_named import FACTORIES, assert_same, build, names, numbered

RATE = gradtx.constant_schedule(0.1)


@pytest.mark.parametrize("name", FACTORIES)
def test_neighbours_in_a_chain_rename_nothing(name):
    alone = names(build(name))
    behind = () if name == "write" else (gradtx.scale(2),)  # it refuses any
    edited = gradtx.chain(
        gradtx.clip(1.0), gradtx.chain(gradtx.zero_nans(), build(name)), *behind
    )
    if name == "zero_nans":
        alone = [x.replace("zero_nans", "zero_nans.1") for x in alone]
    assert {*alone} == {x for x in names(edited) if not x.startswith("zero_nans/")}


WRAPPERS = {
    name: parameter
    for name in FACTORIES
    if name != "selective_transform"  # a partition, whose members are named by labels
    for parameter, value in build(name).call.bound.arguments.items()
    if isinstance(value, GradientTransformation)
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_wrapper_renames_nothing_inside(name):
    inner = gradtx.adamw(RATE, weight_decay=0.0)  # with_decay refuses a second decay
    edited = gradtx.chain(gradtx.zero_nans(), inner)
    one = names(build(name, **{WRAPPERS[name]: inner}))
    two = names(build(name, **{WRAPPERS[name]: edited}))
    assert {*one} == {x for x in two if not x.startswith("zero_nans/")}
    assert {"adamw/count", "adamw/scale_by_learning_rate/count"} <= {*one}
    args = build(name, **{WRAPPERS[name]: edited}).call.bound.arguments
    injected = gradtx.inject_hyperparams(FACTORIES[name], static_args=[*args])
    assert {*names(injected(**args))} == {*two, "inject_hyperparams/count"}


SCHEDULED = [
    (name, parameter.name)
    for name, factory in FACTORIES.items()
    for parameter in inspect.signature(factory).parameters.values()
    if parameter.annotation == gradtx.ScalarOrSchedule
]


@pytest.mark.parametrize(("name", "argument"), SCHEDULED)
def test_a_schedule_adds_names_and_changes_none(name, argument):
    constant = {*names(build(name, **{argument: 0.1}))}
    scheduled = {*names(build(name, **{argument: RATE}))}
    # One that counts whether there is a schedule or not adds nothing for its own.
    assert constant <= scheduled
    counters = {"count", "t", "step_count"}
    assert constant < scheduled or counters & {x.split("/")[-1] for x in constant}
    # What scales by it calls it a learning rate (polyak_sgd's scaling), and what it is
    # handed to by the name that it has there (muon's adam_weight_decay).
    known = "count", argument, argument.removeprefix("adam_"), "learning_rate"
    assert all(path.split("/")[-1] in known for path in scheduled - constant)


def test_names_are_those_of_the_field_and_of_the_parameter():
    params = {"encoder": {"kernel": jnp.ones((2, 2)), "bias": None}}
    assert names(gradtx.adamw(0.1), params) == [
        "adamw/count",
        "adamw/mu/encoder/kernel",
        "adamw/nu/encoder/kernel",
    ]
    members = {"decayed": gradtx.adamw(0.1), "a/b": gradtx.sgd(0.1, 0.9)}
    tx = gradtx.chain(
        gradtx.named_chain(("opt", gradtx.MultiSteps(gradtx.lion(0.1), 2))),
        gradtx.partition(members, {"encoder": "a/b"}),
        gradtx.inject_hyperparams(gradtx.scale_by_learning_rate)(RATE),
    )
    assert names(tx, params) == [
        "opt/MultiSteps/mini_step",
        "opt/MultiSteps/gradient_step",
        "opt/lion/count",
        "opt/lion/mu/encoder/kernel",
        "opt/MultiSteps/acc_grads/encoder/kernel",
        "partition/a%2Fb/sgd/trace/encoder/kernel",
        "partition/decayed/adamw/count",
        "inject_hyperparams/count",
        "inject_hyperparams/hyperparams/learning_rate",
    ]


def test_members_of_one_name_are_numbered():
    trace = gradtx.trace(0.9)
    one, two = "trace/trace", "trace.1/trace"
    assert names(gradtx.chain(trace, trace), 1.0) == [one, two]
    masked = gradtx.masked(trace, True)
    edited = gradtx.chain(gradtx.ema(0.9), trace, gradtx.chain(gradtx.clip(1), masked))
    assert names(edited, 1.0)[2:] == [one, two]


def test_a_shared_step_is_called_the_same_in_every_alias():
    rate = [f"scale_by_learning_rate/{x}" for x in ("count", "learning_rate")]
    assert names(gradtx.sgd(RATE), 1.0) == [f"sgd/{x}" for x in rate]
    assert names(gradtx.sgd(RATE, 0.9), 1.0) == [
        "sgd/trace",
        *(f"sgd/{x}" for x in rate),
    ]
    own = ["adadelta/e_g", "adadelta/e_x"]
    assert names(gradtx.adadelta(RATE), 1.0) == [*own, *(f"adadelta/{x}" for x in rate)]


@gradtx.transformation
def two_traces():
    return gradtx.chain(gradtx.trace(0.9), gradtx.trace(0.8))


def test_no_two_leaves_share_a_name():
    # The one's field and the other's own name would be the same, and so the paths.
    params = {"trace": {"a": jnp.ones(1)}, "a": jnp.ones(1)}
    assert names(two_traces(), params) == [
        "two_traces/trace/a",
        "two_traces/trace/trace/a",
        "two_traces/trace.1/trace/a",
        "two_traces/trace.1/trace/trace/a",
    ]
    named = gradtx.named_chain(("two_traces", gradtx.trace(0.7)))
    assert (
        names(gradtx.chain(two_traces(), named), 1.0)[-1] == "two_traces.1/trace/trace"
    )


def test_wrappers_in_wrappers():
    def guard(inner):
        return gradtx.apply_if_finite(inner, 5)

    inner = gradtx.chain(gradtx.clip(1.0), gradtx.trace(0.9))
    fields = ["notfinite_count", "last_finite", "total_notfinite"]
    one = [f"apply_if_finite/{field}" for field in fields]
    two = [f"apply_if_finite.1/{field}" for field in fields]
    assert names(guard(guard(inner)), 1.0) == [*one, *two, "trace/trace"]
    flat = gradtx.flatten(gradtx.flatten(guard(gradtx.maximize(inner))))
    assert names(flat, 1.0) == [*one, "trace/trace/float32"]
    parts = gradtx.partition(
        {"all": gradtx.chain(gradtx.ema(0.9), guard(inner))}, "all"
    )
    assert names(parts, 1.0)[2:] == [
        f"partition/all/{x}" for x in (*one, "trace/trace")
    ]
    both = gradtx.masked(gradtx.masked(guard(inner), True), True)
    assert names(both, 1.0) == [*one, "trace/trace"]


class Twins(list):
    """A node whose two children have one key."""


jax.tree_util.register_pytree_with_keys(
    Twins,
    lambda twins: ([(jax.tree_util.DictKey("a"), x) for x in twins], None),
    lambda _, children: Twins(children),
)


def test_one_name_for_two_leaves_is_refused():
    tx = gradtx.trace(0.9)
    with pytest.raises(ValueError, match=r"two entries .* are named 'trace/trace/a'"):
        to_named(tx, tx.init(Twins([1.0, 2.0])))


class Odd(NamedTuple):
    inner: Any
    count: Any


@gradtx.transformation
def odd(inner):
    def init(params):
        return Odd(inner.init(params), jnp.zeros([]))

    return init, lambda updates, state, params=None: (updates, state)


def test_a_wrapper_that_follows_no_convention_is_named_by_places():
    inner = gradtx.chain(gradtx.clip(1.0), gradtx.trace(0.9))
    assert names(odd(inner), 1.0) == ["odd/inner/1/trace", "odd/count"]


def test_members_from_optax_have_names_that_last():
    params = {"w": jnp.ones(2)}
    foreign = optax.chain(optax.trace(0.9), optax.scale_by_adam())
    one = gradtx.chain(optax.scale_by_adam(), foreign)
    two = gradtx.chain(gradtx.trace(0.9), foreign, gradtx.to_optax(gradtx.adam(0.1)))
    assert names(one, params)[:3] == [
        "scale_by_adam/count",
        "scale_by_adam/mu/w",
        "scale_by_adam/nu/w",
    ]
    last = ["chain/0/trace/w", "chain/1/count", "chain/1/mu/w", "chain/1/nu/w"]
    assert names(one, params)[3:] == last
    assert names(two, params)[:5] == ["trace/trace/w", *last]
    assert names(two, params)[5] == "chain.1/0/count"
    state = numbered(two.init(params))
    assert_same(from_named(two, to_named(two, state), two.init(params)), state)
