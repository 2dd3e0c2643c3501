"""Options that the examples have in common."""

import argparse
import math
from pathlib import Path

WEIGHTS_AND_ORDER = "initial weights and order of the digits"


def positive(kind: type):
    """Return an argparse type for positive numbers of a kind."""

    def parse(text: str):
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not 0 < value < math.inf:
            noun = "whole number" if kind is int else "number"
            raise argparse.ArgumentTypeError(f"must be a positive {noun}, got {text!r}")
        return value

    return parse


def seed_number(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(
            f"must be a whole number from 0 to 4294967295, got {text!r}"
        )
    return int(text)


def whole(parser: argparse.ArgumentParser, name: str, default: int, text: str) -> None:
    """Add a positive whole number."""
    help_ = f"{text} (default: %(default)s)"
    parser.add_argument(
        name, type=positive(int), default=default, metavar="N", help=help_
    )


def learning_rate(parser: argparse.ArgumentParser, default: float) -> None:
    """Add the peak of the schedule."""
    parser.add_argument(
        "--learning-rate",
        type=positive(float),
        default=default,
        metavar="X",
        help="peak of the schedule (default: %(default)s)",
    )


def seed_and_out(parser: argparse.ArgumentParser, decides: str, name: str) -> None:
    """Add the seed, and the folder for a picture and the curves of that name."""
    parser.add_argument(
        "--seed",
        type=seed_number,
        default=0,
        metavar="N",
        help=f"decides {decides}; the same seed gives the same numbers "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("out"),
        metavar="DIR",
        help=f"folder for {name}.png and {name}.json (default: %(default)s)",
    )


def check_batch(parser: argparse.ArgumentParser, batch_size: int, digits: int) -> None:
    """End with an error if a batch has more digits than there are."""
    if batch_size > digits:
        parser.error(
            f"--batch-size {batch_size} is more than the {digits:,} digits to train on"
        )
