"""The language model: its text, its numbers, its samples; one device or eight."""

import json
import math

import jax
import jax.numpy as jnp
import matplotlib.image
import numpy as np
import pytest

from examples import byte_lm, zero1_lm
from examples.byte_lm import Sizes, Text

TINY = Sizes(layers=1, width=32, context=16)


def text():
    """A part of the real text: enough for a few windows."""
    whole = byte_lm.load_text()
    return Text(whole.train[:4000], whole.validation[:600])


def train(count, steps=20, **options):
    chosen = jax.devices()[:count]
    return zero1_lm.train(
        text(), chosen, TINY, steps=steps, batch_size=16, learning_rate=0.01, **options
    )


@pytest.fixture(scope="module")
def spread():
    return train(8)


@pytest.fixture
def params():
    return byte_lm.init_params(jax.random.key(0), TINY)


def test_eight_devices_train_as_one_does(spread):
    alone = train(1)
    # The devices' parts of the mean are summed in another order, 20 times over.
    np.testing.assert_allclose(spread.bits, alone.bits, rtol=1e-3)
    # Of the 36 windows held out 8 devices take 32: other text, near by.
    assert abs(spread.validation_bits[-1] - alone.validation_bits[-1]) < 0.5
    assert len(spread.validation_bits) == len(spread.validation_step) == 6
    assert spread.validation_step[-1] == len(spread.bits) == 20


def test_it_learns(spread):
    assert spread.validation_bits[-1] < spread.validation_bits[0]
    assert np.mean(spread.bits[-3:]) < 0.8 * np.mean(spread.bits[:3])


def test_a_device_keeps_an_eighth_of_the_state(spread):
    assert spread.state_bytes >= 8 * spread.parameters  # two moments in float32
    # Padding and counts: a few bytes a leaf.
    assert 0 <= 8 * spread.state_bytes_per_device - spread.state_bytes < 2000


def test_the_text_is_english_and_its_last_part_is_held_out():
    train, validation = byte_lm.load_text()
    assert len(train) > 300_000
    assert len(validation) == pytest.approx(len(train) / 9, rel=1e-3)
    words = bytes(train).decode(errors="replace").split()
    assert words.count("the") > 2000


def test_the_bits_of_a_byte_by_frequency_are_those_of_its_count():
    few = Text(np.array([0, 0, 0, 1], np.uint8), np.array([0, 1, 2], np.uint8))
    # Each of 256 bytes counts once more than it comes: 4, 2 and 1 of 260.
    expected = np.mean([math.log2(260 / 4), math.log2(260 / 2), math.log2(260 / 1)])
    assert few.unigram_bits == pytest.approx(expected, rel=1e-12)


def test_windows_go_on_by_one_byte():
    found = byte_lm.windows(np.arange(100, dtype=np.uint8), np.array([0, 7]), 5)
    np.testing.assert_array_equal(found, [[0, 1, 2, 3, 4, 5], [7, 8, 9, 10, 11, 12]])


def test_a_prediction_looks_at_what_is_before_and_at_nothing_behind(params):
    tokens = jnp.arange(16)[None]
    before = byte_lm.logits(params, tokens)
    after = byte_lm.logits(params, tokens.at[0, 9].set(200))
    # The same sums of the same numbers: to the bit.
    np.testing.assert_array_equal(before[0, :9], after[0, :9])
    assert np.all(np.any(before[0, 9:] != after[0, 9:], axis=-1))


def test_who_knows_nothing_needs_eight_bits(params):
    params["output"] = jnp.zeros_like(params["output"])
    loss = byte_lm.loss_fn(params, jnp.arange(17)[None])
    assert float(loss) / zero1_lm.BIT == pytest.approx(8, rel=1e-6)  # float32


def test_a_sample_goes_on_from_the_last_bytes_of_the_context(params):
    params["output"] *= 50  # so that no other byte comes near
    prompt = np.frombuffer(b"fourteen bytes", np.uint8)  # two less than the context
    found = byte_lm.generate(params, prompt, jax.random.key(0), 12, temperature=1e-3)
    written, logits = prompt.tolist(), jax.jit(byte_lm.logits)
    for _ in range(12):
        window = jnp.array(written[-TINY.context :])[None]
        written.append(int(logits(params, window)[0, -1].argmax()))
    assert len(set(written[14:])) > 2
    np.testing.assert_array_equal(found, written[14:])


def test_bytes_that_would_disturb_a_terminal_are_not_printed():
    assert zero1_lm.printable(np.array([65, 10, 27, 200])) == "A\n??"


def test_main_says_what_it_found_and_leaves_picture_and_figures(tmp_path, capsys):
    result = zero1_lm.main(
        [
            *["--simulate", "4", "--steps", "3", "--batch-size", "8", "--layers", "1"],
            *["--width", "32", "--context", "64", "--out", str(tmp_path / "a")],
        ]
    )
    said = capsys.readouterr().out
    assert "4 x cpu" in said
    assert f"state     {result.state_bytes_per_device:,} bytes on each device" in said
    assert f"{result.validation_bits[-1]:.3f} bits per byte of the text" in said
    assert f"bytes alone give {result.unigram_bits:.3f}" in said
    assert said.count("tokens/s") == 3
    assert result.sample.startswith("The ")
    assert result.sample in said
    picture = matplotlib.image.imread(tmp_path / "a" / "zero1_lm.png")
    assert picture.min() < picture.max()
    saved = json.loads((tmp_path / "a" / "zero1_lm.json").read_text())
    assert saved["devices"] == 4
    assert saved["bits"] == result.bits
    assert saved["tokens_per_second"] > 0


def test_a_diverged_training_ends_early_and_is_saved(tmp_path, capsys):
    result = zero1_lm.main(
        [
            *["--simulate", "2", "--steps", "30", "--batch-size", "2", "--layers", "1"],
            *["--width", "32", "--context", "8", "--learning-rate", "1e30"],
            *["--out", str(tmp_path)],
        ]
    )
    assert len(result.bits) < 30
    assert "diverged" in capsys.readouterr().out
    saved = json.loads((tmp_path / "zero1_lm.json").read_text())
    assert saved["validation_bits"][-1] is None


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--steps", "0"], "--steps: must be a positive whole number, got '0'"),
        (["--width", "48"], "--width 48 is no multiple of 32"),
        (["--batch-size", "20"], "20 does not divide among 8 devices: take 16"),
        (["--context", "9999"], "leaves one of 8 devices without a window of the"),
        (["--seed", "-1"], "--seed: must be a whole number from 0 to 4294967295"),
    ],
)
def test_bad_arguments_are_named(arguments, problem, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        zero1_lm.main(["--out", str(tmp_path), *arguments])
    assert caught.value.code == 2
    assert problem in capsys.readouterr().err


def test_an_output_folder_that_is_a_file_is_named_before_training(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(SystemExit, match=str(path)):
        zero1_lm.main(["--out", str(path)])
