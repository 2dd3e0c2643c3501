"""Images and labels in files of the IDX format, as MNIST's are."""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

GZIP_MAGIC = b"\x1f\x8b"
UNSIGNED_BYTE = 0x08  # the IDX code of the only element type that MNIST uses


class Split(NamedTuple):
    images: np.ndarray  # (count, pixels) float32 in [0, 1]
    labels: np.ndarray  # (count,) int32 in 0..9


class Digits(NamedTuple):
    name: str  # where they come from, for people
    train: Split
    test: Split


def idx_mnist(folder: str | Path) -> Digits:
    """Read a set from a folder with four files named as MNIST's are, gzipped or not.

    The names are the usual ones, `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`,
    `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte`, also with a dot before `idx`
    and with `.gz` behind.

    Raises:
        OSError: the folder or one of the files is missing or unreadable.
        ValueError: a file is cut off, is not what its name says, or does not fit the
            file that belongs to it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NotADirectoryError(
            f"{folder} is not a folder: pass the one with the files."
        )
    train, test = _split(folder, "train"), _split(folder, "t10k")
    if train.images.shape[1] != test.images.shape[1]:
        raise ValueError(
            f"{folder}: training images have {train.images.shape[1]} pixels, test "
            f"images {test.images.shape[1]}: the files are of two different sets."
        )
    return Digits(f"IDX files in {folder}", train, test)


def read_idx(path: str | Path) -> np.ndarray:
    """Read one IDX file of unsigned bytes, gzipped or not, as a uint8 array.

    The layout: two zero bytes, the element type, the number of dimensions, each
    dimension as a big-endian uint32, then the elements, last dimension fastest.

    Raises:
        OSError: the file is missing or unreadable.
        ValueError: it is not an IDX file of bytes, is cut off or has bytes to spare.
    """
    content = Path(path).read_bytes()
    if content[:2] == GZIP_MAGIC:  # by content: unpacked files often keep their .gz
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            reason = str(error).rstrip(".")
            raise ValueError(
                f"{path} is a damaged or cut-off gzip file ({reason}): fetch it again."
            ) from error
    if len(content) < 4:
        raise ValueError(
            f"{path} has {len(content)} bytes, too few for an IDX file: fetch it again."
        )
    zero, kind, ndim = struct.unpack(">HBB", content[:4])
    if zero != 0 or kind != UNSIGNED_BYTE or ndim == 0:
        raise ValueError(
            f"{path} is not an IDX file of unsigned bytes: it starts with "
            f"{content[:4].hex(' ')}, expected 00 00 08 and the number of dimensions."
        )
    start = 4 + 4 * ndim
    if len(content) < start:
        raise ValueError(
            f"{path} is cut off in its header: {len(content)} bytes, expected at least "
            f"{start}: fetch it again."
        )
    shape = struct.unpack(f">{ndim}I", content[4:start])
    expected, found = start + math.prod(shape), len(content)
    if found != expected:
        problem = "is cut off" if found < expected else "has bytes after its end"
        raise ValueError(
            f"{path} {problem}: {found:,} bytes, but its header promises shape "
            f"{shape}, which makes {expected:,}: fetch it again."
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _split(folder: Path, prefix: str) -> Split:
    """Read images and labels that belong together."""
    images_path = _find(folder, f"{prefix}-images", "idx3-ubyte")
    labels_path = _find(folder, f"{prefix}-labels", "idx1-ubyte")
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.ndim != 3 or 0 in images.shape:
        raise ValueError(
            f"{images_path} holds an array of shape {images.shape}, expected images: "
            "(count, rows, columns), none of them 0."
        )
    if labels.ndim != 1:
        raise ValueError(
            f"{labels_path} holds an array of shape {labels.shape}, expected (count,)."
        )
    if len(images) != len(labels):
        raise ValueError(
            f"{labels_path} holds {len(labels):,} labels, but {images_path} "
            f"{len(images):,} images: the files do not belong together."
        )
    if labels.max() > 9:
        where = int(labels.argmax())
        raise ValueError(
            f"{labels_path} holds the label {labels[where]} at position {where:,}: "
            "digits are 0 to 9."
        )
    pixels = images.reshape(len(images), -1).astype(np.float32) / np.float32(255)
    return Split(pixels, labels.astype(np.int32))


def _find(folder: Path, stem: str, suffix: str) -> Path:
    """Return the file under whichever of its usual names it has."""
    names = [f"{stem}{dot}{suffix}{gz}" for gz in ("", ".gz") for dot in "-."]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"{folder} has none of {', '.join(names)}.")
