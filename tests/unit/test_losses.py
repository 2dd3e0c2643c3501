"""The losses against NumPy in float64, Optax, finite differences, and at extremes."""

import inspect
import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gradtx import losses

INF, NAN = np.inf, np.nan
FLOATS = [jnp.float16, jnp.bfloat16, jnp.float32]
squared, l2, huber = losses.squared_error, losses.l2_loss, losses.huber_loss
hinge, sigmoid = losses.hinge_loss, losses.sigmoid_binary_cross_entropy
softmax = losses.softmax_cross_entropy
integer = losses.softmax_cross_entropy_with_integer_labels
svm = losses.multiclass_hinge_loss
svm_max = partial(svm, over="max")
poly, lead = losses.poly_loss_cross_entropy, losses.multiclass_perceptron_loss
sparse, focal = losses.multiclass_sparsemax_loss, losses.sigmoid_focal_loss
their_softmax = optax.softmax_cross_entropy
their_integer = optax.softmax_cross_entropy_with_integer_labels
their_perceptron = optax.losses.perceptron_loss
their_svm = optax.losses.multiclass_hinge_loss

same = partial(jax.tree.map, np.testing.assert_array_equal)
# The last bits of float32 for numbers of order 1: sums in another order.
near = partial(np.testing.assert_allclose, rtol=2e-6, atol=1e-6)
close = partial(jax.tree.map, near)


def huber_formula(p, t, delta=1.0):
    e = np.abs(p - t)
    return np.where(e <= delta, e**2 / 2, delta * (e - delta / 2))


def sigmoid_formula(s, y):
    return y * np.log(1 + np.exp(-s)) + (1 - y) * np.log(1 + np.exp(s))


def softmax_formula(s, y, where=True):
    total = np.sum(np.exp(s), -1, keepdims=True, where=where)
    p = np.exp(s) / np.maximum(total, 1e-300)  # an example without a class
    return -np.sum(y * np.log(p), -1, where=where)


def integer_formula(s, y, where=True):
    return softmax_formula(s, np.eye(s.shape[-1])[y], where)


def log_cosh_formula(p, t):
    return np.log(np.cosh(p - t))


def perceptron_formula(p, t):
    return np.maximum(0, -p * t)


def svm_formula(s, y, where=True, over=np.sum):
    own = np.arange(s.shape[-1]) == y[:, None]
    leads = np.maximum(0, s - s[own][:, None] + 1)
    return over(leads, -1, where=~own & where, initial=0) * np.any(own & where, -1)


def poly_formula(s, y, where=True):
    p = np.exp(s) / np.maximum(np.sum(np.exp(s), -1, keepdims=True, where=where), 1e-99)
    return softmax_formula(s, y, where) + 2 * np.sum(y * (1 - p), -1, where=where)


def focal_formula(s, y):
    p = 1 / (1 + np.exp(-s))
    return (y * (1 - p) + (1 - y) * p) ** 2 * sigmoid_formula(s, y)


def bits_formula(s, y):
    x = np.where(y, -s, s)
    return np.select([x <= -1, x >= 1], [0, x], (x + 1) ** 2 / 4)


def has_label(s, y, where):
    return np.any((np.arange(s.shape[-1]) == y[:, None]) & where, -1)


def lead_formula(s, y, where=True):
    best = np.max(s, -1, where=where, initial=-1e9)
    return (best - s[np.arange(len(s)), y]) * has_label(s, y, where)


def sparse_formula(s, y, where=True):
    low, high = (np.full((len(s), 1), x) for x in (-99.0, 99.0))
    for _ in range(99):  # the threshold by bisection, to the last bit
        middle = (low + high) / 2
        over = np.sum(np.maximum(s - middle, 0), -1, keepdims=True, where=where) > 1
        low, high = np.where(over, middle, low), np.where(over, high, middle)
    p = np.where(where, np.maximum(s - low, 0), 0)
    loss = np.sum(p * s, -1) + (1 - np.sum(p * p, -1)) / 2 - s[np.arange(len(s)), y]
    return loss * has_label(s, y, where)


RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=(6, 4)) * 2
SCORES[0] = 9, 0, 1.5, -1.5  # sure: p is 1 in bfloat16, but the gradient p - 1 not 0
S = jnp.asarray(SCORES, jnp.float32)
TARGETS = RNG.normal(size=(6, 4))
SIGNS = RNG.choice([-1.0, 1.0], size=(6, 4))
BITS, SOFT = (SIGNS > 0).astype(int), RNG.dirichlet(np.ones(4), size=6)
Y = np.array([0, 3, 1, 2, 0, 1])
CLASS_MASK = np.array(  # all; one; without the label; none; none; two
    [[1, 1, 1, 1], [0, 0, 0, 1], [1, 0, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0], [0, 1, 1, 0]]
).astype(bool)
CASES = {  # loss, second argument, formula, Optax's loss
    "squared": (squared, TARGETS, lambda p, t: (p - t) ** 2, optax.squared_error),
    "l2": (l2, TARGETS, lambda p, t: (p - t) ** 2 / 2, optax.l2_loss),
    "huber": (huber, TARGETS, huber_formula, optax.huber_loss),
    "hinge": (hinge, SIGNS, lambda p, t: np.maximum(0, 1 - p * t), optax.hinge_loss),
    "sigmoid": (sigmoid, SOFT, sigmoid_formula, optax.sigmoid_binary_cross_entropy),
    "focal": (focal, SOFT, focal_formula, optax.losses.sigmoid_focal_loss),
    "bits": (losses.sparsemax_loss, BITS, bits_formula, optax.losses.sparsemax_loss),
    "log_cosh": (losses.log_cosh, TARGETS, log_cosh_formula, optax.log_cosh),
    "perceptron": (losses.perceptron_loss, SIGNS, perceptron_formula, their_perceptron),
    "softmax": (softmax, SOFT, softmax_formula, their_softmax),
    "poly": (poly, SOFT, poly_formula, optax.losses.poly_loss_cross_entropy),
    "integer": (integer, Y, integer_formula, their_integer),
    "svm": (svm, Y, svm_formula, None),
    "svm_max": (svm_max, Y, partial(svm_formula, over=np.max), their_svm),
    "lead": (lead, Y, lead_formula, optax.losses.multiclass_perceptron_loss),
    "sparse": (sparse, Y, sparse_formula, optax.losses.multiclass_sparsemax_loss),
}
FLAT = ["hinge", "svm", "svm_max", "perceptron", "lead"]  # with slopes of -1, 0, 1
OF_CLASSES = ["softmax", "poly", "integer", "svm", "svm_max", "lead", "sparse"]
ELEMENTWISE = [name for name in CASES if name not in OF_CLASSES]
every_loss = pytest.mark.parametrize("name", CASES)
integer_labels = pytest.mark.parametrize("name", OF_CLASSES[2:])


@partial(jax.jit, static_argnames="loss")
def run(loss, s, y, **options):
    """The losses and the gradient of their sum, compiled once for each loss."""
    out, pull = jax.vjp(lambda s: loss(s, y, **options), s)
    return out, *pull(jnp.ones_like(out))


@every_loss
def test_equals_the_formula_and_its_central_differences_in_float64(name):
    loss, y, formula, _ = CASES[name]
    with jax.enable_x64(True):
        got, slope = run(loss, jnp.asarray(SCORES), jnp.asarray(y))
    # A few roundings of float64.
    np.testing.assert_allclose(got, formula(SCORES, y), rtol=1e-13, atol=1e-14)
    h = 1e-6 * np.eye(SCORES.size).reshape(-1, *SCORES.shape)
    want = [np.sum(formula(SCORES + e, y) - formula(SCORES - e, y)) / 2e-6 for e in h]
    # h**2 from the formula, 1e-16 / h from its rounding.
    np.testing.assert_allclose(slope.ravel(), want, atol=1e-8)


@pytest.mark.parametrize("name", [n for n in CASES if CASES[n][3]])
def test_same_numbers_as_optax(name):
    loss, y, _, theirs = CASES[name]
    s = S
    if name != "sparse":  # Optax's has one batch axis
        s, y = S.reshape(2, 3, 4), y.reshape(2, 3, *y.shape[1:])
    close(run(loss, s, y), run(theirs, s, y))
    if name in ("integer", "softmax", "poly"):
        where = (CLASS_MASK | (np.arange(4) == Y[:, None])).reshape(2, 3, 4)
        close(run(loss, s, y, where=where), run(theirs, s, y, where=where))


@pytest.mark.parametrize("name", sorted(set(losses.__all__) & set(vars(optax.losses))))
def test_arguments_are_those_of_optax_and_then_keywords(name):
    ours, theirs = (
        [(p.name, p.default, p.kind) for p in inspect.signature(f).parameters.values()]
        for f in (getattr(losses, name), getattr(optax.losses, name))
    )
    assert ours[: len(theirs)] == theirs
    assert all(kind.name == "KEYWORD_ONLY" for _, _, kind in ours[len(theirs) :])


@every_loss
def test_half_precision_is_computed_in_float32(name):
    loss, y, *_ = CASES[name]
    dtype = jnp.float16 if name in ELEMENTWISE else jnp.bfloat16
    y = y if y.dtype == int else jnp.round(y * 64) / 64  # exact in each dtype
    s, t = S.astype(dtype), y if y.dtype == int else y.astype(dtype)
    wide = run(loss, s.astype(jnp.float32), y)
    same(run(loss, s, t), jax.tree.map(lambda x: x.astype(dtype), wide))


@pytest.mark.parametrize("name", [*ELEMENTWISE, "softmax"])
def test_the_dtype_of_the_loss_is_that_of_optax(name):
    loss, _, _, theirs = CASES[name]
    for dtypes in itertools.product(FLOATS, [*FLOATS, jnp.int32]):
        args = [jax.ShapeDtypeStruct((3,), d) for d in dtypes]
        assert jax.eval_shape(loss, *args).dtype == jax.eval_shape(theirs, *args).dtype


@every_loss
def test_vmap_keeps_nan_and_nothing_else(name):
    loss, y, *_ = CASES[name]
    s = S.at[2, 1].set(NAN)
    got, slope = run(loss, s, y)
    close(jax.jit(jax.vmap(loss))(s, y), got)
    assert np.isnan(got).sum() == np.isnan(got[2]).sum() == 1
    assert np.isnan(slope[2, 1]) or name in FLAT
    got, _ = jax.eval_shape(partial(run, loss), S[:0], y[:0])  # an empty batch
    assert got.shape == ((0, 4) if name in ELEMENTWISE else (0,))


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_a_masked_element_has_no_loss_and_no_gradient(name):
    loss, y, *_ = CASES[name]
    where, y = jnp.asarray(TARGETS > 0), jnp.asarray(y, jnp.float32)

    @jax.jit
    def both(s, y, where):
        out, pull = jax.vjp(partial(loss, where=where), s, y)
        return out, *pull(jnp.ones_like(out))

    clean = both(S, y, jnp.full(S.shape, True))
    want = tuple(jnp.where(where, x, 0) for x in clean)
    for bad in [NAN, INF, -INF]:
        s, t = jnp.where(where, S, bad), jnp.where(where, y, bad)
        for broken in [(s, y), (S, t), (s, t)]:
            same(both(*broken, where), want)


@pytest.mark.parametrize("name", OF_CLASSES)
def test_a_masked_class_is_not_there(name):
    loss, y, formula, _ = CASES[name]
    masked = partial(run, loss, y=y, where=CLASS_MASK)
    clean, slope = masked(S)
    close(clean, formula(SCORES, y, CLASS_MASK))
    assert not np.any(slope[~CLASS_MASK])
    close(slope.sum(-1), 0)  # no class gains without another one
    for bad in [NAN, INF, -INF, 1e4]:
        same(masked(jnp.where(CLASS_MASK, S, bad)), (clean, slope))
    with jax.disable_jit():  # XLA hides 0 * NaN
        close(masked(jnp.where(CLASS_MASK, S, NAN)), (clean, slope))


@pytest.mark.parametrize("where", [None, CLASS_MASK, CLASS_MASK[5:]])
def test_an_integer_label_means_its_one_hot_label(where):
    close(run(integer, S, Y, where=where), run(softmax, S, np.eye(4)[Y], where=where))


@integer_labels
def test_padding_is_left_out_whatever_its_label(name):
    loss, y = CASES[name][0], np.array([-1, -1, 100, 2, 0, 1])
    got = run(loss, S.at[:3].set(NAN), y, where=np.arange(6) > 2)
    same([x[:3] for x in got], [np.zeros(3), np.zeros((3, 4))])
    close([x[3:] for x in got], list(run(loss, S[3:], y[3:])))


@integer_labels
@pytest.mark.parametrize("where", [None, np.array([[False, True, True, False]])])
def test_a_label_that_is_no_class_gives_nan(name, where):
    y = np.array([-1, 4, -5, 2, 100, 1])
    got, slope = map(np.isnan, run(CASES[name][0], S, y, where=where))
    same(np.asarray(got), (y < 0) | (y > 3))
    if name == "integer":  # the others may have no slope
        same(slope.any(-1), got)
