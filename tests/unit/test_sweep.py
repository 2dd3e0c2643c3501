"""sweep: many settings in one program, each with the numbers it has alone."""

import pickle
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import sweep
from gradtx.plot import plot_sweep

PARAMS = {"w": jnp.array([[1.0, -2.0], [0.5, 4.0]]), "b": None, "c": jnp.array(2.0)}
RATES, DECAYS = [0.1, 0.01, 0.5], [0, 0.1]


def scheduled(learning_rate, weight_decay):
    rate = gradtx.linear_schedule(learning_rate, 0.0, 5)
    return gradtx.chain(
        gradtx.clip_by_global_norm(1.0),
        gradtx.adamw(rate, weight_decay=weight_decay),
    )


def trained(tx, params, steps=3):
    """Some steps on |p|^4 / 4, which has the same shape for one run and for many."""

    def body(carry, _):
        params, state = carry
        grads = jax.tree.map(lambda p: p**3, params)
        return tx.step(grads, state, params), None

    carry = params, tx.init(params)
    return jax.jit(lambda c: jax.lax.scan(body, c, length=steps)[0])(carry)


def assert_each_is_alone(grid, params, rtol=1e-5):
    many = trained(grid, grid.stack(params))
    for i in range(len(grid)):
        jax.tree.map(
            # The swept numbers are float32, and rounded differently: some units.
            lambda x, y, i=i: np.testing.assert_allclose(x[i], y, rtol, atol=1e-7),
            many,
            trained(grid[i], params),
        )


@pytest.mark.parametrize("make_tx", [gradtx.adamw, scheduled])
def test_each_run_has_the_numbers_it_has_alone(make_tx):
    grid = sweep(make_tx, learning_rate=RATES[1:], weight_decay=DECAYS)
    assert grid.settings == [
        {"learning_rate": 0.01, "weight_decay": 0},
        {"learning_rate": 0.01, "weight_decay": 0.1},
        {"learning_rate": 0.5, "weight_decay": 0},
        {"learning_rate": 0.5, "weight_decay": 0.1},
    ]
    assert grid[1] == make_tx(learning_rate=0.01, weight_decay=0.1)
    assert_each_is_alone(grid, PARAMS)


def test_swept_numbers_are_never_below_float32():
    params = jnp.array([1.0, 2.0], jnp.bfloat16)
    grid = sweep(partial(gradtx.adam, 0.1), b2=[0.9, 0.999])  # bfloat16: 1
    # 1 - b2 of a float32: half a unit of 0.999 is 3e-5 of 0.001.
    assert_each_is_alone(grid, params, rtol=3e-5)


def test_update_hands_out_the_updates_of_each():
    grid = sweep(gradtx.sgd, "zip", learning_rate=[0.1, 0.2], momentum=[0.0, 0.9])
    grads = grid.stack(PARAMS)
    state = grid.init(grads)
    _, state = grid.update(grads, state)
    updates, _ = grid.update(grads, state)
    # By hand: 0.2 (1 + 0.9) for the second run's velocity.
    want = np.array([-0.1, -0.38])[:, None, None] * np.asarray(PARAMS["w"])
    np.testing.assert_allclose(updates["w"], want, rtol=1e-6)
    assert updates["b"] is None


def test_it_is_one_program_and_nothing_is_traced_again():
    made = []

    def make_tx(learning_rate):
        made.append(learning_rate)
        return gradtx.sgd(learning_rate)

    grid = sweep(make_tx, learning_rate=RATES)
    assert made == RATES  # each setting is looked at, with its Python number
    params = grid.stack(PARAMS)
    state = grid.init(params)
    for _ in range(3):  # outside of jit, too
        params, state = grid.step(params, state, params)
    assert len(made) == len(RATES) + 2  # init and step


def test_extra_arguments_are_each_runs_and_functions_are_all_runs():
    def factory(rate):
        def init(params):
            return gradtx.EmptyState()

        def update(updates, state, params=None, *, value, fn):
            return rate * fn(value) * updates, state

        return init, update

    grid = sweep(gradtx.transformation(factory), rate=[1.0, 2.0])
    grads = jnp.ones((2, 3))
    value = jnp.array([3.0, 4.0])
    updates, _ = grid.update(grads, grid.init(grads), value=value, fn=jnp.square)
    np.testing.assert_array_equal(updates[:, 0], [9.0, 32.0])
    with pytest.raises(ValueError, match="sweep: value must have a first axis of 2"):
        grid.update(grads, grid.init(grads), value=3.0, fn=jnp.square)


def test_runs_train_on_many_devices():
    grid = sweep(gradtx.adam, learning_rate=np.arange(1, 9) / 8)
    mesh = jax.make_mesh((8,), ("runs",), axis_types=(jax.sharding.AxisType.Auto,))
    apart = jax.NamedSharding(mesh, jax.P("runs"))
    params = grid.stack(jnp.ones(3))
    split = jax.device_put(params, apart)
    one, _ = grid.step(params, grid.init(params), params)
    many, state = grid.step(split, grid.init(split), split)
    np.testing.assert_array_equal(one, many)
    assert many.sharding == state[0].mu.sharding == apart


def test_it_is_known_by_its_call():
    grid = sweep(gradtx.sgd, "zip", learning_rate=np.float32([0.1, 0.5]))
    assert repr(grid) == "sweep(sgd, 'zip', learning_rate=[0.1, 0.5])"
    again = pickle.loads(pickle.dumps(grid))
    assert again == grid == sweep(gradtx.sgd, "zip", learning_rate=(0.1, 0.5))
    assert hash(again) == hash(grid)
    assert grid != sweep(gradtx.sgd, learning_rate=[0.1, 0.5])
    assert again[0] == gradtx.sgd(0.1)
    ints = sweep(gradtx.adam, learning_rate=jnp.array([1, 2]))
    assert ints.settings == [{"learning_rate": 1}, {"learning_rate": 2}]


GRID = sweep(scheduled, learning_rate=RATES, weight_decay=DECAYS)
LOSSES = np.array([0.3, np.nan, 0.25, 0.5, 0.25, np.inf])


def test_a_table_begins_with_the_best():
    said = GRID.table({"loss": LOSSES, "accuracy": np.linspace(0, 1, 6)})
    assert said == (
        "   run  learning_rate  weight_decay  loss  accuracy\n"
        "*    2           0.01             0  0.25       0.4\n"
        "*    4            0.5             0  0.25       0.8\n"
        "     0            0.1             0   0.3         0\n"
        "     3           0.01           0.1   0.5       0.6\n"
        "     1            0.1           0.1   nan       0.2\n"
        "     5            0.5           0.1   inf         1\n"
        "The best learning_rate, 0.01, is the smallest tried: a better one may lie "
        "beyond."
    )
    assert GRID.best(LOSSES) == 2
    assert GRID.best(LOSSES, highest=True) == 3
    assert GRID.table(-LOSSES, highest=True).splitlines()[1].split()[:2] == ["*", "2"]
    inside = np.array([0.1, 1, 1, 1, 1, 1])  # 0.1 is neither the least nor the largest
    assert "beyond" not in GRID.table(inside)
    short = GRID.table(inside, rows=2).splitlines()
    assert short == [*GRID.table(inside).splitlines()[:3], "and 4 more runs."]


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: sweep(gradtx.sgd), ValueError, "there is nothing to sweep"),
        (
            lambda: sweep(gradtx.sgd, learning_rate=[]),
            ValueError,
            "sweep: learning_rate has no values",
        ),
        (
            lambda: sweep(gradtx.adam, learning_rate=[0.1], lr=[0.2]),
            TypeError,
            "sweep: adam: unexpected keyword argument 'lr'; say learning_rate",
        ),
        (
            lambda: sweep(gradtx.sgd, momentum=[0.1]),
            TypeError,
            "sweep: sgd: missing a required argument: 'learning_rate'",
        ),
        (
            lambda: sweep(gradtx.adam, learning_rate=[0.1], b1=[0.9, 1.5]),
            ValueError,
            r"with learning_rate=0.1, b1=1.5: b1 must be in \[0, 1\), got 1.5",
        ),
        (
            lambda: sweep(gradtx.adam, learning_rate=0.1),
            TypeError,
            "learning_rate must be a list of numbers.* got 0.1.*partial",
        ),
        (
            lambda: sweep(gradtx.sgd, learning_rate=[0.1], nesterov=[False, True]),
            TypeError,
            r"nesterov\[0\] is False, no number.*a sweep for each",
        ),
        (
            lambda: sweep(gradtx.sgd, learning_rate=[0.1, gradtx.constant_schedule(1)]),
            TypeError,
            r"learning_rate\[1\] is constant_schedule\(1\), no number",
        ),
        (
            lambda: sweep(gradtx.sgd, learning_rate=[0.1, float("nan")]),
            ValueError,
            r"sweep: learning_rate\[1\] must be finite, got nan",
        ),
        (
            lambda: sweep(gradtx.sgd, learning_rate=[0.1, 0.2, 0.1]),
            ValueError,
            "learning_rate has the value 0.1 twice",
        ),
        (
            lambda: sweep(gradtx.galore, learning_rate=[0.1], rank=[1, 2]),
            TypeError,
            "rank of galore is a Python int",
        ),
        (
            lambda: sweep(gradtx.adam, "zip", learning_rate=[0.1], b1=[0.1, 0.2]),
            ValueError,
            "one length, have {'learning_rate': 1, 'b1': 2}",
        ),
        (lambda: sweep(gradtx.adam, "grid", b1=[0.1]), ValueError, "how must be one"),
        (
            lambda: sweep(gradtx.sgd(0.1), learning_rate=[0.1]),
            TypeError,
            "make_tx must be a function",
        ),
        (lambda: sweep(float, x=[0.1]), TypeError, "sweep: "),
        (
            lambda: sweep(lambda b: b, b=[0.1]),
            TypeError,
            "sweep: with b=0.1: make_tx: expected a gradient transformation",
        ),
        (
            lambda: GRID.init(PARAMS),
            ValueError,
            r"params\['c'\] must have a first axis of 6 runs, has shape \(\): stack",
        ),
        (
            lambda: GRID.step(jnp.ones((5, 2)), (), jnp.ones((6, 2))),
            ValueError,
            "updates must have a first axis of 6 runs, has shape",
        ),
        (
            lambda: gradtx.chain(gradtx.clip_by_global_norm(1.0), GRID),
            TypeError,
            r"chain: argument 1: .* which is a sweep: what stands around",
        ),
        (lambda: gradtx.check(GRID, PARAMS), TypeError, r"one run is grid\[0\]"),
        (lambda: GRID.table(LOSSES[:5]), ValueError, "'result' must be 6 real numbers"),
        (lambda: GRID.table({}), ValueError, "there are no results"),
        (lambda: GRID.table(LOSSES, rows=0), ValueError, "rows must be a whole number"),
        (lambda: GRID.best(np.full(6, np.nan)), ValueError, "no run has a finite"),
        (lambda: plot_sweep(GRID, LOSSES, x="b1"), ValueError, "'b1' is none of the"),
    ],
)
def test_mistakes_are_named(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_what_must_be_a_python_number_is_told():
    grid = sweep(lambda size: gradtx.scale(float(size)), size=[0.1, 0.2])
    with pytest.raises(jax.errors.JAXTypeError) as caught:
        grid.init(jnp.ones(2))
    assert "sweep: size are arrays here" in caught.value.__notes__[-1]


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_a_map_has_a_field_for_each_pair_of_values():
    ax = plot_sweep(GRID, LOSSES, label="loss")
    [image] = ax.images
    # Sorted: 0.01, 0.1, 0.5 across, 0 and 0.1 up.
    np.testing.assert_array_equal(
        image.get_array().filled(np.nan), [[0.25, 0.3, 0.25], [0.5, np.nan, np.nan]]
    )
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["0.01", "0.1", "0.5"]
    assert texts(ax) == ["★\n0.25", "0.3", "0.25", "0.5"]
    crosses = [tuple(map(float, *line.get_xydata())) for line in ax.lines]
    assert crosses == [(1, 1), (2, 1)]
    assert ax.get_title() == "best loss 0.25 at learning_rate=0.01, weight_decay=0"
    up = plot_sweep(GRID, LOSSES, x="weight_decay", y="learning_rate")
    assert up.images[0].get_array().shape == (3, 2)


def test_a_search_is_points_and_one_argument_a_curve():
    rates = [1e-3, 1e-1, 1e-2]
    search = sweep(scheduled, "zip", learning_rate=rates, weight_decay=[0.1, 0.2, 0.1])
    ax = plot_sweep(search, [1.0, np.nan, 1e3])
    assert ax.get_xscale() == "log"
    [points] = ax.collections
    np.testing.assert_allclose(points.get_offsets(), [[1e-3, 0.1], [1e-2, 0.1]])
    assert len(ax.lines) == 2  # the cross of the lost run, the star
    assert type(points.norm).__name__ == "LogNorm"
    curve = plot_sweep(GRID, LOSSES, x="learning_rate").lines[0]
    np.testing.assert_array_equal(curve.get_xydata()[:, 1], [0.25, 0.3, 0.25])
