"""A convolutional network on pictures, after figure 3 of the Adam paper.

    python -m examples.papers.convolutional
    python -m examples.papers.convolutional --quick
    python -m examples.papers.convolutional --data DIR --images 50000 --epochs 45

Three stages of a 5x5 convolution and 3x3 max pooling with stride 2, with 64, 64 and 128
channels, then a dense layer of 1,000 ReLUs; AdaGrad, SGD with Nesterov momentum and
Adam, with dropout on the input and the dense layer and without. The rate of each is the
best of one grid after one epoch of fewer images, without dropout.

The paper has CIFAR-10. The default is Fashion-MNIST, which comes in a package; --data
takes the folder with the binary version of CIFAR-10, too. The paper whitens its images;
here each has its mean subtracted and is divided by its standard deviation.

Source: Kingma & Ba, Adam: A Method for Stochastic Optimization, 2015, section 6.3. The
paper gives neither rates nor shares of units dropped; these are those of Srivastava et
al., Dropout, 2014, appendix A.4.
"""

import time
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gradtx
from examples import datasets, flags, report
from examples.papers import common, curves
from examples.papers.cnn import (
    DROPOUT_DENSE,
    DROPOUT_INPUT,
    logits,
    problem,
    standardise,
)
from examples.papers.common import Make, Problem
from examples.papers.grids import save
from examples.papers.logistic import adagrad
from examples.report import COLORS, Console, Figure, Table

OPTIMIZERS: dict[str, Make] = {
    "AdaGrad": adagrad,
    "SGD Nesterov": lambda rate: gradtx.sgd(rate, momentum=0.9, nesterov=True),
    "Adam": gradtx.adam,
}
RATES = 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1
BATCH_SIZE = 128
EPOCHS, IMAGES, SEARCHED = 8, 6400, 3072  # SEARCHED: images to choose the rate with
QUICK_EPOCHS, QUICK_IMAGES, QUICK_SEARCHED, QUICK_TESTS = 2, 1280, 640, 1000
TESTED = 500  # images at once, so that memory stays small


class Curve(NamedTuple):
    name: str  # of the optimizer
    dropout: bool
    rate: float  # the best of the search
    costs: np.ndarray  # (steps,) of each minibatch before its step, with its dropout
    accuracy: float  # on the test images after the last step
    seconds: float  # of the steps, with compilation


@partial(jax.jit, static_argnames=("make", "loss"), donate_argnames=("params", "state"))
def train_step(make: Make, loss, rate, params, state, batch, key):
    """Step once; the rate is traced, so that all rates have one program."""
    cost, grads = jax.value_and_grad(loss)(params, batch, key)
    params, state = make(rate).step(grads, state, params)
    return params, state, cost


def train(
    make: Make,
    rate: float,
    problem: Problem,
    data: datasets.Split,
    *,
    epochs: int,
    seed: int,
    advance: Callable[[], None] = lambda: None,
) -> tuple[np.ndarray, Any]:
    """Return the costs of all minibatches and the parameters; call advance each step.

    Steps run one by one from Python, and rates one after another, as `common.train`
    does not: on a CPU, convolutions are 30 times as slow inside of `lax.scan`, and
    those of three networks in a `vmap` take seven times as long as three.
    """
    init_key, noise_key = jax.random.split(jax.random.key(seed))
    params = problem.init(init_key)
    state = make(rate).init(params)
    costs = []
    for order in common.orders(len(data.labels), BATCH_SIZE, epochs, seed):
        for index in order:
            batch = data.images[index], data.labels[index]
            key = jax.random.fold_in(noise_key, len(costs))
            params, state, cost = train_step(
                make, problem.loss, rate, params, state, batch, key
            )
            costs.append(float(cost))
            advance()
    return np.array(costs), params


@jax.jit
def correct(params: Any, images: jax.Array, labels: jax.Array) -> jax.Array:
    return jnp.sum(logits(params, images).argmax(1) == labels)


def accuracy(params: Any, data: datasets.Split) -> float:
    """Return the share of images that the network recognises."""
    starts = range(0, len(data.labels), TESTED)
    parts = [[array[i : i + TESTED] for array in data] for i in starts]
    return sum(int(correct(params, *part)) for part in parts) / len(data.labels)


def choose(
    make: Make, rates: Sequence[float], problem: Problem, data: datasets.Split, **rest
) -> tuple[float, list[float]]:
    """Return the best rate after one epoch, and what all rates came to.

    They are compared by the mean cost over the second half of the epoch.
    """
    came_to = []
    for rate in rates:
        costs, _ = train(make, rate, problem, data, epochs=1, **rest)
        came_to.append(float(costs[len(costs) // 2 :].mean()))
    # Should all have diverged, the lowest rate will show it.
    return rates[curves.best(came_to)[0] or 0], came_to


def compare(
    data: datasets.Digits,
    rates: Sequence[float],
    *,
    epochs: int,
    searched: int,
    seed: int,
    console: Console,
) -> tuple[list[Curve], dict[str, list[float]]]:
    """Choose each optimizer's rate, then train with it, without dropout and with.

    Args:
        data: images (count, rows, columns, colours), and labels.
        rates: to choose from.
        epochs: passes over the images.
        searched: images to choose the rate with.
        seed: decides the weights, the minibatches and the noise.
        console: where a progress bar shows.

    Returns:
        The curves, and for each optimizer what its rates came to.
    """
    shape = data.train.images.shape[1:]
    plain, dropout = problem(shape, dropout=False), problem(shape, dropout=True)
    first = datasets.Split(*(array[:searched] for array in data.train))
    steps = len(rates) * (searched // BATCH_SIZE)
    steps += 2 * epochs * (len(data.train.labels) // BATCH_SIZE)
    found, tried = [], {}
    with report.progress_bar(console) as progress:
        for name, make in OPTIMIZERS.items():
            task = progress.add_task(name, total=steps, status="")
            rest = {"seed": seed, "advance": partial(progress.advance, task)}
            rate, tried[name] = choose(make, rates, plain, first, **rest)
            for network in plain, dropout:
                clock = time.perf_counter()
                costs, params = train(
                    make, rate, network, data.train, epochs=epochs, **rest
                )
                seconds = time.perf_counter() - clock
                share = accuracy(params, data.test)
                curve = Curve(name, network is dropout, rate, costs, share, seconds)
                found.append(curve)
                console.print(
                    f"{label(curve)}: rate {rate:g}, test accuracy {share:.3f}, "
                    f"{seconds:.0f} s"
                )
    return found, tried


def label(curve: Curve) -> str:
    return f"{curve.name}{' + dropout' if curve.dropout else ''}"


def by_epoch(curve: Curve, epochs: int) -> list[float]:
    """Return the mean cost of each epoch."""
    return curve.costs.reshape(epochs, -1).mean(1).tolist()


def table(found: Sequence[Curve], epochs: int, rates: Sequence[float]) -> Table:
    """List the curves, the lowest final cost first."""
    shown = Table("optimizer", title="training cost, mean of an epoch")
    shown_epochs = sorted({1, min(3, epochs), epochs})
    for epoch in shown_epochs:
        shown.add_column(f"epoch {epoch}", justify="right")
    shown.add_column("test accuracy", justify="right")
    shown.add_column("rate")
    for curve in sorted(found, key=lambda curve: by_epoch(curve, epochs)[-1]):
        means = by_epoch(curve, epochs)
        edge = ", edge of grid" if curve.rate in (rates[0], rates[-1]) else ""
        shown.add_row(
            label(curve),
            *(f"{means[epoch - 1]:.4f}" for epoch in shown_epochs),
            f"{curve.accuracy:.4f}",
            f"{curve.rate:g}{edge}",
        )
    return shown


def draw(found: Sequence[Curve], epochs: int, title: str) -> Figure:
    """Draw the costs of the first three epochs and of all, as the paper does."""
    figure = Figure(figsize=(11, 5), layout="constrained")
    figure.suptitle(title)
    left, right = figure.subplots(1, 2)
    for curve in found:
        color = COLORS[list(OPTIMIZERS).index(curve.name)]
        style = "--" if curve.dropout else "-"
        for axes, last in ((left, min(3, epochs)), (right, epochs)):
            part = curve.costs[: last * len(curve.costs) // epochs]
            epoch, (cost,) = curves.thin(part[None], last)
            name = f"{label(curve)}, rate {curve.rate:g}"
            axes.plot(epoch, cost, style, color=color, label=name)
    left.set(title=f"First {min(3, epochs)} epochs", ylabel="training cost")
    right.set(title=f"All {epochs}", yscale="log")
    right.legend()
    for axes in left, right:
        axes.set_xlabel("passes over the training images")
        axes.grid(alpha=0.3, which="both")
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def read(folder: Path | None) -> datasets.Digits:
    """Return CIFAR-10 if the folder has it, or else Fashion-MNIST."""
    if folder is not None and (folder / "data_batch_1.bin").is_file():
        return datasets.cifar10(folder)
    return datasets.fashion_mnist(folder)


def arguments() -> ArgumentParser:
    parser = common.arguments(
        "convolutional",
        "A convolutional network on Fashion-MNIST, or with --data on CIFAR-10's binary "
        "files: AdaGrad, SGD with Nesterov momentum and Adam.",
        full="10 minutes",
    )
    parser.add_argument(
        "--images",
        type=flags.positive(int),
        metavar="N",
        help="images to train with, if not those of the run chosen "
        f"({IMAGES:,}, or {QUICK_IMAGES:,} if quick)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> list[Curve]:
    parser = arguments()
    options = parser.parse_args(argv)
    console = Console(soft_wrap=True, emoji=False)
    data = common.load(parser, options, read)
    epochs, images, searched, rates = EPOCHS, IMAGES, SEARCHED, RATES
    tests = len(data.test.labels)
    if options.quick:
        epochs, images, searched = QUICK_EPOCHS, QUICK_IMAGES, QUICK_SEARCHED
        tests, rates = QUICK_TESTS, RATES[1::2]
    epochs, images = options.epochs or epochs, options.images or images
    flags.check_batch(parser, BATCH_SIZE, images)
    train, test = (
        datasets.Split(standardise(part.images[:count]), part.labels[:count])
        for part, count in ((data.train, images), (data.test, tests))
    )
    data, images = datasets.Digits(data.name, train, test), len(train.labels)
    clock = time.perf_counter()
    found, tried = compare(
        data,
        rates,
        epochs=epochs,
        searched=min(searched, images),
        seed=options.seed,
        console=console,
    )
    console.print(table(found, epochs, rates))
    seconds = time.perf_counter() - clock
    console.print(f"{seconds:.0f} s, compilation included")
    title = (
        f"Convolutional network on {images:,} images of {data.name}, minibatches of "
        f"{BATCH_SIZE}, seed {options.seed}"
    )
    content = {
        "data": data.name,
        "images": images,
        "images to choose the rate": min(searched, images),
        "epochs": epochs,
        "batch_size": BATCH_SIZE,
        "dropout": {"input": DROPOUT_INPUT, "dense": DROPOUT_DENSE},
        "seconds": seconds,
        "rates": rates,
        "cost of the rates": tried,
        "epochs of the curves": curves.thin(found[0].costs[None], epochs)[0],
        "results": [
            {
                "name": label(curve),
                "rate": curve.rate,
                "cost by epoch": by_epoch(curve, epochs),
                "curve": curves.thin(curve.costs[None], epochs)[1][0],
                "test accuracy": curve.accuracy,
                "seconds": curve.seconds,
            }
            for curve in found
        ],
    }
    save(options, "convolutional", draw(found, epochs, title), content, console)
    return found


if __name__ == "__main__":
    common.run(main)
