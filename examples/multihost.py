"""Train with several processes, one for each host, and show it on one machine.

    python -m examples.multihost                        # 2 processes of 2 devices each
    python -m examples.multihost --processes 4 --devices 1

That starts the processes here. On real hosts, start one yourself on each of them:

    python -m examples.multihost --processes 2 --process 0 --coordinator host0:1234
    python -m examples.multihost --processes 2 --process 1 --coordinator host0:1234

To be copied: `connect`, and `train`, in which every process gives its part of each
batch to one jitted program for all of them; the step is that of mnist.py, unchanged.
How the processes are started and watched is in processes.py.
"""

import argparse
import json
import os
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P

import gradtx
from examples import flags, processes, report
from examples.datasets import Digits, embedded_mnist
from examples.mnist import (
    CLASSES,
    HIDDEN,
    accuracy,
    decimal,
    init_params,
    make_optimizer,
    train_step,
)
from examples.report import Console, Run

REPORT_SECONDS = 0.2  # between two lines of a process about its progress


def connect(coordinator: str, count: int, process: int, devices: int) -> None:
    """Join the other processes; `jax.devices()` are then those of all of them.

    On GPUs and TPUs leave out the three settings; on a cluster that JAX knows (Slurm,
    Cloud TPU, ...) `jax.distributed.initialize()` finds its arguments itself.
    """
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", devices)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(
        coordinator,
        count,
        process,
        initialization_timeout=60,  # seconds
    )


def train(
    digits: Digits,
    tell: Callable[..., None],
    *,
    epochs: int,
    batch_size: int,
    seed: int = 0,
    hidden: int = HIDDEN,
) -> Run:
    """Train on the devices of all processes; each of them calls this, and waits.

    Every process draws the same weights and the same order of digits from the seed, and
    gives its own digits of each batch only.
    """
    mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))
    everywhere, parted = NamedSharding(mesh, P()), NamedSharding(mesh, P("data"))
    part = batch_size // jax.process_count()
    mine = slice(part * jax.process_index(), part * (jax.process_index() + 1))

    def given(sharding, array):
        return jax.make_array_from_process_local_data(sharding, array)

    images, labels = digits.train
    per_epoch = len(images) // batch_size
    tx = make_optimizer("adamw", epochs * per_epoch)
    sizes = (images.shape[1], hidden, CLASSES)
    test = [given(everywhere, x) for x in digits.test]

    def start():
        params = init_params(jax.random.key(seed), sizes)
        return params, tx.init(params)

    def step(params, state, images, labels):
        return train_step(tx, params, state, images, labels)

    params, state = jax.jit(start, out_shardings=everywhere)()
    # The mean of the loss goes over a batch that lies on all devices: JAX adds the
    # all-reduce of the gradients to the program by itself.
    step = jax.jit(step, donate_argnums=(0, 1), out_shardings=everywhere)

    order = np.random.default_rng(seed)
    history: list[Any] = []  # metrics of each step
    test_step: list[int] = []
    test_accuracy: list[float] = []
    clock = time.perf_counter()
    compile_seconds = said = 0.0
    for _ in range(epochs):
        indices = order.permutation(len(images))[: per_epoch * batch_size]
        for index in indices.reshape(per_epoch, batch_size)[:, mine]:
            params, state, metrics = step(
                params,
                state,
                given(parted, images[index]),
                given(parted, labels[index]),
            )
            history.append(metrics)
            if len(history) == 1:
                metrics.loss.block_until_ready()
                compile_seconds = time.perf_counter() - clock
            if time.perf_counter() - said > REPORT_SECONDS:
                tell(step=len(history), loss=float(metrics.loss))
                said = time.perf_counter()
        test_step.append(len(history))
        test_accuracy.append(decimal(jax.device_get(accuracy(params, *test))))
        tell(epoch=len(test_step), test_accuracy=test_accuracy[-1])
    # The bits, on every device of every process: the loss need not show a drift.
    gradtx.distributed.check_replicas({"params": params, "state": state})
    loss, learning_rate, gradient_norm = (
        [decimal(value) for value in curve]
        for curve in zip(*jax.device_get(history), strict=True)
    )
    return Run(
        name=f"{jax.process_count()} processes, {jax.device_count()} devices",
        chain=repr(tx),
        loss=loss,
        learning_rate=learning_rate,
        gradient_norm=gradient_norm,
        test_step=test_step,
        test_accuracy=test_accuracy,
        epoch_loss=float(np.mean(loss[-per_epoch:])),
        compile_seconds=compile_seconds,
        seconds=time.perf_counter() - clock - compile_seconds,
    )


def work(options: argparse.Namespace) -> None:
    """Be one of the processes; the first says as lines of JSON how it goes."""

    def tell(**message):
        if options.process == 0:
            print(json.dumps(message), flush=True)

    try:
        if options.launched:
            processes.end_with_parent()
        connect(
            options.coordinator, options.processes, options.process, options.devices
        )
        run = train(
            embedded_mnist(),
            tell,
            epochs=options.epochs,
            batch_size=options.batch_size,
            seed=options.seed,
        )
        tell(run=run._asdict())
        jax.distributed.shutdown()
    except BaseException:
        traceback.print_exc()
        # At once: the usual end would wait for the others, and they for this one.
        sys.stderr.flush()
        os._exit(1)


def launch(options: argparse.Namespace, console: Console) -> Run:
    """Start the processes on this machine and show the progress of the first."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "examples.multihost", "--launched"]
    for name in ("processes", "devices", "epochs", "batch_size", "seed"):
        command += [f"--{name.replace('_', '-')}", str(vars(options)[name])]
    command += ["--coordinator", f"127.0.0.1:{port}", "--process"]
    runs: list[Run] = []
    with report.progress_bar(console) as progress:
        steps = options.epochs * (options.digits // options.batch_size)
        task = progress.add_task("starting", total=steps, status="")

        def show(message: dict[str, Any]) -> None:
            if "step" in message:
                progress.update(
                    task,
                    description="process 0",
                    completed=message["step"],
                    status=f"loss {message['loss']:.4f}",
                )
            if "epoch" in message:
                console.print(
                    f"epoch {message['epoch']}/{options.epochs}  test accuracy "
                    f"[bold]{message['test_accuracy']:.4f}[/]",
                    highlight=False,
                )
            if "run" in message:
                runs.append(Run(**message["run"]))

        commands = [[*command, str(i)] for i in range(options.processes)]
        processes.run(commands, show, options.timeout)
    return runs[0]


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m examples.multihost",
        description="Train on handwritten digits with several processes.",
    )
    add = parser.add_argument
    for name, default, text in (
        ("--processes", 2, "how many processes there are"),
        ("--devices", 2, "CPU devices of each process"),
        ("--epochs", 10, "passes over the training digits"),
        ("--batch-size", 128, "digits per step, of all processes together"),
        ("--timeout", 300, "seconds after which processes that hang are ended"),
    ):
        flags.whole(parser, name, default, text)
    flags.seed_and_out(parser, flags.WEIGHTS_AND_ORDER, "multihost")
    add(
        "--process",
        type=int,
        metavar="I",
        help="be the process I of 0, 1, ... instead of starting them all",
    )
    add("--coordinator", metavar="HOST:PORT", help="where process 0 is, with --process")
    add("--launched", action="store_true", help=argparse.SUPPRESS)
    return parser


def main(argv: Sequence[str] | None = None) -> Run | None:
    parser = arguments()
    options = parser.parse_args(argv)
    try:
        options.digits = len(embedded_mnist().train.labels)
    except ModuleNotFoundError as error:
        sys.exit(f"{parser.prog}: {error}")
    everyone = options.processes * options.devices
    if options.batch_size % everyone:
        nearest = max(1, round(options.batch_size / everyone)) * everyone
        parser.error(
            f"--batch-size {options.batch_size} does not divide among {everyone} "
            f"devices: take {nearest}"
        )
    flags.check_batch(parser, options.batch_size, options.digits)
    if (options.process is None) != (options.coordinator is None):
        parser.error("--process and --coordinator go together")
    if options.process is not None:
        if not 0 <= options.process < options.processes:
            parser.error(
                f"--process {options.process}: there are 0 to {options.processes - 1}"
            )
        work(options)
        return None
    console = Console(soft_wrap=True, emoji=False)
    console.print(
        f"training  epochs {options.epochs}, digits a step {options.batch_size}, seed "
        f"{options.seed}\n"
        f"processes {options.processes} of {options.devices} CPU devices each"
    )
    try:
        options.out.mkdir(parents=True, exist_ok=True)  # now: not after the training
        run = launch(options, console)
    except (OSError, processes.WorkerError) as error:
        sys.exit(f"{parser.prog}: {error}")
    console.print(
        f"{run.name}: test accuracy {run.test_accuracy[-1]:.4f}, {run.seconds:.1f} s, "
        f"and {run.compile_seconds:.1f} s to compile\n"
        "parameters and state have the same bits on every device of every process",
        highlight=False,
    )
    picture, curves = options.out / "multihost.png", options.out / "multihost.json"
    report.plot([run], picture, f"digits in batches of {options.batch_size}")
    names = ("processes", "devices", "epochs", "batch_size", "seed")
    report.save([run], curves, {name: vars(options)[name] for name in names})
    console.print(f"picture   {picture}\ncurves    {curves}", markup=False)
    return run


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped before the end: all processes ended, no picture drawn.")
