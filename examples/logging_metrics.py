"""Log what an optimizer does, step by step, to TensorBoard and to a progress bar.

    python -m examples.logging_metrics          # 15 s on two cores
    python -m examples.logging_metrics --quick  # 5 s: one pass over the digits
    tensorboard --logdir out/logging            # pip install tensorboard

To be copied: `make_optimizer` measures inside of the step, for nothing: the clip has
computed the norm anyway. `gradtx.metrics(state)` is a dict of names and numbers, which
`train` hands to both every ten steps, so that the device is not waited for in between.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

import gradtx
from examples import flags, report
from examples.datasets import Digits, embedded_mnist
from examples.mnist import accuracy, init_params, loss_fn
from examples.report import Console

EVERY = 10  # steps between two entries of the log
BATCH = 50
# The last layer is not decayed, and has gradients of another size.
RULES = [("output", dict(weight_decay=0.0))]


def make_optimizer(steps: int, learning_rate: float):
    """Clip, then AdamW; metrics of both groups, and steps that are not finite skipped.

    Args:
        steps: how many the schedule lasts; the first tenth warms up.
        learning_rate: its peak.
    """
    schedule = gradtx.warmup_cosine_decay_schedule(
        0.0, learning_rate, warmup_steps=steps // 10, decay_steps=steps
    )
    tx = gradtx.chain(
        gradtx.clip_by_global_norm(1.0),
        gradtx.groups(RULES, default=gradtx.adamw(schedule, weight_decay=0.01)),
    )
    tx = gradtx.with_metrics(tx, per_group=True)
    return gradtx.apply_if_finite(tx, max_consecutive_errors=5)


@partial(jax.jit, static_argnames="tx", donate_argnames=("params", "state"))
def train_step(tx, params, state, images, labels):
    loss, grads = jax.value_and_grad(loss_fn)(params, images, labels)
    params, state = tx.step(grads, state, params)
    return params, state, loss


def writer(folder: Path) -> Any:
    """Return what writes files for TensorBoard.

    Raises:
        ModuleNotFoundError: tensorboardX is not installed.
    """
    try:
        from tensorboardX import SummaryWriter
    except ModuleNotFoundError as error:
        if error.name != "tensorboardX":
            raise  # one of its own requirements
        raise ModuleNotFoundError(
            "files for TensorBoard are written by the package tensorboardX: run `pip "
            "install tensorboardX`.",
            name="tensorboardX",
        ) from None
    return SummaryWriter(str(folder))


def train(
    tx,
    digits: Digits,
    log: Any,
    *,
    epochs: int,
    seed: int = 0,
    hidden: int = 128,
    console: Console | None = None,
) -> dict[str, float]:
    """Train a new network; return the last entry of the log."""
    console = console or Console(quiet=True)
    images, labels = digits.train
    order = np.random.default_rng(seed)
    params = init_params(jax.random.key(seed), (images.shape[1], hidden, 10))
    state = tx.init(params)
    per_epoch, step, entry = len(images) // BATCH, 0, {}
    with report.progress_bar(console) as progress:
        task = progress.add_task("training", total=epochs * per_epoch, status="")
        for _ in range(epochs):
            indices = order.permutation(len(images))[: per_epoch * BATCH]
            for index in indices.reshape(per_epoch, BATCH):
                params, state, loss = train_step(
                    tx, params, state, images[index], labels[index]
                )
                step += 1
                if step % EVERY:
                    continue
                entry = {"loss": float(loss)} | gradtx.metrics(state)
                for name, number in entry.items():
                    log.add_scalar(name, number, step)
                progress.update(task, completed=step, status=status(entry))
            right = float(accuracy(params, *digits.test))
            log.add_scalar("test_accuracy", right, step)
            console.print(f"test accuracy {right:.4f}  {status(entry)}")
    return entry


def status(entry: dict[str, float]) -> str:
    """Say in one line what a person wants to see."""
    return (
        f"loss {entry['loss']:.3f}  rate {entry['learning_rate']:.1e}  norm "
        f"{entry['grad_norm']:.2f}  clipped {entry['clip_fraction']:.0%}  skipped "
        f"{entry['skipped']}"
    )


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m examples.logging_metrics",
        description="Log a training on handwritten digits to TensorBoard.",
    )
    flags.whole(parser, "--epochs", 20, "passes over the training digits")
    flags.learning_rate(parser, 3e-3)
    parser.add_argument("--quick", action="store_true", help="one pass only")
    parser.add_argument(
        "--seed",
        type=flags.seed_number,
        default=0,
        metavar="N",
        help=f"decides {flags.WEIGHTS_AND_ORDER} (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("out/logging"),
        metavar="DIR",
        help="folder for the log (default: %(default)s)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    parser = arguments()
    options = parser.parse_args(argv)
    console = Console(soft_wrap=True, emoji=False, highlight=False)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        log, digits = writer(options.out), embedded_mnist()
    except (OSError, ValueError, ModuleNotFoundError) as error:
        sys.exit(f"{parser.prog}: {error}")
    epochs = 1 if options.quick else options.epochs
    steps = epochs * (len(digits.train.labels) // BATCH)
    tx = make_optimizer(steps, options.learning_rate)
    console.print(gradtx.describe(tx, console.width), markup=False)
    with log:
        entry = train(
            tx, digits, log, epochs=epochs, seed=options.seed, console=console
        )
    for name, number in sorted(entry.items()):
        console.print(f"{name:30} {number:.4g}", markup=False)
    console.print(f"log       {options.out}", markup=False)
    return entry


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped before the end.")
