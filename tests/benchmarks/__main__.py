"""Measure gradtx beside Optax, in one process, in turn on the same trees.

python -m tests.benchmarks
python -m tests.benchmarks --quick
python -m tests.benchmarks --workloads adamw '*_adamw' --tree deep
python -m tests.benchmarks --device gpu
python -m tests.benchmarks --scaling
"""

import argparse
import gc
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax

import gradtx

from . import device as devices, report, scaling, trees
from .compare import Options, compare
from .measure import copy_bandwidth
from .workloads import Workload, chosen, workloads

COPY_BYTES = {"cpu": 2**29}  # elsewhere twice that: far more than a cache
SECONDS = {"gpu": 1.0}  # to time each workload for; elsewhere 3
MINUTES = {"gpu": 7.0}  # after which no workload begins; elsewhere 20
QUICK = {"tree": ["tiny"], "seconds": 0.05, "rounds": 3}
WIDTH = 132  # of the table, where no terminal says
# Say where things go and what else is done, not what is measured.
NO_OPTIONS = ("out", "list", "redraw")


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--list", action="store_true", help="show the workloads, and stop")
    add(
        "--redraw",
        type=Path,
        metavar="JSON",
        help="draw the picture of what was measured before, and stop",
    )
    add("--quick", action="store_true", help="a tiny tree, few repetitions: a minute")
    add("--scaling", action="store_true", help="only how cost grows with the tree")
    add("--workloads", nargs="+", default=["*"], metavar="NAME", help="or patterns")
    add(
        "--tree", nargs="+", choices=trees.TREES, default=["gpt2"], help="default: gpt2"
    )
    add("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    add(
        "--device",
        choices=["cpu", "gpu", "tpu"],
        help="default: the first that JAX has",
    )
    add("--seconds", type=float, help="for each workload; default: 3, on a gpu 1")
    add("--rounds", type=int, default=5, help="of each workload at least; default: 5")
    add(
        "--compiles", type=int, default=1, help="take the median of so many; default: 1"
    )
    add("--minutes", type=float, help="begin nothing later; default: 20, on a gpu 7")
    add("--max-leaves", type=int, default=10_000, help="for --scaling")
    add("--max-parameters", type=int, default=500_000_000, help="for --scaling")
    add("--out", type=Path, default=Path("out/benchmarks"), help="default: %(default)s")
    return parser


def run(
    selected: Sequence[Workload],
    options: Options,
    deadline: float,
    console: report.Console,
) -> tuple[list[dict[str, Any]], list[str]]:
    """Measure on one tree; the second list is of what there was no time for."""
    records: list[dict[str, Any]] = []
    late: list[str] = []
    with report.progress_bar(console) as bar:
        task = bar.add_task(options.tree, total=len(selected), status="")
        for workload in selected:
            if time.perf_counter() > deadline:
                late.append(f"{workload.name} on {options.tree}")
                continue
            bar.update(task, status=workload.name)
            records.append(compare(workload, options))
            bar.advance(task)
    return records, late


def run_scaling(
    args: argparse.Namespace, device: jax.Device, console: report.Console
) -> dict[str, Any]:
    found: dict[str, Any] = {"leaves": [], "parameters": []}
    deadline = time.perf_counter() + 60 * args.minutes
    for record in scaling.over_leaves(args.max_leaves, args.dtype, deadline):
        found["leaves"].append(record)
        seconds_each = {
            name: sum(stages.values()) for name, stages in record["ways"].items()
        }
        parts = ", ".join(f"{name} {t:.2f} s" for name, t in seconds_each.items())
        console.print(f"{record['leaves']:>11,} leaves: {parts}", highlight=False)
    jax.clear_caches()  # programs of 10,000 leaves are 15 GB, which arrays need now
    gc.collect()
    for record in scaling.over_parameters(
        args.max_parameters, args.dtype, args.seconds, device
    ):
        found["parameters"].append(record)
        parts = ", ".join(
            f"{name} {way['milliseconds']['median']:.2f} ms"
            for name, way in record["ways"].items()
        )
        console.print(
            f"{record['parameters']:>11,} parameters: {parts}", highlight=False
        )
    return found


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    parser = arguments()
    args = parser.parse_args(argv)
    if args.quick:
        parser.set_defaults(**QUICK)
        args = parser.parse_args(argv)
    console = report.Console(emoji=False)
    if not console.is_terminal:
        console = report.Console(emoji=False, width=WIDTH)
    if args.redraw:
        report.redraw(args.redraw)
        return {}
    if args.list:
        for name, workload in workloads().items():
            console.print(f"{name:20} {workload.build(gradtx)!r}", markup=False)
        return {}
    try:
        selected = chosen(args.workloads)
        # Torch and the tests need some of the device's memory, too.
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        device = jax.devices(args.device)[0]
        args.out.mkdir(parents=True, exist_ok=True)  # now: not after minutes of work
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(f"{parser.prog}: {error}")
    if args.seconds is None:
        args.seconds = SECONDS.get(device.platform, 3.0)
    if args.minutes is None:
        args.minutes = MINUTES.get(device.platform, 20.0)
    start = time.perf_counter()
    found: dict[str, Any] = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": devices.describe(device),
        "versions": devices.versions(),
        "options": {k: v for k, v in vars(args).items() if k not in NO_OPTIONS},
    }
    path = args.out / (devices.slug(device) + "-scaling" * args.scaling)
    with jax.default_device(device):
        if args.scaling:
            found["scaling"] = run_scaling(args, device, console)
            title = f"adamw in {args.dtype} on {device.device_kind}"
            report.plot_scaling(found["scaling"], path.with_suffix(".png"), title)
        else:
            found |= measure(args, selected, device, start, path, console)
    found["seconds"] = time.perf_counter() - start
    report.save(found, path.with_suffix(".json"))
    console.print(
        f"written   {path}.json and the pictures beside it\n"
        f"took      {found['seconds']:.0f} s",
        markup=False,
        highlight=False,
    )
    return found


def measure(
    args: argparse.Namespace,
    selected: Sequence[Workload],
    device: jax.Device,
    start: float,
    path: Path,
    console: report.Console,
) -> dict[str, Any]:
    """The workloads; on a gpu first whether its numbers are right, and torch's time."""
    found: dict[str, Any] = {}
    nbytes = 2**22 if args.quick else COPY_BYTES.get(device.platform, 2**30)
    found["copy_gb_s"] = copy_bandwidth(nbytes, min(args.seconds, 1.0))
    best = max(found["copy_gb_s"].values())
    console.print(f"copying moves {best:.0f} GB/s on {device.device_kind}")
    if device.platform == "gpu" and not args.quick:
        found["parity"] = devices.parity()
        console.print(
            f"tests against Optax: {found['parity']['summary']}", markup=False
        )
        tree = trees.structs(trees.TREES[args.tree[0]](), "float32")
        found["torch"] = torch = devices.torch_adamw(tree)
        if "skipped" in torch:
            console.print(f"no comparison with torch: {torch['skipped']}")
        else:
            took = torch["milliseconds"]["median"]
            console.print(f"torch: {took:.3f} ms, {torch['optimizer']}, {args.tree[0]}")
    deadline = start + 60 * args.minutes
    found["results"], found["not_run"] = [], []
    for i, tree in enumerate(args.tree):
        options = Options(
            tree, args.dtype, args.seconds, args.rounds, args.compiles, best
        )
        if i == 0:
            # What is slow once, in JAX and both libraries, is no workload's cost.
            compare(workloads()["adamw"], options._replace(tree="tiny", seconds=0.0))
        records, late = run(selected, options, deadline, console)
        title = f"{tree} in {args.dtype} on {device.device_kind}"
        console.print(report.table(records, title))
        for failure in report.failures(records):
            console.print(f"failed: {failure}", style="red", markup=False)
        picture = path.with_name(f"{path.name}-{tree}.png")
        report.plot(records, picture, device.device_kind)
        found["results"] += records
        found["not_run"] += late
    if found["not_run"]:
        console.print(f"no time for {', '.join(found['not_run'])}")
    return found


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped before the end: nothing written.")
