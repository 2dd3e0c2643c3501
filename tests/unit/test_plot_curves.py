"""Curves over steps: schedules, metrics, effective step sizes."""

import io
from typing import NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import pytest

import gradtx
from gradtx.plot import plot_metrics, plot_schedule, plot_step_sizes, step_sizes

NAN, INF = float("nan"), float("inf")


def axis():
    return matplotlib.figure.Figure().subplots()


def named(ax):
    """The lines of the legend, by name."""
    handles, labels = ax.get_legend_handles_labels()
    return dict(zip(labels, handles, strict=True))


def crosses(ax):
    return [line.get_xdata().tolist() for line in ax.lines if line.get_marker() == "x"]


def test_a_schedule_is_drawn_at_every_step():
    schedule = gradtx.warmup_cosine_decay_schedule(0.0, 0.1, 5, 20)
    ax = axis()
    assert plot_schedule(schedule, 30, ax=ax, label="warm-up") is ax
    line = named(ax)["warm-up"]
    np.testing.assert_array_equal(line.get_xdata(), np.arange(30))
    # Compiled for all steps at once, the cosine differs in its last digits.
    np.testing.assert_allclose(
        line.get_ydata(), [schedule(t) for t in range(30)], rtol=1e-5, atol=1e-8
    )


def test_numbers_and_functions_are_drawn_side_by_side():
    schedules = {"half": 0.5, "line": lambda count: 2 * count, "array": jnp.ones(())}
    ax = plot_schedule(schedules, 3, ax=axis())
    drawn = {name: line.get_ydata().tolist() for name, line in named(ax).items()}
    assert drawn == {"half": [0.5] * 3, "line": [0, 2, 4], "array": [1] * 3}
    assert ax.get_legend() is not None


def test_a_single_schedule_needs_no_legend():
    ax = plot_schedule(0.1, 1, ax=axis())
    assert ax.get_legend() is None
    assert len(ax.lines) == 1


def test_steps_at_which_a_schedule_is_not_finite_are_said():
    ax = plot_schedule({"late": lambda t: jnp.sqrt(t - 2.0)}, 5, ax=axis())
    assert list(named(ax)) == ["late (2 of 5 not finite)"]
    assert crosses(ax) == [[0, 1]]


@pytest.mark.parametrize(
    ("schedule", "arguments", "message"),
    [
        (0.1, {"steps": 0}, "steps must be.*0"),
        (0.1, {"steps": 1.5}, "steps must be"),
        ({"pair": lambda t: jnp.ones(2)}, {}, r"'pair' must.*scalar.*float32.*\(2,\)"),
        ({"both": lambda t: (t, t)}, {}, "'both' must.* and int32 of shape"),
        (lambda t: t * 1j, {}, "real scalar.*complex"),
        ({"a": 0.1}, {"label": "b"}, "label='b'"),
    ],
)
def test_plot_schedule_refuses(schedule, arguments, message):
    with pytest.raises(ValueError, match=message):
        plot_schedule(schedule, **({"steps": 3} | arguments))


class Metrics(NamedTuple):
    loss: jax.Array
    norm: float


HISTORIES = {
    "dict of lists": {"loss": [jnp.float32(3.0), 2.0, 1], "norm": [1.0, 1.0, 2.0]},
    "dict of arrays": {"loss": jnp.array([3.0, 2, 1]), "norm": np.array([1, 1, 2])},
    "list of dicts": [
        {"loss": jnp.array(loss), "norm": norm}
        for loss, norm in ((3, 1), (2, 1), (1, 2))
    ],
    "list of tuples": [Metrics(jnp.bfloat16(3), 1), Metrics(2, 1), Metrics(1, 2)],
    "bfloat16": {"loss": jnp.array([3, 2, 1], jnp.bfloat16), "norm": [True]},
}


@pytest.mark.parametrize("history", HISTORIES.values(), ids=HISTORIES)
def test_a_history_is_drawn_whatever_holds_it(history):
    ax = axis()
    assert plot_metrics(history, ax=ax) is ax
    assert list(named(ax)) == ["loss", "norm"]
    assert named(ax)["loss"].get_xydata().tolist() == [[0, 3], [1, 2], [2, 1]]
    assert ax.get_yscale() == "linear"


def test_metrics_keep_their_order_and_can_be_chosen():
    history = {"z": [1.0], "a": [2.0], "m": [3.0]}
    assert list(named(plot_metrics(history, ax=axis()))) == ["z", "a", "m"]
    chosen = plot_metrics(history, names=["m", "z"], ax=axis())
    assert list(named(chosen)) == ["m", "z"]
    assert plot_metrics(history, names=["a"], ax=axis()).get_ylabel() == "a"


def test_a_metric_is_drawn_where_it_is():
    history = [{"loss": 1.0}, {"loss": 2.0, "accuracy": 0.5}, {"loss": 3.0}]
    lines = named(plot_metrics(history, every=10, ax=axis()))
    assert lines["loss"].get_xydata().tolist() == [[0, 1], [10, 2], [20, 3]]
    assert lines["accuracy"].get_xydata().tolist() == [[10, 0.5]]


def test_the_curve_is_the_mean_of_the_last_values_with_the_values_behind_it():
    values = np.random.default_rng(0).uniform(1, 2, size=20)
    ax = plot_metrics({"loss": values}, window=4, ax=axis())
    pale, mean = ax.lines
    np.testing.assert_array_equal(pale.get_ydata(), values)
    expected = [values[max(0, t - 3) : t + 1].mean() for t in range(20)]
    np.testing.assert_allclose(mean.get_ydata(), expected, rtol=1e-12)
    assert ax.get_ylabel() == "loss, mean of 4"


def test_the_window_is_a_share_of_the_longest_metric():
    ax = plot_metrics({"short": [1.0, 2.0], "long": np.ones(100)}, ax=axis())
    assert ax.get_ylabel() == "mean of 4"


def test_values_that_are_not_finite_are_said_and_left_out_of_the_mean():
    ax = plot_metrics({"loss": [NAN, 1.0, INF, 3.0]}, window=2, ax=axis())
    (label,) = named(ax)
    assert label == "loss (2 of 4 not finite)"
    np.testing.assert_array_equal(named(ax)[label].get_ydata(), [NAN, 1, 1, 3])
    assert crosses(ax) == [[0, 2]]
    ax.figure.savefig(io.BytesIO(), dpi=20)


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([1.0, 99.0], "linear"),
        ([1.0, 101.0], "log"),
        ([0.0, 101.0], "linear"),
        ([-1.0, 101.0], "linear"),
        ([NAN, 1e-3, 1.0], "log"),
        ([NAN], "linear"),
    ],
)
def test_a_wide_range_of_positive_values_is_logarithmic(values, scale):
    assert plot_metrics({"loss": values}, ax=axis()).get_yscale() == scale
    asked = plot_metrics({"loss": values}, yscale="linear", ax=axis())
    assert asked.get_yscale() == "linear"


def test_values_without_a_place_on_a_logarithmic_scale_are_said():
    ax = plot_metrics({"loss": [0.0, -1.0, 2.0, NAN]}, yscale="log", ax=axis())
    assert list(named(ax)) == ["loss (3 of 4 not finite or not above 0)"]
    assert crosses(ax) == [[0, 1, 3]]


@pytest.mark.parametrize(
    ("history", "arguments", "message"),
    [
        ({}, {}, "names must be some of"),
        ([], {}, "names must be some of"),
        ({"loss": [1.0]}, {"names": ["lose"]}, r"\['loss'\], got \['lose'\]"),
        ({"loss": [1.0]}, {"names": []}, "names must be"),
        ({"loss": []}, {}, "'loss' must be a sequence"),
        ({"loss": [1j]}, {}, "'loss'.*complex"),
        ({"loss": ["1"]}, {}, "'loss'.*real scalars"),
        ({"loss": [1.0, np.ones(2)]}, {}, r"'loss'.*shape \(2,\)"),
        ({"loss": np.ones((2, 2))}, {}, r"'loss'.*\(2,\)"),
        ({"loss": [1.0]}, {"window": 0}, "window must be"),
        ({"loss": [1.0]}, {"every": 0}, "every must be"),
        ({"loss": [1.0]}, {"yscale": "logarithmic"}, "yscale must be"),
    ],
)
def test_plot_metrics_refuses(history, arguments, message):
    with pytest.raises(ValueError, match=message):
        plot_metrics(history, **arguments)


@pytest.mark.parametrize(
    "history", [{"loss": 1.0}, {"loss": np.ones(())}, [1.0, 2.0], 1.0, [(1.0, 2.0)]]
)
def test_a_history_of_another_kind_is_refused(history):
    with pytest.raises(TypeError, match="history must be a dict from name"):
        plot_metrics(history)


def test_the_step_size_of_gradient_descent_is_its_rate():
    gradients = {"a": jnp.array([1.0, -2.0, 5.0]), "b": jnp.ones((3, 2, 2))}
    found = step_sizes({"sgd": gradtx.sgd(0.25)}, gradients)
    np.testing.assert_allclose(found["sgd"], [0.25] * 3, rtol=1e-6)  # float32


def test_step_sizes_are_those_of_a_loop_over_the_whole_tree():
    random = np.random.default_rng(0)
    gradients = {"a": random.normal(size=6), "b": random.normal(size=(6, 2))}
    params = {"a": jnp.ones(()), "b": jnp.full(2, 3.0)}
    tx = gradtx.adamw(0.1, weight_decay=0.5)
    (found,) = step_sizes({"adamw": tx}, gradients, params=params).values()
    state = tx.init(params)
    for t in range(6):
        grads = jax.tree.map(lambda g, t=t: jnp.float32(g[t]), gradients)
        updates, state = tx.update(grads, state, params)
        params = gradtx.apply_updates(params, updates)
        size = gradtx.global_norm(updates) / gradtx.global_norm(grads)
        np.testing.assert_allclose(found[t], size, rtol=1e-5)  # compiled otherwise


def test_steps_with_a_zero_gradient_are_said():
    gradients = jnp.array([1.0, 0.0, 0.0, 1.0])
    optimizers = {"sgd": gradtx.sgd(0.1), "momentum": gradtx.sgd(0.1, momentum=0.9)}
    ax = axis()
    assert plot_step_sizes(optimizers, gradients, ax=ax) is ax
    assert list(named(ax)) == [f"{name} (2 of 4 not finite)" for name in optimizers]
    assert ax.get_yscale() == "log"
    assert crosses(ax) == [[1, 2], [1, 2]]


@pytest.mark.parametrize(
    "gradients",
    [jnp.ones(()), jnp.ones((0, 2)), {"a": jnp.ones(3), "b": jnp.ones(2)}, {}],
)
def test_step_sizes_refuses(gradients):
    with pytest.raises(ValueError, match="same number of steps"):
        step_sizes({"sgd": gradtx.sgd(0.1)}, gradients)


def test_step_sizes_refuses_what_is_no_transformation():
    with pytest.raises(TypeError, match="optimizer 'mine'"):
        step_sizes({"mine": 0.1}, jnp.ones(3))


def test_a_staircase_is_drawn_with_upright_jumps():
    stairs = gradtx.piecewise_constant_schedule(0.1, {3: 0.5, 6: 0.5})
    smooth = gradtx.linear_schedule(0.1, 0.0, 10)
    ax = plot_schedule({"stairs": stairs, "smooth": smooth, "flat": 0.1}, 10, ax=axis())
    drawn = [line.get_drawstyle() for line in ax.lines]
    assert drawn == ["steps-post", "default", "default"]
