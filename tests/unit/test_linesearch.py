"""Line searches where something is missing, wrong or not finite."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.linesearch import zoom

SEARCHES = {
    "backtracking": functools.partial(gradtx.scale_by_backtracking_linesearch, 20),
    "zoom": functools.partial(gradtx.scale_by_zoom_linesearch, 20),
}
each = pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)


def square(p):
    return jnp.sum(p**2)


def one_search(tx, f, p, updates, state=None, **extra):
    """The updates and the state after one search, under jit."""
    value, grad = jax.value_and_grad(f)(p, **extra)

    @jax.jit
    def run(state, value, grad):
        kwargs = {"value": value, "grad": grad, "value_fn": f}
        return tx.update(updates, state, p, **kwargs, **extra)

    return run(tx.init(p) if state is None else state, value, grad)


@each
@pytest.mark.parametrize("missing", ["value", "grad", "value_fn"])
def test_a_missing_argument_is_named(search, missing):
    tx = gradtx.chain(gradtx.scale(-1.0), search())
    p = jnp.ones(2)
    kwargs = {"value": 2.0, "grad": 2 * p, "value_fn": square}
    del kwargs[missing]
    with pytest.raises(ValueError, match=rf"chain > scale_by_.* needs {missing}: call"):
        tx.update(2 * p, tx.init(p), p, **kwargs)


@each
def test_all_missing_arguments_are_named(search):
    tx, p = search(), jnp.ones(2)
    with pytest.raises(ValueError, match="needs value, grad, value_fn"):
        tx.update(p, tx.init(p), p)
    with pytest.raises(ValueError, match="needs params"):
        tx.update(p, tx.init(p), value=2.0, grad=p, value_fn=square)


@each
def test_the_function_gets_the_arguments_that_it_names(search):
    def f(p, scale, shift=0.0):
        return scale * jnp.sum((p - shift) ** 2)

    def g(p, **data):
        assert set(data) == {"scale", "shift", "unheard_of"}
        return f(p, data["scale"], data["shift"])

    p = jnp.array([1.0, -2.0])
    value, grad = jax.value_and_grad(f)(p, 3.0, 0.5)
    found = []
    for fn in (f, g):
        tx = search()
        kwargs = {"value": value, "grad": grad, "value_fn": fn}
        updates, state = tx.update(
            *(-grad, tx.init(p), p),
            **kwargs,
            **{"scale": 3.0, "shift": 0.5, "unheard_of": 1.0},
        )
        # Of order 1 before, and rounded in float32.
        at = f(p + updates, 3.0, 0.5)
        np.testing.assert_allclose(state.value, at, rtol=1e-6, atol=1e-6)
        found.append(np.asarray(updates))
    np.testing.assert_array_equal(*found)


@each
def test_updates_that_lead_up_are_not_followed(search):
    p = jnp.array([1.0, -2.0])
    updates, state = one_search(search(), square, p, 2 * p)
    np.testing.assert_array_equal(updates, 0)
    assert float(state.learning_rate) == 0
    assert float(state.info.decrease_error) == 20  # the slope
    assert int(state.info.num_linesearch_steps) == 0
    assert float(state.value) == square(p)
    # The next search begins from 1 again.
    updates, state = one_search(search(), square, p, -0.5 * p, state)
    np.testing.assert_allclose(updates, -0.5 * p)


@each
def test_at_a_minimum_it_stands_still_and_all_is_well(search):
    p = jnp.zeros(2)
    updates, state = one_search(search(), square, p, p)
    np.testing.assert_array_equal(updates, 0)
    assert float(state.info.decrease_error) == 0


@each
@pytest.mark.parametrize("outside", [jnp.nan, jnp.inf, -jnp.inf])
def test_it_comes_back_from_where_the_function_is_not_finite(search, outside):
    def f(p):  # finite for p > 0 only, lowest at 1
        return jnp.where(p > 0, p - jnp.log(jnp.where(p > 0, p, 1)), outside)

    p = jnp.float32(0.5)
    updates, state = one_search(search(), f, p, jnp.float32(-1e3), None)
    assert float(state.learning_rate) == 0  # it leads up
    p = jnp.float32(2.0)
    updates, state = one_search(search(), f, p, jnp.float32(-100.0))
    assert 0 < p + updates < 2
    assert float(state.value) == f(p + updates) < f(p)
    assert float(state.info.decrease_error) == 0


@each
def test_a_function_that_is_never_finite_ends_the_search(search):
    def f(p):
        return jnp.nan * jnp.sum(p)

    tx, p = search(), jnp.ones(2)
    kwargs = {"value": 2.0, "grad": p, "value_fn": f}
    updates, state = jax.jit(lambda s: tx.update(-p, s, p, **kwargs))(tx.init(p))
    np.testing.assert_array_equal(updates, 0)
    assert float(state.value) == 2.0
    assert float(state.info.decrease_error) == np.inf
    assert 1 <= int(state.info.num_linesearch_steps) <= 21
    for value, grad, direction in ((jnp.nan, p, -p), (2.0, jnp.nan * p, -p)):
        kwargs = {"value": value, "grad": grad, "value_fn": square}
        updates, state = tx.update(direction, tx.init(p), p, **kwargs)
        np.testing.assert_array_equal(updates, 0)
        assert float(state.info.decrease_error) == np.inf


@each
def test_nan_updates_move_nothing(search):
    p = jnp.ones(2)
    updates, state = one_search(search(), square, p, jnp.array([-1.0, jnp.nan]))
    np.testing.assert_array_equal(updates, 0)
    assert float(state.info.decrease_error) == np.inf


@each
def test_a_lying_gradient_is_found_out(search):
    """No step lowers the value where the gradient says that there is one."""
    p = jnp.ones(2)
    tx = search()
    kwargs = {"value": 2.0, "grad": -2 * p, "value_fn": square}
    updates, state = jax.jit(lambda s: tx.update(p, s, p, **kwargs))(tx.init(p))
    np.testing.assert_array_equal(updates, 0)
    assert float(state.info.decrease_error) > 0


@each
def test_verbose_says_what_went_wrong(search, capfd):
    p = jnp.ones(2)
    for direction in (-p, p):
        one_search(search(verbose=True), square, p, direction)
        jax.effects_barrier()
        said = capfd.readouterr().out
        assert ("lowers the value 2.0, the slope is 4.0" in said) == (direction[0] > 0)


@pytest.mark.parametrize(
    ("said", "options", "direction"),
    [
        (zoom.NOT_DOWN, {}, [1.0, 1.0]),
        (zoom.NOT_FOUND, {}, [1.0, 1.0]),
        (zoom.LONGEST, {"max_learning_rate": 1e-3}, [-1.0, -1.0]),
        (zoom.STEEP, {"max_linesearch_steps": 1, "curv_rtol": 0.01}, [-0.1, -0.1]),
        (zoom.SHORT, {"stepsize_precision": 10.0, "curv_rtol": 1e-3}, [-1.9, -1.8]),
    ],
)
def test_zoom_says_why(said, options, direction, capfd):
    options = {"max_linesearch_steps": 20, "verbose": True} | options
    one_search(
        gradtx.scale_by_zoom_linesearch(**options),
        *(square, jnp.ones(2), jnp.array(direction)),
    )
    jax.effects_barrier()
    assert said in capfd.readouterr().out
    # In its next step it has nothing to say of what went well.
    one_search(
        gradtx.scale_by_zoom_linesearch(20, verbose=True),
        *(square, jnp.ones(2), -jnp.ones(2)),
    )
    jax.effects_barrier()
    assert not capfd.readouterr().out


@each
def test_bfloat16_is_computed_in_float32(search):
    p = jnp.array([1.0, -2.0], jnp.bfloat16)
    options = {"store_grad": True} if "back" in search.func.__name__ else {}
    updates, state = one_search(search(**options), square, p, -p)
    assert updates.dtype == jnp.bfloat16
    dtypes = {x.dtype.name for x in jax.tree.leaves(state)}
    assert dtypes == {"int32", "float32"}
    # The value is that of the parameters as they will be rounded.
    assert float(state.value) == square(gradtx.apply_updates(p, updates))


@each
def test_each_member_of_a_batch_has_its_own_search(search):
    tx, curvature = search(), jnp.array([0.1, 1.0, 30.0])

    def f(p, c):
        return c * jnp.sum(p**2)

    def one(p, c):
        value, grad = jax.value_and_grad(f)(p, c)
        kwargs = {"value": value, "grad": grad, "value_fn": f, "c": c}
        return tx.update(-grad, tx.init(p), p, **kwargs)

    p = jnp.ones((3, 2))
    together = jax.vmap(one)(p, curvature)
    jitted = jax.jit(one)
    alone = [jitted(p[i], curvature[i]) for i in range(3)]
    for i, desired in enumerate(alone):
        jax.tree.map(
            lambda x, y, i=i: np.testing.assert_allclose(x[i], y, rtol=1e-5, atol=1e-6),
            *(together, desired),
        )
    assert len(set(np.asarray(together[1].info.num_linesearch_steps).tolist())) > 1


def test_the_longest_step_is_kept_to():
    p = jnp.array([8.0])
    tx = gradtx.scale_by_zoom_linesearch(20, max_learning_rate=0.25)
    _, state = one_search(tx, square, p, jnp.array([-1.0]))
    assert float(state.learning_rate) == 0.25
    assert float(state.info.decrease_error) == 0
    assert float(state.info.curvature_error) > 0  # still going down
    assert int(state.info.num_linesearch_steps) == 1


def test_too_few_steps_give_the_lowest_that_decreases():
    p = jnp.array([100.0])
    tx = gradtx.scale_by_zoom_linesearch(3)
    _, state = one_search(tx, square, p, jnp.array([-1.0]))
    assert float(state.learning_rate) == 4.0  # 1, 2, 4, each lower than the one before
    assert float(state.info.decrease_error) == 0
    assert float(state.info.curvature_error) > 0


@pytest.mark.parametrize(("strategy", "first"), [("keep", 4.0), ("one", 1.0)])
def test_where_a_search_begins(strategy, first):
    tx = gradtx.scale_by_zoom_linesearch(1, initial_guess_strategy=strategy)
    p = jnp.array([100.0])
    state = tx.init(p)._replace(learning_rate=jnp.float32(4.0))
    _, state = one_search(tx, square, p, jnp.array([-1.0]), state)
    assert float(state.learning_rate) == first


def test_near_a_minimum_slopes_tell_what_values_cannot():
    def f(p):
        return 1e4 + jnp.sum(p**2)  # in float32 steps of 1e-3

    p = jnp.array([1e-2, -1e-2])
    found = {}
    for rtol in (1e-6, None):
        tx = gradtx.scale_by_zoom_linesearch(10, approx_dec_rtol=rtol)
        found[rtol] = one_search(tx, f, p, -p)
    np.testing.assert_allclose(found[1e-6][0], -p)
    assert float(found[1e-6][1].info.decrease_error) == 0
    assert float(found[None][1].info.decrease_error) > 0


def test_slope_rtol_is_below_curv_rtol():
    with pytest.raises(ValueError, match="slope_rtol must be below curv_rtol"):
        gradtx.scale_by_zoom_linesearch(10, slope_rtol=0.5, curv_rtol=0.4)
    gradtx.scale_by_zoom_linesearch(10, curv_rtol=float("inf"))


def test_a_negative_value_is_not_asked_for_more():
    def f(p):
        return jnp.sum(p**2) - 100

    p = jnp.array([1.0])
    tx = gradtx.scale_by_backtracking_linesearch(5, rtol=0.1)
    updates, state = one_search(tx, f, p, -p)
    assert float(state.info.decrease_error) == 0
    np.testing.assert_allclose(updates, -p)


@each
def test_on_no_function_does_it_raise_the_value_or_lose_itself(search):
    """Waves, barriers, cliffs and kinks, in all sizes; vmap runs them together."""
    rng = np.random.default_rng(0)
    count = 500
    shorter = {"decrease_factor": 0.3} if "back" in search.func.__name__ else {}
    tx = search(**shorter)  # 0.8**20 is not short enough for all of these

    def f(p, c):
        x = p * 10.0 ** c["size"]
        value = c["square"] * x**2 + c["wave"] * jnp.sin(c["often"] * x) + c["line"] * x
        value += c["kink"] * jnp.abs(x - 0.3) + c["offset"]
        beyond = jnp.where(c["edge"] > 1, jnp.nan, jnp.inf)
        return jnp.where(jnp.abs(x) > jnp.abs(c["edge"]), beyond, value)

    def one(c, guess):
        p = jnp.float32(0.0)
        value, grad = jax.value_and_grad(f)(p, c)
        kwargs = {"value": value, "grad": grad, "value_fn": f, "c": c}
        state = tx.init(p)._replace(learning_rate=guess)
        updates, state = tx.update(c["direction"], state, p, **kwargs)
        return value, grad * c["direction"], f(updates, c), updates, state

    names = ("size", "square", "wave", "line", "kink", "edge", "direction")
    c = {name: rng.normal(size=count, scale=2) for name in names}
    c["often"] = 10.0 ** rng.uniform(-1, 2, count)
    c["offset"] = rng.choice([0.0, 1.0, -1e4], count)
    c = {name: jnp.asarray(x, jnp.float32) for name, x in c.items()}
    guess = jnp.asarray(10.0 ** rng.uniform(-4, 4, count), jnp.float32)
    before, slope, after, updates, state = jax.jit(jax.vmap(one))(c, guess)
    found = np.asarray(state.learning_rate) > 0
    assert found.sum() > 150
    assert np.isfinite(updates).all()
    assert np.isfinite(after).all()
    # Up to approx_dec_rtol of it, where slopes decide; float32 rounds to 6e-8.
    assert np.all(after <= before + 1.2e-6 * np.abs(before))
    np.testing.assert_allclose(after, state.value, rtol=1e-5, atol=1e-5)
    assert np.all(updates[~found] == 0)
    assert np.all(slope[found] < 0)
    error = np.asarray(state.info.decrease_error)
    assert np.all(error[found] == 0)
    assert np.all(error[~found & (slope != 0)] > 0)
    # Most slopes down lead somewhere: not found are those that rounding hides.
    assert np.mean(found[slope < 0]) > 0.9
