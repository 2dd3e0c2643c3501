"""CIFAR-10 from its binary files."""

from pathlib import Path

import numpy as np

from examples.idx import Digits, Split

TRAIN = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
TEST = ("test_batch.bin",)
PICTURES = 10_000  # in a file
SHAPE = (3, 32, 32)  # of a picture in a file: planes red, green and blue, rows, columns
RECORD = 1 + 3 * 32 * 32  # a byte for the label, then the picture


def cifar10(folder: str | Path) -> Digits:
    """Read the binary version of CIFAR-10: 50,000 pictures to train, 10,000 to test.

    A picture becomes 3,072 pixels in the order row, column, colour: reshape to
    (32, 32, 3).

    Args:
        folder: where data_batch_1.bin to data_batch_5.bin and test_batch.bin are.

    Raises:
        OSError: the folder or one of the files is missing or unreadable.
        ValueError: a file has the wrong size, or a label that does not exist.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NotADirectoryError(
            f"{folder} is not a folder: pass the one with the files."
        )
    missing = [name for name in TRAIN + TEST if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder} has no {', '.join(missing)}: pass the folder with the six files "
            "of CIFAR-10's binary version."
        )
    return Digits(f"CIFAR-10 in {folder}", _split(folder, TRAIN), _split(folder, TEST))


def _split(folder: Path, names: tuple[str, ...]) -> Split:
    records = np.concatenate([_records(folder / name) for name in names])
    planes = records[:, 1:].reshape(-1, *SHAPE)
    pixels = planes.transpose(0, 2, 3, 1).reshape(len(records), -1)
    return Split(
        pixels.astype(np.float32) / np.float32(255), records[:, 0].astype(np.int32)
    )


def _records(path: Path) -> np.ndarray:
    found, expected = path.stat().st_size, PICTURES * RECORD
    if found != expected:
        problem = "is cut off" if found < expected else "is not a file of CIFAR-10"
        raise ValueError(
            f"{path} {problem}: {found:,} bytes, expected {expected:,}, a byte for the "
            f"label and 3,072 for the pixels of each of {PICTURES:,} pictures: fetch "
            "the binary version again."
        )
    records = np.fromfile(path, np.uint8).reshape(PICTURES, RECORD)
    if records[:, 0].max() > 9:
        where = int(records[:, 0].argmax())
        raise ValueError(
            f"{path} holds the label {records[where, 0]} at picture {where:,}: labels "
            "are 0 to 9. The binary version of CIFAR-10 is needed, not CIFAR-100's."
        )
    return records
