"""What the experiments have in common: options, training of a whole grid, comparison.

A grid of hyperparameters trains as one program: `train` maps the step over the grid
with `jax.vmap`, so that every member sees the same minibatches and the same noise.
"""

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

import gradtx
from examples import flags, report
from examples.papers import curves
from examples.papers.curves import Result, best, result
from examples.report import Console

Make = Callable[[Any], gradtx.GradientTransformation]  # from a member of the grid
Data = TypeVar("Data")


def rows(data: Any, index: jax.Array) -> Any:
    """Take the examples with these numbers."""
    return jax.tree.map(lambda array: array[index], data)


class Problem(NamedTuple):
    init: Callable[[jax.Array], Any]  # key -> params
    loss: Callable[[Any, Any, jax.Array], jax.Array]  # params, batch, key -> mean cost
    batch: Callable[[Any, jax.Array], Any] = rows  # data, numbers of examples -> batch


class Trained(NamedTuple):
    costs: np.ndarray  # (members, steps) float32, of each minibatch before its step
    params: Any  # after the last step, with a leading axis for the members


# A grid of learning rates wide enough for every optimizer, in factors of about 3.
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0)


def inverse_sqrt(rate: gradtx.Scalar) -> gradtx.Schedule:
    """Return the schedule rate / sqrt(t), t = 1, 2, ... (Adam paper, section 4)."""
    return lambda count: rate / jnp.sqrt(count + 1.0)


def orders(count: int, batch_size: int, epochs: int, seed: int) -> Iterable[np.ndarray]:
    """Yield the examples of each minibatch of an epoch, (steps, batch_size) int32.

    What does not fill a minibatch is left out, of another part in each epoch.
    """
    generator = np.random.default_rng(seed)
    steps = count // batch_size
    for _ in range(epochs):
        order = generator.permutation(count)[: steps * batch_size]
        yield order.reshape(steps, batch_size).astype(np.int32)


def train(
    make: Make,
    grid: Any,
    problem: Problem,
    data: Any,
    *,
    epochs: int,
    batch_size: int,
    seed: int = 0,
    each: Callable[[int, np.ndarray, Any], None] | None = None,
) -> Trained:
    """Train with every member of a grid at once, from the same weights.

    Args:
        make: from a member of the grid, say a learning rate, to the optimizer. The
            member is traced.
        grid: array or pytree of arrays; the first axis counts the members.
        problem: what is trained.
        data: pytree of arrays; the first axis counts the examples.
        epochs: passes over the examples.
        batch_size: examples of a step.
        seed: decides the weights, the minibatches and the noise (dropout).
        each: called after every epoch with its number from 1, its costs
            (members, steps) and the parameters as they then are, which the next epoch
            overwrites.
    """
    count = len(jax.tree.leaves(data)[0])
    if not 0 < batch_size <= count:
        raise ValueError(
            f"batch_size must be from 1 to the {count:,} examples, got {batch_size}."
        )
    data, grid = jax.tree.map(jnp.asarray, (data, grid))
    init_key, noise_key = jax.random.split(jax.random.key(seed))

    def start(member):
        params = problem.init(init_key)
        return params, make(member).init(params)

    @partial(jax.jit, donate_argnums=0)
    def epoch(carry, data, order, key):
        def step(carry, each):
            index, key = each
            batch = problem.batch(data, index)

            def member_step(member, params, state):
                cost, grads = jax.value_and_grad(problem.loss)(params, batch, key)
                params, state = make(member).step(grads, state, params)
                return (params, state), cost

            return jax.vmap(member_step)(grid, *carry)

        keys = jax.random.split(key, len(order))
        carry, costs = jax.lax.scan(step, carry, (order, keys))
        return carry, costs.T

    carry = jax.jit(jax.vmap(start))(grid)
    parts = []
    for number, order in enumerate(orders(count, batch_size, epochs, seed), 1):
        key = jax.random.fold_in(noise_key, number)
        carry, costs = epoch(carry, data, order, key)
        parts.append(np.asarray(costs))
        if each is not None:
            each(number, parts[-1], carry[0])
    return Trained(np.concatenate(parts, axis=1), carry[0])


def compare(
    optimizers: Mapping[str, tuple[Make, Sequence[float]]],
    problem: Problem,
    data: Any,
    *,
    epochs: int,
    batch_size: int,
    seed: int = 0,
    console: Console | None = None,
) -> list[Result]:
    """Train with each optimizer and each of its learning rates.

    The best rate is that with the lowest mean cost over the last epoch, for every
    optimizer.
    """
    console = console or Console(quiet=True)
    results = []
    with report.progress_bar(console) as progress:
        for name, (make, rates) in optimizers.items():
            task = progress.add_task(name, total=epochs, status="compiling")

            def show(number, costs, _, task=task):
                cost = best(costs.mean(1))[1]
                progress.update(task, completed=number, status=f"cost {cost:.4f}")

            clock = time.perf_counter()
            trained = train(
                make,
                np.asarray(rates, np.float32),
                problem,
                data,
                epochs=epochs,
                batch_size=batch_size,
                seed=seed,
                each=show,
            )
            seconds = time.perf_counter() - clock
            results.append(result(name, rates, trained.costs, epochs, seconds))
            console.print(f"{name}: {seconds:.0f} s, compilation included")
    return results


def arguments(
    name: str,
    description: str,
    full: str,
    data: str = "they are downloaded once, then cached",
) -> argparse.ArgumentParser:
    """Return a parser for what every experiment can be told.

    Args:
        name: of the experiment, its module and its files.
        description: for `--help`.
        full: how long the full run takes, for `--help`.
        data: where the data come from without a folder, for `--help`.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m examples.papers.{name}", description=description
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--quick", action="store_true", help="a smaller run, below 90 s on two cores"
    )
    size.add_argument(
        "--full",
        action="store_false",
        dest="quick",
        help=f"the run of docs/results, {full} on two cores (the default)",
    )
    parser.add_argument(
        "--epochs",
        type=flags.positive(int),
        metavar="N",
        help="passes over the training data, if not those of the run chosen",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help=f"folder with the data (default: {data})",
    )
    flags.seed_and_out(parser, "initial weights, minibatches and noise", name)
    return parser


def load(
    parser: argparse.ArgumentParser,
    options: argparse.Namespace,
    read: Callable[[Path | None], Data],
) -> Data:
    """Return the data, and make the folder for the results; or end with the error."""
    try:
        options.out.mkdir(parents=True, exist_ok=True)  # now: not after minutes of work
        return read(options.data)
    except (OSError, ValueError, ModuleNotFoundError) as error:
        sys.exit(f"{parser.prog}: {error}")


def publish(
    results: Sequence[Result],
    options: argparse.Namespace,
    name: str,
    title: str,
    settings: dict[str, Any],
    console: Console,
) -> None:
    """Show a table, and leave name.png and name.json in the folder of the options."""
    console.print(curves.table(results))
    picture, file = options.out / f"{name}.png", options.out / f"{name}.json"
    curves.plot(results, picture, title)
    chosen = {"quick": options.quick, "seed": options.seed}
    curves.save(results, file, chosen | settings | {"made with": versions()})
    console.print(f"picture   {picture}\ncurves    {file}", markup=False)


def run(main: Callable[[], Any]) -> None:
    """Call a script's main; Ctrl-C ends it with a line instead of a traceback."""
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped before the end: nothing was written.")


def versions() -> dict[str, str]:
    """Say what a run was made with."""
    return {
        "gradtx": version("gradtx"),
        "jax": jax.__version__,
        "python": platform.python_version(),
        "device": jax.devices()[0].device_kind,
        "cores": str(os.cpu_count()),
    }
