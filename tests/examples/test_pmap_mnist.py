"""The same training on one device and on eight; what is shown; one flag simulates."""

import json
import os
import subprocess
import sys
from functools import partial

import jax
import matplotlib.image
import numpy as np
import pytest

from examples import devices, pmap_mnist
from examples.datasets import Digits, Split, embedded_mnist
from examples.processes import ROOT

SIZES = (784, 8, 10)


def digits(train=160, test=100):
    whole = embedded_mnist()
    return Digits(
        f"{train} digits",
        Split(*(array[:train] for array in whole.train)),
        Split(*(array[:test] for array in whole.test)),
    )


def train(count, *, zero1=False, epochs=3, **options):
    """Train a network with 8 hidden units in steps of 40 digits."""
    return pmap_mnist.train(
        pmap_mnist.make_optimizer(4 * epochs, zero1=zero1, **options),
        digits(),
        jax.devices()[:count],
        epochs=epochs,
        batch_size=40,
        hidden=8,
    )


@pytest.fixture(scope="module")
def alone():
    return train(1)


@pytest.mark.parametrize("zero1", [False, True])
def test_eight_devices_train_as_one_does(zero1, alone):
    run = train(8, zero1=zero1)
    assert run.name == "8 devices"
    # The devices' parts of the mean are summed in another order.
    np.testing.assert_allclose(run.loss, alone.loss, rtol=1e-4)
    assert run.learning_rate == alone.learning_rate
    assert run.test_step == [4, 8, 12]
    # One digit of the 100 may lie on the border.
    np.testing.assert_allclose(run.test_accuracy, alone.test_accuracy, atol=0.011)
    assert np.mean(run.loss[-4:]) < 0.9 * np.mean(run.loss[:4])


@pytest.mark.parametrize("zero1", [False, True])
def test_parameters_stay_equal_and_zero1_keeps_an_eighth_of_the_moments(zero1):
    tx = pmap_mnist.make_optimizer(10, zero1=zero1)
    pmap = partial(jax.pmap, axis_name=pmap_mnist.AXIS)
    params, state = pmap(partial(pmap_mnist.start, tx, SIZES, 0))(np.arange(8))
    step = pmap(partial(pmap_mnist.train_step, tx))
    images, labels = (x[:40].reshape(8, 5, *x.shape[1:]) for x in digits().train)
    for _ in range(3):
        params, state, _ = step(params, state, images, labels)
    for leaf in map(np.asarray, jax.tree.leaves(params)):
        np.testing.assert_array_equal(leaf, np.broadcast_to(leaf[:1], leaf.shape))
    weights = sum(leaf[0].size for leaf in jax.tree.leaves(params))
    moments = sum(x.size // 8 for x in jax.tree.leaves(state) if x.ndim > 1)
    part = 8 if zero1 else 1
    assert 2 * weights / part <= moments < 2 * (weights / part + 4)  # 4 leaves: padding


def test_main_compares_with_one_device_and_leaves_picture_and_curves(tmp_path, capsys):
    runs = pmap_mnist.main(
        [
            *["--simulate", "4", "--zero1", "--compare", "--epochs", "1"],
            *["--batch-size", "500", "--out", str(tmp_path / "a")],
        ]
    )
    assert [run.name for run in runs] == ["4 devices", "1 device"]
    said = capsys.readouterr().out
    assert "4 x cpu, 125 digits each" in said
    assert "zero1(axis_name='data'" in said
    assert f"4 devices: test accuracy {runs[0].test_accuracy[-1]:.4f}" in said
    picture = matplotlib.image.imread(tmp_path / "a" / "pmap_mnist.png")
    assert picture.min() < picture.max()
    saved = json.loads((tmp_path / "a" / "pmap_mnist.json").read_text())
    assert (saved["devices"], saved["zero1"]) == (4, True)
    assert [record["loss"] for record in saved["runs"]] == [run.loss for run in runs]


def test_one_device_is_enough_and_the_flag_for_more_is_named(tmp_path, capsys):
    options = ["--epochs", "1", "--batch-size", "2000", "--out", str(tmp_path)]
    (run,) = pmap_mnist.main([*options, "--simulate", "1", "--compare"])
    assert run.name == "1 device"
    assert "There is one device" in (said := capsys.readouterr().out)
    assert "`--simulate 8`" in said


def test_a_diverged_training_ends_early_and_says_so(tmp_path, capsys):
    options = ["--epochs", "3", "--batch-size", "2000", "--learning-rate", "1e38"]
    (run,) = pmap_mnist.main([*options, "--simulate", "2", "--out", str(tmp_path)])
    assert len(run.test_accuracy) < 3
    assert "diverged" in capsys.readouterr().out


def test_the_flag_gives_devices_to_a_new_process_whatever_xla_is_told():
    code = "from examples import devices; print(len(devices.choose(3)))"
    told = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, cwd=ROOT, env=told, capture_output=True, text=True)
    assert found.stdout.strip() == "3", found.stderr


def test_devices_that_jax_has_found_are_used_if_they_are_enough():
    assert devices.choose(None) == jax.local_devices()
    assert devices.choose(3) == jax.local_devices()[:3]
    too_many = len(jax.local_devices()) + 1
    with pytest.raises(RuntimeError, match=f"--simulate {too_many}: JAX has already"):
        devices.choose(too_many)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--simulate", "0"], "--simulate: must be a positive whole number, got '0'"),
        (["--batch-size", "100"], "100 does not divide among 8 devices: take 96"),
        (["--batch-size", "3"], "3 does not divide among 8 devices: take 8"),
        (["--batch-size", "4008"], "--batch-size 4008 is more than the 4,000 digits"),
        (["--learning-rate", "nan"], "--learning-rate: must be a positive number"),
    ],
)
def test_bad_arguments_are_named(arguments, problem, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        pmap_mnist.main(["--out", str(tmp_path), *arguments])
    assert caught.value.code == 2
    assert problem in capsys.readouterr().err


def test_what_stops_it_before_training_is_said(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(SystemExit, match=str(path)):
        pmap_mnist.main(["--out", str(path)])
    with pytest.raises(SystemExit, match="JAX has already started"):
        pmap_mnist.main(["--out", str(tmp_path), "--simulate", "4096"])
