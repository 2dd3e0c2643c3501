"""What the examples show: the picture, the table, the file of curves."""

import json
import math
import runpy
import sys

import matplotlib.image
import numpy as np
import pytest

from examples import report


def run(name="adam", **fields):
    curves = {
        "loss": [2.0, 1.0, 0.5],
        "learning_rate": [0.1, 0.1, 0.1],
        "gradient_norm": [1.0, 1.0, 1.0],
        "test_step": [3],
        "test_accuracy": [0.5],
        "epoch_loss": 0.5,
        "compile_seconds": 0.1,
        "seconds": 0.2,
    }
    return report.Run(name, f"{name}(0.1)", **(curves | fields))


def test_the_running_mean_starts_with_what_there_is():
    np.testing.assert_allclose(report.running_mean([4, 2, 6, 8], 2), [4, 3, 4, 7])
    values = report.running_mean([1.0, np.inf, 1.0], 2)
    np.testing.assert_array_equal(np.isnan(values), [False, True, True])


@pytest.mark.parametrize(
    "loss", [[2.0, 1.0, 0.5], [1.0], [1.0, 0.0], [math.nan] * 3, [1.0, math.inf]]
)
def test_any_curve_can_be_drawn_and_saved(loss, tmp_path):
    runs = [run(loss=loss, test_step=[len(loss)]), run("sgd")]
    for drawn in runs[:1], runs:
        report.plot(drawn, tmp_path / "picture.png", "some title")
        picture = matplotlib.image.imread(tmp_path / "picture.png")
        assert picture.min() < picture.max()
    report.save(runs, tmp_path / "curves.json", {"seed": 3})
    saved = json.loads(
        (tmp_path / "curves.json").read_text(), parse_constant=pytest.fail
    )
    assert saved["seed"] == 3
    assert saved["runs"][0]["loss"] == [x if math.isfinite(x) else None for x in loss]
    assert saved["runs"][1] == run("sgd")._asdict()


def test_the_table_has_the_best_accuracy_in_bold():
    table = report.table([run("a"), run("b", test_accuracy=[0.2, 0.75])])
    names, accuracies, *_ = (list(column.cells) for column in table.columns)
    assert names == ["a", "b"]
    assert accuracies == ["0.5000", "[bold]0.7500[/]"]


@pytest.mark.parametrize("package", ["matplotlib", "rich"])
def test_without_what_it_shows_with_the_error_says_what_to_install(
    package, monkeypatch
):
    for name in [name for name in sys.modules if name.startswith(package)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError, match=f"need {package}.*pip install"):
        runpy.run_path(report.__file__)
