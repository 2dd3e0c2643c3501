"""Grids of hyperparameters: bias correction and decay, on a handful of images."""

import json
import math

import jax
import jax.numpy as jnp
import matplotlib.image
import numpy as np
import pytest

import gradtx
from examples.datasets import Digits, Split
from examples.papers import autoencoder, decay, grids
from examples.report import Figure

PIXELS, IMAGES, BATCH, EPOCHS, SEED = 6, 16, 4, 2, 3


GRID = {  # the last point diverges
    "b1": np.float32([0.0, 0.9, 0.0]),
    "b2": np.float32([0.999, 0.99, 0.99]),
    "rate": np.float32([1e-2, 1e-2, 1e4]),
}


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).random((IMAGES, PIXELS), np.float32)


@pytest.fixture(scope="module")
def auto_encoders(images):
    problem = autoencoder.problem(PIXELS, 4, 2)
    return train(autoencoder.optimizers, GRID, problem, images)


@pytest.fixture
def digits(monkeypatch):
    """Let the scripts find few digits."""
    generator = np.random.default_rng(1)

    def split(count):
        images = generator.random((count, 784), np.float32)
        return Split(images, np.arange(count, dtype=np.int32) % 10)

    digits = Digits("few digits", split(40), split(20))
    monkeypatch.setattr(grids, "embedded_mnist", lambda: digits)
    monkeypatch.setattr(decay, "IMAGES", 20)
    monkeypatch.setattr(decay, "TESTS", 40)
    monkeypatch.setattr(decay, "BATCH_SIZE", 10)
    monkeypatch.setattr(decay, "HIDDEN", 3)
    return digits


def train(make, grid, problem, data):
    return grids.train(
        make, grid, problem, data, epochs=EPOCHS, batch_size=BATCH, seed=SEED
    )


def train_alone(tx, problem, data):
    """Train as everybody does, and return the parameters and each epoch's mean cost."""
    init_key, noise_key = jax.random.split(jax.random.key(SEED))
    generator = np.random.default_rng(SEED)
    params = problem.init(init_key)
    state, history = tx.init(params), []

    @jax.jit
    def step(params, state, batch, key):
        cost, grads = jax.value_and_grad(problem.loss)(params, batch, key)
        updates, state = tx.update(grads, state, params)
        return gradtx.apply_updates(params, updates), state, cost

    for epoch in range(1, EPOCHS + 1):
        order = generator.permutation(IMAGES).reshape(-1, BATCH)
        keys = jax.random.split(jax.random.fold_in(noise_key, epoch), len(order))
        costs = []
        for index, key in zip(order, keys, strict=True):
            batch = jax.tree.map(lambda array, index=index: array[index], data)
            params, state, cost = step(params, state, batch, key)
            costs.append(cost)
        history.append(np.mean(costs))
    return params, history


def assert_same(trained, name, number, alone):
    params, history = alone
    # Summed in another order: a few units in the last place of float32 at each step.
    np.testing.assert_allclose(trained.costs[name][:, number], history, rtol=1e-5)
    for found, value in zip(
        jax.tree.leaves(trained.params[name]), jax.tree.leaves(params), strict=True
    ):
        np.testing.assert_allclose(found[number], value, rtol=1e-4, atol=1e-5)


def test_points_are_every_combination_the_last_axis_fastest():
    grid = grids.points(b1=(0.0, 0.9), rate=(1.0, 2.0, 3.0))
    np.testing.assert_array_equal(grid["b1"], np.float32([0, 0, 0, 0.9, 0.9, 0.9]))
    np.testing.assert_array_equal(grid["rate"], [1, 2, 3, 1, 2, 3])


def test_the_auto_encoders_of_a_grid_train_as_alone_with_adam(auto_encoders, images):
    problem = autoencoder.problem(PIXELS, 4, 2)
    for number, name, on in (0, "corrected", True), (1, "uncorrected", False):
        b1, b2, rate = (float(GRID[key][number]) for key in ("b1", "b2", "rate"))
        tx = gradtx.adam(rate, b1=b1, b2=b2, bias_correction=on)
        assert_same(auto_encoders, name, number, train_alone(tx, problem, images))
    corrected, uncorrected = auto_encoders.costs.values()
    assert np.abs(corrected - uncorrected)[:, :2].max() > 1e-3


def test_the_networks_of_the_decay_maps_train_as_alone(images):
    data = images, np.arange(IMAGES, dtype=np.int32) % 10
    problem, steps = decay.problem(PIXELS, 4), EPOCHS * IMAGES // BATCH
    rates, decays = np.float32([0.01, 0.1]), np.float32([0.5, 2.0])
    grid = {"rate": rates} | {name: decays for name in decay.DECAYS}
    trained = train(lambda point: decay.optimizers(point, steps), grid, problem, data)
    rate, value, schedule = 0.1, 2.0, gradtx.cosine_decay_schedule(0.1, steps)
    alone = {
        "L2": gradtx.chain(gradtx.add_decayed_weights(value), gradtx.adam(schedule)),
        "AdamW": gradtx.adamw(schedule, weight_decay=value),
        # As the paper writes it: the decay is multiplied by the schedule alone.
        "AdamW, decay apart": gradtx.chain(
            gradtx.scale_by_adam(),
            gradtx.scale(rate),
            gradtx.add_decayed_weights(value),
            gradtx.scale_by_learning_rate(gradtx.cosine_decay_schedule(1.0, steps)),
        ),
    }
    for name, tx in alone.items():
        assert_same(trained, name, 1, train_alone(tx, problem, data))


def test_without_decay_the_three_maps_agree(digits):
    train_, test = decay.split(digits)
    console = autoencoder.Console(quiet=True)
    maps = decay.run(train_, test, epochs=1, seeds=[0], console=console)
    first, *others = maps.values()
    for other in others:
        np.testing.assert_allclose(
            other.cost[..., 0], first.cost[..., 0], rtol=1e-4
        )  # the three are compiled apart, so that sums differ in their last digits
        assert np.abs(other.cost[..., 1:] - first.cost[..., 1:]).max() > 1e-2


def test_the_loss_of_the_auto_encoder_is_the_bound_of_the_paper(images):
    problem = autoencoder.problem(PIXELS, 4, 2)
    params = jax.tree.map(  # larger, so that every term counts
        lambda array: 30 * array + 0.1, problem.init(jax.random.key(0))
    )
    key = jax.random.key(7)
    noise = np.float64(jax.random.normal(key, (IMAGES, 2)))
    kernel, bias = (
        {name: np.float64(layer[part]) for name, layer in params.items()}
        for part in ("kernel", "bias")
    )

    def layer(name, x):
        return x @ kernel[name] + bias[name]

    def softplus(x):
        return np.log1p(np.exp(x))

    features = softplus(layer("encoder", np.float64(images)))
    mean, deviation = (
        layer("mean", features),
        np.exp(layer("log_variance", features) / 2),
    )
    z = mean + deviation * noise
    p = 1 / (1 + np.exp(-layer("pixels", softplus(layer("decoder", z)))))
    likelihood = (images * np.log(p) + (1 - images) * np.log(1 - p)).sum(1)
    # Kingma & Welling, appendix B, with sigma instead of its square.
    minus_kl = 0.5 * (1 + 2 * np.log(deviation) - mean**2 - deviation**2).sum(1)
    expected = -(likelihood + minus_kl).mean()
    np.testing.assert_allclose(problem.loss(params, images, key), expected, rtol=1e-5)


def test_a_network_that_knows_nothing_has_the_loss_of_its_pixels(images):
    problem = autoencoder.problem(PIXELS, 4, 2)
    params = jax.tree.map(jnp.zeros_like, problem.init(jax.random.key(0)))
    loss = problem.loss(params, images, jax.random.key(1))
    np.testing.assert_allclose(loss, PIXELS * math.log(2), rtol=1e-6)


def test_a_member_that_diverges_is_nan_and_leaves_the_others_alone(auto_encoders):
    for costs in auto_encoders.costs.values():
        assert np.isfinite(costs[:, :2]).all()
        assert np.isnan(costs[-1, 2])


def test_the_curves_mark_nan_and_what_is_above_the_frame():
    axes = Figure().subplots()
    values = np.array([300.0, 200.0, 100.0, 1e19, np.nan])
    autoencoder.curve(axes, "corrected", values, 543.0)
    line, cross, triangle = axes.get_lines()
    np.testing.assert_array_equal(line.get_ydata(), [300, 200, 100, np.nan, np.nan])
    assert (cross.get_marker(), triangle.get_marker()) == ("x", "^")
    np.testing.assert_allclose(cross.get_xdata(), [0.1], rtol=0.2)  # beside the rate
    np.testing.assert_allclose(triangle.get_xdata(), [0.01], rtol=0.2)
    assert list(cross.get_ydata()) == list(triangle.get_ydata()) == [543.0]


def test_a_heat_map_frames_the_lowest_and_hatches_what_diverged():
    axes = Figure().subplots()
    values = np.array([[1.0, np.nan, 3.0], [2.0, 0.5, 12345.0]])
    grids.heat_map(axes, values, ["a", "b"], ["0", "1", "2"], (0, 4), "{:.1f}")
    texts = {text.get_position(): text.get_text() for text in axes.texts}
    assert texts[1, 0] == "×"
    assert (texts[0, 0], texts[1, 1], texts[2, 1]) == ("1.0", "0.5", "1e+04")
    hatched, framed = axes.patches
    assert hatched.get_hatch()
    assert hatched.get_xy() == (0.5, -0.5)
    assert framed.get_xy() == (0.5, 0.5)
    assert list(axes.get_images()[0].get_array().mask.ravel()).count(True) == 1


def errors(slope):
    """Return a map whose best decay grows like that power of the rate."""
    rates, decays = np.log10(decay.RATES)[:, None], np.log10(decay.DECAYS["L2"][1:])
    valley = 15 + 2 * (decays - (-1.5 + slope * (rates + 2.5))) ** 2
    return np.hstack([np.full((len(decay.RATES), 1), 30.0), valley])


def test_separability_tells_a_straight_valley_from_a_diagonal_one():
    decays = decay.DECAYS["L2"]
    straight = decay.separability(errors(0), decays)
    diagonal = decay.separability(errors(1), decays)
    assert abs(straight["slope"]) < 1e-6
    assert straight["tuned apart"] == {"mean": 0, "largest": 0}
    assert straight["best"]["decay"] == 0.032
    # The grid ends before the valley does, where the best decay stays at the edge.
    assert 0.7 < diagonal["slope"] <= 1.05
    np.testing.assert_allclose(straight["good"], 3 / 8)  # of 7 x 8, 7 x 3


def test_separability_counts_what_diverged_as_wrong_everywhere():
    values = errors(0)
    values[:, 4] = np.nan  # where the valley was
    found = decay.separability(values, decay.DECAYS["L2"])
    assert found["best"]["decay"] in (0.01, 0.1)
    assert math.isfinite(found["best"]["error"])
    values[:] = np.nan
    found = decay.separability(values, decay.DECAYS["L2"])
    assert found["best"]["error"] == 100


def test_a_fifth_of_the_labels_is_drawn_anew_the_tests_are_right(digits, monkeypatch):
    monkeypatch.setattr(decay, "WRONG", 0.5)
    train_, test = decay.split(digits)
    right = np.arange(20) % 10
    assert 0 < np.mean(train_.labels != right) < 0.5 + 0.3  # of 20 labels
    assert (len(train_.labels), len(test.labels)) == (20, 40)
    np.testing.assert_array_equal(test.labels, np.arange(40) % 10)
    np.testing.assert_array_equal(
        test.images, np.concatenate([digits.train.images[20:], digits.test.images])
    )


@pytest.mark.parametrize(
    ("script", "name", "extra"),
    [
        (autoencoder, "autoencoder", ["--hidden", "2", "--latent", "2"]),
        (decay, "decay", []),
    ],
)
def test_the_scripts_leave_a_picture_and_numbers(
    script, name, extra, digits, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(script, "QUICK_EPOCHS", 2)
    script.main(["--quick", "--seed", "4", "--out", str(tmp_path), *extra])
    numbers = json.loads((tmp_path / f"{name}.json").read_text())
    assert numbers["quick"] is True
    assert (numbers["seed"], numbers["epochs"]) == (4, 2)
    assert numbers["data"] == "few digits"
    assert numbers["made with"]["jax"] == jax.__version__
    assert (tmp_path / f"{name}.json").stat().st_size < 100_000
    assert matplotlib.image.imread(tmp_path / f"{name}.png").shape[0] > 1000
    assert f"{name}.png" in capsys.readouterr().out


def test_a_folder_that_is_missing_ends_with_a_line(tmp_path):
    for script in autoencoder, decay:
        with pytest.raises(SystemExit, match="is not a folder"):
            script.main(["--data", str(tmp_path / "no"), "--out", str(tmp_path)])


def test_a_batch_larger_than_the_data_is_refused(digits, tmp_path, capsys):
    with pytest.raises(SystemExit):
        autoencoder.main(["--batch-size", "41", "--out", str(tmp_path)])
    assert "--batch-size 41 is more than the 40" in capsys.readouterr().err
