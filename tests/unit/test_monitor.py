"""snapshot, monitor and measure_with_ema: what they keep, of one type from init on."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx
from gradtx.testing import CHECKS
from gradtx.tree import norm

PARAMS = {"w": jnp.array([[1.0, -2.0], [3.0, 0.5]]), "b": jnp.array([0.5])}
GRADS = jax.tree.map(lambda p: 2 * p, PARAMS)


def large(updates):
    return norm(updates) > 1.0


def whole(updates):
    return updates


def watched(lib, norm):
    """The same chain of either library."""
    measures = {
        "norm": norm,
        "share": lib.measure_with_ema(lambda u: norm(u) > 0.5, 0.9),
        "raw": lib.measure_with_ema(norm, 0.5, debias=False),
    }
    return lib.chain(
        lib.sgd(0.1, momentum=0.9),
        lib.snapshot("before", norm),
        lib.monitor(measures),
        lib.clip_by_global_norm(0.5),
        lib.snapshot("after", norm),
    )


def test_the_numbers_are_optaxs():
    ours, theirs = watched(gradtx, norm), watched(optax, optax.tree.norm)
    states = [tx.init(PARAMS) for tx in (ours, theirs)]
    for i in range(4):
        grads = jax.tree.map(lambda g, i=i: g * (0.3 + np.sin(i)), GRADS)
        found = []
        for j, (lib, tx) in enumerate(((gradtx, ours), (optax, theirs))):
            updates, states[j] = tx.update(grads, states[j], PARAMS)
            get = lib.tree.get
            names = ("before", "after", "norm", "share", "raw")
            found.append((updates, [get(states[j], name) for name in names]))
        # Bias corrections are more exact here.
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, 1e-5), *found)


def test_the_state_has_one_type_from_init_on():
    tx = watched(gradtx, norm)
    params = gradtx.tree.cast(PARAMS, jnp.bfloat16)
    start = tx.init(params)

    def body(state, _):
        return tx.update(GRADS, state, params)[1], None

    state, _ = jax.lax.scan(body, start, None, length=2)  # or it would raise
    assert float(gradtx.tree.get(state, "after")) == pytest.approx(0.5)
    assert gradtx.tree.get(start, "share").dtype == jnp.float32
    assert float(gradtx.tree.get(start, "norm")) == 0.0  # nothing measured yet


@pytest.mark.parametrize(
    "make",
    [
        lambda: gradtx.snapshot("all", whole),
        lambda: gradtx.monitor({"large": large, "all": gradtx.ema(0.9)}),
    ],
)
@pytest.mark.parametrize(
    "check",
    [
        "state_is_a_fixed_point",
        "can_be_donated",
        "keeps_bfloat16",
        "keeps_float64",
        "passes_missing_leaves_by",
        "takes_shapes_for_params",
        "takes_gradients_of_another_dtype",
    ],
)
def test_measurements_of_every_kind_conform(make, check):
    CHECKS[check](make)


def test_a_leaf_that_is_missing_keeps_its_measurement():
    tx = gradtx.snapshot("all", whole)
    _, state = tx.update(GRADS, tx.init(PARAMS), PARAMS)
    _, state = tx.update({"w": 2 * GRADS["w"], "b": None}, state, PARAMS)
    np.testing.assert_array_equal(state.measurement["all"]["w"], 2 * GRADS["w"])
    np.testing.assert_array_equal(state.measurement["all"]["b"], GRADS["b"])


def test_a_measure_may_be_optaxs():
    tx = gradtx.monitor({"mean": optax.ema(0.5)})
    params = gradtx.tree.cast(PARAMS, jnp.bfloat16)
    state = tx.init(params)
    _, new = tx.update(GRADS, state, params)
    np.testing.assert_allclose(gradtx.tree.get(new, "mean")["w"], GRADS["w"])
    for x, y in zip(jax.tree.leaves(new), jax.tree.leaves(state), strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)


def test_extra_arguments_reach_a_measure():
    def update(updates, state, params=None, *, value=0.0, **extra):
        return jnp.asarray(value, jnp.float32), state

    reader = gradtx.GradientTransformationExtraArgs(
        lambda p: gradtx.EmptyState(), update
    )
    tx = gradtx.monitor({"value": reader})
    _, state = tx.update(GRADS, tx.init(PARAMS), PARAMS, value=3.0)
    assert float(gradtx.tree.get(state, "value")) == 3.0


def test_a_measure_knows_its_call():
    one, other = (gradtx.measure_with_ema(norm, 0.9) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert one != gradtx.measure_with_ema(norm, 0.5)
    assert pickle.loads(pickle.dumps(one)) == one
    assert repr(one) == "measure_with_ema(norm, 0.9)"
    tx = gradtx.monitor({"norm": one})
    assert pickle.loads(pickle.dumps(tx)) == tx
    assert "measure_with_ema" in gradtx.describe(tx)


def test_what_is_wrong_is_told():
    with pytest.raises(TypeError, match="measure must be a function of updates, got 3"):
        gradtx.snapshot("norm", 3)
    with pytest.raises(TypeError, match="measure must be a function of updates"):
        gradtx.measure_with_ema(0.9, norm)
    with pytest.raises(ValueError, match="decay must be in"):
        gradtx.measure_with_ema(norm, 1.5)
    with pytest.raises(TypeError, match="must be a dict from a name to a measure"):
        gradtx.monitor([norm])
    with pytest.raises(TypeError, match=r"measures\['norm'\] must be a function of up"):
        gradtx.monitor({"norm": 3})
    with pytest.raises(TypeError, match="snapshot: the measure 'x' returns None"):
        gradtx.snapshot("x", lambda u: None).init(PARAMS)


def test_a_measure_that_needs_more_is_named_in_init():
    def update(updates, state, params=None, *, value):
        return value, state

    reader = gradtx.GradientTransformationExtraArgs(lambda p: (), update)
    with pytest.raises(TypeError) as caught:
        gradtx.monitor({"loss": reader}).init(PARAMS)
    assert "measure 'loss' in init" in "".join(caught.value.__notes__)


def test_a_measurement_that_changes_its_shape_is_named():
    tx = gradtx.snapshot("w", lambda u: u["w"])
    state = tx.init(PARAMS)
    other = state._replace(measurement={"w": jnp.zeros(3)})
    with pytest.raises(
        ValueError, match=r"snapshot: the measurement 'w' has shape \(3,"
    ):
        tx.update(GRADS, other, PARAMS)
