"""Paths of optimizers, and the maps that show them."""

import io
import subprocess
import sys

import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import optax
import pytest
from PIL import Image

import gradtx
from gradtx.plot import animate_paths, paths, plot_paths, surfaces
from gradtx.plot.surfaces import QUADRATIC, SADDLE, SURFACES

NAMES = [surface.name for surface in SURFACES]
FRAME = {"xlim": (-2, 2), "ylim": (-1, 1)}
NAN = float("nan")


def axis():
    return matplotlib.figure.Figure().subplots()


def bowl(xy):
    return jnp.sum(xy**2)


@pytest.mark.parametrize("surface", SURFACES, ids=NAMES)
def test_a_surface_is_what_it_says(surface):
    gradient = jax.grad(surface.fn)(jnp.array(surface.start))
    assert np.linalg.norm(gradient) > 0.01
    low, high = np.transpose([surface.xlim, surface.ylim])
    assert (low < surface.start).all()
    assert (surface.start < high).all()
    grid = np.stack(np.meshgrid(*np.linspace(low, high, 20).T))
    values = surface.fn(grid)
    one_by_one = jnp.vectorize(surface.fn, signature="(n)->()")(np.moveaxis(grid, 0, 2))
    # float32; Beale's terms reach 1e3 and cancel.
    np.testing.assert_allclose(values, one_by_one, rtol=1e-5, atol=1e-4)
    if surface.minimum is None:
        assert values.min() < 0 < values.max()
    else:
        best = jnp.array(surface.minimum, float)
        assert (low < best).all()
        assert (best < high).all()
        np.testing.assert_array_equal(jax.grad(surface.fn)(best), [0, 0])
        assert surface.fn(best) == 0 <= values.min()


def test_the_first_of_two_minima_is_not_the_lowest():
    at = np.array([[-0.75, 0.0], [-0.25, 0.0], [1.0, 0.0]])
    slopes = jax.vmap(jax.grad(surfaces.two_minima))(at)
    np.testing.assert_allclose(slopes, 0, atol=1e-6)  # float32
    bend = jax.vmap(jax.hessian(surfaces.two_minima))(at)[:, 0, 0]
    assert np.sign(bend).tolist() == [1, -1, 1]
    # By hand: (7/4)^2 (1/16 + 3/8) = 343/256, (5/4)^2 (9/16 + 3/8) = 375/256.
    values = surfaces.two_minima(at.T)
    np.testing.assert_allclose(values, [343 / 256, 375 / 256, 0], rtol=1e-6)


OPTIMIZERS = {
    "nesterov": gradtx.sgd(0.02, momentum=0.9, nesterov=True),
    "adam": gradtx.adam(gradtx.cosine_decay_schedule(0.3, 20)),
    "of Optax": optax.rmsprop(0.1),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_path_is_the_loop_that_everybody_writes(name):
    tx = OPTIMIZERS[name]
    point = jnp.array(QUADRATIC.start)
    state = tx.init(point)
    points = [point]
    for _ in range(20):
        updates, state = tx.update(jax.grad(QUADRATIC.fn)(point), state, point)
        point = optax.apply_updates(point, updates)
        points.append(point)
    found = paths(QUADRATIC.fn, {name: tx}, start=QUADRATIC.start, steps=20)
    # One compiled scan rounds otherwise than step by step; float32, sizes up to 4.
    np.testing.assert_allclose(found[name], points, rtol=1e-5, atol=2e-6)


def test_what_line_searches_need_is_handed_to_update():
    def update(updates, state, params=None, *, value, grad, value_fn, obj_fn):
        # The update, the gradient and the value are those at the parameters.
        same = value_fn(params) - value + jnp.sum(grad - updates)
        assert obj_fn is value_fn
        return -value * grad + same, state

    tx = gradtx.GradientTransformationExtraArgs(lambda params: (), update)
    found = paths(bowl, {"tx": tx}, start=[0.5], steps=1)
    assert found["tx"].tolist() == [[0.5], [0.5 - 0.25 * 1.0]]


def test_a_path_runs_in_more_dimensions_and_at_double_precision():
    with jax.enable_x64(True):
        found = paths(bowl, {"sgd": gradtx.sgd(0.25)}, start=np.ones(3), steps=1)
    assert found["sgd"].dtype == np.float64
    assert found["sgd"].tolist() == [[1.0] * 3, [0.5] * 3]


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"steps": 0}, ValueError, "steps must be"),
        ({"steps": 2.5}, ValueError, "steps must be"),
        ({"start": 1.0}, ValueError, r"start must be a vector.*\(\)"),
        ({"fn": lambda xy: xy}, ValueError, r"real scalar.*\(2,\)"),
        ({"fn": lambda xy: jnp.sum(xy) * 1j}, ValueError, "real scalar.*complex"),
        ({"optimizers": {"mine": 0.1}}, TypeError, "optimizer 'mine'.*0.1"),
    ],
)
def test_paths_refuses(change, kind, message):
    arguments = {
        "fn": bowl,
        "optimizers": {"sgd": gradtx.sgd(0.1)},
        "start": (1.0, 1.0),
        "steps": 1,
    }
    fn, optimizers, *_ = (arguments | change).values()
    rest = {name: (arguments | change)[name] for name in ("start", "steps")}
    with pytest.raises(kind, match=message):
        paths(fn, optimizers, **rest)


def curves(ax):
    """The named lines, by the first word of the name."""
    return {
        line.get_label().split()[0]: line
        for line in ax.lines
        if not line.get_label().startswith("_")
    }


def test_a_map_is_drawn_on_the_axis_that_is_given():
    ax = axis()
    optimizers = {"adam": gradtx.adam(0.2), "sgd": gradtx.sgd(0.05)}
    assert plot_paths(QUADRATIC, optimizers, steps=50, ax=ax) is ax
    found = paths(QUADRATIC.fn, optimizers, start=QUADRATIC.start, steps=50)
    assert list(curves(ax)) == list(optimizers)
    for name, line in curves(ax).items():
        np.testing.assert_array_equal(line.get_xydata(), found[name])
        assert line.get_markevery() == 5
    assert ax.get_legend().get_title().get_text() == "a dot every 5 steps"
    assert (ax.get_xlim(), ax.get_ylim()) == (QUADRATIC.xlim, QUADRATIC.ylim)
    ring, star = ax.lines[:2]
    np.testing.assert_array_equal(ring.get_xydata(), [QUADRATIC.start])
    np.testing.assert_array_equal(star.get_xydata(), [QUADRATIC.minimum])


def test_what_is_given_comes_before_what_a_surface_brings():
    given = {"start": (1.0, 0.5), "minimum": (0.1, 0.2)} | FRAME
    ax = plot_paths(SADDLE, {"sgd": gradtx.sgd(0.1)}, steps=1, ax=axis(), **given)
    ring, star, line = ax.lines
    np.testing.assert_array_equal(ring.get_xydata(), [given["start"]])
    np.testing.assert_array_equal(star.get_xydata(), [given["minimum"]])
    np.testing.assert_allclose(line.get_xydata(), [[1.0, 0.5], [0.8, 0.6]], rtol=1e-6)
    assert (ax.get_xlim(), ax.get_ylim()) == (FRAME["xlim"], FRAME["ylim"])


@pytest.mark.parametrize(("marks", "every"), [(0, None), (1, 1), (7, 7), (None, 2)])
def test_dots_are_every_so_many_steps(marks, every):
    optimizers = {"sgd": gradtx.sgd(0.05)}
    ax = plot_paths(QUADRATIC, optimizers, steps=49, marks=marks, ax=axis())
    assert curves(ax)["sgd"].get_markevery() == every


@pytest.mark.parametrize(
    ("points", "note"),
    [
        ([(0, 0), (1, 1)], ""),
        ([(0, 0), (3, 0), (1, 0), (2, 1)], "(1 of 4 points outside)"),
        ([(0, 0), (3, 0), (1, 0), (2, 1.1), (9, 9)], "(leaves at step 3)"),
        ([(0, 0), (1, 0), (NAN, 0), (NAN, NAN)], "(not finite from step 2)"),
        (
            [(0, 0), (1, 3), (np.inf, 0)],
            "(leaves at step 1, not finite from step 2)",
        ),
        ([(9, 0), (9, 1)], "(leaves at step 0)"),
        ([(0, 0), (3e38, -3e38)], "(leaves at step 1)"),
        ([(NAN, NAN)], "(not finite from step 0)"),
    ],
)
def test_a_path_that_does_not_stay_is_said(points, note):
    points = np.array(points, np.float32)
    ax = plot_paths(bowl, {"known": points}, ax=axis(), **FRAME)
    assert ax.get_legend().get_texts()[0].get_text() == f"known {note}".strip()
    crosses = [line.get_xydata() for line in ax.lines if line.get_marker() == "X"]
    lost_inside = note.startswith("(not finite") and "step 0" not in note
    expected = [points[[1]]] if lost_inside else []
    np.testing.assert_array_equal(crosses, expected)
    left = note.startswith("(leaves") and "step 0" not in note
    arrows = ax.texts
    assert len(arrows) == left
    for arrow in arrows:  # its head is on the frame
        x, y = arrow.xy
        on_edge = np.isclose([abs(x), abs(y)], [2, 1], rtol=1e-6)
        assert on_edge.any()
        assert abs(x) <= 2 + 1e-6
        assert abs(y) <= 1 + 1e-6
    ax.figure.savefig(io.BytesIO(), dpi=20)


def test_a_path_that_diverges_under_an_optimizer_is_said():
    ax = plot_paths(QUADRATIC, {"sgd": gradtx.sgd(1.0)}, steps=60, ax=axis())
    path = paths(
        QUADRATIC.fn, {"sgd": gradtx.sgd(1.0)}, start=QUADRATIC.start, steps=60
    )["sgd"]
    step = int(np.flatnonzero(~np.isfinite(path).all(1))[0])
    label = ax.get_legend().get_texts()[0].get_text()
    assert label == f"sgd (leaves at step 1, not finite from step {step})"


@pytest.mark.parametrize(
    "fn",
    [
        lambda xy: 0.0 * xy[0] + 1,
        lambda xy: jnp.log(xy[0]),
        lambda xy: xy[0] * jnp.nan,
        lambda xy: jnp.where(xy[0] > 1.99, 1.0, 0.0),
    ],
    ids=["flat", "not finite on a half", "nowhere finite", "a step at the edge"],
)
def test_any_function_can_be_drawn(fn):
    ax = plot_paths(fn, {"known": np.zeros((2, 2))}, ax=axis(), **FRAME)
    ax.figure.savefig(io.BytesIO(), dpi=20)


def test_the_legend_of_a_new_figure_is_below_the_map():
    optimizers = {"sgd": gradtx.sgd(0.05), "adam": gradtx.adam(0.2)}
    ax = plot_paths(QUADRATIC, optimizers, steps=20)
    (legend,) = ax.figure.legends
    ax.figure.draw_without_rendering()
    assert [text.get_text() for text in legend.get_texts()] == list(optimizers)
    assert legend.get_window_extent().y1 <= ax.get_tightbbox().y0


def test_a_notebook_shows_a_new_axis_as_a_picture():
    ax = plot_paths(QUADRATIC, {"known": np.zeros((2, 2))})
    with Image.open(io.BytesIO(ax._repr_png_())) as picture:
        assert picture.format == "PNG"
        assert picture.size == (640, 420)


@pytest.mark.parametrize("draw", [plot_paths, animate_paths])
@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"xlim": None}, ValueError, "xlim= and ylim="),
        ({"ylim": (1, 1)}, ValueError, r"ylim.*lower.*first.*\(1.0, 1.0\)"),
        ({"xlim": (0, np.inf)}, ValueError, "xlim.*finite"),
        ({"start": (1.0,)}, ValueError, "start must be two"),
        ({"start": None}, ValueError, "sgd: start= is missing"),
        ({"steps": None}, ValueError, "sgd: steps= is missing"),
        ({"steps": 0}, ValueError, "steps must be"),
        ({"minimum": 0.0}, ValueError, "minimum must be two"),
        ({"optimizers": {"a": np.zeros(2)}}, ValueError, r"'a' must have.*\(2,\)"),
        ({"optimizers": {"a": np.zeros((0, 2))}}, ValueError, "'a' must have"),
        ({"optimizers": {"a": [[0, 0]]}}, TypeError, "optimizer 'a'"),
    ],
)
def test_a_map_refuses(draw, change, kind, message):
    arguments = {
        "optimizers": {"sgd": gradtx.sgd(0.1)},
        "start": (1.0, 1.0),
        "steps": 1,
        **FRAME,
    }
    with pytest.raises(kind, match=message):
        draw(bowl, **(arguments | change))


def test_an_animation_draws_the_path_up_to_each_step(tmp_path):
    ax = axis()
    optimizers = {"sgd": gradtx.sgd(0.05), "known": np.ones((2, 2))}
    movie = animate_paths(
        QUADRATIC, optimizers, steps=5, every=2, hold=2, interval=100, ax=ax
    )
    path = paths(QUADRATIC.fn, {"sgd": gradtx.sgd(0.05)}, start=(-4.0, 1.0), steps=5)
    shown = []
    ax.figure.set_size_inches(1.5, 1)
    movie.save(
        tmp_path / "paths.gif",
        progress_callback=lambda *_: shown.append(
            [line.get_xydata().copy() for line in curves(ax).values()]
        ),
    )
    assert [len(sgd) for sgd, _ in shown] == [1, 3, 5, 6, 6, 6]
    assert [len(known) for _, known in shown] == [1, 2, 2, 2, 2, 2]
    np.testing.assert_array_equal(shown[-1][0], path["sgd"])
    assert ax.get_title() == "step 5"
    with Image.open(tmp_path / "paths.gif") as picture:
        assert picture.n_frames > 1


def test_importing_gradtx_does_not_import_matplotlib():
    code = (
        "import sys, gradtx\n"
        "gradtx.plot.paths(lambda x: (x**2).sum(), {'sgd': gradtx.sgd(0.1)},"
        " start=(1.0, 1.0), steps=1)\n"
        "sys.exit('matplotlib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("draw", [plot_paths, animate_paths])
def test_without_matplotlib_the_error_says_what_to_install(draw, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "gradtx\[plot\]"'):
        draw(surfaces.SADDLE, {"known": np.zeros((1, 2))})
