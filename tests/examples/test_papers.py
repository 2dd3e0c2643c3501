"""Experiments after the Adam paper, on a handful of examples."""

import io
import json
import math
import re

import jax
import jax.numpy as jnp
import matplotlib.image
import numpy as np
import pytest
from rich.console import Console

import gradtx
from examples import text
from examples.papers import common, curves, logistic, network, reviews
from tests.examples.test_datasets import idx_bytes
from tests.examples.test_text import write

RATES = (0.003, 0.1)


def problem():
    """Fit a plane with half of its inputs dropped, so that the noise matters."""

    def loss(params, batch, key):
        x, y = batch
        keep = jax.random.bernoulli(key, 0.5, x.shape)
        return jnp.mean(((x * keep) @ params["w"] + params["b"] - y) ** 2)

    def init(key):
        return {"w": jax.random.normal(key, (3,)), "b": jnp.zeros(())}

    return common.Problem(init, loss)


@pytest.fixture
def plane():
    x = np.random.default_rng(0).normal(size=(26, 3)).astype(np.float32)
    return x, x @ np.float32([1, -2, 0.5])


def train(data, rates=RATES, make=gradtx.adam, **options):
    options = {"epochs": 3, "batch_size": 8, "seed": 5} | options
    return common.train(make, np.float32(rates), problem(), data, **options)


def test_a_grid_trains_like_plain_loops_one_rate_at_a_time(plane):
    trained = train(plane)
    init_key, noise_key = jax.random.split(jax.random.key(5))
    generator = np.random.default_rng(5)
    batches, keys = [], []
    for epoch in 1, 2, 3:
        batches += list(generator.permutation(26)[:24].reshape(3, 8))
        keys += list(jax.random.split(jax.random.fold_in(noise_key, epoch), 3))
    for member, rate in enumerate(RATES):
        params = problem().init(init_key)
        tx = gradtx.adam(rate)
        state, costs = tx.init(params), []
        for index, key in zip(batches, keys, strict=True):
            batch = plane[0][index], plane[1][index]
            cost, grads = jax.value_and_grad(problem().loss)(params, batch, key)
            updates, state = tx.update(grads, state, params)
            params = gradtx.apply_updates(params, updates)
            costs.append(cost)
        # Summed in another order: a few units in the last place of float32.
        np.testing.assert_allclose(trained.costs[member], costs, rtol=1e-5)
        for name, value in params.items():
            found = trained.params[name][member]
            np.testing.assert_allclose(found, value, rtol=1e-5, atol=1e-6)


def test_a_grid_can_be_of_several_hyperparameters(plane):
    grid = {"rate": jnp.array([0.1, 0.1]), "b1": jnp.array([0.9, 0.0])}
    both = common.train(
        lambda member: gradtx.adam(member["rate"], b1=member["b1"]),
        grid,
        problem(),
        plane,
        epochs=2,
        batch_size=8,
    )
    alone = train(plane, [0.1], lambda r: gradtx.adam(r, b1=0.0), epochs=2, seed=0)
    np.testing.assert_allclose(both.costs[1], alone.costs[0], rtol=1e-5)
    assert np.abs(both.costs[0] - both.costs[1]).max() > 1e-3


def test_each_sees_costs_and_parameters_after_every_epoch(plane):
    seen = []
    trained = train(
        plane,
        each=lambda epoch, costs, params: seen.append((epoch, costs, params["b"] + 0)),
    )
    assert [epoch for epoch, _, _ in seen] == [1, 2, 3]
    whole = np.concatenate([costs for _, costs, _ in seen], axis=1)
    np.testing.assert_array_equal(whole, trained.costs)
    np.testing.assert_array_equal(seen[-1][2], trained.params["b"])


def test_the_seed_decides_everything(plane):
    first, again, other = train(plane), train(plane), train(plane, seed=6)
    np.testing.assert_array_equal(first.costs, again.costs)
    assert first.costs[0, 0] != other.costs[0, 0]


@pytest.mark.parametrize("size", [0, 27])
def test_a_batch_that_cannot_be_filled_is_refused(size, plane):
    with pytest.raises(ValueError, match=f"batch_size.* 1 to the 26.*got {size}"):
        train(plane, batch_size=size)


def test_an_epoch_takes_each_example_at_most_once_in_another_order():
    first, second = common.orders(10, 3, 2, seed=1)
    for order in first, second:
        assert order.shape == (3, 3)
        assert len(set(order.ravel())) == 9
    assert (first != second).any()


def test_the_rate_decays_like_one_over_the_root_of_the_step():
    schedule = common.inverse_sqrt(0.5)
    found = [schedule(count) for count in (0, 3, 99)]
    np.testing.assert_allclose(found, [0.5, 0.25, 0.05], rtol=1e-6)


COSTS = np.array(
    [[4, 4, 2, 2, 1, 1], [4, 9, np.inf, np.nan, np.nan, np.nan], [4, 3, 3, 3, 2, 2]],
    np.float32,
)


def made(name="some", costs=COSTS, rates=(0.1, 10.0, 0.01)):
    return curves.result(name, rates, costs, epochs=3, seconds=1.0)


def test_the_best_rate_has_the_lowest_cost_over_the_last_epoch():
    result = made()
    np.testing.assert_array_equal(result.final, [1, np.nan, 2])
    assert result.best == 0
    assert result.start == 4
    assert made(costs=COSTS[[2, 1, 0]]).best == 2
    assert made(costs=COSTS[[1, 1, 1]]).best is None


def test_a_curve_is_thinned_to_means_and_keeps_its_nan():
    epoch, cost = curves.thin(COSTS, epochs=3, points=3)
    assert epoch == [1, 2, 3]
    np.testing.assert_array_equal(cost[0], [4, 2, 1])
    np.testing.assert_array_equal(cost[1], [6.5, np.nan, np.nan])
    epoch, cost = curves.thin(COSTS, epochs=3, points=100)  # no more than there are
    np.testing.assert_allclose(epoch, np.arange(1, 7) / 2)
    np.testing.assert_array_equal(cost, COSTS)


def test_what_diverged_and_what_is_at_the_edge_is_said():
    text_ = curves.remark(made())
    assert "edge of the grid" in text_
    assert "diverged at 10" in text_
    assert curves.remark(made(costs=COSTS[[2, 0, 2]])) == ""
    console = Console(file=io.StringIO(), width=120)
    gone = made("gone", COSTS[[1, 1, 1]])
    console.print(curves.table([gone, made()]))
    shown = console.file.getvalue()
    assert shown.index("some") < shown.index("gone")  # the best first
    assert "1.0000" in shown
    assert "nan" in shown


def test_a_picture_is_drawn_and_a_file_written_even_if_all_diverged(tmp_path):
    gone = made("gone", COSTS[[1, 1, 1]])
    for results in [gone], [made(), gone]:
        curves.plot(results, tmp_path / "a.png", "title")
        assert matplotlib.image.imread(tmp_path / "a.png").std() > 0
    curves.save([made(), gone], tmp_path / "a.json", {"seed": 1})
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["seed"] == 1
    assert content["results"][0]["final"] == [1, None, 2]
    assert content["results"][1]["best"] is None


@pytest.fixture
def digits(tmp_path):
    """Hold digits that differ in where they are bright, as files of MNIST."""
    folder = tmp_path / "digits"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for prefix, count in ("train", 64), ("t10k", 10):
        labels = np.arange(count) % 10
        images = generator.integers(0, 64, (count, 4, 5))
        images.reshape(count, 20)[np.arange(count), labels * 2] = 255
        for name, array in ("images-idx3", images), ("labels-idx1", labels):
            (folder / f"{prefix}-{name}-ubyte").write_bytes(idx_bytes(array))
    return folder


@pytest.fixture
def opinions(tmp_path, monkeypatch):
    """Hold reviews of which a word tells the opinion, as the file of the package."""
    monkeypatch.setattr(text, "REVIEWS", 48)
    monkeypatch.setattr(text, "TRAIN", 40)
    folder = tmp_path / "opinions"
    folder.mkdir()
    generator = np.random.default_rng(0)
    rows = [
        (" ".join([*generator.choice(list("abcdef"), 4), word]), label, "imdb")
        for label, word in enumerate(["awful", "great"])
        for _ in range(24)
    ]
    write(folder, rows)
    return folder


def check(results, out, name, data_examples, epochs=2):
    for result in results:
        assert len(result.final) == len(RATES)
        assert result.best == int(np.argmin(result.final))
        assert result.final[result.best] < 0.9 * result.start  # it learns
        assert result.epoch[-1] == epochs
    assert (matplotlib.image.imread(out / f"{name}.png")[..., :3] < 1).any()
    written = out / f"{name}.json"
    assert written.stat().st_size < 100_000
    content = json.loads(written.read_text())
    assert content["examples"] == data_examples
    assert content["epochs"] == epochs
    assert content["made with"]["jax"] == jax.__version__
    for result, record in zip(results, content["results"], strict=True):
        assert record["name"] == result.name
        # Five digits are kept.
        np.testing.assert_allclose(record["final"], result.final, rtol=1e-4)


def options(folder, out, *more):
    return ["--data", str(folder), "--out", str(out), "--epochs", "2", *more]


def shorten(monkeypatch, module, names, **values):
    """Leave two optimizers, which compile in a second each, and make all else small."""
    chosen = {name: module.OPTIMIZERS[name] for name in names}
    for name, value in ({"OPTIMIZERS": chosen} | values).items():
        monkeypatch.setattr(module, name, value)


def test_logistic(digits, tmp_path, monkeypatch, capsys):
    names = ["SGD Nesterov", "Adam"]
    shorten(monkeypatch, logistic, names, RATES=(0.03, 0.3), BATCH_SIZE=8)
    results = logistic.main(options(digits, tmp_path / "out"))
    check(results, tmp_path / "out", "logistic", 64)
    assert [result.name for result in results] == names
    assert str(tmp_path / "out" / "logistic.png") in capsys.readouterr().out


def test_reviews(opinions, tmp_path, monkeypatch):
    names = ["AdaGrad, constant rate", "RMSProp"]
    shorten(monkeypatch, reviews, names, RATES=(0.03, 0.3), BATCH_SIZE=8)
    results = reviews.main(options(opinions, tmp_path, "--quick", "--epochs", "6"))
    check(results, tmp_path, "reviews", 40, epochs=6)


def test_network(digits, tmp_path, monkeypatch):
    shorten(
        monkeypatch,
        network,
        ["SGD Nesterov", "AdaMax"],
        FACTORS=(0.1, 0.5, 2.0, 9.0),  # the quick run takes those in the middle
        HIDDEN=(40, 30),
        BATCH_SIZE=10,
        QUICK_EXAMPLES=60,
    )
    results = network.main(options(digits, tmp_path, "--quick", "--epochs", "15"))
    check(results, tmp_path, "network", 60, epochs=15)
    assert results[0].rates == [0.05, 0.2]


@pytest.mark.parametrize("module", [logistic, reviews, network])
def test_every_optimizer_takes_a_traced_rate_and_keeps_its_state(module):
    params = {"a": jnp.ones(3)}
    for name, entry in module.OPTIMIZERS.items():
        make = entry[0] if module is network else entry

        def step(rate, params, make=make):
            state = make(rate).init(params)
            return state, make(rate).step(params, state, params)

        before, (moved, after) = jax.eval_shape(step, 0.1, params)
        assert jax.tree.structure(before) == jax.tree.structure(after), name
        assert moved["a"].shape == (3,)


def test_sparse_words_give_the_cost_and_gradient_of_dense_ones():
    words = jnp.array([[0, 2, 3], [1, 0, 0]])
    counts = jnp.array([[1.0, 2.0, 1.0], [3.0, 0.0, 0.0]])
    labels = jnp.array([1.0, 0.0])
    params = {"kernel": jnp.arange(4.0) - 1, "bias": jnp.float32(0.3)}
    key = jax.random.key(3)
    values = reviews.dropped(counts, key)
    dense = jnp.zeros((2, 4)).at[jnp.arange(2)[:, None], words].add(values)

    def cost(params):
        p = jax.nn.sigmoid(dense @ params["kernel"] + params["bias"])
        return -jnp.mean(labels * jnp.log(p) + (1 - labels) * jnp.log(1 - p))

    sparse = jax.value_and_grad(reviews.problem(4).loss)
    found, expected = (
        sparse(params, (words, counts, labels), key),
        jax.value_and_grad(cost)(params),
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
        found,
        expected,
    )


def test_dropout_keeps_half_of_the_words_and_the_mean():
    values = reviews.dropped(jnp.ones((100, 100)).at[:, 50:].set(0), jax.random.key(0))
    assert set(np.unique(values)) == {0.0, 2.0}
    assert (values[:, 50:] == 0).all()
    # Standard error of the mean of 5,000 values 0 or 2: 0.014.
    assert math.isclose(values[:, :50].mean(), 1, abs_tol=0.05)


@pytest.mark.parametrize("module", [logistic, reviews, network])
def test_the_options_are_explained_and_bad_ones_refused(module, tmp_path, capsys):
    with pytest.raises(SystemExit, match="0"):
        module.main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "below 90 s on two cores" in said
    assert re.search(r"the run of docs/results, [\d.]+ minutes? on two cores", said)
    for bad in ["--quick", "--full"], ["--epochs", "0"], ["--seed", "-1"]:
        with pytest.raises(SystemExit, match="2"):
            module.main(bad)
    with pytest.raises(SystemExit, match=r"papers.*nowhere is not a folder"):
        module.main(["--data", str(tmp_path / "nowhere"), "--out", str(tmp_path)])


def test_an_interrupted_script_says_that_nothing_was_written():
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit, match="nothing was written"):
        common.run(interrupted)
