"""The convolutional network of the Adam paper, in small."""

import io
import json

import jax
import jax.numpy as jnp
import matplotlib.image
import numpy as np
import pytest

import gradtx
from examples import datasets
from examples.datasets import Digits, Split
from examples.papers import cnn, convolutional
from examples.report import Console

SHAPE = (5, 6, 3)
SEED = 2


@pytest.fixture
def small(monkeypatch):
    """A network of a few channels, minibatches of 4, images of 5 x 6 in colour."""
    monkeypatch.setattr(cnn, "CHANNELS", (2, 3, 2))
    monkeypatch.setattr(cnn, "DENSE", 5)
    monkeypatch.setattr(cnn, "SHAPES", {90: SHAPE})
    monkeypatch.setattr(convolutional, "BATCH_SIZE", 4)


def split(count, seed=0):
    images = np.random.default_rng(seed).random((count, 90), np.float32)
    return Split(images, np.arange(count, dtype=np.int32) % 10)


def data(count):
    images, labels = split(count)
    return Split(cnn.standardise(images), labels)


def shapes(function, *arguments):
    return jax.tree.map(lambda x: x.shape, jax.eval_shape(function, *arguments))


@pytest.mark.parametrize(
    ("shape", "first"), [((28, 28, 1), 1_664), ((32, 32, 3), 4_864)]
)
def test_the_network_has_the_shapes_and_the_weights_of_the_paper(shape, first):
    problem = cnn.problem(shape, dropout=True)
    params = jax.eval_shape(problem.init, jax.random.key(0))
    counts = [
        sum(leaf.size for leaf in jax.tree.leaves(layer))
        for layer in (*params["convolutions"], params["dense"], params["output"])
    ]
    # 5 5 64 64 + 64;  5 5 64 128 + 128;  4 4 128 1000 + 1000;  1000 10 + 10
    assert counts == [first, 102_464, 204_928, 2_049_000, 10_010]
    images = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
    assert shapes(cnn.logits, params, images) == (2, 10)
    maps = []
    for layer in params["convolutions"]:
        images = jax.eval_shape(cnn.convolve, images, layer)
        maps.append(images.shape[1:])
        images = jax.eval_shape(cnn.pool, images)
        maps.append(images.shape[1:])
    n = shape[0]  # 28, 14, 7, 4 or 32, 16, 8, 4
    m = n // 2
    assert maps == [
        (n, n, 64),
        (m, m, 64),
        (m, m, 64),
        (m // 2, m // 2, 64),
        (m // 2, m // 2, 128),
        (4, 4, 128),
    ]


def test_pooling_takes_the_maximum_of_three_by_three_with_stride_two():
    x = np.random.default_rng(0).normal(size=(2, 5, 6, 3)).astype(np.float32)
    expected = np.empty((2, 3, 3, 3), np.float32)
    for row in range(3):
        for column in range(3):
            top, left = max(2 * row - 1, 0), max(2 * column - 1, 0)
            window = x[:, top : 2 * row + 2, left : 2 * column + 2]
            expected[:, row, column] = window.max((1, 2))
    np.testing.assert_array_equal(cnn.pool(x), expected)
    # Each output sends its gradient to one input, that with the maximum.
    grads = np.asarray(jax.grad(lambda x: cnn.pool(x).sum())(x))
    assert grads.sum() == expected.size
    assert set(np.unique(x[grads > 0])) == set(expected.ravel())


def test_convolution_keeps_the_size_and_agrees_with_sums():
    generator = np.random.default_rng(0)
    x, kernel = generator.normal(size=(2, 4, 6, 3)), generator.normal(size=(5, 5, 3, 2))
    bias = np.array([1.0, -2.0])
    padded = np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)))
    expected = np.empty((2, 4, 6, 2))
    for row in range(4):
        for column in range(6):
            window = padded[:, row : row + 5, column : column + 5]
            expected[:, row, column] = np.tensordot(window, kernel, 3) + bias
    layer = {"kernel": np.float32(kernel), "bias": np.float32(bias)}
    found = cnn.convolve(jnp.float32(x), layer)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)  # float32 sums


def test_rectifying_after_pooling_is_rectifying_before(small):
    params = cnn.problem(SHAPE, dropout=False).init(jax.random.key(0))

    @jax.jit
    def before(params, x):
        for layer in params["convolutions"]:
            x = cnn.pool(jax.nn.relu(cnn.convolve(x, layer)))
        dense, output = params["dense"], params["output"]
        x = jnp.maximum(x.reshape(4, -1) @ dense["kernel"] + dense["bias"], 0)
        return x @ output["kernel"] + output["bias"]

    images = data(4).images
    found, expected = jax.jit(cnn.logits)(params, images), before(params, images)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)  # float32 sums


def test_dropout_keeps_the_mean_and_is_off_without_a_key():
    x = jnp.ones(20_000)
    found = cnn.drop(x, 0.2, jax.random.key(0))
    np.testing.assert_array_equal(np.unique(found), np.float32([0, 1.25]))
    assert abs(np.mean(found == 0) - 0.2) < 0.012  # four standard deviations
    np.testing.assert_array_equal(cnn.drop(x, 0.2, None), x)


def test_only_the_network_with_dropout_depends_on_the_key(small):
    batch, keys = data(4), [jax.random.key(i) for i in range(2)]
    for dropout in (False, True):
        problem = cnn.problem(SHAPE, dropout=dropout)
        params = problem.init(keys[0])
        loss = jax.jit(problem.loss)
        first, second = (loss(params, batch, key) for key in keys)
        assert (first != second) == dropout


def test_images_are_standardised_each_on_its_own(small):
    images = split(3).images
    images[1] = 0.5
    found = cnn.standardise(images)
    assert found.shape == (3, *SHAPE)
    np.testing.assert_array_equal(found[1], 0)  # and not NaN
    for number in 0, 2:
        np.testing.assert_allclose(found[number].mean(), 0, atol=1e-6)
        np.testing.assert_allclose(found[number].std(), 1, rtol=1e-5)
    row = found[0].reshape(-1)
    assert np.corrcoef(row, images[0])[0, 1] > 0.999  # in the order row, column, colour


def test_training_is_that_of_a_plain_loop(small):
    problem, train = cnn.problem(SHAPE, dropout=True), data(9)
    costs, params = convolutional.train(
        gradtx.adam, 0.01, problem, train, epochs=2, seed=SEED
    )
    init_key, noise_key = jax.random.split(jax.random.key(SEED))
    expected, tx = problem.init(init_key), gradtx.adam(0.01)
    state, generator = tx.init(expected), np.random.default_rng(SEED)
    grad = jax.jit(jax.value_and_grad(problem.loss))
    apply = jax.jit(tx.step)
    order = np.concatenate([generator.permutation(9)[:8] for _ in range(2)])
    for number, index in enumerate(order.reshape(4, 4)):
        batch = train.images[index], train.labels[index]
        key = jax.random.fold_in(noise_key, number)
        cost, grads = grad(expected, batch, key)
        np.testing.assert_allclose(costs[number], cost, rtol=1e-5)
        expected, state = apply(grads, state, expected)
    for found, value in zip(
        jax.tree.leaves(params), jax.tree.leaves(expected), strict=True
    ):
        # Adam divides by the size of a gradient, so that one of rounding error moves
        # its weight by up to the rate; none here is as small.
        np.testing.assert_allclose(found, value, rtol=1e-3, atol=1e-5)


def test_the_rate_is_the_best_of_an_epoch_and_the_lowest_if_all_diverge(small):
    problem = cnn.problem(SHAPE, dropout=False)
    rate, costs = convolutional.choose(
        gradtx.sgd, (1e12, 1e-2), problem, data(16), seed=SEED
    )
    assert rate == 1e-2
    assert not costs[0] < costs[1]
    rate, costs = convolutional.choose(
        gradtx.sgd, (1e30, 1e31), problem, data(16), seed=SEED
    )
    assert rate == 1e30
    assert not np.isfinite(costs).any()


def test_accuracy_counts_every_test_image_once(small, monkeypatch):
    monkeypatch.setattr(convolutional, "TESTED", 4)
    params = cnn.problem(SHAPE, dropout=False).init(jax.random.key(0))
    images, _ = data(10)
    answers = np.array(jax.jit(cnn.logits)(params, images).argmax(1), np.int32)
    answers[[0, 9]] = (answers[[0, 9]] + 1) % 10
    assert convolutional.accuracy(params, Split(images, answers)) == 0.8


def test_the_script_leaves_a_picture_and_numbers(small, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(convolutional, "OPTIMIZERS", {"Adam": gradtx.adam})
    monkeypatch.setattr(
        datasets, "fashion_mnist", lambda _: Digits("clothes", split(20), split(9, 1))
    )
    found = convolutional.main(
        ["--quick", "--epochs", "4", "--images", "12", "--out", str(tmp_path)]
    )
    assert [curve.dropout for curve in found] == [False, True]
    assert all(len(curve.costs) == 12 for curve in found)
    numbers = json.loads((tmp_path / "convolutional.json").read_text())
    assert (numbers["data"], numbers["images"], numbers["epochs"]) == ("clothes", 12, 4)
    assert len(numbers["cost of the rates"]["Adam"]) == len(numbers["rates"])
    first = numbers["results"][0]
    np.testing.assert_allclose(
        first["cost by epoch"], found[0].costs.reshape(4, 3).mean(1), rtol=1e-4
    )
    assert len(first["curve"]) == len(numbers["epochs of the curves"]) == 12
    assert (tmp_path / "convolutional.json").stat().st_size < 100_000
    assert matplotlib.image.imread(tmp_path / "convolutional.png").shape[1] > 1000
    said = capsys.readouterr().out
    assert "Adam + dropout" in said
    assert "epoch 3" in said


def test_a_folder_with_cifar_is_read_as_cifar_any_other_as_idx(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets, "cifar10", lambda folder: ("cifar", folder))
    monkeypatch.setattr(datasets, "fashion_mnist", lambda folder: ("idx", folder))
    assert convolutional.read(None) == ("idx", None)
    assert convolutional.read(tmp_path) == ("idx", tmp_path)
    (tmp_path / "data_batch_1.bin").touch()
    assert convolutional.read(tmp_path) == ("cifar", tmp_path)


def test_fewer_images_than_a_batch_are_refused(small, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        datasets, "fashion_mnist", lambda _: Digits("clothes", split(20), split(9, 1))
    )
    with pytest.raises(SystemExit):
        convolutional.main(["--images", "3", "--out", str(tmp_path)])
    assert "is more than the 3" in capsys.readouterr().err


def test_the_picture_survives_a_curve_that_diverged():
    costs = np.array([2.0, 1.0, np.nan, np.nan])
    curve = convolutional.Curve("Adam", False, 0.1, costs, 0.1, 1.0)
    figure = convolutional.draw([curve], 2, "title")
    line = figure.axes[1].get_lines()[0]
    np.testing.assert_array_equal(line.get_ydata(), costs)
    shown = convolutional.table([curve], 2, (0.01, 0.1))
    assert shown.row_count == 1
    console = Console(record=True, width=100, file=io.StringIO())
    console.print(shown)
    assert "edge of grid" in console.export_text()
