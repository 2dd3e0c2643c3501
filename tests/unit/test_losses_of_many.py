"""Losses of vectors, distributions, lists, batches and regions: formulas and masks."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradtx import losses

NAN, INF = np.nan, np.inf
same = partial(jax.tree.map, np.testing.assert_array_equal)
# The last bits of float32 for numbers of order 1: sums in another order.
near = partial(np.testing.assert_allclose, rtol=3e-6, atol=1e-6)
close = partial(jax.tree.map, near)


def cosine(p, t):
    return np.sum(p * t, -1) / np.sqrt(np.sum(p * p, -1) * np.sum(t * t, -1))


def kl(log_q, p):
    return np.sum(p * (np.log(p) - log_q), -1)


def measures(log_q, p):
    return kl(log_q, p) + np.sum(np.exp(log_q) - p, -1)


def pairs(x, y, temperature=0.07):
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    e = np.exp(unit @ unit.T / temperature)
    found = []
    for i in range(len(y)):
        others = sum(e[i, k] for k in range(len(y)) if y[k] != y[i])
        found += [
            np.log1p(others / e[i, j]) for j in range(len(y)) if j != i and y[i] == y[j]
        ]
    return np.mean(found)


def triplets(a, p, n, k=2, eps=1e-6):
    near, far = ((np.sum(np.abs(a - x) ** k, -1) + eps) ** (1 / k) for x in (p, n))
    return np.maximum(0, near - far + 1)


def softmax(s):
    return np.exp(s) / np.exp(s).sum(-1, keepdims=True)


def lists(s, y):
    return np.mean(-np.sum(y * np.log(softmax(s)), -1))


def overlaps(p, t, smooth=1.0, alpha=0.5, beta=0.5):
    both, predicted, true = (np.sum(x, 1) for x in (p * t, p, t))
    missed = alpha * (predicted - both) + beta * (true - both)
    return 1 - (both + smooth) / (both + missed + smooth)


def dice(s, t, **options):
    return overlaps(softmax(s), t, **options).mean(-1)


def generalized(s, t):
    v = 1 / (np.sum(t, (0, 1)) ** 2 + 1e-7)
    return np.mean(overlaps(softmax(s), t) * v / v.mean())


def binary(s, t):
    return overlaps(1 / (1 + np.exp(-s)), t)


def fenchel(s, y):
    return np.log(np.exp(s).sum(-1)) - np.sum(y * s, -1)


RNG = np.random.default_rng(1)
X, T, N = RNG.normal(size=(3, 6, 4))
P = RNG.dirichlet(np.ones(4), size=6)
LOG_Q = np.log(RNG.dirichlet(np.ones(4), size=6))
GROUPS = np.array([0, 1, 0, 2, 1, 0])
SHAPE = (2, 3, 4)
POINTS = 2 * RNG.normal(size=SHAPE)
REGIONS = np.eye(4)[RNG.integers(0, 3, SHAPE[:2])]  # class 3 has no point
CUBES = partial(losses.triplet_margin_loss, norm_degree=3)
FENCHEL = losses.make_fenchel_young_loss(jax.nn.logsumexp)
TVERSKY = {"smooth": 0.1, "alpha": 0.3, "beta": 0.7}
CASES = {  # loss, arguments, formula
    "cosine": (losses.cosine_similarity, [X, T], cosine),
    "distance": (losses.cosine_distance, [X, T], lambda p, t: 1 - cosine(p, t)),
    "kl": (losses.kl_divergence, [LOG_Q, P], kl),
    "kl_log": (
        losses.kl_divergence_with_log_targets,
        [LOG_Q, np.log(P)],
        lambda q, p: kl(q, np.exp(p)),
    ),
    "measures": (losses.generalized_kl_divergence, [X, P], measures),
    "pairs": (losses.ntxent, [X, GROUPS], pairs),
    "triplets": (losses.triplet_margin_loss, [X, T, N], triplets),
    "cubes": (CUBES, [X, T, N], partial(triplets, k=3)),
    "lists": (losses.ranking_softmax_loss, [X, P], lists),
    "dice": (losses.dice_loss, [POINTS, REGIONS], dice),
    "tversky": (
        partial(losses.dice_loss, **TVERSKY),
        [POINTS, REGIONS],
        partial(dice, **TVERSKY),
    ),
    "generalized": (
        losses.multiclass_generalized_dice_loss,
        [POINTS, REGIONS],
        generalized,
    ),
    "binary": (losses.binary_dice_loss, [POINTS[0], REGIONS[0]], binary),
    "fenchel": (FENCHEL, [X, P], fenchel),
    "smooth": (
        losses.smooth_labels,
        [P, 0.1],
        lambda y, a: (1 - a) * y + a / y.shape[-1],
    ),
}
every_loss = pytest.mark.parametrize("name", CASES)


@partial(jax.jit, static_argnames="loss")
def run(loss, x, *args, **options):
    """The losses and the gradient of their sum, compiled once for each loss."""
    out, pull = jax.vjp(lambda x: loss(x, *args, **options), x)
    return out, *pull(jnp.ones_like(out))


def to(dtype, args):
    return [x if np.asarray(x).dtype == int else jnp.asarray(x, dtype) for x in args]


def single(args):
    return to(jnp.float32, args)


@every_loss
def test_equals_the_formula_and_its_central_differences_in_float64(name):
    loss, (x, *rest), formula = CASES[name]
    with jax.enable_x64(True):
        got, slope = run(loss, *to(jnp.float64, [x, *rest]))
    # A few roundings of float64; the smallest of the cosines' exponentials is e^-14.
    np.testing.assert_allclose(got, formula(x, *rest), rtol=1e-12, atol=1e-13)
    h = 1e-6 * np.eye(x.size).reshape(-1, *x.shape)
    want = [np.sum(formula(x + e, *rest) - formula(x - e, *rest)) / 2e-6 for e in h]
    # h**2 times a third derivative (of cosines over 0.07), 1e-16 / h from rounding.
    np.testing.assert_allclose(slope.ravel(), want, rtol=1e-7, atol=2e-8)


@every_loss
def test_half_precision_is_computed_in_float32(name):
    loss, args, _ = CASES[name]
    narrow = to(jnp.bfloat16, args)
    wide = run(loss, *to(jnp.float32, narrow))
    if name == "pairs":  # norms have a floor of the dtype's epsilon, as in Optax
        assert run(loss, *narrow)[0].dtype == jnp.bfloat16
        return
    got = run(loss, *narrow)
    assert got[0].dtype == got[1].dtype == jnp.bfloat16
    same(got, tuple(x.astype(jnp.bfloat16) for x in wide))


COLUMNS = np.array([[True, False, True, True]])


@pytest.mark.parametrize("name", ["cosine", "distance", "kl", "kl_log", "measures"])
def test_a_masked_entry_is_not_there(name):
    loss, args, formula = CASES[name]
    want = formula(*(x[:, COLUMNS[0]] for x in args))
    for bad in [NAN, INF, -INF]:
        x, t = (jnp.where(COLUMNS, x, bad) for x in single(args))
        got, slope = run(loss, x, t, where=COLUMNS)
        near(got, want)
        assert not np.any(slope[:, 1])
        assert np.all(np.isfinite(slope))


@pytest.mark.parametrize("name", ["cosine", "distance", "kl", "triplets", "pairs"])
def test_a_masked_example_is_not_there(name):
    loss, args, formula = CASES[name]
    kept = np.arange(6) != 2
    x, *rest = single(args)
    got, slope = run(loss, x.at[2].set(NAN), *rest, where=kept)
    want = formula(*(x[kept] for x in args))
    near(got if name == "pairs" else got[kept], want)
    if name != "pairs":
        assert got[2] == (name == "distance")
    assert not np.any(slope[2])
    assert np.all(np.isfinite(slope))


def test_a_masked_item_or_list_is_not_there():
    x, y = single([X, P])
    for where, rows in [(COLUMNS, slice(None)), (np.arange(6) > 1, slice(2, 6))]:
        inside = where if where.ndim == 2 else where[:, None]
        s, t = jnp.where(inside, x, NAN), jnp.where(inside, y, NAN)
        got, slope = run(losses.ranking_softmax_loss, s, t, where=where)
        columns = COLUMNS[0] if where is COLUMNS else slice(None)
        near(got, lists(X[rows][:, columns], P[rows][:, columns]))
        assert not np.any(np.where(inside, 0, slope))
        assert np.all(np.isfinite(slope))


@pytest.mark.parametrize("name", ["dice", "generalized", "binary"])
def test_a_masked_point_is_not_there(name):
    loss, args, formula = CASES[name]
    where = np.array([True, False, True])
    s, t = single(args)
    if name == "binary":
        s, t, where = s[None, :, :1], t[None, :, :1], where[None]
        args = [x[None, :, :1] for x in args]
    got, slope = run(loss, s.at[:, 1].set(NAN), t.at[:, 1].set(NAN), where=where)
    want = formula(*(np.delete(x, 1, 1) for x in args))
    near(got, np.squeeze(want, -1) if name == "binary" else want)
    assert not np.any(slope[:, 1])
    assert np.all(np.isfinite(slope))


def test_the_axes_are_free():
    x, t, n = single([X, T, N])
    functions = losses.cosine_similarity, losses.kl_divergence

    @jax.jit
    def found(x, y):
        cube = x.reshape(2, 3, 4), y.reshape(2, 3, 4)
        flat = [a.swapaxes(0, 1).reshape(3, 8) for a in cube]
        return [
            *((f(x, y, axis=0), f(x.T, y.T)) for f in functions),
            *((f(x, y, axis=None), f(x.ravel(), y.ravel())) for f in functions),
            *((f(*cube, axis=(0, 2)), f(*flat)) for f in functions),
        ]

    for ours, theirs in found(x, jnp.abs(t)):
        near(ours, theirs)
    triplet = partial(losses.triplet_margin_loss, axis=0)
    near(run(triplet, x.T, t.T, n.T)[0], triplets(X, T, N))
    smooth = partial(losses.smooth_labels, axis=None)
    near(run(smooth, x, 0.5)[0], 0.5 * X + 0.5 / 24)


def test_what_is_reduced_and_how():
    w, where = np.arange(4.0), np.arange(6) > 3
    each = -np.sum(P * w * np.log(softmax(X)), -1)

    @jax.jit
    def ranked(x, y):
        rank = partial(losses.ranking_softmax_loss, x, y, weights=w)
        one_by_one = rank(reduce_fn=None), rank(reduce_fn=None, where=where)
        return *one_by_one, rank(reduce_fn=jnp.sum), rank(where=where)

    wanted = each, np.where(where, each, 0), each.sum(), each[where].mean()
    for ours, want in zip(ranked(*single([X, P])), wanted, strict=True):
        near(ours, want)

    @jax.jit
    def diced(s, t):
        dice = losses.dice_loss
        return (
            dice(s, t, reduction="none"),
            dice(s, t, reduction="sum"),
            dice(s, t, class_weights=w, ignore_background=True),
            dice(jax.nn.softmax(s), t, apply_softmax=False),
            dice(s, t, axis=(0, 1)),
            dice(s[..., :1], t[..., 0]),
        )

    each = overlaps(softmax(POINTS), REGIONS)
    wanted = (
        each,
        each.sum(-1),
        (each * w)[:, 1:].mean(-1),
        each.mean(-1),
        dice(*(a.reshape(1, 6, 4) for a in (POINTS, REGIONS)))[0],
        binary(POINTS, REGIONS)[..., 0],
    )
    for ours, want in zip(diced(*single([POINTS, REGIONS])), wanted, strict=True):
        near(ours, want)


def test_a_fenchel_young_loss_hands_arguments_on():
    def hottest(s, key, *, scale):
        return scale * jnp.max(s + jax.random.normal(key, s.shape))

    key = jax.random.key(0)
    x, y = single([X, P])
    loss = losses.make_fenchel_young_loss(hottest)(
        x.reshape(2, 3, 4), y.reshape(2, 3, 4), key, scale=2.0
    )
    noise = jax.random.normal(key, (4,))
    want = 2 * np.max(x + noise, -1) - np.sum(X * P, -1)
    near(loss, want.reshape(2, 3))
