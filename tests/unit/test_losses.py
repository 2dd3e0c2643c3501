"""The losses against NumPy in float64, Optax, finite differences, and at extremes."""

import doctest
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
their_softmax = optax.softmax_cross_entropy
their_integer = optax.softmax_cross_entropy_with_integer_labels
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


def svm_formula(s, y, where=True, over=np.sum):
    own = np.arange(s.shape[-1]) == y[:, None]
    leads = np.maximum(0, s - s[own][:, None] + 1)
    return over(leads, -1, where=~own & where, initial=0) * np.any(own & where, -1)


RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=(6, 4)) * 2
SCORES[0] = 9, 0, 1, -1  # a sure one: p is 1 in bfloat16, but the gradient p - 1 not 0
S = jnp.asarray(SCORES, jnp.float32)
TARGETS = RNG.normal(size=(6, 4))
SIGNS = RNG.choice([-1.0, 1.0], size=(6, 4))
SOFT = RNG.dirichlet(np.ones(4), size=6)
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
    "softmax": (softmax, SOFT, softmax_formula, their_softmax),
    "integer": (integer, Y, integer_formula, their_integer),
    "svm": (svm, Y, svm_formula, None),
    "svm_max": (svm_max, Y, partial(svm_formula, over=np.max), their_svm),
}
ELEMENTWISE = ["squared", "l2", "huber", "hinge", "sigmoid"]
every_loss = pytest.mark.parametrize("name", CASES)
integer_labels = pytest.mark.parametrize("name", ["integer", "svm", "svm_max"])


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
    s, y = S.reshape(2, 3, 4), y.reshape(2, 3, *y.shape[1:])
    close(run(loss, s, y), run(theirs, s, y))
    if name in ("integer", "softmax"):
        where = (CLASS_MASK | (np.arange(4) == Y[:, None])).reshape(2, 3, 4)
        close(run(loss, s, y, where=where), run(theirs, s, y, where=where))


@pytest.mark.parametrize("name", losses.__all__)
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
    assert np.isnan(slope[2, 1]) or name in ("hinge", "svm", "svm_max")  # -1, 0, 1
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


@pytest.mark.parametrize("name", ["softmax", "integer", "svm", "svm_max"])
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


@pytest.mark.parametrize("where", [None, CLASS_MASK, CLASS_MASK[5]])
def test_an_integer_label_means_its_one_hot_label(where):
    close(run(integer, S, Y, where=where), run(softmax, S, np.eye(4)[Y], where=where))


@integer_labels
def test_padding_is_left_out_whatever_its_label(name):
    loss, y = CASES[name][0], np.array([-1, -1, 100, 2, 0, 1])
    got = run(loss, S.at[:3].set(NAN), y, where=np.arange(6)[:, None] > 2)
    same([x[:3] for x in got], [np.zeros(3), np.zeros((3, 4))])
    close([x[3:] for x in got], list(run(loss, S[3:], y[3:])))


@integer_labels
@pytest.mark.parametrize("where", [None, np.array([False, True, True, False])])
def test_a_label_that_is_no_class_gives_nan(name, where):
    y = np.array([-1, 4, -5, 2, 100, 1])
    got, slope = map(np.isnan, run(CASES[name][0], S, y, where=where))
    same(np.asarray(got), (y < 0) | (y > 3))
    if name == "integer":  # the others may have no slope
        same(slope.any(-1), got)


def test_sigmoid_at_extreme_logits():
    s = jnp.array([1e4, 1e4, -1e4, -1e4, INF, INF, -INF, -INF, 20.0])
    y = jnp.array([1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0])
    got, slope = run(sigmoid, s, y)
    tiny = np.exp(-20.0)  # no absolute tolerance: it is 2e-9
    near(got, [0, 1e4, 1e4, 0, 0, INF, INF, 0, np.log1p(tiny)], atol=0)
    near(slope, [0, 1, -1, 0, 0, 1, -1, 0, -tiny / (1 + tiny)], atol=0)


def test_sigmoid_is_the_softmax_of_two_logits_and_curves_at_0():
    s, y = jnp.linspace(-5, 5, 11), jnp.linspace(0, 1, 11)
    pairs = jnp.stack([s, jnp.zeros(11)], -1), jnp.stack([y, 1 - y], -1)
    close(jax.jit(sigmoid)(s, y), jax.jit(softmax)(*pairs))
    curve = jax.jit(jax.vmap(jax.grad(jax.grad(sigmoid))))(s, y)
    close(curve, jax.nn.sigmoid(s) * jax.nn.sigmoid(-s))


def test_softmax_at_extreme_logits_and_labels():
    p = 1 / (2 + 1 / np.e)
    table = [  # logits, the loss of class 0, its gradient
        ([1e4, 0, -1e4], 0, [0, 0, 0]),
        ([-1e4, 1e4, 0], 2e4, [-1, 1, 0]),
        ([0, 0, -INF], np.log(2), [-0.5, 0.5, 0]),
        ([-INF, 0, -INF], INF, [-1, 1, 0]),
        ([-INF, -INF, -INF], INF, [-1, 0, 0]),
        ([1e4, 9999, 1e4], np.log(2 + 1 / np.e), [p - 1, p / np.e, p]),
    ]
    s, loss, slope = map(np.float32, zip(*table, strict=True))
    close(run(integer, s, np.zeros(6, int)), (loss, slope))
    close(run(softmax, s, np.eye(3)[[0] * 6]), (loss, slope))
    # int8 cannot hold the number of classes.
    close(jax.jit(integer)(jnp.zeros(300), np.int8(127)), np.log(300))


@pytest.mark.parametrize(("loss", "slopes"), [(svm, [-2, 1, 1]), (svm_max, [-1, 1, 0])])
def test_svm_at_extreme_scores(loss, slopes):
    s = [[1e4, 0, -1e4], [0, 1e4, 0], [0, 0.5, -INF], [-INF, 0, -INF], [-INF] * 3]
    want = [[0, 0, 0], slopes, [-1, 1, 0], [-1, 1, 0], [0, 0, 0]]
    want = np.array([0, 10001 + slopes[2], 1.5, INF, 0]), np.array(want)
    same(run(loss, jnp.array(s), np.zeros(5, int)), want)


@pytest.mark.parametrize("p", [1e4, -1e4, INF, -INF])
def test_errors_without_bound(p):
    square = np.square(np.float32(p))
    same(run(squared, p, None), (square, 2 * p))
    same(run(l2, p, None), (square / 2, p))
    same(run(huber, p, None), (abs(p) - 0.5, np.sign(p)))


def test_targets_may_be_absent_or_scalar_and_a_mask_broadcasts():
    p = jnp.array([0.5, -3.0], jnp.float16)
    for loss in squared, l2, huber:
        same(loss(p), loss(p, jnp.zeros_like(p)))
        same(loss(p, 2.0), loss(p, jnp.full_like(p, 2)))
        assert loss(p, 2.0).dtype == jnp.float16
    assert hinge(10, 1) == 0  # integers, as in Optax
    for where in [True, False, np.arange(4) > 1, np.arange(6)[:, None] > 2]:
        same(l2(S, 1.0, where=where), np.where(where, l2(S, 1.0), 0))


@pytest.mark.parametrize("delta", [0.3, 1.0, 1e4, jnp.array(2.0), np.full(4, 0.5)])
def test_the_gradient_of_huber_is_the_clipped_error(delta):
    p = jnp.array([[-3.0, -0.3, 0.0, 1e-4], [0.5, 1.0, 2.0, 9.0]])
    want = huber_formula(np.float64(p), 0, np.float64(delta))
    close(run(huber, p, None, delta=delta), (want, np.clip(p, -delta, delta)))


def test_the_gradient_for_a_label_is_its_log_probability():
    close(jax.grad(lambda y: softmax(S, y).sum())(0 * S), -jax.nn.log_softmax(S))


@pytest.mark.parametrize("axis", [0, (2, 0), None])
def test_the_class_axes_are_those_of_optax(axis):
    value = jax.jit(lambda f, s, y: f(s, y, axis=axis), static_argnums=0)
    s, y = S.reshape(2, 3, 4), SOFT.reshape(2, 3, 4)
    close(value(softmax, s, y), want := value(their_softmax, s, y))
    if axis is not None:
        y = np.full(want.shape, 1)
        close(value(integer, s, y), value(their_integer, s, y))


def test_the_mask_goes_with_the_axes_of_the_logits():
    y, s, where = Y[:3] * 2, SCORES.reshape(2, 3, 4), CLASS_MASK.reshape(2, 3, 4)
    flat, kept = (np.moveaxis(x, 1, 0).reshape(3, 8) for x in (s, where))
    got = jax.jit(partial(integer, axis=(0, 2)))(s, y, where=where)
    close(got, integer_formula(flat, y, kept))


def test_the_margins_of_the_svm():
    s = jnp.array([2.0, 2.5, 1.25, -3.0])
    for margin, leads in [(0.0, [0.5]), (1.0, [1.5, 0.25]), (2.0, [2.5, 1.25])]:
        assert jax.jit(svm)(s, 0, margin=margin) == sum(leads)
        assert jax.jit(svm_max)(s, 0, margin=margin) == max(leads)


def test_the_examples_run():
    assert not doctest.testmod(losses.regression).failed
    assert not doctest.testmod(losses.softmax).failed


@pytest.mark.parametrize("name", [*ELEMENTWISE, "softmax"])
def test_shapes_are_not_broadcast(name):
    loss = CASES[name][0]
    names = list(inspect.signature(loss).parameters)[:2]
    for first, second in [((3, 1), (3,)), ((3, 1), (1, 3)), ((3,), (1,))]:
        with pytest.raises(ValueError, match="they are not broadcast") as error:
            jax.jit(loss)(jnp.ones(first), jnp.ones(second))
        for part in [loss.__name__, str(first), str(second), *names]:
            assert part in str(error.value)


P, L, M = jnp.ones((2, 3)), np.array([0, 1]), np.ones((2, 3), bool)
ERRORS = [
    (lambda: huber(P, delta=0.0), "ValueError: delta must be above 0"),
    (lambda: huber(P[0], delta=P), "ValueError: huber_loss: delta has shape (2, 3), "),
    (lambda: squared(L), "TypeError: squared_error: predictions must be floating "),
    (lambda: l2(P, 1j), "TypeError: l2_loss: targets must be real, got complex64"),
    (lambda: hinge(1j, 1), "TypeError: hinge_loss: predictor_outputs must be real"),
    (lambda: l2(P, where=P), "TypeError: l2_loss: where must be boolean, got float32"),
    (lambda: l2(P[0], where=M), "(2, 3), the loss has (3,)"),
    (lambda: softmax(P, P, 2), "axis 2 does not fit logits of shape (2, 3)"),
    (lambda: integer(P, L, (1, -1)), "name axes that it has, each once"),
    (lambda: integer(P, L, None), "axis must be an integer or a tuple, got None"),
    (lambda: integer(P, L * 1.0), "TypeError: softmax_cross_entropy_with_integer_lab"),
    (lambda: integer(P, L[:, None]), "labels has shape (2, 1), logits without its cl"),
    (lambda: integer(P[:, :0], L), "logits has no class"),
    (lambda: svm(1.0, 0), "scores is a scalar: give it a class axis"),
    (lambda: svm(P, L, margin=-1.0), "margin must be at least 0 and finite"),
    (lambda: svm(P, L, over="mean"), "over must be one of ('sum', 'max'), got 'mean'"),
]


@pytest.mark.parametrize(("call", "text"), ERRORS)
def test_errors_say_what_is_wrong(call, text):
    with pytest.raises((TypeError, ValueError)) as error:
        call()
    assert text in f"{error.typename}: {error.value}"
