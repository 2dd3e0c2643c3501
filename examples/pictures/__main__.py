"""The command line: which pictures, and where they go."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from examples.pictures.gallery import PICTURES, write
from examples.report import Console


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m examples.pictures",
        description="Draw the pictures of optimizers that gradtx's pages show.",
    )
    parser.add_argument(
        "names",
        nargs="*",
        choices=[[], *PICTURES],
        metavar="NAME",
        help=f"some of {', '.join(PICTURES)} (default: all)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("out/pictures"),
        metavar="DIR",
        help="folder for the pictures (default: %(default)s)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> list[Path]:
    parser = arguments()
    options = parser.parse_args(argv)
    console = Console(soft_wrap=True, emoji=False)
    try:
        written = write(options.out, options.names or None, console)
    except OSError as error:
        sys.exit(f"{parser.prog}: {error}")
    console.print(f"{len(written)} pictures in {options.out}", markup=False)
    return written


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped before the end: what is drawn by now is in the folder.")
