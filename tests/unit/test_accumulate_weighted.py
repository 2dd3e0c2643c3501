"""`MultiSteps` whose micro-batches have weights: the mean over all tokens."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import MultiSteps, adamw, sgd

NAN = np.nan

# Gradients and weights of micro-batches, in cycles of two.
CASES = {
    "lengths that differ": [(1.0, 3), (5.0, 1), (2.0, 7), (-4.0, 2)],
    "one without a token": [(1.0, 3), (5.0, 0), (2.0, 0), (-4.0, 2)],
    "one without a token is NaN": [(1.0, 3), (NAN, 0), (NAN, 0), (-4.0, 2)],
    "a cycle without any": [(1.0, 3), (5.0, 1), (NAN, 0), (9.0, 0), (2.0, 3), (1.0, 1)],
    "a rejected one": [(1.0, 3), (NAN, 9), (5.0, 1), (NAN, 5), (2.0, 7), (-4.0, 2)],
    "numbers that are not whole": [(1.0, 0.25), (5.0, 0.5), (2.0, 1e-3), (-4.0, 1e3)],
}


def reference(batches, k, momentum=0.5, mean=True):
    """SGD with momentum of the weighted means, in float64; and which calls moved it.

    A micro-batch with a weight whose gradient is NaN is rejected.
    """
    kept = [i for i, (g, w) in enumerate(batches) if w == 0 or not np.isnan(g)]
    p = v = 0.0
    moved = []
    for i in range(0, len(kept) - len(kept) % k, k):
        some = [batches[j] for j in kept[i : i + k] if batches[j][1] > 0]
        if some:
            total = sum(w for _, w in some)
            g = sum(w * g for g, w in some) / (total if mean else 1)
            v = momentum * v + g
            p -= v
            moved.append(kept[i + k - 1])
    return p, moved


def not_finite(updates, step, params):
    """Rejects a NaN with a weight: those without are NaN in all entries but one."""
    del step, params
    return jnp.isnan(updates["flag"]), {"should_skip": jnp.isnan(updates["flag"])}


@pytest.mark.parametrize("way", ["update", "step"])
@pytest.mark.parametrize("mean", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_the_mean_is_over_all_weights(case, mean, way):
    rule = not_finite if "rejected" in case else None
    tx = MultiSteps(sgd(1.0, momentum=0.5), 2, mean, rule, weighted=True)
    params = {"a": jnp.zeros(2), "flag": jnp.zeros(())}
    state, moved = tx.init(params), []

    @jax.jit
    def one(grads, state, params, weight):
        if way == "step":
            return tx.step(grads, state, params, weight=weight)
        updates, state = tx.update(grads, state, params, weight=weight)
        return gradtx.apply_updates(params, updates), state

    for i, (g, w) in enumerate(CASES[case]):
        grads = {"a": jnp.full(2, g), "flag": jnp.array(g if w else 0.0)}
        before = params
        params, state = one(grads, state, params, jnp.float32(w))
        if tx.has_updated(state):
            moved.append(i)
        else:
            np.testing.assert_array_equal(params["a"], before["a"])
    expected, steps = reference(CASES[case], 2, mean=mean)
    # Some ten roundings in float32.
    np.testing.assert_allclose(params["a"], expected, rtol=1e-6)
    assert moved == steps
    assert state.gradient_step == len(steps)


def test_it_is_the_gradient_of_the_mean_over_all_tokens():
    """A language model in small: sequences of different lengths, padded."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(4, 6, 5)), jnp.float32)
    labels = jnp.asarray(rng.integers(7, size=(4, 6)))
    mask = jnp.arange(6) < jnp.array([6, 1, 3, 2])[:, None]
    params = jnp.asarray(rng.normal(size=(5, 7)), jnp.float32)

    def mean_loss(params, x, labels, mask):
        loss = gradtx.softmax_cross_entropy_with_integer_labels(x @ params, labels)
        return (loss * mask).sum() / mask.sum()

    whole, _ = sgd(1.0).step(
        jax.grad(mean_loss)(params, x, labels, mask), sgd(1.0).init(params), params
    )

    def run(tx, **weights):
        def body(carry, part):
            extra = {key: fn(part[2]) for key, fn in weights.items()}
            grads = jax.grad(mean_loss)(params, *part)
            return tx.step(grads, carry[1], carry[0], **extra), None

        parts = x[:, None], labels[:, None], mask[:, None]
        return jax.lax.scan(body, (params, tx.init(params)), parts)[0][0]

    found = run(MultiSteps(sgd(1.0), 4, weighted=True), weight=jnp.sum)
    np.testing.assert_allclose(found, whole, rtol=1e-5, atol=1e-6)  # float32 sums
    plain = run(MultiSteps(sgd(1.0), 4))  # what goes wrong without weights
    assert np.abs(plain - whole).max() > 0.01


def test_state_is_a_fixed_point_and_scans_in_bfloat16():
    tx = MultiSteps(adamw(0.1), 2, weighted=True)
    params = {"w": jnp.ones(3, jnp.bfloat16), "b": None, "n": jnp.arange(2)}
    grads = {"w": jnp.ones(3, jnp.bfloat16), "b": None, "n": None}

    def body(carry, weight):
        return tx.step(grads, carry[1], carry[0], weight=weight)[::1], None

    start = params, tx.init(params)
    (params, state), _ = jax.lax.scan(body, start, jnp.array([1, 0, 5, 2, 3]))
    assert jax.tree.map(jnp.result_type, state) == jax.tree.map(
        jnp.result_type, start[1]
    )
    assert state.weight.dtype == jnp.float32
    assert (state.weight, state.gradient_step, state.mini_step) == (3, 2, 1)
    leaves = jax.tree.leaves(tx.init(params))
    assert len({x.unsafe_buffer_pointer() for x in leaves}) == len(leaves)


def test_a_leaf_without_a_gradient_is_zero_in_the_mean():
    tx = MultiSteps(sgd(1.0), 2, weighted=True)
    params = {"a": jnp.zeros(2), "b": jnp.zeros(2)}
    state = tx.init(params)
    for g, w in ((6.0, 1.0), (None, 2.0)):
        grads = {"a": None if g is None else jnp.full(2, g), "b": jnp.ones(2)}
        params, state = tx.step(grads, state, params, weight=w)
    np.testing.assert_allclose(params["a"], -2.0)
    np.testing.assert_allclose(params["b"], -1.0)


def test_without_weights_there_is_nothing_of_them():
    state = MultiSteps(sgd(1.0), 2).init(jnp.ones(2))
    assert state.weight == ()
    assert len(jax.tree.leaves(state)) == 3


def test_a_step_between_moves_twelve_bytes():
    inner, params = gradtx.adam(1e-3), {"w": jnp.ones((512, 512))}

    def cost(tx, **extra):
        def train(params, state, grads, extra):
            return tx.step(grads, state, params, **extra)

        step = jax.jit(train, donate_argnums=(0, 1))
        compiled = step.lower(params, tx.init(params), params, extra).compile()
        return compiled.cost_analysis()["bytes accessed"], compiled.memory_analysis()

    more, memory = cost(MultiSteps(inner, 4, weighted=True), weight=jnp.float32(3))
    # As without weights: gradient and accumulator read, the accumulator written.
    assert (more - cost(inner)[0]) / 512**2 < 12.1
    assert memory.temp_size_in_bytes < 0.1 * 512**2


def test_extra_arguments_go_on_without_the_weight():
    @gradtx.transformation
    def times_value():
        def update(updates, state, params=None, **extra):
            assert set(extra) == {"value"}
            return jax.tree.map(lambda g: g * extra["value"], updates), state

        return lambda params: gradtx.EmptyState(), update

    tx = gradtx.chain(gradtx.clip(10.0), MultiSteps(times_value(), 1, weighted=True))
    updates, _ = tx.update(1.0, tx.init(1.0), 1.0, weight=4, value=3.0)
    assert updates == 3.0


@gradtx.transformation
def token_weighted():
    """With a weight for every micro-batch; at the top, so that it pickles."""
    inner = MultiSteps(sgd(0.1, momentum=0.9), 2, weighted=True)

    def update(updates, state, params=None):
        return inner.update(updates, state, params, weight=3.0)

    def step(updates, state, params):
        return inner.step(updates, state, params, weight=3.0)

    return inner.init, update, step


def test_it_conforms():
    # As without weights: what is None in the second of two has had the first's.
    skip = ["passes_missing_leaves_by"]
    gradtx.testing.check_transformation(token_weighted, skip=skip)


def test_mistakes_are_told():
    params = jnp.ones(2)
    tx, plain = MultiSteps(sgd(1.0), 2, weighted=True), MultiSteps(sgd(1.0), 2)
    state = tx.init(params)
    with pytest.raises(ValueError, match="MultiSteps needs weight: call update"):
        tx.step(params, state, params)
    with pytest.raises(ValueError, match="weight must be at least 0 and finite, got"):
        tx.step(params, state, params, weight=-1)
    with pytest.raises(ValueError, match=r"weight must be a scalar, .* shape \(2,\)"):
        tx.step(params, state, params, weight=jnp.ones(2))
    with pytest.raises(ValueError, match=r"MultiSteps: weight= .*weighted=True"):
        plain.step(params, plain.init(params), params, weight=1)
    with pytest.raises(ValueError, match="weight_axes='data' is for weights"):
        MultiSteps(sgd(1.0), 2, weight_axes="data")
    lost = MultiSteps(sgd(1.0), 2, weighted=True, weight_axes="data")
    with pytest.raises(ValueError, match="there is no axis 'data'"):
        lost.step(params, lost.init(params), params, weight=1)
