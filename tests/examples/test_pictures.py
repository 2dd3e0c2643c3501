"""The pictures: each shows what it says."""

import re
from pathlib import Path

import matplotlib.colors
import matplotlib.image
import numpy as np
import pytest
from PIL import Image

import gradtx
from examples import pictures
from examples.pictures import (
    __main__ as main,
    algorithms,
    averages,
    decay,
    effective,
    look,
    maps,
    matrices,
    regression,
    schedules,
    sharpness,
)
from gradtx.plot import surfaces


def named(panel):
    """The lines with a name, by name."""
    handles, labels = panel.get_legend_handles_labels()
    return dict(zip(labels, handles, strict=True))


def test_every_optimizer_has_lines_and_a_picture():
    both = [*algorithms.LINES, *matrices.LINES]
    assert sorted(both) == sorted(algorithms.aliases())
    assert {"sgd", "adam", "lbfgs"} < set(algorithms.aliases())
    assert "scale_by_adam" not in algorithms.aliases()
    assert set(algorithms.aliases()) < set(pictures.PICTURES)
    for name, lines in algorithms.LINES.items():
        for line in lines:
            algorithms.aliases()[name](line.quadratic, **line.options)
            algorithms.aliases()[name](line.beale, **line.options)


@pytest.mark.parametrize("name", ["sgd", "adamw", "newton"])
def test_the_picture_of_an_algorithm_has_its_paths_beside_those_of_sgd(name):
    quadratic, beale = pictures.algorithm(name).axes
    lines = algorithms.LINES[name]
    for panel, surface, rate in (
        (quadratic, surfaces.QUADRATIC, lines[0].quadratic),
        (beale, surfaces.BEALE, lines[0].beale),
    ):
        drawn = named(panel)
        first, *_, last = drawn
        assert first == lines[0].label + ("" if rate is None else f", rate {rate:g}")
        assert last.startswith("Nesterov" if name == "sgd" else "sgd")
        assert len(drawn) == (3 if name == "sgd" else 2)
        tx = algorithms.aliases()[name](rate, **lines[0].options)
        steps = len(drawn[first].get_xydata()) - 1
        assert panel.get_title() == f"{surface.name}, {steps} steps"
        path = gradtx.plot.paths(surface.fn, {"": tx}, start=surface.start, steps=steps)
        np.testing.assert_array_equal(drawn[first].get_xydata(), path[""])


def test_the_picture_of_an_optimizer_of_matrices_is_not_adams():
    (panel,) = pictures.algorithm("galore").axes
    adam, *others = (line.get_ydata() for line in named(panel).values())
    assert len(others) == len(matrices.LINES["galore"]) == 2
    for losses in others:
        assert losses[0] == adam[0]
        assert adam[-1] < losses[-1] < losses[0] / 2


def test_an_optimizer_without_lines_is_named(monkeypatch):
    with pytest.raises(LookupError, match=r"no optimizer 'adm'; there are.*adam,"):
        pictures.algorithm("adm")
    monkeypatch.setattr(algorithms, "LINES", {})
    with pytest.raises(LookupError, match="adam has no rates: add them to LINES"):
        pictures.algorithm("adam")


def test_each_function_has_the_six_paths():
    (panel,) = maps.paths(surfaces.QUADRATIC).axes
    six = maps.optimizers(surfaces.QUADRATIC)
    assert list(named(panel)) == list(six)
    assert "Adam, rate 0.2" in six
    assert panel.get_title() == "quadratic: 50 steps, a dot every 5 steps"
    assert (
        set(maps.STEPS)
        == set(maps.RATES)
        == {surface.name for surface in surfaces.SURFACES}
    )


def test_the_saddle_is_left_in_the_order_that_why_md_gives():
    (panel,) = maps.paths(surfaces.SADDLE).axes
    left = [
        re.search(r"leaves at step (\d+)", label).group(1) for label in named(panel)
    ]
    # SGD, momentum, Nesterov, AdaGrad, RMSProp, Adam, with the rates of the page.
    assert left == ["52", "53", "49", "37", "46", "32"]
    assert maps.RATES["saddle"] == (0.05, 0.01, 0.01, 0.1, 0.02, 0.04)
    text = (Path(__file__).parents[2] / "docs" / "why.md").read_text()
    assert "for tx in suited.values()] == [32, 37, 46, 49, 52, 53]" in text


def test_momentum_passes_the_first_minimum_and_sgd_stays():
    (panel,) = maps.paths(surfaces.TWO_MINIMA).axes
    ends = [line.get_xydata()[-1] for line in named(panel).values()]
    where = ["first", "second", "second", "first", "first", "second"]
    for end, valley in zip(ends, where, strict=True):
        minimum = [-0.75, 0] if valley == "first" else surfaces.TWO_MINIMA.minimum
        np.testing.assert_allclose(end, minimum, atol=0.1)


def test_the_overview_has_all_functions_and_names_the_six_once():
    picture = maps.overview()
    assert [panel.get_title() for panel in picture.axes] == list(maps.STEPS)
    (legend,) = picture.legends
    six = maps.optimizers(surfaces.SADDLE, rates=False)
    assert [text.get_text() for text in legend.get_texts()] == list(six)


def test_the_corrected_average_of_a_constant_is_the_constant():
    series = np.full(50, 40.0)
    corrected = averages.average(series, 0.98, debias=True)
    np.testing.assert_allclose(corrected, series, rtol=1e-5)  # float32
    plain = averages.average(series, 0.98, debias=False)
    expected = 40 * (1 - 0.98 ** np.arange(1, 51))
    np.testing.assert_allclose(plain, expected, rtol=1e-4)  # 1 - 0.98 in float32


def test_the_averages_of_the_temperature_are_drawn():
    series = averages.temperatures()
    assert 35 < series[:10].mean() < 45 < 70 < series[-10:].mean()
    for panel, b in zip(averages.bias_correction().axes, (0.9, 0.98), strict=True):
        days, plain, corrected = named(panel).values()
        np.testing.assert_array_equal(days.get_ydata(), series)
        mean, means = 0.0, []
        for value in series:
            mean = b * mean + (1 - b) * value
            means.append(mean)
        np.testing.assert_allclose(plain.get_ydata(), means, rtol=1e-4)  # float32
        weights = 1 - b ** np.arange(1, len(series) + 1)
        # The correction is computed in float32.
        np.testing.assert_allclose(corrected.get_ydata(), means / weights, rtol=1e-4)


def test_momentum_gathers_speed_within_its_memory():
    speed, distance = averages.time_scales().axes
    for b, line in zip((0, 0.9, 0.98), named(speed).values(), strict=True):
        t = np.arange(1, averages.STEPS + 1)
        geometric = (1 - b**t) / (1 - b)
        np.testing.assert_allclose(line.get_ydata(), geometric, rtol=1e-4)  # float32
    lines = {name: line.get_ydata() for name, line in named(distance).items()}
    # Without momentum each direction has a time of its own, with it they share one.
    plain = np.array([lines["flat, without"][-1], lines["steep, without"][10]])
    np.testing.assert_allclose(plain, [0.98**150, 0.6**10], rtol=1e-3)
    envelope = lines["$b^{t/2}$"]
    for direction in "flat", "steep":
        # The swings have a constant height over the envelope: complex roots of
        # r^2 - (1 + b - a) r + b, whose size is sqrt(b).
        swings = abs(lines[f"{direction}, b = 0.9"]) / envelope
        assert 0.5 < swings[:50].max() < 2
        assert 0.5 < swings[-50:].max() < 2


def test_a_full_batch_is_gradient_descent_and_every_point_comes_once_an_epoch():
    points = regression.data()
    lines = regression.descend(points, regression.POINTS)
    path = gradtx.plot.paths(
        lambda line: regression.loss(line, points),
        {"batch": gradtx.sgd(regression.RATE)},
        start=regression.START,
        steps=regression.EPOCHS,
    )
    # The points are summed in another order.
    np.testing.assert_allclose(lines, path["batch"], rtol=1e-4)
    # The first step of an epoch over a single point is that of this point.
    single = regression.descend(points, 1)
    assert len(single) == regression.EPOCHS * regression.POINTS + 1
    slope, intercept = regression.START
    errors = slope * points.x + intercept - points.y
    moves = -regression.RATE * np.stack([errors * points.x, errors], 1)
    differences = abs(moves - (single[1] - single[0])).max(1)
    assert (differences < 1e-5).sum() == 1


def test_small_batches_are_at_the_minimum_first_and_do_not_rest():
    picture = regression.minibatch()
    losses = [line.get_ydata() for line in named(picture.axes[1]).values()]
    single, middle, full = losses
    epoch = len(single) // regression.EPOCHS
    assert single[epoch] < full[1]
    assert single[-100:].mean() > middle[-20:].mean()


def test_decoupled_decay_is_the_same_for_rare_and_frequent_features():
    penalty, decoupled = decay.decay().axes
    alone = (1 - decay.RATE * decay.DECAY) ** np.arange(decay.STEPS + 1)
    frequent, rare, expected = (line.get_ydata() for line in named(decoupled).values())
    np.testing.assert_allclose(expected, alone, rtol=1e-12)
    # Runs come in pairs of opposite gradients, whose steps cancel; float32.
    np.testing.assert_allclose(frequent, alone, rtol=1e-3)
    np.testing.assert_allclose(rare, alone, rtol=1e-3)
    frequent, rare, _ = (line.get_ydata() for line in named(penalty).values())
    # Where gradients are rare their root mean square is smaller, sqrt(1 / 20).
    assert rare[300] < 0.5 * frequent[300]


def test_every_schedule_is_drawn():
    assert set(schedules.EXAMPLES) == set(schedules.public())
    picture = schedules.schedules()
    panels = {panel.get_title(): panel for panel in picture.axes if panel.lines}
    assert list(panels) == list(schedules.EXAMPLES)
    for name, panel in panels.items():
        (line,) = panel.lines
        for step in 0, 50, 199:
            expected = schedules.EXAMPLES[name](step)
            assert line.get_ydata()[step] == pytest.approx(float(expected), abs=1e-6)


def test_only_amsgrad_remembers_the_largest_gradient():
    _, panel = effective.step_sizes().axes
    last = {name: line.get_ydata()[-20:].mean() for name, line in named(panel).items()}
    assert list(last) == ["AdaGrad", "RMSProp", "Adam", "AMSGrad"]
    assert last["AMSGrad"] == pytest.approx(0.1, rel=0.2)
    assert last["Adam"] > 10 * last["AMSGrad"]
    assert last["RMSProp"] == pytest.approx(last["Adam"], rel=0.2)
    assert last["AdaGrad"] == pytest.approx(0.1 / 10, rel=0.05)  # 100 steps: sqrt(100)


def test_sharpness_rises_to_the_edge_and_stays():
    panel, losses = sharpness.sharpness().axes
    for rate, line in zip(sharpness.RATES, named(panel).values(), strict=True):
        values = line.get_ydata()
        assert values[:10].max() < 2 / rate
        # At the edge it swings around 2 / rate.
        assert np.median(values[-30:]) == pytest.approx(2 / rate, rel=0.1)
    for line in named(losses).values():
        assert line.get_ydata()[-1] < 0.2 * line.get_ydata()[0]


def test_pictures_are_written_white_and_of_one_width(tmp_path):
    (path,) = pictures.write(tmp_path / "new", ["bias_correction"])
    assert path == tmp_path / "new" / "bias_correction.png"
    picture = matplotlib.image.imread(path)
    assert picture.shape[1] == look.WIDTH * look.DPI
    np.testing.assert_array_equal(picture[0, :, :3], 1)


def test_the_movie_keeps_the_colours_of_its_lines(tmp_path, monkeypatch):
    monkeypatch.setitem(maps.STEPS, "saddle", 2)
    (path,) = pictures.write(tmp_path, ["saddle.gif"])
    with Image.open(path) as movie:
        assert movie.n_frames == 3
        movie.seek(2)
        pixels = np.asarray(movie.convert("RGB"), float).reshape(-1, 3)
    assert (pixels[0] == 255).all()
    for color in look.COLORS:
        rgb = 255 * np.array(matplotlib.colors.to_rgb(color))
        assert abs(pixels - rgb).max(1).min() < 8, color


def test_a_picture_that_there_is_not_is_named(tmp_path, capsys):
    with pytest.raises(ValueError, match="no picture adm; there are overview,"):
        pictures.write(tmp_path, ["adam", "adm"])
    assert not list(tmp_path.iterdir())
    with pytest.raises(SystemExit):
        main.main(["adm"])
    assert "invalid choice: 'adm'" in capsys.readouterr().err


def test_the_command_writes_what_it_is_asked_for(tmp_path, capsys):
    main.main(["--out", str(tmp_path), "step_sizes", "rprop"])
    written = sorted(path.name for path in tmp_path.iterdir())
    assert written == ["rprop.png", "step_sizes.png"]
    assert "2 pictures in" in capsys.readouterr().out
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match=r"examples.pictures: .*exists"):
        main.main(["--out", str(tmp_path / "file"), "rprop"])
