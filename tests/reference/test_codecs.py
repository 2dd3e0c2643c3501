"""Numbers stored in few bits: what comes back, how far off, and on average."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradtx.core.encoded import encoded_zeros, seed_of, tile_of
from gradtx.precision.codecs import CODECS

SHAPE = (128, 256)
NEAREST = {key: codec.to_nearest() for key, codec in CODECS.items()}


def there_and_back(x, codec, step=1):
    x = jnp.asarray(x, jnp.float32)
    coded = encoded_zeros(x, codec, x.dtype).encode(x, seed_of(jnp.int32(step), 0))
    return np.asarray(coded.decode(), np.float64)


def places(codec):
    """All numbers that a block of largest number 1 has, from the codec's equation."""
    k = np.arange(codec.steps * codec.octaves + 1)
    octave, step = np.divmod(k, codec.steps)
    found = 2.0 ** (octave - codec.octaves) * (1 + step / codec.steps)
    if not codec.signed:
        return found
    low = found[0] * np.arange(codec.steps) / codec.steps
    found = np.concatenate([low, found])
    return np.concatenate([-found[:0:-1], found])


def blocks_of(x, codec):
    """Each block of a matrix as a row."""
    rows, columns = tile_of(x.shape, codec.block)
    x = x.reshape(x.shape[0] // rows, rows, x.shape[1] // columns, columns)
    return x.transpose(0, 2, 1, 3).reshape(-1, rows * columns)


def lognormal(std, signed, seed=0):
    """Second moments whose logarithm is normal, or first moments beside such."""
    rng = np.random.default_rng(seed)
    v = np.exp(std * rng.normal(size=SHAPE))
    return rng.normal(size=SHAPE) * np.sqrt(v) if signed else v


@pytest.mark.parametrize("key", CODECS)
def test_what_comes_back_is_the_nearest_of_the_places(key):
    codec = NEAREST[key]
    x = blocks_of(lognormal(2, codec.signed).astype("float32"), codec)
    back = blocks_of(there_and_back(lognormal(2, codec.signed), codec), codec)
    # Each block has a power of two that none of its numbers is above.
    scale = 2.0 ** np.ceil(np.log2(np.abs(x).max(1, keepdims=True)))
    at = places(codec)
    distance = np.abs((x / scale)[..., None].astype("float64") - at)
    # To the rounding of a place to float32.
    np.testing.assert_allclose(
        np.abs(back / scale - x / scale), distance.min(-1), rtol=1e-5, atol=2e-7
    )


@pytest.mark.parametrize("key", CODECS)
def test_rounded_at_random_it_is_one_of_the_two_places_around(key):
    codec = CODECS[key]
    x = blocks_of(lognormal(1, codec.signed).astype("float32"), codec)
    back = blocks_of(there_and_back(lognormal(1, codec.signed), codec), codec)
    scale = 2.0 ** np.ceil(np.log2(np.abs(x).max(1, keepdims=True)))
    at = places(codec)
    i = np.clip(np.searchsorted(at, x / scale, "right"), 1, len(at) - 1)
    below, above = at[i - 1], at[i]
    near = np.minimum(np.abs(back / scale - below), np.abs(back / scale - above))
    inside = x / scale >= at[0]
    assert near[inside].max() < 2e-7  # the places are rounded to float32
    assert (back / scale == at[0])[~inside].all()


@pytest.mark.parametrize(
    ("key", "most"), [((8, True), 0.024), ((8, False), 0.0125), ((4, False), 0.163)]
)
def test_error_of_an_update(key, most):
    # Of m / sqrt(v) where log v has the standard deviation 2: rounded to the nearest,
    # as such figures are given elsewhere; at random it is sqrt(2) times as large.
    m, v = lognormal(2, True), lognormal(2, False)
    stored = there_and_back(m if key[1] else v, NEAREST[key])
    u = m / np.sqrt(v)
    found = stored / np.sqrt(v) if key[1] else m / np.sqrt(stored)
    assert np.sqrt(np.mean((found - u) ** 2) / np.mean(u**2)) <= most


@pytest.mark.parametrize("key", CODECS)
def test_on_average_a_number_comes_back_as_it_was(key):
    codec = CODECS[key]
    x = lognormal(1, codec.signed)
    many = jax.jit(
        lambda x: (
            jax.lax.scan(
                lambda total, step: (
                    total
                    + encoded_zeros(x, codec, x.dtype)
                    .encode(x, seed_of(step, 0))
                    .decode(),
                    None,
                ),
                jnp.zeros_like(x),
                jnp.arange(1, 257),
            )[0]
            / 256
        )
    )
    mean = np.asarray(many(jnp.asarray(x, jnp.float32)), np.float64)
    lowest = 2.0**-codec.octaves * np.abs(x).max()
    off = (mean - x)[np.abs(x) > 4 * lowest]  # below it unsigned ones are raised
    step = 2 / codec.steps * np.abs(x[np.abs(x) > 4 * lowest])
    # The mean of 256 x 30,000 numbers, each off by up to a step, as it happens.
    assert abs(np.mean(off / step)) < 5 / np.sqrt(256 * off.size)
    assert np.abs(off / step).max() < 6 / np.sqrt(256)


@pytest.mark.parametrize("b2", [0.95, 0.99, 0.995, 0.999])
def test_a_falling_second_moment_is_followed(b2):
    # One half of each block stays at 1, the other falls to 0.01, both squared
    # gradients; rounded to the nearest 8 bits, that half would stand still at 1.
    steps, codec = 5000, CODECS[8, False]
    falls = (jnp.arange(256) % 2 == 1) & jnp.ones((8, 1), bool)

    def run(x, i):
        coded, exact = x
        g2 = jnp.where(falls, 0.01 ** (i / steps), 1.0)
        average = b2 * coded.decode() + (1 - b2) * g2
        coded = coded.encode(average, seed_of(i, 0))
        return (coded, b2 * exact + (1 - b2) * g2), None

    ones = jnp.ones(falls.shape)
    start = encoded_zeros(ones, codec, ones.dtype).encode(
        ones, seed_of(jnp.int32(0), 0)
    )
    coded, exact = jax.jit(
        lambda: jax.lax.scan(run, (start, ones), jnp.arange(1, steps + 1))[0]
    )()
    found = np.asarray(coded.decode())[np.asarray(falls)]
    wanted = np.asarray(exact)[np.asarray(falls)]
    assert abs(found.mean() / wanted.mean() - 1) < 0.02
    # Single entries vary by the steps that they have taken at random.
    assert abs(np.median(found) / wanted.mean() - 1) < 0.2


def test_range_zeros_infinity_and_nan():
    for key, codec in CODECS.items():
        x = np.zeros(SHAPE)
        assert not there_and_back(x, codec).any()
        for scale in (1e-38, 1e-30, 1e30, 1e37):
            x = lognormal(0.3, codec.signed) * scale
            back = there_and_back(x, codec)
            assert np.isfinite(back).all(), (key, scale)
            # A step, and the end of what float32 has with all its digits.
            step = np.abs(x) / codec.steps + 1.2e-38
            low = np.abs(x).max() * 2.0 ** (1 - codec.octaves)
            assert (np.abs(back - x) <= np.maximum(step, low) * 1.001).all()
        x = np.ones(SHAPE)
        x[0, 0] = 1e30  # one huge entry: its block loses the others, no other does
        back = there_and_back(x, codec)
        assert np.isfinite(back).all()
        assert (back[64:] == 1).all()
        x[0, 0] = np.inf  # is the largest that there is
        assert there_and_back(x, codec)[0, 0] == 2.0**127
        x[0, 0] = np.nan  # is seen
        back = there_and_back(x, codec)
        assert np.isnan(back[0, 0])
        assert (back[64:] == 1).all()
