"""The cross entropy by chunks of a vocabulary: numbers of the whole, less memory."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradtx import losses

chunked = losses.chunked_softmax_cross_entropy
whole = losses.softmax_cross_entropy_with_integer_labels
RNG = np.random.default_rng(5)
H, E = RNG.normal(size=(2, 3, 4)), RNG.normal(size=(10, 4))
Y = np.array([[0, 9, 4], [3, 8, 7]])
SLOPE = RNG.normal(size=Y.shape)
near = partial(np.testing.assert_allclose, rtol=3e-6, atol=1e-6)
# A few roundings of float64, and of sums in another order.
exact = partial(np.testing.assert_allclose, rtol=1e-12, atol=1e-13)


def formula(h, e, y=Y, z_loss=0.0):
    s = h @ e.T
    log_z = np.log(np.exp(s).sum(-1))
    own = np.take_along_axis(s, y[..., None], -1)[..., 0]
    return log_z - own + z_loss * log_z**2


@partial(jax.jit, static_argnames="chunk_size")
def run(h, e, y, **options):
    """The losses and both gradients of their weighted sum."""
    out, pull = jax.vjp(lambda h, e: chunked(h, e, y, **options), h, e)
    return out, *pull(jnp.asarray(SLOPE, out.dtype))


def single(*arrays):
    return [jnp.asarray(x, jnp.float32) for x in arrays]


@pytest.mark.parametrize("size", [1, 4, 5, 10, 4096])  # 4 does not divide 10
def test_same_numbers_and_gradients_as_the_whole(size):
    z = 0.3
    with jax.enable_x64(True):
        got = run(jnp.asarray(H), jnp.asarray(E), Y, chunk_size=size, z_loss=z)

        def loss(h, e):
            return whole(h @ e.T, Y, z_loss=z)

        want, pull = jax.vjp(loss, jnp.asarray(H), jnp.asarray(E))
        want = want, *pull(jnp.asarray(SLOPE))
    for x, y in zip(got, want, strict=True):
        exact(x, y)
    exact(got[0], formula(H, E, z_loss=z))


def test_the_gradients_are_central_differences():
    with jax.enable_x64(True):
        found = run(jnp.asarray(H), jnp.asarray(E), Y, chunk_size=4)
    _, to_h, to_e = map(np.asarray, found)
    h = 1e-6
    for x, slope in [(H, to_h), (E, to_e)]:
        for step in h * np.eye(x.size).reshape(-1, *x.shape):
            up, down = (
                formula(H + s * step, E) if x is H else formula(H, E + s * step)
                for s in (1, -1)
            )
            want = np.sum(SLOPE * (up - down)) / (2 * h)
            # h**2 from the formula, 1e-16 / h from its rounding.
            np.testing.assert_allclose(np.sum(slope * step) / h, want, atol=2e-8)


def test_a_masked_token_is_not_there():
    kept, y = Y != 4, np.where(Y == 4, -1, Y)
    h, e = single(H, E)
    want = run(h, e, Y, chunk_size=4)
    only = run(h, e, Y, chunk_size=4, where=kept)
    got = run(h.at[0, 2].set(np.nan), e, y, chunk_size=4, where=kept)
    for x, y in zip(got, only, strict=True):
        np.testing.assert_array_equal(x, y)
    np.testing.assert_array_equal(got[0], np.where(kept, want[0], 0))
    np.testing.assert_array_equal(got[1], np.where(kept[..., None], want[1], 0))
    p = jax.nn.softmax(H[0, 2] @ E.T) - np.eye(10)[4]
    near(want[2] - got[2], SLOPE[0, 2] * p[:, None] * H[0, 2])


def test_a_label_that_is_no_class_gives_nan():
    for bad in (-1, 10):
        y = np.where(Y == 4, bad, Y)
        loss, to_h, _ = run(*single(H, E), y, chunk_size=4)
        np.testing.assert_array_equal(np.isnan(loss), Y == 4)
        np.testing.assert_array_equal(np.isnan(to_h).any(-1), Y == 4)


def test_extreme_logits():
    e = jnp.array([[1e4, 0.0], [-1e4, 0.0], [0.0, 1.0]])
    h, y = jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]), np.array([0, 1, 2])

    def loss(h, e):
        return chunked(h, e, y, chunk_size=2)

    @jax.jit
    def both(h, e):
        got, pull = jax.vjp(loss, h, e)
        return got, *pull(jnp.ones(3))

    got, to_h, to_e = both(h, e)
    near(got, [0, 2e4, np.log(3)])
    near(to_h, [[0, 0], [2e4, 0], [0, -2 / 3]])
    near(to_e, [[1, 0], [-1, 0], [0, 0]])


def test_half_precision_is_summed_in_float32():
    h, e = (jnp.asarray(x, jnp.bfloat16) for x in (H, E))
    got = run(h, e, Y, chunk_size=4)
    want = run(h.astype(jnp.float32), e.astype(jnp.float32), Y, chunk_size=4)
    assert got[0].dtype == jnp.float32
    assert got[1].dtype == got[2].dtype == jnp.bfloat16
    for x, y in zip(got, want, strict=True):
        # Products of bfloat16 are exact in float32; sums may be in another order.
        y = np.asarray(y.astype(x.dtype), np.float32)
        np.testing.assert_allclose(np.asarray(x, np.float32), y, rtol=1e-2, atol=1e-6)
    near(got[0], want[0])
    # Mixed: as JAX promotes.
    assert run(h, e.astype(jnp.float32), Y, chunk_size=4)[1].dtype == jnp.bfloat16


def test_products_with_the_hessian():
    h, e = single(H, E)
    y, by = Y, jnp.asarray(RNG.normal(size=H.shape), jnp.float32)

    def product(loss):
        grad = jax.grad(lambda h: loss(h).sum())
        return jax.jit(lambda h: jax.jvp(grad, (h,), (by,))[1])(h)

    near(
        product(lambda h: chunked(h, e, y, chunk_size=4)),
        product(lambda h: whole(h @ e.T, y)),
    )


def test_the_gradient_by_z_loss():
    h, e = single(H, E)
    by_z = jax.grad(lambda z: chunked(h, e, Y, z_loss=z, chunk_size=4).sum())
    got = jax.jit(by_z)(0.1)
    near(got, np.sum(np.log(np.exp(H @ E.T).sum(-1)) ** 2))


def peak(loss, tokens=512, classes=4096, features=8):
    """Temporary bytes of the compiled gradient, over what h and E need themselves."""
    arrays = [
        jax.ShapeDtypeStruct(shape, dtype)
        for shape, dtype in (
            ((tokens, features), jnp.float32),
            ((classes, features), jnp.float32),
            ((tokens,), jnp.int32),
        )
    ]
    step = jax.jit(jax.value_and_grad(lambda *x: loss(*x).mean(), (0, 1)))
    return step.lower(*arrays).compile().memory_analysis().temp_size_in_bytes


def test_memory_falls_with_the_chunk():
    small, large = (peak(partial(chunked, chunk_size=n)) for n in (128, 1024))
    all_at_once = peak(lambda h, e, y: whole(h @ e.T, y))
    logits = 4 * 512  # bytes of a class
    assert all_at_once >= 4096 * logits
    # The logits of a chunk and their gradient, and some of the size of h and E.
    assert large <= 3.5 * 1024 * logits
    assert small <= 3.5 * 128 * logits + 4 * 4 * 8 * 4096
    assert small < large / 3 < all_at_once / 6


P, L = jnp.ones((2, 4)), np.array([0, 1])
ERRORS = [
    (lambda: chunked(P, P.T, L), "embedding has shape (4, 2), hidden has (2, 4): they"),
    (lambda: chunked(P, P[0], L), "must be (classes, features) and (..., features)"),
    (lambda: chunked(P, P, L[:1]), "labels has shape (1,), hidden @ embedding.T "),
    (lambda: chunked(P, P[:0], L), "hidden @ embedding.T has no class"),
    (lambda: chunked(P, P, L * 1.0), "labels must be integers, got float"),
    (lambda: chunked(P, L, L), "embedding must be floating point, got int"),
    (lambda: chunked(P, P, L, chunk_size=0), "chunk_size must be a whole number, at"),
    (lambda: chunked(P, P, L, z_loss=-1.0), "z_loss must be at least 0 and finite"),
    (lambda: chunked(P, P, L, where=P > 0), "where has shape (2, 4), labels has (2,)"),
]


@pytest.mark.parametrize(("call", "text"), ERRORS)
def test_errors_say_what_is_wrong(call, text):
    with pytest.raises((TypeError, ValueError)) as error:
        call()
    assert text in f"{error.typename}: {error.value}"
