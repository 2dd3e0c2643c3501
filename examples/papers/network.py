"""A network with dropout on MNIST, after figure 2 (a) of the Adam paper.

    python -m examples.papers.network
    python -m examples.papers.network --quick
    python -m examples.papers.network --epochs 200   # as long as the paper: hours

Two hidden layers of 1,000 ReLUs, each with 50% dropout, minibatches of 128, a constant
rate: AdaGrad, RMSProp, SGD with Nesterov momentum, AdaDelta, Adam and AdaMax, each with
five rates around its usual one.

Source: Kingma & Ba, Adam: A Method for Stochastic Optimization, 2015, section 6.2. The
paper gives neither the share of units dropped nor the rates it tried.
"""

from collections.abc import Sequence
from itertools import pairwise

import jax
import jax.numpy as jnp

import gradtx
from examples import datasets
from examples.papers.common import Problem, arguments, compare, load, publish, run
from examples.papers.curves import Result
from examples.papers.logistic import CLASSES, adagrad
from examples.report import Console

HIDDEN = 1000, 1000
DROPOUT = 0.5
BATCH_SIZE = 128
EPOCHS = 5  # the paper's figure has 200
QUICK_EPOCHS, QUICK_EXAMPLES = 2, 12_800

# With the rate in the middle of the grid: the one of the optimizer's own paper, in a
# round number, or where that has none the usual one.
OPTIMIZERS = {
    "AdaGrad": (adagrad, 1e-2),
    "RMSProp": (lambda rate: gradtx.rmsprop(rate, eps_in_sqrt=False), 1e-3),
    "SGD Nesterov": (lambda rate: gradtx.sgd(rate, momentum=0.9, nesterov=True), 0.1),
    "AdaDelta": (lambda rate: gradtx.adadelta(rate, rho=0.95), 1.0),
    "Adam": (gradtx.adam, 1e-3),
    "AdaMax": (gradtx.adamax, 2e-3),
}
FACTORS = 0.1, 0.3, 1.0, 3.0, 10.0


def problem(pixels: int, hidden: Sequence[int]) -> Problem:
    """Return the network, with weights scaled for ReLU (He et al. 2015, eq. 10)."""
    sizes = (pixels, *hidden, CLASSES)

    def init(key):
        params = []
        for inputs, outputs in pairwise(sizes):
            key, subkey = jax.random.split(key)
            kernel = jax.random.normal(subkey, (inputs, outputs)) * (2 / inputs) ** 0.5
            params.append({"kernel": kernel, "bias": jnp.zeros(outputs)})
        return params

    def loss(params, batch, key):
        x, labels = batch
        for layer in params[:-1]:
            key, subkey = jax.random.split(key)
            x = jax.nn.relu(x @ layer["kernel"] + layer["bias"])
            keep = jax.random.bernoulli(subkey, 1 - DROPOUT, x.shape)
            x = jnp.where(keep, x / (1 - DROPOUT), 0.0)
        logits = x @ params[-1]["kernel"] + params[-1]["bias"]
        return gradtx.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    return Problem(init, loss)


def main(argv: Sequence[str] | None = None) -> list[Result]:
    description = (
        "A 1000-1000 ReLU network with dropout on MNIST: AdaGrad, RMSProp, SGD with "
        "Nesterov momentum, AdaDelta, Adam, AdaMax."
    )
    parser = arguments("network", description, full="6.5 minutes")
    options = parser.parse_args(argv)
    console = Console(soft_wrap=True, emoji=False)
    digits = load(parser, options, datasets.mnist)
    images, labels = digits.train
    epochs, factors = options.epochs or EPOCHS, FACTORS
    if options.quick:
        images, labels = images[:QUICK_EXAMPLES], labels[:QUICK_EXAMPLES]
        epochs, factors = options.epochs or QUICK_EPOCHS, FACTORS[1:-1]
    results = compare(
        {
            name: (make, [rate * factor for factor in factors])
            for name, (make, rate) in OPTIMIZERS.items()
        },
        problem(images.shape[1], HIDDEN),
        (images, labels),
        epochs=epochs,
        batch_size=BATCH_SIZE,
        seed=options.seed,
        console=console,
    )
    network = "-".join(map(str, HIDDEN))
    publish(
        results,
        options,
        "network",
        f"{network} ReLU network with dropout on {digits.name}, seed {options.seed}",
        {
            "data": digits.name,
            "examples": len(labels),
            "hidden": HIDDEN,
            "epochs": epochs,
            "batch_size": BATCH_SIZE,
            "dropout": DROPOUT,
            "schedule": "constant",
        },
        console,
    )
    return results


if __name__ == "__main__":
    run(main)
