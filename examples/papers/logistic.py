"""Logistic regression on MNIST, after figure 1 (left) of the Adam paper.

    python -m examples.papers.logistic
    python -m examples.papers.logistic --quick

Multinomial logistic regression with an L2 penalty on the pixels, minibatches of 128,
step size alpha/sqrt(t): SGD with Nesterov momentum, AdaGrad and Adam, each with eleven
values of alpha.

Source: Kingma & Ba, Adam: A Method for Stochastic Optimization, 2015, section 6.1. The
paper gives neither the strength of the penalty nor the step sizes it tried.
"""

from collections.abc import Sequence

import jax.numpy as jnp

import gradtx
from examples import datasets
from examples.papers.common import (
    RATES,
    Problem,
    arguments,
    compare,
    inverse_sqrt,
    load,
    publish,
    run,
)
from examples.papers.curves import Result
from examples.report import Console

CLASSES = 10
PENALTY = 1e-4
BATCH_SIZE = 128
EPOCHS = 45  # as in the paper's figure
QUICK_EPOCHS = 6


def adagrad(rate):
    """AdaGrad as it was published: the sum of squares starts at zero."""
    return gradtx.adagrad(rate, initial_accumulator_value=0.0)


OPTIMIZERS = {
    "SGD Nesterov": lambda rate: gradtx.sgd(
        inverse_sqrt(rate), momentum=0.9, nesterov=True
    ),
    # The paper has alpha/sqrt(t) for all, to match the theory of Adam. But AdaGrad
    # divides by a root that grows like sqrt(t) already, so that its steps then shrink
    # like 1/t. So it runs twice: like the others, and with the constant rate it is for.
    "AdaGrad": lambda rate: adagrad(inverse_sqrt(rate)),
    "AdaGrad, constant rate": adagrad,
    "Adam": lambda rate: gradtx.adam(inverse_sqrt(rate)),
}


def problem(pixels: int) -> Problem:
    """Return the regression, which starts from zero: it is convex."""

    def init(_):
        return {"kernel": jnp.zeros((pixels, CLASSES)), "bias": jnp.zeros(CLASSES)}

    def loss(params, batch, _):
        images, labels = batch
        logits = images @ params["kernel"] + params["bias"]
        errors = gradtx.softmax_cross_entropy_with_integer_labels(logits, labels)
        return errors.mean() + PENALTY / 2 * jnp.sum(params["kernel"] ** 2)

    return Problem(init, loss)


def main(argv: Sequence[str] | None = None) -> list[Result]:
    description = (
        "Logistic regression on MNIST pixels, with rate alpha/sqrt(t): SGD with "
        "Nesterov momentum, AdaGrad, Adam."
    )
    parser = arguments("logistic", description, full="1 minute")
    options = parser.parse_args(argv)
    console = Console(soft_wrap=True, emoji=False)
    digits = load(parser, options, datasets.mnist)
    epochs = options.epochs or (QUICK_EPOCHS if options.quick else EPOCHS)
    results = compare(
        {name: (make, RATES) for name, make in OPTIMIZERS.items()},
        problem(digits.train.images.shape[1]),
        tuple(digits.train),
        epochs=epochs,
        batch_size=BATCH_SIZE,
        seed=options.seed,
        console=console,
    )
    publish(
        results,
        options,
        "logistic",
        f"Logistic regression on {digits.name}, rate α/√t, seed {options.seed}",
        {
            "data": digits.name,
            "examples": len(digits.train.labels),
            "epochs": epochs,
            "batch_size": BATCH_SIZE,
            "penalty": PENALTY,
            "schedule": "rate / sqrt(t)",
        },
        console,
    )
    return results


if __name__ == "__main__":
    run(main)
