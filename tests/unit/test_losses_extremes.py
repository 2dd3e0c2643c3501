"""The losses at extremes: large and infinite scores, masks, and what is refused."""

import inspect
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradtx import losses
from tests.unit.test_losses import (
    CASES,
    CLASS_MASK,
    ELEMENTWISE,
    INF,
    OF_CLASSES,
    SCORES,
    SOFT,
    S,
    Y,
    close,
    focal,
    hinge,
    huber,
    huber_formula,
    integer,
    integer_formula,
    l2,
    lead,
    near,
    poly,
    run,
    same,
    sigmoid,
    softmax,
    sparse,
    squared,
    svm,
    svm_max,
    their_integer,
    their_softmax,
)


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


def test_focal_at_extreme_logits():
    s, y = jnp.array([1e4, -1e4, INF, -INF, -200.0]), jnp.array([1, 1, 1, 1, 0])
    for gamma in 2.0, 0.5, 0.0:
        got, slope = run(focal, s, y, gamma=gamma)
        near(got, [0, 1e4, 0, INF, 0])
        near(slope, [0, -1, 0, -1, 0])
    got, slope = run(focal, jnp.array(50.0), 1.0, gamma=0.5)
    near([got, slope], [np.exp(-75.0), -1.5 * np.exp(-75.0)], rtol=1e-5, atol=0)
    weighed = run(focal, S, np.eye(4)[Y], alpha=0.25)[0]
    plain, one_hot = run(focal, S, np.eye(4)[Y])[0], np.eye(4)[Y]
    close(weighed, plain * np.where(one_hot, 0.25, 0.75))


def test_log_cosh_at_extreme_errors():
    p = jnp.array([1e-6, 0.0, 1e4, -INF])
    got, slope = run(losses.log_cosh, p, None)
    near(got, [5e-13, 0, 1e4 - np.log(2), INF], atol=0)
    near(slope, np.tanh(p), atol=0)
    curve = jax.jit(jax.vmap(jax.grad(jax.grad(losses.log_cosh))))
    same(curve(p[1:3]), np.array([1.0, 0.0]))


def test_the_sparsemax_losses_at_extreme_scores():
    s = [[1e4, 0, -1e4], [0, 1e4, 0], [0, 0.5, -INF], [-INF, 0, -INF], [-INF] * 3]
    want = [[0, 0, 0], [-1, 1, 0], [-0.75, 0.75, 0], [-1, 1, 0], [-1, 0, 0]]
    got, slope = run(sparse, jnp.array(s), np.zeros(5, int))
    near(got, [0, 1e4, 0.5625, INF, INF])
    near(slope, want)
    got, slope = run(losses.sparsemax_loss, jnp.array([1e4, INF, -INF, 0.2]), 1)
    near(got, [0, 0, INF, 0.16])
    near(slope, [0, 0, -1, -0.4])
    got, slope = run(losses.sparsemax_loss, jnp.array([0.2, 9.0, -9.0]), -1)
    assert np.isnan(got).all()
    assert np.isnan(slope).all()


def test_two_sparsemax_scores_are_a_logit():
    s = jnp.linspace(-3, 3, 13)
    pairs = jnp.stack([0 * s, s], -1), np.ones(13, int)
    close(run(losses.sparsemax_loss, s, 1)[0], run(sparse, *pairs)[0])


def test_the_hessian_of_the_sparsemax_loss_is_that_of_its_support():
    hessian = jax.jit(jax.hessian(sparse))(jnp.array([0.5, 0.25, -3.0]), 0)
    close(hessian, np.array([[0.5, -0.5, 0], [-0.5, 0.5, 0], [0, 0, 0]]))


def test_the_perceptron_at_extreme_scores():
    s = [[1e4, 0, -1e4], [0, 1e4, 0], [0, 0.5, -INF], [-INF, 0, -INF]]
    want = (
        np.array([0, 1e4, 0.5, INF], np.float32),
        np.array([[0, 0, 0], [-1, 1, 0], [-1, 1, 0], [-1, 1, 0]]),
    )
    same(run(lead, jnp.array(s), np.zeros(4, int)), want)


def test_the_first_coefficient_of_the_poly_loss():
    y = np.eye(4)[Y]
    p = jax.nn.softmax(S)[np.arange(6), Y]
    eps = np.arange(6.0)
    close(run(poly, S, y, epsilon=eps)[0], -jnp.log(p) + eps * (1 - p))
    got, slope = run(poly, jnp.array([[0.0, -INF], [-1e4, 1e4]]), np.eye(2)[[0, 0]])
    close(got, np.array([0, 2e4 + 2]))
    close(slope, np.array([[0, 0], [-1, 1]]))


@pytest.mark.parametrize("name", OF_CLASSES)
def test_a_mask_of_the_losss_own_shape_leaves_out_examples(name):
    loss, y, *_ = CASES[name]
    where = Y != 1
    got = run(loss, jnp.where(where[:, None], S, np.nan), y, where=where)
    want = run(loss, S, y)
    same(got, (np.where(where, want[0], 0), np.where(where[:, None], want[1], 0)))


def test_the_masks_of_the_losss_own_shape_are_those_of_optax():
    y, s = SOFT[:2], S[:2]
    value = jax.jit(lambda f, *args: f(*args), static_argnums=(0, 3))
    for axis, size in [(-1, 2), (0, 4)]:
        where = np.arange(size) % 2 == 0
        ours, theirs = (value(f, s, y, axis, where) for f in (softmax, their_softmax))
        close(ours, theirs)


@pytest.mark.parametrize("z", [1e-4, 0.5])
def test_the_z_loss_is_the_square_of_the_log_sum(z):
    extra = z * np.log(np.exp(SCORES).sum(-1)) ** 2
    close(run(integer, S, Y, z_loss=z)[0], integer_formula(SCORES, Y) + extra)
    both = run(integer, S, Y, z_loss=z), run(softmax, S, np.eye(4)[Y], z_loss=z)
    close(*both)
    log_z = np.log(np.exp(SCORES).sum(-1, keepdims=True))
    want = run(integer, S, Y)[1] + 2 * z * log_z * jax.nn.softmax(S)
    close(both[0][1], want)
    # An example without a class has no log sum.
    assert not np.any(run(integer, S, Y, where=np.zeros(6, bool), z_loss=z)[0])
    same(jax.jit(integer)(jnp.array([INF, 0.0]), 1), np.float32(INF))


def test_targets_may_be_absent_or_scalar_and_a_mask_broadcasts():
    p = jnp.array([0.5, -3.0], jnp.float16)
    for loss in squared, l2, huber, losses.log_cosh:
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


@pytest.mark.parametrize("name", [*ELEMENTWISE, "softmax", "poly"])
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
    (
        lambda: softmax(P, P, where=M[0]),
        "mask of classes with the axes of logits, or one",
    ),
    (lambda: integer(P, L, where=M[:, 0, None, None]), "where has shape (2, 1, 1), "),
    (lambda: softmax(P, P, z_loss=-1.0), "z_loss must be at least 0 and finite"),
    (lambda: poly(P, P, epsilon=INF), "epsilon must be finite, got inf"),
    (
        lambda: poly(P, P, epsilon=P[0]),
        "poly_loss_cross_entropy: epsilon has shape",
    ),
    (lambda: focal(P, P, gamma=-1.0), "gamma must be at least 0 and finite, got -1.0"),
    (lambda: focal(P, P, alpha=1.5), "alpha must be in [0, 1], got 1.5"),
    (lambda: lead(P, L[:1]), "labels has shape (1,), scores without its class axis"),
    (lambda: sparse(P, P), "TypeError: multiclass_sparsemax_loss: labels must be int"),
    (lambda: svm(P, L, over="mean"), "over must be one of ('sum', 'max'), got 'mean'"),
]


@pytest.mark.parametrize(("call", "text"), ERRORS)
def test_errors_say_what_is_wrong(call, text):
    with pytest.raises((TypeError, ValueError)) as error:
        call()
    assert text in f"{error.typename}: {error.value}"
