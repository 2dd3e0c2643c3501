"""Train a small byte-level language model on English text, its state over 8 devices.

    python -m examples.zero1_lm                  # a CPU that appears as eight devices
    python -m examples.zero1_lm --simulate 4
    python -m examples.zero1_lm --real           # the devices that are there

The text is the language reference in Python's own help. To be copied:
`make_optimizer`, `train_step`, which each device runs on its part of the batch, and
`parallel`, which makes one program for all devices out of it.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec as P
from matplotlib.figure import Figure

import gradtx
from examples import byte_lm, devices, flags, report
from examples.byte_lm import HEAD_WIDTH, Sizes, Text, load_text, windows
from examples.mnist import REFRESH_SECONDS
from examples.report import COLORS, Console

AXIS = "data"  # the name of the mesh axis
VALIDATIONS = 6  # in a training
PROMPT = "The "
SAMPLE = 400  # bytes to write at the end
BIT = math.log(2)  # in nats


class Result(NamedTuple):
    bits: list[float]  # per byte, one value per step
    validation_step: list[int]
    validation_bits: list[float]  # per byte, after those steps
    unigram_bits: float
    parameters: int
    state_bytes: int  # of the same optimizer on one device
    state_bytes_per_device: int
    tokens_per_second: float
    compile_seconds: float
    seconds: float  # training and validation, without compilation
    sample: str


def make_optimizer(steps: int, learning_rate: float = 3e-3):
    """Clip the gradient, then AdamW with a rate that warms up and decays to zero."""
    schedule = gradtx.warmup_cosine_decay_schedule(
        init_value=0.0,
        peak_value=learning_rate,
        warmup_steps=steps // 10,
        decay_steps=steps,
    )
    return gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adamw(schedule))


def train_step(tx, params, state, tokens):
    """Step once: the gradients go in as they are, and zero1 takes their mean."""
    # jax.grad sums over the devices what belongs to parameters that they share; of
    # parameters marked as its own, a device has the gradient of its part of the batch.
    own = jax.lax.pcast(params, AXIS, to="varying")
    loss, grads = jax.value_and_grad(byte_lm.loss_fn)(own, tokens)
    params, state = tx.step(grads, state, params)
    return params, state, jax.lax.pmean(loss, AXIS)


def parallel(tx, params, mesh: Mesh):
    """Make `init(params)` and `step(params, state, tokens)` for all devices at once.

    Parameters are the same on each device; state and batch are its own part.
    """
    specs = gradtx.distributed.shard_specs(tx, params, mesh, AXIS)
    init = jax.shard_map(tx.init, mesh=mesh, in_specs=P(), out_specs=specs)
    step = jax.shard_map(
        partial(train_step, tx),
        mesh=mesh,
        in_specs=(P(), specs, P(AXIS)),
        out_specs=(P(), specs, P()),
    )
    return jax.jit(init), jax.jit(step, donate_argnums=(0, 1))


def bytes_on(device: devices.Device, tree: Any) -> int:
    return sum(
        shard.data.nbytes
        for leaf in jax.tree.leaves(tree)
        for shard in leaf.addressable_shards
        if shard.device == device
    )


def train(
    text: Text,
    chosen: Sequence[devices.Device],
    sizes: Sizes = Sizes(),  # noqa: B008  immutable
    *,
    steps: int,
    batch_size: int,
    learning_rate: float = 3e-3,
    seed: int = 0,
    console: Console | None = None,
) -> Result:
    """Train a new model; a diverged training ends at the next validation."""
    console = console or Console(quiet=True)
    count = len(chosen)
    mesh = jax.make_mesh((count,), (AXIS,), axis_types=(AxisType.Auto,), devices=chosen)
    parted = NamedSharding(mesh, P(AXIS))
    random = np.random.default_rng(seed)

    def batch():
        starts = random.integers(len(text.train) - sizes.context, size=batch_size)
        return jax.device_put(windows(text.train, starts, sizes.context), parted)

    # Windows side by side, as many as fill all devices.
    starts = np.arange(0, len(text.validation) - sizes.context, sizes.context)
    starts = starts[: len(starts) // count * count]
    held_out = windows(text.validation, starts, sizes.context)
    held_out = jax.device_put(held_out, parted)

    inner = make_optimizer(steps, learning_rate)
    tx = gradtx.distributed.zero1(inner, AXIS)
    params = byte_lm.init_params(jax.random.key(seed), sizes)
    params = jax.device_put(params, NamedSharding(mesh, P()))
    init, step = parallel(tx, params, mesh)
    state = init(params)
    parameters = sum(x.size for x in jax.tree.leaves(params))
    whole = jax.tree.leaves(jax.eval_shape(inner.init, params))
    state_bytes = sum(x.size * x.dtype.itemsize for x in whole)
    per_device = bytes_on(chosen[0], state)
    console.print(
        f"model     {parameters:,} parameters\n"
        f"state     {per_device:,} bytes on each device; without zero1 {state_bytes:,}",
        highlight=False,
    )

    clock = time.perf_counter()
    step = step.lower(params, state, batch()).compile()
    # Of a batch that is spread out already, jit makes a program for all devices itself.
    validate = jax.jit(byte_lm.loss_fn)
    validate(params, held_out).block_until_ready()
    compile_seconds = time.perf_counter() - clock

    history: list[float] = []  # read from the devices
    pending: list[jax.Array] = []  # not yet: reading each at once would stall them
    stops = np.linspace(0, steps, min(VALIDATIONS, steps) + 1, dtype=int)[1:].tolist()
    validation_bits: list[float] = []
    tokens_per_second = validating = 0.0
    clock = shown = time.perf_counter()
    with report.progress_bar(console) as progress:
        task = progress.add_task("training", total=steps, status="")

        def read() -> float:
            history.extend(float(loss) / BIT for loss in jax.device_get(pending))
            pending.clear()
            seconds = time.perf_counter() - clock - validating
            rate = len(history) * batch_size * sizes.context / seconds
            status = f"{history[-1]:.3f} bits per byte  {rate:,.0f} tokens/s"
            progress.update(task, completed=len(history), status=status)
            return rate

        for i in range(1, steps + 1):
            params, state, loss = step(params, state, batch())
            pending.append(loss)
            if time.perf_counter() - shown > REFRESH_SECONDS:
                read()
                shown = time.perf_counter()
            if i not in stops:
                continue
            tokens_per_second = read()
            before = time.perf_counter()
            validation_bits.append(float(validate(params, held_out)) / BIT)
            validating += time.perf_counter() - before
            console.print(
                f"step {i:{len(str(steps))}}/{steps}  validation "
                f"[bold]{validation_bits[-1]:.3f}[/] bits per byte  "
                f"{tokens_per_second:,.0f} tokens/s",
                highlight=False,
            )
            if not math.isfinite(validation_bits[-1]):
                console.print("[bold red]diverged[/]: try a lower --learning-rate.")
                break
    seconds = time.perf_counter() - clock
    written = byte_lm.generate(
        jax.device_put(params, chosen[0]),
        np.frombuffer(PROMPT.encode(), np.uint8)[: sizes.context],
        jax.random.key(seed),
        SAMPLE,
    )
    return Result(
        bits=history,
        validation_step=stops[: len(validation_bits)],
        validation_bits=validation_bits,
        unigram_bits=text.unigram_bits,
        parameters=parameters,
        state_bytes=state_bytes,
        state_bytes_per_device=per_device,
        tokens_per_second=tokens_per_second,
        compile_seconds=compile_seconds,
        seconds=seconds,
        sample=PROMPT + printable(np.asarray(written)),
    )


def printable(codes: np.ndarray) -> str:
    """Show bytes on any terminal, which one that has just been drawn may not suit."""
    return "".join(chr(x) if 32 <= x < 127 or x == 10 else "?" for x in codes)


def plot(result: Result, path: Path, title: str) -> None:
    """Draw the bits per byte over steps, beside what the frequencies alone give."""
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    axes = figure.subplots()
    steps = np.arange(1, len(result.bits) + 1)
    window = max(1, len(steps) // 25)
    axes.plot(steps, result.bits, color=COLORS[0], alpha=0.2, linewidth=0.8)
    mean = report.running_mean(result.bits, window)
    axes.plot(steps, mean, color=COLORS[0], label=f"training, mean of {window} steps")
    validation = result.validation_step, result.validation_bits
    axes.plot(*validation, "o-", color=COLORS[5], label="validation")
    axes.axhline(
        result.unigram_bits, color="0.5", linestyle="--", label="frequencies of bytes"
    )
    axes.set(title=title, xlabel="step", ylabel="bits per byte", ylim=(0, None))
    axes.legend()
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def plain(value: Any) -> Any:
    """For JSON, which has no NaN: null stands for it."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m examples.zero1_lm",
        description="Train a byte-level transformer on the text of Python's help, with "
        "the optimizer's state shared out over the devices (ZeRO stage 1).",
    )
    devices.add_option(parser, default=8)
    for name, default, text in (
        ("--steps", 350, "steps to train"),
        ("--batch-size", 32, "windows of text per step, of all devices together"),
        ("--layers", Sizes().layers, "blocks of attention and MLP"),
        ("--width", Sizes().width, f"of the model, a multiple of {HEAD_WIDTH}"),
        ("--context", Sizes().context, "bytes that a prediction may look at"),
    ):
        flags.whole(parser, name, default, text)
    flags.learning_rate(parser, 3e-3)
    flags.seed_and_out(parser, "weights, batches and sample", "zero1_lm")
    return parser


def main(argv: Sequence[str] | None = None) -> Result:
    parser = arguments()
    options = parser.parse_args(argv)
    console = Console(soft_wrap=True, emoji=False)
    try:
        options.out.mkdir(parents=True, exist_ok=True)  # now: not after the training
        chosen = devices.choose(options.simulate)
    except (OSError, RuntimeError) as error:
        sys.exit(f"{parser.prog}: {error}")
    text = load_text()
    if options.width % HEAD_WIDTH:
        parser.error(f"--width {options.width} is no multiple of {HEAD_WIDTH}")
    devices.check_divides(parser, options.batch_size, len(chosen))
    most = len(text.validation) // len(chosen) - 1
    if options.context > most:
        parser.error(
            f"--context {options.context} leaves one of {len(chosen)} devices without "
            f"a window of the {len(text.validation):,} bytes held out: at most "
            f"{most:,}"
        )
    console.print(
        f"text      {len(text.train):,} bytes to train, {len(text.validation):,} to "
        f"validate, from Python's help\n"
        f"training  steps {options.steps:,}, bytes a step "
        f"{options.batch_size * options.context:,}, seed {options.seed}\n"
        f"devices   {len(chosen)} x {chosen[0].device_kind}"
    )
    sizes = Sizes(options.layers, options.width, options.context)
    names = ("steps", "batch_size", "learning_rate", "seed")
    settings = {name: vars(options)[name] for name in names}
    result = train(text, chosen, sizes, **settings, console=console)
    console.print(
        f"{result.validation_bits[-1]:.3f} bits per byte of the text held out; the "
        f"frequencies of the bytes alone give {result.unigram_bits:.3f}\n"
        f"{result.seconds:.1f} s, and {result.compile_seconds:.1f} s to compile\n"
    )
    console.print(result.sample, markup=False, highlight=False)
    picture, curves = options.out / "zero1_lm.png", options.out / "zero1_lm.json"
    plot(result, picture, f"{result.parameters:,} parameters, {len(chosen)} devices")
    record = {"devices": len(chosen)} | sizes._asdict() | settings | result._asdict()
    curves.write_text(json.dumps(plain(record), allow_nan=False) + "\n")
    console.print(f"picture   {picture}\ncurves    {curves}", markup=False)
    return result


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped before the end: no picture drawn.")
