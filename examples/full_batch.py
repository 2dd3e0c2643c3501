"""Set L-BFGS beside Adam: on all digits at once, and on minibatches.

    python -m examples.full_batch
    python -m examples.full_batch --quick

Softmax regression on the handwritten digits, with L2 regularisation: convex, so that
there is one lowest value and every curve can be measured from it. The x axis is what
the data cost: one pass is one value and gradient over all digits, however many steps
it makes. All in float64, since the distance from the minimum is to be seen.

To be copied: `full_batch_step` with `value_and_grad_from_state`, which computes each
value and gradient once.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gradtx
from examples import flags, report
from examples.datasets import Digits, embedded_mnist
from examples.report import COLORS, Console, Figure, Table

CLASSES = 10
RATES = (1e-3, 1e-2, 1e-1)  # Adam's: all are run, and the best at the end is named
PASSES, QUICK_PASSES = 400, 40
KEPT = 150  # points of a curve in the JSON file at most
NEWTON_STEPS = 60


class Curve(NamedTuple):
    name: str
    chain: str  # the optimizer's repr
    passes: list[float]  # over the data so far, at each point
    objective: list[float]  # of all digits, there
    gradient_norm: float  # of all digits, at the end
    test_accuracy: float  # at the end
    steps: int
    seconds: float  # compilation included


def objective(params, images, labels, l2):
    """Mean cross-entropy plus l2 / 2 times the squared weights."""
    scores = images @ params["kernel"] + params["bias"]
    losses = gradtx.softmax_cross_entropy_with_integer_labels(scores, labels)
    return losses.mean() + l2 / 2 * jnp.sum(params["kernel"] ** 2)


@partial(jax.jit, static_argnames="tx")
def full_batch_step(tx, params, state, data):
    """One step of a method with a line search; returns how often it looked at the data.

    After the first step, which computes one value more, value and gradient come from
    the line search of the step before.
    """
    value_and_grad = gradtx.value_and_grad_from_state(objective)
    value, grad = value_and_grad(params, state=state, **data)
    params, state = tx.step(
        grad, state, params, value=value, grad=grad, value_fn=objective, **data
    )
    info = gradtx.tree.get(state, "info")
    return params, state, gradtx.tree.get(state, "value"), info.num_linesearch_steps


@partial(jax.jit, static_argnames="tx")
def adam_step(tx, params, state, data):
    """One step without a line search, and the value where it began."""
    value, grad = jax.value_and_grad(objective)(params, **data)
    params, state = tx.step(grad, state, params)
    return params, state, value


@partial(jax.jit, static_argnames="tx")
def epoch(tx, params, state, data, batches):
    """One step a minibatch; returns how many values and gradients of one there were.

    Args:
        batches: (steps, batch size) places of digits.
    """

    def step(carry, places):
        params, state, looks = carry
        batch = data | {name: data[name][places] for name in ("images", "labels")}
        value, grad = jax.value_and_grad(objective)(params, **batch)
        params, state = tx.step(
            grad, state, params, value=value, grad=grad, value_fn=objective, **batch
        )
        # Adam passes the extra arguments by, and has no line search to look again.
        info = gradtx.tree.get(state, "info", None)
        looks += 1 if info is None else 1 + info.num_linesearch_steps
        return (params, state, looks), None

    start = params, state, jnp.int32(0)
    return jax.lax.scan(step, start, batches)[0]


def lowest(data, params) -> float:
    """The least value of the objective, by Newton's method to rounding error."""
    tx = gradtx.newton(max_cg_steps=300)
    state = tx.init(params)
    value = np.inf
    for _ in range(NEWTON_STEPS):
        params, state, new, _ = full_batch_step(tx, params, state, data)
        if not float(new) < value:
            break
        value = float(new)
    return value


Steps = Iterator[tuple[float, float, Any]]  # passes so far, objective, parameters


def line_search_steps(tx, params, data) -> Steps:
    state, passes = tx.init(params), 1
    while True:
        params, state, value, looks = full_batch_step(tx, params, state, data)
        passes += int(looks)
        yield passes, float(value), params


def adam_steps(tx, params, data) -> Steps:
    """Each step tells the value where it began, before which it had one pass less."""
    state, passes = tx.init(params), 0
    params, state, _ = adam_step(tx, params, state, data)
    while True:
        passes += 1
        before = params
        params, state, value = adam_step(tx, params, state, data)
        yield passes, float(value), before


def minibatch_steps(tx, params, data, batch_size: int, seed: int) -> Steps:
    """A point an epoch; the value of all digits, for the picture, is not counted."""
    count = len(data["labels"])
    order, state, passes = np.random.default_rng(seed), tx.init(params), 0.0
    whole = jax.jit(objective)
    while True:
        places = order.permutation(count)[: count // batch_size * batch_size]
        batches = jnp.asarray(places.reshape(-1, batch_size))
        params, state, looks = epoch(tx, params, state, data, batches)
        passes += int(looks) * batch_size / count
        yield passes, float(whole(params, **data)), params


def follow(name: str, tx, steps: Steps, data, digits, passes: int, console) -> Curve:
    """Take steps until the passes are used up, or the value is no longer finite."""
    start, used, values, last = time.perf_counter(), [0.0], [float(np.log(CLASSES))], {}
    with report.progress_bar(console) as progress:
        task = progress.add_task(name, total=passes, status="")
        for at, value, params in steps:
            if at > passes:
                break
            used.append(at)
            values.append(value)
            last = params
            progress.update(task, completed=at, status=f"objective {value:.6f}")
            if not np.isfinite(value) or (at == used[-2]):
                break
    scores = digits.test.images @ np.asarray(last["kernel"]) + np.asarray(last["bias"])
    norm = gradtx.tree.norm(jax.grad(objective)(last, **data))
    return Curve(
        name=name,
        chain=repr(tx),
        passes=used,
        objective=values,
        gradient_norm=float(norm),
        test_accuracy=float(np.mean(scores.argmax(-1) == digits.test.labels)),
        steps=len(used) - 1,
        seconds=time.perf_counter() - start,
    )


def compare(
    digits: Digits, *, passes: int, batch_size: int, l2: float, seed: int, console
) -> tuple[dict[str, list[Curve]], float]:
    """Run everything from zero weights; the curves by panel, and the lowest value."""
    data = {
        "images": jnp.asarray(digits.train.images, jnp.float64),
        "labels": jnp.asarray(digits.train.labels),
        "l2": jnp.asarray(l2, jnp.float64),
    }
    zero = {
        "kernel": jnp.zeros((digits.train.images.shape[1], CLASSES), jnp.float64),
        "bias": jnp.zeros(CLASSES, jnp.float64),
    }
    runs: list[tuple[str, str, Any, Callable[..., Steps]]] = []
    mini = partial(minibatch_steps, batch_size=batch_size, seed=seed)
    panels = "full batch", f"minibatches of {batch_size}"
    for panel, with_search, without in (
        (panels[0], line_search_steps, adam_steps),
        (panels[1], mini, mini),
    ):
        runs.append((panel, "lbfgs", gradtx.lbfgs(), with_search))
        runs += [(panel, f"adam {r:g}", gradtx.adam(r), without) for r in RATES]
    curves: dict[str, list[Curve]] = {panel: [] for panel in panels}
    for panel, name, tx, walk in runs:
        steps = walk(tx, zero, data)
        curve = follow(name, tx, steps, data, digits, passes, console)
        curves[panel].append(curve)
        console.print(
            f"{panel:18}  {name:10}  objective {curve.objective[-1]:.8f}  "
            f"{curve.seconds:.1f} s",
            highlight=False,
        )
    return curves, lowest(data, zero)


def gaps(curve: Curve, least: float) -> np.ndarray:
    """How far above the lowest value each point is; never 0, for a log axis."""
    return np.maximum(np.array(curve.objective) - least, 1e-16)


def table(curves: dict[str, list[Curve]], least: float) -> Table:
    result = Table("data", "optimizer", title=f"above the lowest value {least:.8f}")
    for header in "best", "at the end", "test accuracy", "seconds":
        result.add_column(header, justify="right")
    for panel, runs in curves.items():
        for run in runs:
            gap = gaps(run, least)
            result.add_row(
                panel,
                run.name,
                f"{gap.min():.1e}",
                f"{gap[-1]:.1e}",
                f"{run.test_accuracy:.4f}",
                f"{run.seconds:.1f}",
            )
    return result


def plot(curves: dict[str, list[Curve]], least: float, path: Path, title: str) -> None:
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    figure.suptitle(title)
    both = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes, (panel, runs) in zip(both, curves.items(), strict=True):
        for run, color, dash in zip(
            runs, COLORS, cycle(("-", "--", "-.", ":")), strict=False
        ):
            label = f"{run.name}  {run.test_accuracy:.3f}"
            axes.plot(run.passes, gaps(run, least), dash, color=color, label=label)
        axes.set(title=panel, xlabel="passes over the data", yscale="log")
        axes.legend(title="test accuracy at the end")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    both[0].set_ylabel("objective above its lowest value")
    figure.savefig(path, dpi=150)


def save(
    curves: dict[str, list[Curve]], least: float, path: Path, settings: dict[str, Any]
) -> None:
    """Write settings and curves, of long ones every n-th point; null for no number."""

    def plain(value: float) -> float | None:
        return float(f"{value:.6g}") if np.isfinite(value) else None

    def record(run: Curve) -> dict[str, Any]:
        points = len(run.passes)
        kept = sorted({*range(0, points, -(-points // KEPT)), points - 1})
        gap = gaps(run, least)
        return run._asdict() | {
            "passes": [plain(run.passes[i]) for i in kept],
            "objective": [plain(run.objective[i]) for i in kept],
            "above_lowest": [plain(gap[i]) for i in kept],
            "gradient_norm": plain(run.gradient_norm),
            "seconds": round(run.seconds, 1),
        }

    records = {panel: [record(run) for run in runs] for panel, runs in curves.items()}
    text = json.dumps(settings | {"lowest": least, "runs": records}, allow_nan=False)
    path.write_text(text + "\n")


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m examples.full_batch",
        description="Compare L-BFGS and Adam on all digits at once and on minibatches.",
    )
    passes = f"passes over the data for each run (default: {PASSES}, or "
    parser.add_argument(
        "--passes",
        type=flags.positive(int),
        metavar="N",
        help=f"{passes}{QUICK_PASSES} with --quick)",
    )
    flags.whole(parser, "--batch-size", 128, "digits in a minibatch")
    parser.add_argument(
        "--l2",
        type=flags.positive(float),
        default=1e-3,
        metavar="X",
        help="strength of the regularisation (default: %(default)s)",
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the passes")
    flags.seed_and_out(parser, "the order of the digits in minibatches", "full_batch")
    return parser


def main(argv: Sequence[str] | None = None) -> dict[str, list[Curve]]:
    parser = arguments()
    options = parser.parse_args(argv)
    passes = options.passes or (QUICK_PASSES if options.quick else PASSES)
    console = Console(soft_wrap=True, emoji=False)
    try:
        options.out.mkdir(parents=True, exist_ok=True)  # now: not after minutes of work
        digits = embedded_mnist()
    except (OSError, ValueError, ModuleNotFoundError) as error:
        sys.exit(f"{parser.prog}: {error}")
    count = len(digits.train.labels)
    flags.check_batch(parser, options.batch_size, count)
    console.print(
        f"data      {count:,} digits to train, {len(digits.test.labels):,} to test\n"
        f"passes    {passes} for each run, L2 {options.l2:g}, float64, "
        f"on {jax.devices()[0].device_kind}",
    )
    settings = {name: vars(options)[name] for name in ("batch_size", "l2", "seed")}
    with jax.enable_x64(True):
        curves, least = compare(digits, passes=passes, console=console, **settings)
    console.print(table(curves, least))
    picture = options.out / "full_batch.png"
    title = f"Softmax regression on {count:,} digits, L2 {options.l2:g}"
    plot(curves, least, picture, title)
    data = {"data": digits.name, "passes": passes}
    save(curves, least, picture.with_suffix(".json"), data | settings)
    console.print(f"picture   {picture}\ncurves    {picture.with_suffix('.json')}")
    return curves


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped before the end: no picture drawn.")
