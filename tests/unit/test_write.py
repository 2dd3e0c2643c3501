"""Parameters of 16 bits: what each policy writes, keeps, costs, and refuses."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

import gradtx
from gradtx.precision.rounding import joined, parted, rounded
from gradtx.precision.write import POLICIES

BF16, F16 = ml_dtypes.bfloat16, np.float16
KEPT = {"master": 4, "kahan": 2, "residual": 1, "stochastic": 0}  # bytes a parameter
SGD = gradtx.sgd(1e-3)


def every(dtype):
    """All numbers of 16 bits."""
    return np.arange(2**16, dtype=np.uint16).view(dtype)


def neighbours(x, dtype):
    """In float64 the numbers of dtype below and above x, found by searching all."""
    with np.errstate(invalid="ignore"):  # NaN
        known = every(dtype).astype(np.float64)
    known = np.unique(known[np.isfinite(known)])
    below = np.clip(np.searchsorted(known, x, side="right") - 1, 0, len(known) - 1)
    above = np.clip(np.searchsorted(known, x), 0, len(known) - 1)
    return known[below], known[above]


def between(dtype):
    """Float32 numbers of every size that dtype has, with and without their own."""
    own = every(dtype).astype(np.float32)
    random = np.random.default_rng(0).integers(0, 2**32, 2**16, dtype=np.uint32)
    inside = random.view(np.float32)
    limit = np.float32(ml_dtypes.finfo(dtype).max)
    with np.errstate(invalid="ignore", over="ignore"):
        tied = own + (np.nextafter(own.astype(dtype), dtype(np.inf)) - own) / 2
        scaled = np.where(np.abs(inside) > limit, inside % 1, inside)
    x = np.concatenate([own, tied.astype(np.float32), scaled.astype(np.float32)])
    return x[np.isfinite(x) & (np.abs(x) <= limit)]


@pytest.mark.parametrize("dtype", [BF16, F16])
def test_to_the_nearest_is_what_numpy_does(dtype):
    x = between(dtype)
    found = np.asarray(jax.jit(rounded, static_argnums=1)(x, dtype))
    assert np.array_equal(
        found.view(np.uint32), x.astype(dtype).astype(np.float32).view(np.uint32)
    )


@pytest.mark.parametrize("dtype", [BF16, F16])
def test_at_random_it_is_a_neighbour_with_the_right_probability(dtype):
    x = between(dtype)
    below, above = neighbours(x.astype(np.float64), dtype)
    exact = np.asarray(x, np.float64)
    cut = 2**16 if dtype is BF16 else 2**13
    program = jax.jit(rounded, static_argnums=1)
    for share in (0.0, 0.25, 0.75, 1 - 1 / cut):
        bits = np.full(x.shape, int(share * 2**32), np.uint32)
        found = np.asarray(program(x, dtype, bits), np.float64)
        # It goes away from zero if the distance and the share are one at least.
        near, far = np.where(exact < 0, above, below), np.where(exact < 0, below, above)
        gap = np.where(far == near, 1, far - near)
        away = (exact - near) / gap + share >= 1
        # Of float16's denormals 2^-21 of a step is left out.
        sure = np.abs((exact - near) / gap + share - 1) > (0 if dtype is BF16 else 1e-6)
        expected = np.where(away, far, near)
        assert np.array_equal(found[sure], expected[sure])


@pytest.mark.parametrize("dtype", [BF16, F16])
def test_no_finite_number_becomes_infinite_and_the_others_stay(dtype):
    most = float(ml_dtypes.finfo(dtype).max)
    top = np.float32(3.4028235e38 if dtype is BF16 else 65535.996)
    x = np.array([top, -top, np.inf, -np.inf, np.nan], np.float32)
    for bits in (None, jnp.full(5, 2**32 - 1, jnp.uint32)):
        found = np.asarray(rounded(jnp.asarray(x), dtype, bits))
        assert np.array_equal(found, [most, -most, *x[2:]], equal_nan=True)


def test_a_bfloat16_and_8_bits_are_the_upper_24_bits_of_a_float():
    x = between(BF16)
    for share in (0, 2**31):
        bits = np.full(x.shape, share, np.uint32)
        p, left = jax.jit(parted)(x, bits)
        size = x.view(np.uint32).astype(np.int64) & 0x7FFFFFFF
        fine = (size + (share >> 24)) // 256 * 256
        sign = x.view(np.uint32) & 0x80000000
        whole = (np.minimum(fine, 0x7F7F7F00) | sign).astype(np.uint32)
        assert np.array_equal(np.asarray(joined(p, left)).view(np.uint32), whole)
        assert np.array_equal(np.asarray(p).astype(BF16).astype(np.float32), p)
        away = np.abs(np.asarray(p, np.float64) - whole.view(np.float32))
        below, above = neighbours(whole.view(np.float32).astype(np.float64), BF16)
        assert np.all(away <= (above - below) / 2)
    special = jnp.array([jnp.inf, -jnp.inf, jnp.nan])
    p, left = parted(special, jnp.zeros(3, jnp.uint32))
    assert np.array_equal(joined(p, left), special, equal_nan=True)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_a_step_of_a_thousandth_is_not_lost(policy, dtype):
    if policy == "residual" and dtype == jnp.float16:
        return
    tx = gradtx.write(SGD, policy)
    params = jnp.ones((64, 64), dtype)
    state = tx.init(params)
    assert sum(x.nbytes for x in jax.tree.leaves(state)) == 64 * 64 * KEPT[policy] + 4
    step = jax.jit(tx.step, donate_argnums=(1, 2))
    for _ in range(100):
        params, state = step(jnp.ones((64, 64)), state, params)
    found = np.asarray(params, np.float64)
    if policy == "stochastic":
        # 100 steps by nothing or 1/256 (1/2048): a variance of .0039^2 / 5.2 each, and
        # a mean over 32 places that are drawn by themselves; four times its deviation.
        assert abs(found.mean() - 0.9) < 4 * 0.0039 * (100 / 5.2) ** 0.5 / 32**0.5
        assert len(np.unique(found)) > 5
    else:
        assert np.array_equal(found, np.full((64, 64), dtype(0.9)).astype(np.float64))


@pytest.mark.parametrize("policy", POLICIES)
def test_with_nothing_to_add_every_number_stays_as_it_is(policy):
    params = jnp.asarray(every(BF16))
    tx = gradtx.write(SGD, policy)
    new, _ = jax.jit(tx.step)(jnp.zeros(2**16), tx.init(params), params)
    given, found = every(BF16).view(np.uint16), np.asarray(new).view(np.uint16)
    is_nan = (given & 0x7FFF) > 0x7F80  # may be another NaN then
    assert np.array_equal(given[~is_nan], found[~is_nan])
    assert np.all((found[is_nan] & 0x7FFF) > 0x7F80)


@pytest.mark.parametrize("policy", ["kahan", "residual"])
def test_nothing_is_simplified_away_in_a_compiled_step(policy):
    rng = np.random.default_rng(0)
    tx = gradtx.write(SGD, policy)
    params = jnp.asarray(rng.normal(size=(128, 64)), jnp.bfloat16)
    state = tx.init(params)
    step = jax.jit(tx.step, donate_argnums=(1, 2))

    def held(params, state):
        p = params.astype(jnp.float32)
        if policy == "residual":
            return np.asarray(joined(p, state.kept), np.float64)
        return np.asarray(p, np.float64) + np.asarray(state.kept, np.float64)

    for _ in range(5):
        grads = rng.normal(size=params.shape).astype(np.float32)
        exact = held(params, state) - np.float64(np.float32(1e-3)) * grads
        params, state = step(grads, state, params)
        # A step of 24 bits is 2^-15 of a number, that of the 8 bits of an error of
        # 2^-9 is 2^-16: and where a number changes its power of two, twice as much.
        assert np.all(np.abs(held(params, state) - exact) <= 2.0**-14 * np.abs(exact))


def test_update_leads_to_what_step_writes():
    params = {"w": jnp.linspace(-2, 2, 64, dtype=jnp.bfloat16), "wide": jnp.ones(3)}
    grads = jax.tree.map(lambda p: jnp.cos(p.astype(jnp.float32)), params)
    for policy in POLICIES:
        tx = gradtx.write(gradtx.adamw(1e-3), policy)
        state = tx.init(params)
        assert state.kept["wide"] is None
        updates, after = tx.update(grads, state, params)
        new, stepped = tx.step(grads, state, params)
        found = gradtx.apply_updates(params, updates)
        pairs = zip(
            jax.tree.leaves((found, after)),
            jax.tree.leaves((new, stepped)),
            strict=True,
        )
        assert all(np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(
    ("inner", "around"),
    [
        (gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adamw(1e-3)), None),
        (gradtx.quantize_state(gradtx.adamw(1e-3)), None),
        (gradtx.adamw(1e-3), gradtx.quantize_state),
        (gradtx.MultiSteps(gradtx.adamw(1e-3), 2), None),
        (gradtx.adamw(1e-3), lambda tx: gradtx.MultiSteps(tx, 2)),
    ],
    ids=["clip", "quantized", "quantize", "every_two", "MultiSteps"],
)
def test_around_others_and_within_them_and_on_after_a_stop(inner, around):
    tx = gradtx.write(inner, "residual")
    tx = around(tx) if around else tx
    params = jnp.ones((64, 64), jnp.bfloat16)
    state, step = tx.init(params), jax.jit(tx.step)
    for _ in range(4):
        params, state = step(jnp.ones((64, 64)), state, params)
    assert 0.994 < params[0, 0] < 1.0  # 2 or 4 steps of a thousandth
    leaves, treedef = jax.tree.flatten((state, params))
    again = treedef.unflatten([jnp.asarray(np.asarray(x)) for x in leaves])
    one = step(jnp.ones((64, 64)), state, params)
    two = step(jnp.ones((64, 64)), *again)
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(
    ("policy", "most"),
    # What a parameter and its rest are made of, the old values of both: XLA keeps one.
    [("master", 0), ("stochastic", 0), ("kahan", 2), ("residual", 2)],
)
def test_temporaries_of_a_step(policy, most):
    tx = gradtx.write(gradtx.adamw(1e-3), policy)
    params = jax.ShapeDtypeStruct((256, 256), jnp.bfloat16)
    state = jax.eval_shape(tx.init, params)
    program = jax.jit(tx.step, donate_argnums=(1, 2)).lower(params, state, params)
    memory = program.compile().memory_analysis()
    assert memory is not None
    assert memory.temp_size_in_bytes <= most * params.size + 256


def test_refusals():
    half = {"w": jnp.ones(2, jnp.float16)}
    with pytest.raises(
        TypeError, match=r"'residual' is for bfloat16.*\['w'\] is float16"
    ):
        gradtx.write(SGD, "residual").init(half)
    with pytest.raises(ValueError, match="policy must be"):
        gradtx.write(SGD, "nearest")
    with pytest.raises(ValueError, match="it comes once and last"):
        gradtx.write(gradtx.write(SGD, "kahan"), "kahan")
    with pytest.raises(ValueError, match="it comes once and last; behind it is scale"):
        gradtx.chain(gradtx.write(SGD, "kahan"), gradtx.scale(2.0))
    inside = gradtx.MultiSteps(gradtx.write(SGD, "kahan"), 2)
    with pytest.raises(ValueError, match="a policy inside already"):
        gradtx.write(inside, "master").init(half)
    tx = gradtx.write(SGD, "kahan")
    with pytest.raises(ValueError, match="needs params"):
        tx.update(half, tx.init(half))
