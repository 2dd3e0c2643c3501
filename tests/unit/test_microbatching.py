"""By micro-batches: the whole batch's numbers, in less memory."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx
from gradtx.microbatching import (
    AccumulationType as Kind,
    Accumulator,
    microbatch,
    reshape_batch_axis,
)

X = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)


def parts(n, x=X):
    """The micro-batches of a batch in the order that they come."""
    return [x[i::n] for i in range(n)]


def many(x):
    return {"each": x * 2, "sum": x.sum(0), "mean": x.mean(0), "top": x.max()}


KINDS = {"each": Kind.CONCAT, "sum": Kind.SUM, "mean": Kind.MEAN, "top": Kind.CONCAT}


@pytest.mark.parametrize("size", [1, 3, 4, 12, None])
@pytest.mark.parametrize("mean", [Kind.MEAN, Kind.RUNNING_MEAN])
def test_results_are_those_of_the_whole_batch(mean, size):
    found = jax.jit(microbatch(many, 0, size, KINDS | {"mean": mean}))(X)
    np.testing.assert_array_equal(found["each"], 2 * X)
    # Sums over twelve numbers, in another order.
    np.testing.assert_allclose(found["sum"], X.sum(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["mean"], X.mean(0), rtol=1e-5, atol=1e-6)
    tops = X.max() if size is None else [x.max() for x in parts(12 // size)]
    np.testing.assert_array_equal(found["top"], tops)
    assert {x.dtype.name for x in found.values()} == {"float32"}


@pytest.mark.parametrize("size", [2, None])
@pytest.mark.parametrize("kind", ["MEAN", "SUM", "CONCAT"])
def test_numbers_are_optaxs(kind, size):
    def run(lib):
        module = lib.microbatching
        kinds = getattr(module.AccumulationType, kind)
        cut = module.reshape_batch_axis({"x": X, "none": None}, 4, 0)
        return module.microbatch(many, 0, size, kinds)(X), cut

    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6, atol=1e-6),
        run(gradtx),
        run(optax),
    )


def test_any_arguments_any_axes_and_trees():
    def fun(scale, batch, *, other, constant):
        assert batch["none"] is None
        return scale * (batch["x"] * other.T).sum() + constant

    batch = {"x": X, "none": None}
    run = microbatch(fun, -1, 4, argnames="other", in_axes=(0, -1))
    found = run(2.0, batch, other=X.T, constant=1.0)
    np.testing.assert_allclose(found, 2 * (X**2).sum() + 3, rtol=1e-6)
    keys = jax.random.split(jax.random.key(0), 12)
    drawn = microbatch(jax.vmap(jax.random.normal), 0, 4, Kind.CONCAT)(keys)
    np.testing.assert_array_equal(drawn, jax.vmap(jax.random.normal)(keys))
    assert microbatch(lambda x: (None, x.sum()), 0, 4)(X)[0] is None


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("mean", [Kind.MEAN, Kind.RUNNING_MEAN])
def test_the_first_ones_alone(mean, traced):
    def run(n):
        f = microbatch(many, 0, 3, KINDS | {"mean": mean}, num_real_microbatches=n)
        return f(X)

    found = jax.jit(run)(3) if traced else run(3)
    there, left_out = np.concatenate(parts(4)[:3]), np.arange(12) % 4 == 3
    np.testing.assert_allclose(found["mean"], there.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["sum"], there.sum(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found["each"][left_out], 0)
    np.testing.assert_array_equal(found["each"][~left_out], 2 * X[~left_out])


def test_one_program_for_any_number():
    traces = []

    def fun(x):
        traces.append(1)
        return x.sum()

    @jax.jit
    def run(n):
        return microbatch(fun, 0, 2, num_real_microbatches=n)(X[:, 0])

    sums = [run(n) for n in range(8)]
    expected = [sum(x.sum() for x in parts(6, X[:, 0])[:n]) for n in range(7)]
    np.testing.assert_allclose(sums, [*expected, expected[-1]], rtol=1e-5, atol=1e-6)
    assert len(traces) == 2  # for the shapes, and in the loop


def test_sums_are_kept_in_float32():
    ones = jnp.ones(1024, jnp.bfloat16)
    total = microbatch(jnp.sum, 0, 1, Kind.SUM)(ones)
    assert total.dtype == jnp.bfloat16
    assert total == 1024  # a bfloat16 sum stops at 256
    mean = microbatch(jnp.mean, 0, 1, Kind.MEAN)(jnp.full(64, 4e4, jnp.float16))
    assert mean == jnp.float16(4e4)  # a float16 sum is infinite from the second on
    small = microbatch(lambda x: x[0], 0, 1, Kind.SUM)(jnp.full(4, 100, jnp.int8))
    assert (small, small.dtype) == (400, jnp.int32)
    double = microbatch(jnp.sum, 0, 2, Kind.RUNNING_MEAN)(jnp.array([1 + 1j, 2, 3, 4j]))
    np.testing.assert_allclose(double, 3 + 2.5j)


WEIGHTS = np.array([3, 0, 1, 0, 7, 2])


@pytest.mark.parametrize("kind", [Kind.MEAN, Kind.RUNNING_MEAN])
@pytest.mark.parametrize("size", [1, 2, None])
def test_a_mean_by_weights_is_one_over_all_tokens(kind, size):
    lengths = np.where(np.arange(12) < 6, np.tile(WEIGHTS, 2), 0)
    mask = jnp.arange(8) < jnp.asarray(lengths)[:, None]
    x = jnp.asarray(np.random.default_rng(1).normal(size=(12, 8)), jnp.float32)

    def mean(params, x, mask):  # NaN without a token
        return (params * x**2 * mask).sum() / mask.sum()

    def tokens(params, x, mask):
        return mask.sum()

    grad = jax.value_and_grad(mean)
    found = jax.jit(microbatch(grad, (1, 2), size, kind, weight=tokens))(2.0, x, mask)
    np.testing.assert_allclose(found, grad(2.0, x, mask), rtol=1e-5)
    if size == 1:
        plain = microbatch(grad, (1, 2), 1, kind)(2.0, x, mask)
        assert np.isnan(plain[0])  # since some micro-batches have no token
        none = microbatch(grad, (1, 2), 1, kind, weight=lambda *a: 0.0)(2.0, x, mask)
        np.testing.assert_array_equal(none, 0)


def test_sums_beside_a_weighted_mean_are_plain():
    kinds = Kind.MEAN, Kind.SUM
    run = microbatch(lambda x: (x.mean(), x.sum()), 0, 2, kinds, weight=lambda x: x[0])
    x = jnp.array([1.0, 3.0, 5.0, 7.0])  # (1, 5) with weight 1, (3, 7) with weight 3
    np.testing.assert_allclose(run(x), ((3 + 3 * 5) / 4, 16))


def test_an_accumulator_of_ones_own():
    seen = []
    last = Accumulator(
        init=lambda x: (seen.append((x.shape, x.dtype)), jnp.zeros(x.shape))[1],
        update=lambda carry, value, index: jnp.where(index == 1, value, carry),
        finalize=lambda carry: -carry,
        aggregate=lambda values: values[0],
    )
    found = microbatch(lambda x: x.sum(0), 0, 3, last)(X)
    np.testing.assert_allclose(found, -X[1::4].sum(0), rtol=1e-5, atol=1e-6)
    assert seen == [((3,), jnp.float32)]


def train(w, x, y):
    h = jnp.tanh(x @ w["in"])
    return jnp.mean((h @ w["out"] - y) ** 2)


def test_memory_falls_with_the_number_of_micro_batches():
    batch, width = 256, 64
    w = {"in": jnp.ones((16, width)), "out": jnp.ones((width, 1))}
    x, y = jnp.ones((batch, 16)), jnp.ones((batch, 1))
    memory, values = {}, {}
    for n in (1, 4, 16):
        run = jax.jit(
            microbatch(jax.value_and_grad(train), (1, 2), batch // n, Kind.MEAN)
        )
        compiled = run.lower(w, x, y).compile()
        memory[n] = compiled.memory_analysis().temp_size_in_bytes
        values[n] = compiled(w, x, y)
    held = 4 * batch * width  # bytes of the hidden layer for the whole batch
    assert memory[1] > held
    # A part of it each time, and what is accumulated beside: two gradients.
    gradient = 4 * sum(p.size for p in w.values())
    for n in (4, 16):
        assert memory[n] < memory[1] / n + 2 * gradient + 1024
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5),
            values[n],
            values[1],
        )


def test_reshaping_keeps_the_parts_of_devices():
    x = np.arange(24).reshape(2, 12)
    found = reshape_batch_axis(x, 4, axis=-1)
    assert found.shape == (2, 3, 4)
    for i in range(3):
        np.testing.assert_array_equal(found[:, i], x[:, i::3])


def test_under_shard_map_each_device_has_its_own():
    P = jax.sharding.PartitionSpec
    mesh = jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    run = microbatch(many, 0, 3, KINDS)
    mapped = jax.shard_map(run, mesh=mesh, in_specs=P("data"), out_specs=P("data"))
    found = jax.jit(mapped)(X)
    np.testing.assert_allclose(found["sum"], X.sum(0), rtol=1e-5, atol=1e-6)


def raises(kind, match):
    return pytest.raises(kind, match=match)


def test_mistakes_are_told():
    f = functools.partial(microbatch, many)
    with raises(ValueError, "12 cannot be divided into micro-batches of 5"):
        f(0, 5)(X)
    with raises(ValueError, "microbatch_size must be a whole number, at least 1"):
        f(0, 0)
    with raises(ValueError, r"the batch of args\[0\] is empty"):
        f(0, 2)(X[:0])
    with raises(
        ValueError, r"args\[0\]\['a'\] has a batch of 12, args\[0\]\['b'\] .* 3"
    ):
        f(0, 2)({"a": X, "b": X[:3]})
    with raises(ValueError, r"args\[0\] has shape \(\), and no batch axis 0"):
        f(0, 2)(1.0)
    with raises(ValueError, r"no array in args\[0\], and so no batch"):
        f(0, 2)(None)
    with raises(ValueError, "no argument 1 of argnums among the 1"):
        f(1, 2)(X)
    with raises(ValueError, "'y' of argnames was not given by keyword"):
        f(0, 2, argnames="y")(X)
    with raises(ValueError, "name no argument"):
        f((), 2)
    with raises(ValueError, "in_axes has 2 axes for 1 arguments"):
        f(0, 2, in_axes=(0, 1))
    with raises(ValueError, "num_real_microbatches is 7, of 6"):
        f(0, 2, num_real_microbatches=7)(X)
    with raises(ValueError, "num_real_microbatches needs a microbatch_size"):
        f(0, None, num_real_microbatches=1)
    with raises(ValueError, "weight is for means, and accumulator has none"):
        f(0, 2, weight=lambda x: 1)(X)
    with raises(ValueError, r"weight\(...\) must be a scalar"):
        f(0, 2, Kind.MEAN, weight=lambda x: x)(X)
    with raises(
        TypeError, r"accumulator must be .* got 'sum' for the result\['each'\]"
    ):
        f(0, 2, "sum")(X)
    with raises(TypeError, "the result is int32, of which there is no mean"):
        microbatch(jnp.sum, 0, 2, Kind.MEAN)(jnp.arange(4))
    with raises(ValueError, "microbatch: accumulator"):
        f(0, 2, {"each": Kind.SUM})(X)
