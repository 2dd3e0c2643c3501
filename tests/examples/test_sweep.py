"""The sweep of the example: one program, and the same numbers one by one."""

import json

import matplotlib.image
import numpy as np
import pytest

from examples import sweep


def test_both_ways_have_the_same_losses_and_all_is_shown(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sweep, "HIDDEN", 4)
    ways = sweep.main(["--quick", "--epochs", "1", "--out", str(tmp_path)])
    together, alone = ways
    assert together.loss.shape == alone.loss.shape == (4,)
    # Nine steps; a batched product of matrices adds in another order.
    np.testing.assert_allclose(together.loss, alone.loss, rtol=1e-4)
    said = capsys.readouterr().out
    assert "runs      4, 2 learning rates by 2 decays" in said
    assert "training  600 digits" in said
    (row,) = (line for line in said.splitlines() if line.startswith("*"))
    best = int(np.argmin(together.loss))
    assert row.split()[1] == f"{best}"
    for name, way in zip(("all at once", "one by one"), ways, strict=True):
        (line,) = (x for x in said.splitlines() if x.startswith(f"{name}  "))
        assert f"{way.seconds:.1f} s" in line
        assert 0 < way.compiling < way.seconds
    ratio = alone.seconds / together.seconds
    assert f"one by one takes {ratio:.1f} times as long" in said
    saved = json.loads((tmp_path / "sweep.json").read_text())
    assert saved["settings"][best]["learning_rate"] == float(row.split()[2])
    np.testing.assert_allclose(saved["test_loss"]["all at once"], together.loss, 1e-5)
    assert matplotlib.image.imread(tmp_path / "sweep.png").shape[1] > 500


def test_what_is_not_finite_is_null():
    assert sweep.plain(np.array([0.5, np.nan, np.inf])) == [0.5, None, None]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--epochs", "0"], "--epochs: must be a positive whole number, got '0'"),
        (["--quick", "--batch-size", "601"], "--batch-size 601 is more than the 600"),
    ],
)
def test_bad_arguments_are_named(arguments, problem, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        sweep.main(["--out", str(tmp_path), *arguments])
    assert caught.value.code == 2
    assert problem in capsys.readouterr().err
