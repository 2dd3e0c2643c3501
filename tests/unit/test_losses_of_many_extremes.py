"""Losses of vectors, lists and regions: zeros, large numbers, and what is refused."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradtx import losses
from tests.unit.test_losses_of_many import FENCHEL, INF, near, run, same

similarity, distance = losses.cosine_similarity, losses.cosine_distance
triplet, rank, dice = (
    losses.triplet_margin_loss,
    losses.ranking_softmax_loss,
    losses.dice_loss,
)
kl, ntxent = losses.kl_divergence, losses.ntxent


def test_cosines_of_large_small_and_no_vectors():
    t = jnp.array([[3.0, 4.0]] * 5)
    x = jnp.array([[1.0], [1e30], [1e-30], [0.0], [1e37]]) * jnp.array([[1.0, 0.0]])
    want, empty = [0.6, 0.6, 0.6, 0, 0.6], np.array([0, 0, 0, 1, 0], bool)
    got, slope = run(similarity, x, t)
    near(got, want)
    size = np.where(empty, 1, np.abs(x).max(-1))
    near(slope[:, 1] * size, np.where(empty, 0, 0.8))
    near(slope[:, 0], 0)
    got, slope = run(distance, x, t)
    near(got, 1 - np.array(want))
    assert np.all(np.isfinite(slope))
    half = jnp.full((1, 4), 300.0, jnp.float16)  # whose square is none of float16
    same(run(similarity, half, half)[0], np.ones(1, np.float16))
    assert run(distance, t, 2 * t)[0].max() == 0


def test_the_floor_of_the_cosine_is_one_of_the_squared_norm():
    x, t = jnp.array([[0.3, 0.4], [0.03, 0.04]]), jnp.array([[3.0, 4.0]] * 2)
    got, slope = run(similarity, x, t, epsilon=0.25**2)
    near(got, [1, 0.2])
    near(slope, [[0, 0], [0.6 * 4, 0.8 * 4]])  # t / |t| / 0.25
    far, slope = run(distance, x, t, epsilon=0.25**2)
    near(far, [0, 0.8])
    near(slope, [[0, 0], [-0.6 * 4, -0.8 * 4]])


def test_a_small_angle_has_all_digits():
    x = jnp.array([[1.0, 1e-4]])
    got, slope = run(distance, x, jnp.array([[2.0, 0.0]]))
    near(got, 5e-9, atol=0)
    near(slope[0, 1], 1e-4, atol=0)


def test_divergences_of_zeros():
    q = jnp.array([[0.0, -INF, -INF], [-INF, 0.0, -INF], [-1e4, 0.0, -INF]])
    p = jnp.array([[1.0, 0.0, 0.0]] * 3)
    want, slopes = [0, INF, 1e4], [[-1, 0, 0]] * 3
    for loss, target in [
        (kl, p),
        (losses.kl_divergence_with_log_targets, jnp.log(p)),
    ]:
        got, slope = run(loss, q, target)
        near(got, want)
        near(slope, slopes)
        assert np.all(np.isfinite(jax.grad(lambda t: loss(q[0], t))(target[0])))  # noqa: B023  called at once
    got, slope = run(losses.generalized_kl_divergence, q, p)
    near(got, [0, INF, 1e4])
    near(slope, [[0, 0, 0], [-1, 1, 0], [-1, 1, 0]])
    assert losses.convex_kl_divergence is losses.generalized_kl_divergence


def test_pairs_without_a_partner_or_a_negative():
    x = jnp.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
    for labels in (np.arange(4), np.zeros(4, int)):
        same(run(ntxent, x, labels), (np.float32(0), np.zeros((4, 2))))
    # Cosines over 1e-3 are no exponents of float32.
    got, slope = run(ntxent, x, np.array([0, 0, 1, 1]), temperature=1e-3)
    far = 1000 / np.sqrt(2)
    near(got, (2 * far + (far + np.log(2)) + np.log(3)) / 4)
    assert np.all(np.isfinite(slope))


def test_triplets_of_equal_and_of_far_embeddings():
    a = jnp.array([[1.0, 2.0], [1e30, 0.0]])
    n = jnp.array([[1.0, 2.5], [0.0, 0.0]])
    for k in (1, 2, 3):
        got, slope = run(triplet, a, a, n, norm_degree=k, eps=0.0)
        near(got, [0.5, 0])
        near(slope, [[0, 1], [0, 0]])  # of a distance of 0 none
    got, _ = run(triplet, a, n, a, margin=0.0)
    near(got[1], 1e30)


def test_lists_of_excluded_and_of_no_items():
    s, y = jnp.array([[1e4, 0.0, -INF]] * 2), jnp.array([[1.0, 0.0, 0.0]] * 2)
    same(run(rank, s, y), (np.float32(0), np.zeros((2, 3))))
    nobody = np.zeros((2, 1), bool)
    same(run(rank, jnp.nan * s, y, where=nobody), (np.float32(0), np.zeros((2, 3))))
    with pytest.raises(ValueError, match="without any list"):
        rank(s[:0], y[:0])
    # Float16 sums to 65,504 at most.
    many = jnp.zeros((300, 8), jnp.float16), jnp.full((300, 8), 100.0, jnp.float16)
    near(run(rank, *many)[0], 800 * np.log(8), rtol=1e-3)  # float16 has 11 bits


def test_regions_that_are_empty_and_sure():
    s = jnp.array([[[1e4, -1e4, -INF], [-1e4, 1e4, -INF]]])
    t = jnp.array([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    for smooth in (0.0, 1.0):
        same(run(dice, s, t, smooth=smooth), (np.zeros(1), np.zeros(s.shape)))
        wrong = jax.jit(partial(dice, reduction="none"))(s, t[:, ::-1], smooth=smooth)
        near(wrong, [[1 - smooth / (1 + smooth)] * 2 + [0]])
    same(run(losses.binary_dice_loss, s[..., :1], t[..., 0])[0], np.zeros(1))
    # Of a class without points the weight is 1e7, and no NaN.
    loss, slope = run(losses.multiclass_generalized_dice_loss, s, t)
    assert loss == 0
    assert np.all(np.isfinite(slope))


def test_a_score_of_minus_infinity_without_a_target():
    s, y = jnp.array([1e4, 1e4, -INF]), jnp.array([1.0, 0.0, 0.0])
    loss, slope = run(FENCHEL, s, y)
    near(loss, np.log(2), rtol=1e-3)  # it is a difference of two numbers of 1e4
    near(slope, [-0.5, 0.5, 0])


def test_a_masked_class_gets_no_share_of_the_labels():
    y, where = jnp.array([[1.0, 0.0, jnp.nan]]), np.array([[True, True, False]])
    near(losses.smooth_labels(y, 0.1, where=where), [[0.95, 0.05, 0]])
    same(losses.smooth_labels(y, 0.1, where=np.array([False])), np.zeros((1, 3)))


P, Q, L = jnp.ones((2, 3)), jnp.ones((3, 1)), np.array([0, 1])
gdl, bdl = losses.multiclass_generalized_dice_loss, losses.binary_dice_loss
ERRORS = [
    (lambda: similarity(P, Q), "cosine_similarity: targets has shape (3, 1), pred"),
    (lambda: distance(P, P, axis=2), "axis 2 does not fit predictions of shape (2, 3)"),
    (lambda: distance(P, P, epsilon=-1.0), "epsilon must be at least 0"),
    (lambda: similarity(P, L), "cosine_similarity: targets must be floating point"),
    (lambda: kl(P, P[0]), "kl_divergence: targets has shape (3,), log_predictions has"),
    (lambda: kl(P, P, where=P), "TypeError: kl_divergence: where must be boolean"),
    (
        lambda: losses.kl_divergence_with_log_targets(P, P[:, :1]),
        "log_targets has shape (2, 1)",
    ),
    (lambda: losses.smooth_labels(P, 1.1), "alpha must be in [0, 1], got 1.1"),
    (lambda: losses.smooth_labels(P[:, :0], 0.1), "labels has no class"),
    (lambda: losses.smooth_labels(L, 0.1), "labels must be floating point, got int"),
    (lambda: ntxent(P, L[:1]), "labels has shape (1,), embeddings has (2, 3)"),
    (lambda: ntxent(P[0], L), "embeddings has shape (3,): it must have two axes"),
    (lambda: ntxent(P[:0], L[:0]), "embeddings has shape (0, 3), without any example"),
    (lambda: ntxent(P, L, 0.0), "temperature must be above 0 and finite, got 0.0"),
    (lambda: ntxent(P, L, where=P > 0), "where has shape (2, 3), labels has (2,)"),
    (lambda: triplet(P, P, Q), "negatives has shape (3, 1), anchors has (2, 3)"),
    (lambda: triplet(P, P[:1], P), "positives has shape (1, 3), anchors has (2, 3)"),
    (lambda: triplet(P, P, P, norm_degree=0.5), "norm_degree must be at least 1"),
    (lambda: triplet(P, P, P, margin=-1.0), "margin must be at least 0"),
    (lambda: rank(P, P[:1]), "labels has shape (1, 3), logits has (2, 3)"),
    (lambda: rank(P, P, weights=Q), "weights has shape (3, 1), logits has (2, 3)"),
    (lambda: rank(P, P, where=P[0] > 0), "the loss's shape (2,)"),
    (lambda: dice(P, Q), "targets has shape (3, 1), predictions has (2, 3)"),
    (lambda: dice(P, P, axis=-1), "axis -1 has the last axis, that of the classes"),
    (lambda: dice(P, P, class_weights=L), "class_weights has shape (2,), predictions"),
    (lambda: dice(P, P, reduction="max"), "reduction must be one of ('mean', 'sum', "),
    (lambda: dice(P, P, smooth=-1.0), "smooth must be at least 0 and finite"),
    (lambda: dice(P, P, where=P[0] > 0), "where has shape (3,), predictions without"),
    (lambda: dice(P[:, :0], P[:, :0]), "predictions has no class"),
    (lambda: gdl(P[:0], P[:0]), "predictions has shape (0, 3), without any point"),
    (lambda: bdl(P, Q), "binary_dice_loss: targets has shape (3, 1), predictions has"),
    (lambda: FENCHEL(P, Q), "targets has shape (3, 1), scores has (2, 3)"),
    (
        lambda: losses.make_fenchel_young_loss(lambda s: s)(P, P),
        "max_fun gives shape (3,) for scores of shape (3,): it must give a number",
    ),
]


@pytest.mark.parametrize(("call", "text"), ERRORS)
def test_errors_say_what_is_wrong(call, text):
    with pytest.raises((TypeError, ValueError)) as error:
        call()
    assert text in f"{error.typename}: {error.value}"
