"""inject_hyperparams: numbers in the state, changed without compiling again."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx
from gradtx import inject_hyperparams
from gradtx.schedules.inject import Hyperparams

LINE = gradtx.linear_schedule(1.0, 0.0, 10)


@pytest.fixture
def params():
    return {"w": jnp.array([[1.0, -2.0], [0.5, 3.0]]), "b": jnp.array([1.0, -1.0])}


def run(tx, params, steps=5, apply=gradtx.apply_updates):
    """The parameters and the state after some steps of f(x) = |x|^2 / 2 in a scan."""

    def body(carry, _):
        params, state = carry
        updates, state = tx.update(params, state, params)
        return (apply(params, updates), state), None

    carry = params, tx.init(params)
    return jax.jit(lambda c: jax.lax.scan(body, c, length=steps)[0])(carry)


def assert_close(a, b, rtol=1e-6):
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol), a, b
    )


def test_is_the_inner_one(params):
    assert_close(
        run(inject_hyperparams(gradtx.adamw)(0.1, weight_decay=0.2), params)[0],
        run(gradtx.adamw(0.1, weight_decay=0.2), params)[0],
        rtol=1e-5,  # b2 is rounded to float32: 1 - b2 is wrong by 1e-5
    )


def test_is_that_of_optax_with_schedules(params):
    def b1(count):
        return 0.9 - 0.1 * count

    ours = run(inject_hyperparams(gradtx.adam)(LINE, b1=b1), params)
    theirs = run(
        optax.inject_hyperparams(optax.adam)(
            optax.linear_schedule(1.0, 0.0, 10), b1=b1
        ),
        params,
        apply=optax.apply_updates,
    )
    assert_close(ours[0], theirs[0], rtol=3e-6)
    assert dict(ours[1].hyperparams).keys() == theirs[1].hyperparams.keys()
    assert_close(dict(ours[1].hyperparams), theirs[1].hyperparams)


def test_takes_factories_of_optax(params):
    ours = run(inject_hyperparams(optax.adam)(LINE), params)
    theirs = run(optax.inject_hyperparams(optax.adam)(LINE), params)
    assert_close(ours[0], theirs[0])


def test_state_has_numbers_and_nothing_else(params):
    tx = inject_hyperparams(gradtx.adam)(LINE, b1=jnp.array(0.8))
    state = tx.init(params)
    assert isinstance(state, gradtx.schedules.InjectHyperparamsState)
    assert state.count == 0
    assert list(state.hyperparams) == ["learning_rate", "b1", "b2", "eps", "eps_root"]
    for value in state.hyperparams.values():
        assert value.dtype == jnp.float32
        assert not value.weak_type
    assert state.hyperparams["learning_rate"] == 1.0  # the value of step 0


def test_holds_the_value_of_the_last_step(params):
    tx = inject_hyperparams(gradtx.sgd)(LINE)
    state = tx.init(params)
    for i in range(3):
        _, state = tx.update(params, state, params)
        assert state.hyperparams["learning_rate"] == LINE(i)
        assert state.count == i + 1


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.complex64])
def test_hyperparameters_are_never_below_float32(dtype):
    params = jnp.ones(3, dtype)
    state = run(
        inject_hyperparams(gradtx.adam)(jnp.asarray(0.1, jnp.bfloat16)), params
    )[1]
    assert state.hyperparams["b2"] == np.float32(0.999)  # 1 in bfloat16
    assert {x.dtype for x in state.hyperparams.values()} == {jnp.dtype(jnp.float32)}


def test_hyperparameters_are_as_wide_as_the_parameters():
    with jax.enable_x64(True):
        tx = inject_hyperparams(gradtx.sgd)(0.1)
        wide = tx.init(jnp.ones(2, jnp.float64)).hyperparams["learning_rate"]
        assert wide.dtype == jnp.float64
        assert wide == 0.1
        narrow = tx.init(jnp.ones(2, jnp.float32)).hyperparams["learning_rate"]
        assert narrow.dtype == jnp.float32
        named = inject_hyperparams(gradtx.sgd, hyperparam_dtype=jnp.float64)(0.1)
        assert named.init(jnp.ones(2, jnp.float32)).hyperparams["learning_rate"] == 0.1


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.int32])
def test_a_dtype_below_float32_is_refused(dtype):
    with pytest.raises(ValueError, match="hyperparam_dtype must be float32 or wider"):
        inject_hyperparams(gradtx.adam, hyperparam_dtype=dtype)


def test_a_change_takes_effect_and_compiles_nothing(params):
    tx = inject_hyperparams(gradtx.sgd)(0.1)
    traces = []

    @jax.jit
    def update(grads, state):
        traces.append(1)
        return tx.update(grads, state)

    state = tx.init(params)
    rates = [0.1, 0.5, 1, np.float64(0.25), jnp.float32(2.0), jnp.bfloat16(4.0)]
    for rate in rates:
        state.hyperparams["learning_rate"] = rate
        assert state.hyperparams["learning_rate"].dtype == jnp.float32
        assert not state.hyperparams["learning_rate"].weak_type
        updates, state = update(params, state)
        assert_close(updates, jax.tree.map(lambda p, r=rate: -float(r) * p, params))
    state.hyperparams.update(learning_rate=3.0)
    values = state.hyperparams
    values |= {"dampening": 0.0}
    update(params, state)
    state = gradtx.tree.set(state, learning_rate=0.5)
    update(params, state)
    assert len(traces) == 1


def test_outside_of_jit_nothing_compiles_again(params):
    made = []

    def factory(learning_rate):
        made.append(learning_rate)
        return gradtx.sgd(learning_rate)

    tx = inject_hyperparams(factory)(0.1)
    state = tx.init(params)
    once = tx.update(params, state, params)[1]
    so_far = len(made)
    for i in range(3):
        once.hyperparams["learning_rate"] = 0.1 * i
        updates, once = tx.update(params, once, params)
        assert_close(updates["b"], -0.1 * i * params["b"])
    assert len(made) == so_far


def test_a_plain_dict_does_as_well(params):
    tx = inject_hyperparams(gradtx.sgd)(0.1)
    state = tx.init(params)
    state = state._replace(hyperparams=dict(state.hyperparams, learning_rate=0.5))
    updates, state = tx.update(params, state)
    assert_close(updates["b"], -0.5 * params["b"])
    assert isinstance(state.hyperparams, Hyperparams)
    assert state.hyperparams["learning_rate"].dtype == jnp.float32


def test_a_scheduled_value_is_written_again(params):
    tx = inject_hyperparams(gradtx.sgd)(LINE)
    state = tx.init(params)
    state.hyperparams["learning_rate"] = 100.0
    updates, state = tx.update(params, state)
    assert_close(updates["b"], -params["b"])
    assert state.hyperparams["learning_rate"] == 1.0


def test_maps_over_hyperparameters(params):
    tx = inject_hyperparams(gradtx.adam)(0.1)
    rates = jnp.array([0.1, 0.2, 0.4])

    def train(rate):
        state = tx.init(params)
        state.hyperparams["learning_rate"] = rate
        return tx.update(params, state, params)[0]

    def built(rate):
        other = inject_hyperparams(gradtx.adam)(rate)
        return other.update(params, other.init(params), params)[0]

    for many in (jax.vmap(train)(rates), jax.vmap(built)(rates)):
        for i, rate in enumerate(rates):
            alone = gradtx.adam(float(rate))
            want = alone.update(params, alone.init(params), params)[0]
            assert_close(jax.tree.map(lambda x, i=i: x[i], many), want, rtol=1e-5)

    states = tx.init(params)
    stacked = jax.tree.map(lambda x: jnp.stack([x, 2 * x / 3]), states.hyperparams)
    states = states._replace(hyperparams=stacked)
    axes = states._replace(count=None, hyperparams=0, inner_state=None)
    updates = jax.vmap(tx.update, in_axes=(None, axes))(params, states)[0]
    assert updates["b"].shape == (2, 2)


def test_state_is_a_fixed_point_and_can_be_donated(params):
    tx = inject_hyperparams(gradtx.adam)(LINE, b1=0.8)
    state = tx.init(params)
    traces = []

    def once(grads, state, params):
        traces.append(1)
        return tx.step(grads, state, params)

    step = jax.jit(once, donate_argnums=(1, 2))
    first = jax.eval_shape(tx.update, params, state)[1]
    assert jax.tree.structure(first) == jax.tree.structure(state)
    for _ in range(3):
        params, state = step(jax.tree.map(jnp.copy, params), state, params)
    assert len(traces) == 1


def test_donating_the_state_leaves_the_callers_array():
    rate = jnp.float32(0.1)
    tx = inject_hyperparams(gradtx.sgd)(rate)
    update = jax.jit(tx.update, donate_argnums=1)
    params = jnp.ones(2)
    state = update(params, tx.init(params))[1]
    state.hyperparams["learning_rate"] = rate
    update(params, state)
    assert rate == np.float32(0.1)
    assert tx.init(params).hyperparams["learning_rate"] == rate


def test_hands_step_and_extra_arguments_down(params):
    def factory(rate):
        def init(params):
            return gradtx.EmptyState()

        def update(updates, state, params=None, *, factor):
            return jax.tree.map(lambda g: rate * factor * g, updates), state

        def step(updates, state, params, *, factor):
            return jax.tree.map(lambda p: p * rate + factor, params), state

        return init, update, step

    factory = gradtx.transformation(factory)
    tx = inject_hyperparams(factory)(2.0)
    state = tx.init(params)
    updates, _ = tx.update(params, state, params, factor=jnp.array(3.0), other="x")
    assert_close(updates["b"], 6 * params["b"])
    stepped, new = tx.step(params, state, params, factor=3.0)
    assert_close(stepped["b"], 2 * params["b"] + 3)
    assert new.count == 1


def test_leaves_without_a_gradient(params):
    tx = inject_hyperparams(gradtx.adam)(0.1)
    given = {"w": params["w"], "b": None}
    updates, _ = tx.update(given, tx.init(given), given)
    assert updates["b"] is None
    ids = {"w": params["w"], "ids": jnp.arange(3)}
    grads = jax.grad(lambda p: jnp.sum(p["w"]), allow_int=True)(ids)
    updates, _ = tx.update(grads, tx.init({**ids, "ids": None}))
    assert updates["ids"].dtype == jax.dtypes.float0


def test_works_in_a_chain_and_nested(params):
    inner = inject_hyperparams(gradtx.chain)(gradtx.clip(0.5))
    tx = gradtx.chain(inner, inject_hyperparams(inject_hyperparams(gradtx.sgd))(0.5))
    state = tx.init(params)
    state = gradtx.tree.set(state, learning_rate=0.25)
    updates, _ = jax.jit(tx.update)(params, state)
    assert_close(updates["b"], -0.25 * jnp.clip(params["b"], -0.5, 0.5))


def test_values_are_set_inside_jit_scan_and_grad(params):
    tx = inject_hyperparams(gradtx.sgd)(0.1)

    def step(state, rate):
        state.hyperparams["learning_rate"] = rate
        state = gradtx.tree.set(state, dampening=0.0)
        updates, state = tx.update(params, state)
        return state, updates["b"]

    state = tx.init(params)
    assert_close(jax.jit(step)(state, 0.5)[1], -0.5 * params["b"])
    rates = jnp.array([0.1, 0.2, 0.3])
    found = jax.jit(lambda s: jax.lax.scan(step, s, rates)[1])(state)
    assert_close(found, -rates[:, None] * params["b"])
    slope = jax.grad(lambda rate: step(tx.init(params), rate)[1][0])(0.5)
    assert_close(slope, -params["b"][0])


def test_builds_and_runs_inside_jit(params):
    @jax.jit
    def step(rate, params):
        schedule = gradtx.linear_schedule(rate, 0.0, 10)
        tx = inject_hyperparams(gradtx.sgd)(schedule)
        return tx.update(params, tx.init(params), params)[0]

    assert_close(step(0.5, params)["b"], -0.5 * params["b"])
