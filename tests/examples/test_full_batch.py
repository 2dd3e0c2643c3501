"""L-BFGS beside Adam: each curve counts what it costs, and the full batch tells."""

import json

import jax
import jax.numpy as jnp
import matplotlib.image
import numpy as np
import pytest

import gradtx
from examples import full_batch
from examples.datasets import Digits, Split, embedded_mnist


@pytest.fixture(autouse=True)
def _few_digits(monkeypatch):
    """60 digits to train and 30 to test, every fourth pixel of them."""
    whole = embedded_mnist()

    def part(split, count):
        return Split(split.images[:count, ::4], split.labels[:count])

    few = Digits("60 digits", part(whole.train, 60), part(whole.test, 30))
    monkeypatch.setattr(full_batch, "embedded_mnist", lambda: few)
    monkeypatch.setattr(full_batch, "RATES", (1e-2, 1e-1))


def test_main_compares_and_leaves_picture_and_curves(tmp_path, capsys):
    curves = full_batch.main(
        ["--passes", "40", "--batch-size", "20", "--out", str(tmp_path)]
    )
    said = capsys.readouterr().out
    assert "60 digits to train, 30 to test" in said
    assert list(curves) == ["full batch", "minibatches of 20"]
    saved = json.loads((tmp_path / "full_batch.json").read_text())
    least = saved["lowest"]
    best = {}
    for panel, runs in curves.items():
        assert runs[0].name == "lbfgs"
        assert len(runs) == 1 + len(full_batch.RATES)
        for run in runs:
            assert run.passes[0] == 0 < run.passes[-1] <= 40
            assert np.all(np.diff(run.passes) > 0)
            # The lowest value is that, to the rounding of ten additions.
            assert min(run.objective) >= least - 1e-14
            assert run.objective[0] == pytest.approx(np.log(10), rel=1e-12)
            best[panel, run.name] = min(run.objective) - least
    lbfgs = best.pop(("full batch", "lbfgs"))
    assert lbfgs < 0.1 * min(best.values())  # More Optimization: with all the data
    others = [value for key, value in best.items() if key[0] != "full batch"]
    assert best["minibatches of 20", "lbfgs"] > min(others)  # and not in minibatches
    kept = saved["runs"]["full batch"][0]
    assert kept["objective"][-1] == pytest.approx(curves["full batch"][0].objective[-1])
    assert matplotlib.image.imread(tmp_path / "full_batch.png").shape[1] > 1000


def test_the_lowest_value_is_where_the_gradient_is_zero():
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        data = {
            "images": jnp.asarray(rng.uniform(size=(30, 5))),
            "labels": jnp.asarray(rng.integers(0, 10, 30)),
            "l2": jnp.asarray(1e-2),
        }
        zero = {"kernel": jnp.zeros((5, 10)), "bias": jnp.zeros(10)}
        least = full_batch.lowest(data, zero)
        tx, params = gradtx.lbfgs(), zero
        state = tx.init(params)
        for _ in range(100):
            params, state, value, _ = full_batch.full_batch_step(
                tx, params, state, data
            )
        assert float(gradtx.tree.norm(state[-1].grad)) < 1e-8
        # By a gradient of 1e-8 the value is off by its square over the curvature.
        assert least == pytest.approx(float(value), abs=1e-13)


def test_a_pass_is_one_look_at_every_digit(monkeypatch):
    seen = []
    objective = full_batch.objective

    def counting(params, images, labels, l2):
        jax.debug.callback(lambda: seen.append(len(labels)))
        return objective(params, images, labels, l2)

    monkeypatch.setattr(full_batch, "objective", counting)
    digits = full_batch.embedded_mnist()
    with jax.enable_x64(True):
        data = {
            "images": jnp.asarray(digits.train.images, jnp.float64),
            "labels": jnp.asarray(digits.train.labels),
            "l2": jnp.asarray(1e-3),
        }
        zero = {
            "kernel": jnp.zeros((digits.train.images.shape[1], 10), jnp.float64),
            "bias": jnp.zeros(10, jnp.float64),
        }
        steps = full_batch.line_search_steps(gradtx.lbfgs(memory_size=3), zero, data)
        for _ in range(6):
            passes, _, _ = next(steps)
        jax.effects_barrier()
        assert len(seen) == passes
        seen.clear()
        # Memory of two: a compiled step of this test's own, which counts.
        tx = gradtx.lbfgs(memory_size=2)
        batches = jnp.arange(60).reshape(3, 20)
        _, _, looks = full_batch.epoch(tx, zero, tx.init(zero), data, batches)
        jax.effects_barrier()
        assert seen == [20] * int(looks)


def test_help_lists_every_option(capsys):
    with pytest.raises(SystemExit):
        full_batch.main(["--help"])
    said = capsys.readouterr().out
    for option in ("--passes", "--batch-size", "--l2", "--quick", "--seed", "--out"):
        assert option in said


def test_a_batch_of_more_digits_than_there_are_is_refused(capsys, tmp_path):
    with pytest.raises(SystemExit):
        full_batch.main(["--batch-size", "61", "--out", str(tmp_path)])
    assert "--batch-size 61 is more than the 60 digits" in capsys.readouterr().err
