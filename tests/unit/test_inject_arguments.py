"""inject_hyperparams: what it takes, what it refuses, what it says of itself."""

import copy
import functools
import inspect
import math
import pickle

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import inject_hyperparams
from gradtx.schedules.inject import Hyperparams

from .test_inject import LINE, assert_close, run


@pytest.fixture
def params():
    return {"w": jnp.array([[1.0, -2.0], [0.5, 3.0]]), "b": jnp.array([1.0, -1.0])}


def test_what_stays_static(params):
    def factory(
        learning_rate,
        size: int,
        mask=None,
        sampler=jax.random.normal,
        dtype=None,
        name="x",
        flag=True,
        inner=None,
        table=None,
        **others,
    ):
        static = (size, mask, sampler, dtype, name, flag, inner, table)
        assert static == (3, all, jax.random.normal, jnp.bfloat16, "x", True, *rest)
        assert others.keys() == {"momentum", "scheduled"}
        return gradtx.sgd(learning_rate, others["momentum"])

    table = np.ones(3)
    rest = (gradtx.sgd(0.1), table)
    tx = inject_hyperparams(factory, static_args="mask")(
        0.1,
        3,
        mask=all,
        dtype=jnp.bfloat16,
        inner=rest[0],
        table=table,
        momentum=0.9,
        scheduled=LINE,
    )
    state = run(tx, params)[1]
    assert set(state.hyperparams) == {"learning_rate", "momentum", "scheduled"}


def test_whole_numbers(params):
    def factory(
        rate, plain, power: int, decay: float = 0.5, other: "float | None" = None
    ):
        return gradtx.sgd(rate * decay)

    state = inject_hyperparams(factory)(1.0, 2, 3, 1, other=1).init(params)
    kinds = {name: x.dtype for name, x in state.hyperparams.items()}
    floating, whole = jnp.dtype(jnp.float32), jnp.dtype(jnp.int32)
    assert kinds == {
        "rate": floating,
        "plain": whole,
        "decay": floating,
        "other": floating,
    }
    rate = inject_hyperparams(gradtx.adam)(1).init(params).hyperparams["learning_rate"]
    assert rate.dtype == jnp.float32
    state.hyperparams["plain"] = 5.0  # whole enough
    with pytest.raises(TypeError, match=r"hyperparams\['plain'\] is int32"):
        state.hyperparams["plain"] = 0.5


def test_a_factory_that_needs_python_numbers_is_told(params):
    def factory(rate, layers):
        return gradtx.sgd(rate / len(range(layers)))

    tx = inject_hyperparams(factory)(0.1, layers=3)
    with pytest.raises(jax.errors.JAXTypeError) as info:
        tx.init(params), jax.jit(tx.update)(params, tx.init(params))
    assert any("static_args" in note for note in info.value.__notes__)
    inject_hyperparams(factory, "layers")(0.1, layers=3).init(params)


def test_numbers_out_of_range_are_refused_at_construction():
    with pytest.raises(ValueError, match=r"b1 must be in \[0, 1\), got 1.5"):
        inject_hyperparams(gradtx.adam)(0.1, b1=1.5)
    with pytest.raises(ValueError, match=r"b1 must be in \[0, 1\), got 1.5"):
        inject_hyperparams(gradtx.adam)(0.1, b1=gradtx.constant_schedule(1.5))
    with pytest.raises(ValueError, match="learning_rate must be finite"):
        inject_hyperparams(gradtx.adam)(math.nan)


def test_wrong_arguments_are_refused():
    with pytest.raises(TypeError, match=r"hyperparams\(adam\): .*unexpected.*'b3'"):
        inject_hyperparams(gradtx.adam)(0.1, b3=0.5)
    with pytest.raises(TypeError, match="learning_rate"):
        inject_hyperparams(gradtx.adam)()
    with pytest.raises(ValueError, match=r"static_args.*adam.*got \['b3'\]"):
        inject_hyperparams(gradtx.adam, static_args=("b1", "b3"))
    with pytest.raises(TypeError, match="needs a factory"):
        inject_hyperparams(gradtx.adam(0.1))


def test_a_function_that_is_no_schedule_is_named():
    def by_rank(params):
        return jax.tree.map(lambda p: p.shape[0] > 1, params)

    with pytest.raises(TypeError, match=r"mask is a function.*static_args='mask'"):
        inject_hyperparams(gradtx.adamw)(0.1, mask=by_rank)
    with pytest.raises(TypeError, match=r"b1\(0\) is .*, not a number"):
        inject_hyperparams(gradtx.adamw)(0.1, b1=lambda t: jnp.ones(2))
    tx = inject_hyperparams(gradtx.adamw, static_args="mask")(0.1, mask=by_rank)
    assert "mask" not in tx.init(jnp.ones(2)).hyperparams


def test_another_state_is_refused(params):
    tx = inject_hyperparams(gradtx.sgd)(0.1)
    state = tx.init(params)
    with pytest.raises(TypeError, match="not a InjectHyperparamsState"):
        tx.update(params, state.inner_state)
    with pytest.raises(ValueError, match=r"state.hyperparams must have"):
        tx.update(params, state._replace(hyperparams={"learning_rate": 0.1}))


def test_hyperparams_is_a_careful_dict(params):
    state = inject_hyperparams(gradtx.sgd)(0.1).init(params)
    values = state.hyperparams
    assert isinstance(values, dict)
    assert repr(values) == repr(dict(values))
    with pytest.raises(KeyError, match=r"no hyperparameter 'lr'.*learning_rate"):
        values["lr"] = 0.1
    with pytest.raises(KeyError, match="'lr'"):
        values.update(lr=0.1)
    with pytest.raises(ValueError, match=r"shape \(\), got one of shape \(2,\)"):
        values["learning_rate"] = jnp.ones(2)
    with pytest.raises(TypeError, match="must be an array of float32"):
        values["learning_rate"] = "fast"
    with pytest.raises(TypeError, match="is float32"):
        values["learning_rate"] = 1j
    for again in (
        values.copy(),
        copy.deepcopy(values),
        pickle.loads(pickle.dumps(values)),
        jax.tree.map(lambda x: x, values),
    ):
        assert type(again) is Hyperparams
        assert again == values
    paths = [jax.tree_util.keystr(p) for p, _ in jax.tree.leaves_with_path(values)]
    assert paths == ["['dampening']", "['learning_rate']"]
    other = Hyperparams({"dampening": 0.0, "learning_rate": 0.1})  # in another order
    assert jax.tree.structure(other) == jax.tree.structure(values)


def test_flax_serializes_the_state(params):
    tx = inject_hyperparams(gradtx.adam)(LINE)
    state = run(tx, params)[1]
    data = flax.serialization.to_bytes(state)
    restored = flax.serialization.from_bytes(tx.init(params), data)
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    assert_close(restored, state)
    tx.update(params, restored)


def test_compares_hashes_pickles_and_prints_by_value(params):
    tx = inject_hyperparams(gradtx.adam)(learning_rate=0.1)
    assert repr(tx) == "inject_hyperparams(adam)(learning_rate=0.1)"
    assert tx == inject_hyperparams(gradtx.adam)(0.1, b1=0.9)
    assert tx != inject_hyperparams(gradtx.adam)(0.2)
    assert tx != inject_hyperparams(gradtx.nadam)(0.1)
    assert tx != inject_hyperparams(gradtx.adam, static_args="b1")(0.1)
    assert hash(tx) == hash(inject_hyperparams(gradtx.adam)(0.1))
    scheduled = inject_hyperparams(gradtx.adam, "eps")(LINE, mu_dtype=jnp.float32)
    for one in (tx, scheduled, inject_hyperparams(gradtx.adam)):
        assert pickle.loads(pickle.dumps(one)) == one
    assert repr(scheduled) == (
        "inject_hyperparams(adam, static_args=('eps',))"
        "(linear_schedule(1.0, 0.0, 10), mu_dtype=float32)"
    )
    with pytest.raises(pickle.PicklingError, match="lambda"):
        pickle.dumps(inject_hyperparams(lambda rate: gradtx.sgd(rate))(0.1))


def test_rebuilt_it_is_not_traced_again(params):
    traces = []

    @functools.partial(jax.jit, static_argnums=0)
    def update(tx, state):
        traces.append(1)
        return tx.update(params, state, params)

    for _ in range(3):
        tx = inject_hyperparams(gradtx.adam)(gradtx.cosine_decay_schedule(0.1, 10))
        update(tx, tx.init(params))
    assert len(traces) == 1


def test_describes_what_is_inside():
    lines = gradtx.describe(inject_hyperparams(gradtx.adam)(LINE, eps=0.1)).splitlines()
    assert (
        lines[0] == "inject_hyperparams(adam)(linear_schedule(1.0, 0.0, 10), eps=0.1)"
    )
    assert lines[1].strip() == "at step 0: adam(1.0, eps=0.1)"
    assert lines[2].strip().startswith("scale_by_adam(b1=0.9, b2=0.999, eps=0.1")
    assert (
        lines[-1].strip() == "scale_by_learning_rate(learning_rate=1.0, flip_sign=True)"
    )


def test_has_the_signature_of_the_inner_factory():
    assert inspect.signature(inject_hyperparams(gradtx.adam)) == inspect.signature(
        gradtx.adam
    )
