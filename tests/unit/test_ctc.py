"""CTC: against the sum over all paths, Optax, and at the extremes."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gradtx import losses

INF, NAN = np.inf, np.nan
FRAMES, CLASSES, LABELS = 4, 3, 3
ROWS = np.array([[1, 2, 1], [1, 1, 2], [2, 0, 0], [1, 2, 0], [2, 2, 2], [1, 2, -9]])
LENGTHS = np.array([3, 2, 1, 2, 0, 2])  # of labels; 1 1 needs a blank between
TIMES = np.array([4, 4, 3, 2, 4, 1])  # of frames; in the last row too few
RNG = np.random.default_rng(3)
LOGITS = 2 * RNG.normal(size=(6, FRAMES, CLASSES))
NO_FRAME = np.arange(FRAMES) >= TIMES[:, None]
NO_LABEL = np.arange(LABELS) >= LENGTHS[:, None]
GIVEN = NO_FRAME * 1.0, ROWS, NO_LABEL * 1.0
near = partial(np.testing.assert_allclose, rtol=3e-6, atol=1e-6)


def spelled(path, blank):
    merged = [name for name, _ in itertools.groupby(path)]
    return tuple(name for name in merged if name != blank)


def by_paths(logits, row, blank=0):
    """The probability of a row of labels, as the sum over all paths."""
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    paths = itertools.product(range(logits.shape[1]), repeat=len(logits))
    return sum(
        np.exp(sum(log_p[t, name] for t, name in enumerate(path)))
        for path in paths
        if spelled(path, blank) == tuple(row)
    )


def formula(logits, rows=range(6), blank=0, labels=ROWS):
    with np.errstate(divide="ignore"):
        return np.array(
            [
                -np.log(by_paths(logits[i, : TIMES[i]], labels[i, : LENGTHS[i]], blank))
                for i in rows
            ]
        )


@partial(jax.jit, static_argnames="blank_id")
def run(logits, silent, rows, absent, **options):
    """The losses, the gradient of their sum, and both arrays of probabilities."""

    def total(logits):
        found = losses.ctc_loss_with_forward_probs(
            logits, silent, rows, absent, **options
        )
        return found[0].sum(), found

    (_, found), slope = jax.value_and_grad(total, has_aux=True)(logits)
    return found[0], slope, found[1:]


def test_the_loss_is_the_sum_over_all_paths_and_its_central_differences():
    with jax.enable_x64(True):
        got, slope = map(np.asarray, run(jnp.asarray(LOGITS), *GIVEN)[:2])
    want = formula(LOGITS)
    assert want[-1] == INF
    assert got[-1] == 1e5
    # A few roundings of float64.
    np.testing.assert_allclose(got[:-1], want[:-1], rtol=1e-13, atol=1e-14)
    h = 1e-5
    for i in range(5):
        for step in h * np.eye(FRAMES * CLASSES).reshape(-1, FRAMES, CLASSES):
            up, down = (formula(LOGITS + sign * step, [i])[0] for sign in (1, -1))
            # h**2 from the formula, 1e-16 / h from its rounding.
            found = np.sum(slope[i] * step) / h
            np.testing.assert_allclose(found, (up - down) / (2 * h), atol=1e-9)
    assert not np.any(slope[-1])
    assert not np.any(slope[NO_FRAME])


def test_the_arrays_are_the_probabilities_of_beginnings():
    _, _, (blank, label) = run(jnp.asarray(LOGITS, jnp.float32), *GIVEN)
    log_p = LOGITS[0] - np.log(np.exp(LOGITS[0]).sum(-1, keepdims=True))
    for t, n in [(1, 1), (2, 2), (3, 3), (2, 0)]:
        row, ends = ROWS[0, :n], np.zeros(2)
        for path in itertools.product(range(CLASSES), repeat=t + 1):
            if spelled(path, 0) == tuple(row):
                ends[int(path[-1] != 0)] += np.exp(log_p[np.arange(t + 1), path].sum())
        if t == FRAMES - 1:  # the last row has both ends
            ends[0] += ends[1]
        near(np.exp(blank[t, 0, n]), ends[0])
        if n:
            near(np.exp(label[t, 0, n - 1]), ends[1])
    assert blank.shape == (FRAMES, 6, LABELS + 1)
    assert label.shape == (FRAMES, 6, LABELS)


def test_same_numbers_as_optax():
    logits = jnp.asarray(LOGITS[:5], jnp.float32)
    given = [x[:5] for x in GIVEN]
    theirs = jax.jit(optax.ctc_loss_with_forward_probs)(logits, *given)
    loss, _, arrays = run(logits, *given)
    for ours, other in zip((loss, *arrays), theirs, strict=True):
        # There a 0 is about -1e5, from which something is added to it on its way.
        near(ours, np.where(np.less(other, -1e4), -1e5, other))
        assert ours.dtype == other.dtype
    near(jax.jit(losses.ctc_loss)(logits, *given), loss)


def test_any_class_may_be_the_blank():
    turned = np.where(NO_LABEL, 0, (ROWS + 2) % 3)  # class 0 is now 2
    logits = jnp.asarray(np.roll(LOGITS, 2, -1), jnp.float32)
    got, slope, _ = run(logits, NO_FRAME, turned, NO_LABEL, blank_id=2)
    want, other, _ = run(jnp.asarray(LOGITS, jnp.float32), *GIVEN)
    near(got, want)
    near(slope, np.roll(other, 2, -1))


def test_padding_may_hold_anything():
    logits = jnp.asarray(LOGITS, jnp.float32)
    want = run(logits, *GIVEN)[:2]
    rows = np.where(NO_LABEL, 77, ROWS)
    for bad in (NAN, INF, -INF):
        got = run(jnp.where(NO_FRAME[..., None], bad, logits), NO_FRAME, rows, NO_LABEL)
        for x, y in zip(got, want, strict=False):
            np.testing.assert_array_equal(x, y)
    gone = np.ones_like(NO_FRAME), rows, np.ones_like(NO_LABEL)
    loss, slope, _ = run(logits, *gone)
    assert not np.any(loss)
    assert not np.any(slope)


def test_a_label_that_is_none_gives_nan():
    rows = ROWS.copy()
    rows[0, 1], rows[1, 0], rows[3, 1] = 0, 3, -1
    loss, slope, _ = run(jnp.asarray(LOGITS, jnp.float32), NO_FRAME, rows, NO_LABEL)
    wrong = np.array([1, 1, 0, 1, 0, 0], bool)
    np.testing.assert_array_equal(np.isnan(loss), wrong)
    np.testing.assert_array_equal(np.isnan(slope).any((1, 2)), wrong)


def test_extreme_logits():
    # A path of probability e^-40000 is one, and here the only one.
    s = jnp.zeros((6, FRAMES, CLASSES)).at[..., 0].set(1e4)
    loss, slope, _ = run(s, *GIVEN)
    ways = np.log([4, 3, 3, 1, 1])  # of as few labels as there must be
    near(loss[:5], [3e4, 2e4, 1e4, 2e4, 0] - ways)
    near(slope[2].sum(-1), 0)
    assert np.all(np.isfinite(slope))
    # A class that is excluded is on no path; where all need it, there is none.
    s = jnp.asarray(LOGITS, jnp.float32).at[:, :, 2].set(-INF)
    loss, slope, _ = run(s, *GIVEN, log_epsilon=-INF)
    assert list(np.isinf(loss)) == [True, False, True, True, False, True]
    near(loss[1], -np.log(by_paths(LOGITS[1][:, :2], (1, 1))))
    assert np.all(np.isfinite(slope))
    assert not np.any(slope[np.isinf(loss)])


def test_half_precision_is_computed_in_float32():
    s = jnp.asarray(LOGITS, jnp.bfloat16)
    got, want = run(s, *GIVEN), run(s.astype(jnp.float32), *GIVEN)
    assert got[0].dtype == jnp.float32
    np.testing.assert_array_equal(got[0], want[0])
    np.testing.assert_array_equal(got[1], want[1].astype(jnp.bfloat16))


def test_rows_without_labels_are_silent():
    none = np.zeros((6, 0), int)
    got = jax.jit(losses.ctc_loss)(np.float32(LOGITS), NO_FRAME, none, none)
    silent = LOGITS[..., 0] - np.log(np.exp(LOGITS).sum(-1))
    near(got, -np.sum(np.where(NO_FRAME, 0, silent), -1))


S, Z, Y = jnp.zeros((2, 4, 3)), np.zeros((2, 4)), np.ones((2, 2), int)
ERRORS = [
    (lambda: losses.ctc_loss(S[0], Z, Y, Y), "ctc_loss: logits has shape (4, 3): it"),
    (lambda: losses.ctc_loss(S[:, :0], Z[:, :0], Y, Y), "with a frame and a class"),
    (lambda: losses.ctc_loss(S, Z[:, :1], Y, Y), "logit_paddings has shape (2, 1), it"),
    (lambda: losses.ctc_loss(S, Z, Y, Y[:, :1]), "label_paddings has shape (2, 1), it"),
    (lambda: losses.ctc_loss(S, Z, Y[:1], Y), "labels has shape (1, 2), logits has "),
    (lambda: losses.ctc_loss(S, Z, Y * 1.0, Y), "TypeError: ctc_loss: labels must be "),
    (
        lambda: losses.ctc_loss(S, Z, Y, Y, blank_id=3),
        "blank_id must be a class, in",
    ),
    (lambda: losses.ctc_loss(S, Z, Y, Y, blank_id=-1), "a class, in [0, 3), got -1"),
    (
        lambda: losses.ctc_loss(S > 0, Z, Y, Y),
        "logits must be floating point, got",
    ),
    (
        lambda: losses.ctc_loss_with_forward_probs(S[0], Z, Y, Y),
        "ctc_loss_with_forward_probs: logits has shape",
    ),
]


@pytest.mark.parametrize(("call", "text"), ERRORS)
def test_errors_say_what_is_wrong(call, text):
    with pytest.raises((TypeError, ValueError)) as error:
        call()
    assert text in f"{error.typename}: {error.value}"
