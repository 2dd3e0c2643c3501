"""`gradtx.optax` has Optax's names, and each can be called as Optax's."""

import inspect
from types import ModuleType

import jax.numpy as jnp
import numpy as np
import optax as installed_optax
import pytest

import gradtx
import gradtx.optax as optax
from gradtx.optax import _program
from gradtx.optax._names import NAMES, VERSION
from gradtx.testing import VALUES
from tests.compat import optax_names

ROWS = optax_names.rows()
ANSWERED = [row for row in ROWS if row.here is not None]

# Of the next version; and deprecated names, which `dir` does not show.
NOT_SHOWN = {
    "contrib.cautious",
    "contrib.CautiousState",
    "differentially_private_aggregate",
    "DifferentiallyPrivateAggregateState",
    "dpsgd",
    "tree_utils.tree_add_scalar_mul",
    "tree_utils.tree_l1_norm",
    "tree_utils.tree_l2_norm",
    "tree_utils.tree_linf_norm",
    "tree_utils.tree_scalar_mul",
}

# Optax's default is None, which here is refused: a rate of None leaves the sign as it
# is, so that the loss grows; noise needs a key, in Optax too.
NOT_NONE = {
    "adadelta.learning_rate",
    "add_noise.key",
    "differentially_private_aggregate.key",
    "scale_by_learning_rate.learning_rate",
}

# Arguments of schedules, by name.
SCHEDULES = {
    "boundaries": [3],
    "boundaries_and_scales": {3: 0.5},
    "decay_rate": 0.5,
    "decay_steps": 10,
    "end_value": 0.1,
    "init_value": 0.2,
    "interpolate_type": "linear",
    "inner_factory": gradtx.sgd,
    "peak_value": 1.0,
    "power": 1,
    "schedules": [gradtx.constant_schedule(0.1), gradtx.constant_schedule(0.2)],
    "transition_steps": 10,
    "value": 0.1,
    "warmup_steps": 2,
    "cosine_kwargs": [
        {"init_value": 0.0, "peak_value": 1.0, "warmup_steps": 1, "decay_steps": 4}
    ],
}

# Arguments of aggregators, by name.
AGGREGATORS = {
    "accumulation_steps": 2,
    "aggregator": gradtx.aggregating.average_per_element_updates(),
    "per_elt_axis": 0,
    "postprocessor": gradtx.sgd(0.1),
    "preprocessor": gradtx.identity(),
}

SAME_VERSION = pytest.mark.skipif(
    installed_optax.__version__ != VERSION,
    reason=f"the list is that of Optax {VERSION}, and another is installed",
)


@SAME_VERSION
def test_the_list_has_what_optax_has():
    found = {
        optax_names.Row(path, name, None, []).full
        for path, names in NAMES.items()
        for name in names
    }
    theirs = {row.full for row in ROWS} - NOT_SHOWN
    assert found - NOT_SHOWN == theirs
    assert all(names == sorted(names, key=str.lower) for names in NAMES.values())


def test_every_name_has_an_answer():
    assert [row.full for row in ROWS if row.is_missing] == []


@SAME_VERSION
def test_the_page_and_the_stubs_are_current():
    assert optax_names.PAGE.read_text() == optax_names.page(ROWS)
    for path, text in optax_names.stubs().items():
        assert path.read_text() == text


def is_factory(row):
    ours = optax_names.pair(row.path, row.name)[1]
    is_schedule = row.path == "schedules" and row.name[0].islower()
    return is_schedule or getattr(ours, "is_transformation", False)


FACTORIES = {row.full: row for row in ANSWERED if is_factory(row)}


# optimistic_adam, which warns of itself as Optax's does.
@pytest.mark.filterwarnings("ignore:use `optimistic_adam_v2`:DeprecationWarning")
@pytest.mark.parametrize("name", FACTORIES)
def test_a_call_as_optax_has_it_works(name):
    peer, ours = optax_names.pair(*FACTORIES[name][:2])
    args, kwargs = [], {}
    for parameter in inspect.signature(peer or ours).parameters.values():
        own = f"{ours.__name__}.{parameter.name}"
        value = parameter.default
        if value is parameter.empty or own in NOT_NONE:
            known = {**SCHEDULES, **AGGREGATORS, **VALUES}
            value = known.get(own, known.get(parameter.name))
        if parameter.kind is parameter.VAR_POSITIONAL:
            args += value or []
        elif parameter.kind is parameter.KEYWORD_ONLY:
            kwargs[parameter.name] = value
        elif parameter.kind is not parameter.VAR_KEYWORD:
            args.append(value)
    assert ours(*args, **kwargs) is not None


def test_states_have_the_fields_of_optax():
    states = [optax_names.pair(*row[:2]) for row in ANSWERED if "State" in row.name]
    pairs = [(a, b) for a, b in states if hasattr(a, "_fields")]
    assert len(pairs) > 20
    for theirs, ours in pairs:
        assert theirs._fields == ours._fields[: len(theirs._fields)], ours


def test_modules_are_where_optax_has_them():
    for path, names in NAMES.items():
        module = eval(f"optax.{path}" if path else "optax")
        assert isinstance(module, ModuleType)
        assert set(module.__all__ if names else []) <= set(names)
        assert set(dir(module)) >= set(optax_names.present(path))


def test_import_star_brings_the_names_alone():
    space = {}
    exec("from gradtx.optax.tree_utils import *", space)
    assert space["tree_scale"] is gradtx.tree.scale
    assert set(space) - {"__builtins__"} <= set(NAMES["tree_utils"])


@pytest.mark.parametrize(
    ("module", "name", "message"),
    [
        ("", "hungarian_algorithm", "assignment.hungarian_algorithm"),
        (
            "contrib",
            "adamw",
            r"'optax.contrib' has no attribute 'adamw'; there is adamw",
        ),
        ("", "adam_lp", "it is gradtx.adam_lp"),
        ("", "nowhere", "names of Optax 0.2.8"),
    ],
)
def test_a_name_that_is_not_there_says_what_is(module, name, message):
    with pytest.raises(AttributeError, match=message):
        getattr(eval(f"optax.{module}" if module else "optax"), name)


def test_a_name_that_gradtx_lacks_says_who_answers(monkeypatch):
    monkeypatch.delattr(gradtx, "adam")
    with pytest.raises(AttributeError, match="adam is not in gradtx yet; with Optax"):
        gradtx.optax._lookup.find("", "adam")


def test_what_optax_spells_differently():
    tree = {"a": jnp.array([3.0, -4.0])}
    assert optax.global_norm(updates=tree) == 5
    assert optax.tree_utils.tree_l1_norm(tree) == 7
    assert optax.tree_utils.tree_l2_norm(tree) == 5
    assert optax.tree_utils.tree_linf_norm(tree) == 4
    assert optax.tree.get(tree, "b") is optax.tree_utils.tree_get(tree, "b") is None
    assert optax.tree.get(tree, "b", 1) == 1
    assert optax.init_empty_state(tree) == gradtx.EmptyState() == optax.ScaleState()
    assert optax.safe_int32_increment(jnp.int32(2**31 - 1)) == 2**31 - 1
    state = optax.clip(1.0).init(tree), optax.add_decayed_weights(0.1).init(tree)
    assert isinstance(state[0], optax.ClipState)
    assert isinstance(state[1], optax.AddDecayedWeightsState)
    scores, labels = jnp.array([[1.0, 0.5, 0.9]]), jnp.array([0])
    np.testing.assert_allclose(  # the same three operations in float32
        optax.losses.multiclass_hinge_loss(scores, labels),
        installed_optax.losses.multiclass_hinge_loss(scores, labels),
        rtol=1e-6,
    )


def test_multi_steps_is_a_class():
    tx = optax.MultiSteps(optax.sgd(0.1), every_k_schedule=2)
    assert tx == gradtx.MultiSteps(optax.sgd(0.1), every_k_schedule=2)
    assert isinstance(tx, optax.MultiSteps | None)
    assert isinstance(tx.gradient_transformation(), optax.GradientTransformation)
    assert not isinstance(optax.sgd(0.1), optax.MultiSteps)
    assert inspect.signature(optax.MultiSteps) == inspect.signature(gradtx.MultiSteps)


def test_a_schedule_of_many_counts_is_the_schedule_of_each():
    steps = np.arange(12).reshape(3, 4)
    for schedule in (
        optax.warmup_cosine_decay_schedule(0.0, 1.0, 3, 9),
        optax.join_schedules(
            [optax.constant_schedule(1.0), optax.linear_schedule(1, 0, 3)], [4]
        ),
        optax.piecewise_constant_schedule(1.0, {2: 0.5, 7: 0.5}),
    ):
        each = [[float(schedule(int(step))) for step in row] for row in steps]
        # Compiled for an array it may be rounded once more.
        np.testing.assert_allclose(schedule(steps), each, rtol=1e-6)


def test_private_modules_answer_to_every_name():
    find = gradtx.optax._lookup.find
    assert find("_src.base", "adamw") is find("contrib._x", "adamw") is gradtx.adamw
    assert find("_src.x", "tree_scale") is gradtx.tree.scale
    assert find("_src.transform", "ScaleByRmsWithCountState")._fields == ("count", "nu")
    assert find("_src.utils", "canonicalize_dtype")(None) is None
    assert find("_src.utils", "canonicalize_dtype")(float) == "float32"
    assert find("_src.utils", "canonicalize_key")(0).shape == ()
    with pytest.raises(AttributeError):
        find("_src.base", "nowhere")


def test_what_optax_answers_is_of_gradtxs_types():
    theirs = _program.installed()
    assert theirs is not installed_optax
    tx = theirs.chain(theirs.masked(theirs.scale(2.0), True), gradtx.scale(2.0))
    assert isinstance(tx, gradtx.GradientTransformationExtraArgs)
    state = tx.init(1.0)
    assert isinstance(state[0], gradtx.MaskedState)
    assert isinstance(state[0].inner_state, gradtx.EmptyState)
    assert tx.update(1.0, state)[0] == 4
    # The one that others have imported is left alone.
    assert not isinstance(installed_optax.scale(2.0), gradtx.GradientTransformation)


def test_installing_comes_before_optax():
    with pytest.raises(RuntimeError, match="before everything that imports it"):
        gradtx.optax.install()
