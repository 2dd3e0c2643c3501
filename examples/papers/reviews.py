"""Logistic regression on reviews of films, after figure 1 (right) of the Adam paper.

    python -m examples.papers.reviews
    python -m examples.papers.reviews --quick

Is a review in favour of its film? The features say which of the 10,000 most frequent
words occur in it; half of them are dropped at random in each step. Minibatches of 128,
step size alpha/sqrt(t): AdaGrad, RMSProp, SGD with Nesterov momentum and Adam, each
with eleven values of alpha. The features stay sparse, as lists of words.

Source: Kingma & Ba, Adam: A Method for Stochastic Optimization, 2015, section 6.1.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

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
from examples.papers.logistic import OPTIMIZERS as LOGISTIC
from examples.report import Console

DROPOUT = 0.5
BATCH_SIZE = 128
EPOCHS = 160  # as in the paper's figure
QUICK_EPOCHS = 20

OPTIMIZERS = {
    "AdaGrad": LOGISTIC["AdaGrad"],
    "AdaGrad, constant rate": LOGISTIC["AdaGrad, constant rate"],
    # Epsilon outside of the root, as Adam has it: inside, it would be as large as the
    # mean square of a rare word's gradient.
    "RMSProp": lambda rate: gradtx.rmsprop(inverse_sqrt(rate), eps_in_sqrt=False),
    "SGD Nesterov": LOGISTIC["SGD Nesterov"],
    "Adam": LOGISTIC["Adam"],
}


def dropped(counts: jax.Array, key: jax.Array) -> jax.Array:
    """Return 1 for each word that occurs, 0 or 1 / (1 - DROPOUT) after dropout.

    The places that only fill up a list have count 0, and so the value 0.
    """
    keep = jax.random.bernoulli(key, 1 - DROPOUT, counts.shape)
    return jnp.where(keep & (counts > 0), 1 / (1 - DROPOUT), 0.0)


def problem(vocabulary: int) -> Problem:
    """Return the regression, which starts from zero: it is convex."""

    def init(_):
        return {"kernel": jnp.zeros(vocabulary), "bias": jnp.zeros(())}

    def loss(params, batch, key):
        words, counts, labels = batch
        values = dropped(counts, key)
        # A product with a sparse matrix: its gradient adds at the words that occur.
        logits = jnp.sum(params["kernel"][words] * values, 1) + params["bias"]
        return gradtx.sigmoid_binary_cross_entropy(logits, labels).mean()

    return Problem(init, loss)


def main(argv: Sequence[str] | None = None) -> list[Result]:
    description = (
        "Logistic regression on bags of 10,000 words of IMDB reviews with 50% dropout "
        "and rate alpha/sqrt(t): AdaGrad, RMSProp, SGD with Nesterov momentum, Adam."
    )
    parser = arguments("reviews", description, full="2.5 minutes")
    options = parser.parse_args(argv)
    console = Console(soft_wrap=True, emoji=False)
    reviews = load(parser, options, datasets.imdb)
    epochs = options.epochs or (QUICK_EPOCHS if options.quick else EPOCHS)
    words, counts, labels = reviews.train
    results = compare(
        {name: (make, RATES) for name, make in OPTIMIZERS.items()},
        problem(len(reviews.vocabulary)),
        (words, counts, labels.astype(np.float32)),
        epochs=epochs,
        batch_size=BATCH_SIZE,
        seed=options.seed,
        console=console,
    )
    publish(
        results,
        options,
        "reviews",
        f"Logistic regression on reviews, 50% dropout, rate α/√t, seed {options.seed}",
        {
            "data": reviews.name,
            "examples": len(labels),
            "words": len(reviews.vocabulary),
            "epochs": epochs,
            "batch_size": BATCH_SIZE,
            "dropout": DROPOUT,
            "schedule": "rate / sqrt(t)",
        },
        console,
    )
    return results


if __name__ == "__main__":
    run(main)
