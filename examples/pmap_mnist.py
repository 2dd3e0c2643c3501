"""Train the network of mnist.py on several devices at once, with jax.pmap.

    python -m examples.pmap_mnist                        # the devices that are there
    python -m examples.pmap_mnist --simulate 8           # a CPU that appears as eight
    python -m examples.pmap_mnist --simulate 8 --zero1   # the state shared out
    python -m examples.pmap_mnist --simulate 8 --compare # and again on one device

To be copied: `make_optimizer`, which takes the mean of the gradients over the devices,
and `train_step`, which each device runs on its part of the batch.
"""

import argparse
import math
import sys
import time
from collections.abc import Sequence
from functools import partial

import jax
import numpy as np

import gradtx
from examples import devices, flags, report
from examples.datasets import Digits, embedded_mnist
from examples.mnist import (
    CLASSES,
    HIDDEN,
    REFRESH_SECONDS,
    accuracy,
    decimal,
    init_params,
    loss_fn,
)
from examples.report import Console, Run

AXIS = "data"  # the name that pmap gives to the devices


def make_optimizer(steps: int, *, zero1: bool = False, learning_rate: float = 3e-3):
    """Clip the gradient of the whole batch, then AdamW with warm-up and decay.

    Args:
        steps: how many steps the schedule lasts; the first tenth warms up.
        zero1: whether each device keeps and updates its part of the moments only.
        learning_rate: the peak.
    """
    schedule = gradtx.warmup_cosine_decay_schedule(
        init_value=0.0,
        peak_value=learning_rate,
        warmup_steps=steps // 10,
        decay_steps=steps,
    )
    clip, adamw = gradtx.clip_by_global_norm(1.0), gradtx.adamw(schedule)
    if zero1:  # which takes the mean itself, of the part that it updates
        return gradtx.distributed.zero1(gradtx.chain(clip, adamw), AXIS)
    # The mean before the clip: the norm that counts is that of the whole batch.
    return gradtx.chain(gradtx.distributed.average_across(AXIS), clip, adamw)


def start(tx, sizes: Sequence[int], seed, _):
    """Give a device its parameters, the same as the others', and its state."""
    params = init_params(jax.random.key(seed), sizes)
    return params, tx.init(params)


def train_step(tx, params, state, images, labels):
    """Step once: each device with the gradient of its part of the batch."""
    loss, grads = jax.value_and_grad(loss_fn)(params, images, labels)
    params, state = tx.step(grads, state, params)
    rate = gradtx.tree.get(state, "learning_rate")
    return params, state, (jax.lax.pmean(loss, AXIS), rate)


def train(
    tx,
    digits: Digits,
    chosen: Sequence[devices.Device],
    *,
    epochs: int,
    batch_size: int,
    seed: int = 0,
    hidden: int = HIDDEN,
    console: Console | None = None,
) -> Run:
    """Train a new network and return its curves; a diverged training ends early.

    Weights and batches follow from the seed alone, whatever the number of devices, so
    that the curves differ by rounding only.
    """
    console = console or Console(quiet=True)
    images, labels = digits.train
    test = jax.device_put(digits.test, chosen[0])
    order = np.random.default_rng(seed)
    sizes = (images.shape[1], hidden, CLASSES)
    count = len(chosen)
    name = f"{count} device{'s' * (count > 1)}"
    pmap = partial(jax.pmap, axis_name=AXIS, devices=chosen)

    def shared_out(batch):  # a leading axis for the devices
        return batch.reshape(count, batch_size // count, *batch.shape[1:])

    clock = time.perf_counter()
    # Drawn on each device from the same seed: nothing has to be sent.
    params, state = pmap(partial(start, tx, sizes, seed))(np.arange(count))
    step = (
        pmap(partial(train_step, tx), donate_argnums=(0, 1))
        .lower(params, state, *(shared_out(x[:batch_size]) for x in digits.train))
        .compile()
    )
    compile_seconds = time.perf_counter() - clock

    per_epoch = len(images) // batch_size
    history: list[tuple[np.ndarray, np.ndarray]] = []  # loss and rate, from the device
    pending: list[tuple[jax.Array, jax.Array]] = []  # not yet read
    test_step: list[int] = []
    test_accuracy: list[float] = []
    epoch_loss = math.nan
    clock = shown = time.perf_counter()
    with report.progress_bar(console) as progress:
        task = progress.add_task(name, total=epochs * per_epoch, status="")

        def read():
            # Every device holds the same numbers: the first one's are read.
            history.extend((loss[0], rate[0]) for loss, rate in jax.device_get(pending))
            pending.clear()
            loss, rate = history[-1]
            status = f"loss {loss:.4f}  rate {rate:.1e}"
            progress.update(task, completed=len(history), status=status)

        for epoch in range(1, epochs + 1):
            indices = order.permutation(len(images))[: per_epoch * batch_size]
            for index in indices.reshape(per_epoch, batch_size):
                params, state, metrics = step(
                    params, state, shared_out(images[index]), shared_out(labels[index])
                )
                pending.append(metrics)
                if time.perf_counter() - shown > REFRESH_SECONDS:
                    read()
                    shown = time.perf_counter()
            read()
            first = jax.tree.map(lambda x: x.addressable_data(0)[0], params)
            test_step.append(len(history))
            test_accuracy.append(decimal(jax.device_get(accuracy(first, *test))))
            epoch_loss = float(np.mean([loss for loss, _ in history[-per_epoch:]]))
            console.print(
                f"epoch {epoch:{len(str(epochs))}}/{epochs}  "
                f"test accuracy [bold]{test_accuracy[-1]:.4f}[/]  "
                f"loss {epoch_loss:.4f}",
                highlight=False,
            )
            if not math.isfinite(epoch_loss):
                console.print(
                    f"[bold red]diverged[/]: the loss is {epoch_loss}. "
                    "Try a lower --learning-rate."
                )
                break
    loss, learning_rate = (
        [decimal(value) for value in curve] for curve in zip(*history, strict=True)
    )
    return Run(
        name=name,
        chain=repr(tx),
        loss=loss,
        learning_rate=learning_rate,
        gradient_norm=[],  # of the whole batch it is known inside of the chain only
        test_step=test_step,
        test_accuracy=test_accuracy,
        epoch_loss=epoch_loss,
        compile_seconds=compile_seconds,
        seconds=time.perf_counter() - clock,
    )


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m examples.pmap_mnist",
        description="Train a 784-512-10 network on handwritten digits, each device on "
        "its part of every batch.",
    )
    add = parser.add_argument
    devices.add_option(parser)
    add(
        "--zero1",
        action="store_true",
        help="let each device keep and update its part of AdamW's moments (ZeRO-1)",
    )
    add(
        "--compare",
        action="store_true",
        help="train again on one device, with the same batches",
    )
    flags.whole(parser, "--epochs", 10, "passes over the training digits")
    text = "digits per step, of all devices together"
    flags.whole(parser, "--batch-size", 128, text)
    flags.learning_rate(parser, 3e-3)
    flags.seed_and_out(parser, flags.WEIGHTS_AND_ORDER, "pmap_mnist")
    return parser


def main(argv: Sequence[str] | None = None) -> list[Run]:
    parser = arguments()
    options = parser.parse_args(argv)
    console = Console(soft_wrap=True, emoji=False)
    try:
        options.out.mkdir(parents=True, exist_ok=True)  # now: not after the training
        chosen = devices.choose(options.simulate)
        digits = embedded_mnist()
    except (OSError, RuntimeError, ModuleNotFoundError) as error:
        sys.exit(f"{parser.prog}: {error}")
    count, batch_size = len(digits.train.labels), options.batch_size
    flags.check_batch(parser, batch_size, count)
    devices.check_divides(parser, batch_size, len(chosen))
    if len(chosen) == 1:
        console.print(
            "There is one device, and the training is the usual one. `--simulate 8` "
            "lets the CPU appear as eight."
        )
    steps = options.epochs * (count // batch_size)
    tx = make_optimizer(steps, zero1=options.zero1, learning_rate=options.learning_rate)
    console.print(
        f"training  epochs {options.epochs}, steps {steps:,}, digits a step "
        f"{batch_size}, seed {options.seed}\n"
        f"devices   {len(chosen)} x {chosen[0].device_kind}, "
        f"{batch_size // len(chosen)} digits each"
    )
    console.print(gradtx.describe(tx, console.width), markup=False, highlight=False)
    runs = []
    for some in [chosen, chosen[:1]][: 1 + (options.compare and len(chosen) > 1)]:
        run = train(
            tx,
            digits,
            some,
            epochs=options.epochs,
            batch_size=batch_size,
            seed=options.seed,
            console=console,
        )
        console.print(
            f"{run.name}: test accuracy {run.test_accuracy[-1]:.4f}, "
            f"{run.seconds:.1f} s, and {run.compile_seconds:.1f} s to compile the step"
        )
        runs.append(run)
    picture = options.out / "pmap_mnist.png"
    curves = options.out / "pmap_mnist.json"
    report.plot(runs, picture, f"digits in batches of {batch_size}, with pmap")
    names = ("simulate", "zero1", "epochs", "batch_size", "learning_rate", "seed")
    settings = {name: vars(options)[name] for name in names}
    report.save(runs, curves, {"devices": len(chosen)} | settings)
    console.print(f"picture   {picture}\ncurves    {curves}", markup=False)
    return runs


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped before the end: no picture drawn.")
