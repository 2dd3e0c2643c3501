"""Find a learning rate and a decay: 64 trainings in one program, and one by one.

    python -m examples.sweep
    python -m examples.sweep --quick

A 784-32-10 network learns handwritten digits with eight learning rates times eight
weight decays. First all at once, by `gradtx.sweep`: one program, compiled once, whose
arrays have a first axis of runs. Then the same in a loop, where each run has a program
of its own. The table and the map are of the test loss; the seconds count everything,
compilation too, and the losses of both ways are compared.

To be copied: `make_tx` says what is swept, `train` is the loop, for one or for many.
"""

import argparse
import functools
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gradtx
from examples import flags, report
from examples.datasets import Digits, embedded_mnist
from examples.mnist import CLASSES, accuracy, init_params, loss_fn
from examples.report import Console

RATES = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1]
DECAYS = [0, 1e-3, 1e-2, 3e-2, 0.1, 0.3, 1, 3]
HIDDEN = 32
QUICK = 600  # digits to train on


class Way(NamedTuple):
    seconds: float  # from the first line of Python to the last result
    compiling: float  # of these, for tracing and compiling the step
    loss: np.ndarray  # on the test digits, one for each run
    accuracy: np.ndarray


def matrices(params):
    return jax.tree.map(lambda p: p.ndim > 1, params)


def make_tx(learning_rate, weight_decay, *, steps: int):
    """Clip, then AdamW with a rate that warms up for a tenth of the steps and decays.

    In a sweep the two numbers are arrays, with a value for each run.
    """
    schedule = gradtx.warmup_cosine_decay_schedule(
        0.0, learning_rate, warmup_steps=steps // 10, decay_steps=steps
    )
    return gradtx.chain(
        gradtx.clip_by_global_norm(1.0),
        gradtx.adamw(schedule, weight_decay=weight_decay, mask=matrices),
    )


def train(tx, params, batches, digits: Digits, spread: Callable, tick: Callable):
    """Train from given weights; return seconds to compile, test loss and accuracy.

    Args:
        tx: a transformation, or a sweep of many.
        params: of one network, or with a first axis of runs.
        batches: the numbers of the digits of each step, (steps, batch size).
        spread: makes a function of one network one of all: `jax.vmap`, or nothing.
        tick: called after each step.
    """
    images, labels = map(jnp.asarray, digits.train)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params, state, index):
        batch = images[index], labels[index]
        grads = spread(jax.grad(loss_fn))(params, *batch)
        return tx.step(grads, state, params)

    state = tx.init(params)
    start = time.perf_counter()
    compiled = step.lower(params, state, batches[0]).compile()
    compiling = time.perf_counter() - start
    for index in batches:
        params, state = compiled(params, state, index)
        tick()
    test = tuple(map(jnp.asarray, digits.test))
    found = jax.device_get([spread(f)(params, *test) for f in (loss_fn, accuracy)])
    return compiling, *found


def all_at_once(grid, params, batches, digits, tick) -> Way:
    start = time.perf_counter()
    spread = functools.partial(jax.vmap, in_axes=(0, None, None))
    found = train(grid, grid.stack(params), batches, digits, spread, tick)
    return Way(time.perf_counter() - start, *found)


def one_by_one(grid, params, batches, digits, tick) -> Way:
    start = time.perf_counter()
    found = []
    for i in range(len(grid)):
        own = jax.tree.map(jnp.copy, params)  # the step reuses its buffers
        alone = train(grid[i], own, batches, digits, lambda f: f, lambda: None)
        found.append(alone)
        tick()
    compiling, loss, share = np.transpose(found)
    return Way(time.perf_counter() - start, float(compiling.sum()), loss, share)


def plain(values: np.ndarray) -> list[float | None]:
    """The values for JSON, which has no NaN."""
    return [float(f"{x:.6g}") if math.isfinite(x) else None for x in values]


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m examples.sweep",
        description="Train with 64 settings in one program, and one by one.",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"four settings on {QUICK} digits",
    )
    flags.whole(parser, "--epochs", 3, "passes over the training digits")
    flags.whole(parser, "--batch-size", 64, "digits per step")
    flags.seed_and_out(parser, flags.WEIGHTS_AND_ORDER, "sweep")
    return parser


def main(argv: Sequence[str] | None = None) -> tuple[Way, Way]:
    parser = arguments()
    options = parser.parse_args(argv)
    console = Console(soft_wrap=True, emoji=False)
    try:
        options.out.mkdir(parents=True, exist_ok=True)  # now: not after minutes of work
        digits = embedded_mnist()
    except (OSError, ValueError, ModuleNotFoundError) as error:
        sys.exit(f"{parser.prog}: {error}")
    rates, decays = RATES, DECAYS
    if options.quick:
        rates, decays = RATES[2:7:4], DECAYS[::4]
        few = type(digits.train)(*(array[:QUICK] for array in digits.train))
        digits = digits._replace(train=few)
    count, pixels = digits.train.images.shape
    flags.check_batch(parser, options.batch_size, count)
    each = count // options.batch_size
    steps = options.epochs * each
    order = np.random.default_rng(options.seed)
    batches = [
        index
        for _ in range(options.epochs)
        for index in order.permutation(count)[: each * options.batch_size].reshape(
            each, -1
        )
    ]
    grid = gradtx.sweep(
        functools.partial(make_tx, steps=steps),
        learning_rate=rates,
        weight_decay=decays,
    )
    params = init_params(jax.random.key(options.seed), (pixels, HIDDEN, CLASSES))
    for finding in gradtx.check(grid[0], params):
        console.print(str(finding), markup=False)
    console.print(
        f"runs      {len(grid)}, {len(rates)} learning rates by {len(decays)} decays\n"
        f"training  {count:,} digits, epochs {options.epochs}, steps {steps:,}, on "
        f"{jax.devices()[0].device_kind}"
    )
    ways: dict[str, Way] = {}
    with report.progress_bar(console) as progress:
        for name, run, total in (
            ("all at once", all_at_once, steps),
            ("one by one", one_by_one, len(grid)),
        ):
            task = progress.add_task(name, total=total, status="")
            tick = functools.partial(progress.advance, task)
            ways[name] = run(grid, params, batches, digits, tick)
    together, alone = ways.values()
    results: dict[str, Any] = {"test loss": together.loss}
    results["test accuracy"] = together.accuracy
    console.print(grid.table(results, rows=10), markup=False, highlight=False)
    for name, way in ways.items():
        console.print(
            f"{name:<12}{way.seconds:7.1f} s, of which {way.compiling:.1f} to compile"
        )
    best = grid.best(together.loss)
    console.print(
        f"one by one takes {alone.seconds / together.seconds:.1f} times as long; the "
        f"test loss of the best run is {alone.loss[best]:.4f} there"
    )
    picture, numbers = options.out / "sweep.png", options.out / "sweep.json"
    ax = gradtx.plot.plot_sweep(grid, together.loss, label="test loss")
    ax.figure.canvas.figure.savefig(picture, dpi=150)
    saved = {
        "settings": grid.settings,
        "seconds": {name: round(way.seconds, 3) for name, way in ways.items()},
        "test_loss": {name: plain(way.loss) for name, way in ways.items()},
        "test_accuracy": {name: plain(way.accuracy) for name, way in ways.items()},
    }
    numbers.write_text(json.dumps(saved, allow_nan=False) + "\n")
    console.print(f"picture   {picture}\nnumbers   {numbers}", markup=False)
    return together, alone


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped before the end: no picture drawn.")
