"""The devices to train on: those that are there, or a CPU that appears as several."""

import argparse
from typing import Any, TypeAlias

import jax

from examples.flags import positive

Device: TypeAlias = Any  # jax.Device, which type checkers take for a variable


def add_option(parser: argparse.ArgumentParser, default: int | None = None) -> None:
    usual = "the devices that are there" if default is None else default
    parser.add_argument(
        "--simulate",
        type=positive(int),
        default=default,
        metavar="N",
        help=f"let the CPU appear as N devices (default: {usual})",
    )
    if default is not None:
        parser.add_argument(
            "--real",
            dest="simulate",
            action="store_const",
            const=None,
            help="train on the devices that are there",
        )


def choose(simulated: int | None) -> list[Device]:
    """Return this process's devices, or as many simulated ones as asked for.

    Simulated devices show that a program is right, not that it is fast: they share the
    cores of one machine. JAX must not have computed anything yet, since it counts its
    devices once; if it has, the devices it found serve if they are enough.

    Raises:
        RuntimeError: JAX has started with fewer CPU devices.
    """
    if simulated is None:
        return jax.local_devices()
    try:
        jax.config.update("jax_num_cpu_devices", simulated)
        jax.config.update("jax_platforms", "cpu")
    except RuntimeError:
        pass  # it has started
    found = jax.local_devices(backend="cpu")
    if len(found) < simulated:
        raise RuntimeError(
            f"--simulate {simulated}: JAX has already started with {len(found)} CPU "
            "devices, and keeps those: ask for them before it computes anything."
        )
    return found[:simulated]


def check_divides(parser: argparse.ArgumentParser, batch_size: int, count: int) -> None:
    """Exit unless every device gets as much of a batch as the others."""
    if batch_size % count:
        nearest = max(1, round(batch_size / count)) * count
        parser.error(
            f"--batch-size {batch_size} does not divide among {count} devices: "
            f"take {nearest}"
        )
