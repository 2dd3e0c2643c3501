"""loss_scaling: float16 gradients at a scale that fits, whatever is around it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

PARAMS = {"w": jnp.array([1.0, -2.0])}
INF = np.inf


def scales_and_params(tx, grads, params=0.0):
    """After each step: the scale, and the parameters; gradients are scaled here."""

    def body(carry, g):
        params, state = carry
        scaled = (gradtx.loss_scale(state) * g).astype(jnp.float16)
        params, state = tx.step(scaled, state, params)
        return (params, state), (gradtx.loss_scale(state), params)

    def run(grads):
        return jax.lax.scan(body, (params, tx.init(params)), grads)[1]

    return jax.tree.map(np.asarray, jax.jit(run)(jnp.asarray(grads, jnp.float32)))


def test_what_float16_has_no_number_for_is_a_step():
    """1e-9 is 0 in float16; divided in float32, no digit is lost."""
    tx = gradtx.loss_scaling(gradtx.sgd(1.0), init_scale=2.0**16)
    _, params = scales_and_params(tx, [1e-9])
    scaled = float(np.float16(2.0**16 * np.float32(1e-9)))
    assert params[0] == -np.float32(scaled * 2.0**-16)
    assert np.isclose(params[0], -1e-9, rtol=1e-2)  # few digits are left at 6.6e-5


def test_a_scale_stays_within_its_bounds():
    tx = gradtx.loss_scaling(
        gradtx.sgd(1.0), init_scale=4, growth_interval=1, min_scale=2, max_scale=8.0
    )
    scales, params = scales_and_params(tx, [1, 1, INF, INF, INF, 1])
    np.testing.assert_array_equal(scales, [8, 8, 4, 2, 2, 4])
    np.testing.assert_array_equal(params, [-1, -2, -2, -2, -2, -3])


def test_around_multi_steps_a_bad_micro_batch_is_left_out_by_itself():
    tx = gradtx.loss_scaling(gradtx.MultiSteps(gradtx.sgd(1.0), 2), 8.0, 3)
    scales, params = scales_and_params(tx, [1, INF, 3, 2, 4, INF, 6])
    np.testing.assert_array_equal(scales, [8, 4, 4, 4, 8, 4, 4])
    np.testing.assert_array_equal(params, [0, 0, -2, -2, -5, -5, -5])


def test_inside_of_multi_steps_a_cycle_has_one_scale():
    tx = gradtx.MultiSteps(gradtx.loss_scaling(gradtx.sgd(1.0), 8.0, 2), 2)
    scales, params = scales_and_params(tx, [1, 3, 2, 4, INF, 6, 1, 1])
    np.testing.assert_array_equal(scales, [8, 8, 8, 16, 16, 8, 8, 8])
    np.testing.assert_array_equal(params, [0, -2, -2, -5, -5, -5, -5, -6])


def test_clips_inside_see_gradients_without_the_scale():
    inner = gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.sgd(1.0))
    tx = gradtx.loss_scaling(inner, 1024.0)
    _, params = scales_and_params(tx, [0.5, 2.0])
    np.testing.assert_array_equal(params, [-0.5, -1.5])


def test_a_loss_has_one_scale():
    plain, one = gradtx.sgd(0.1), gradtx.loss_scaling(gradtx.sgd(0.1))
    with pytest.raises(ValueError, match="there is no loss_scaling in this state"):
        gradtx.loss_scale(plain.init(PARAMS))
    with pytest.raises(ValueError, match=r"there are 2 in this state: \[0\], \[1\]"):
        gradtx.loss_scale(gradtx.chain(one, one).init(PARAMS))
    grouped = gradtx.partition({"a": one, "b": plain}, {"w": "a"})
    assert gradtx.loss_scale(grouped.init(PARAMS)) == 2.0**15


def test_what_keeps_steps_from_it_is_refused():
    tx = gradtx.chain(gradtx.identity(), gradtx.loss_scaling(gradtx.sgd(0.1)))
    for make, name in (
        (lambda tx: gradtx.skip_spikes(tx), "skip_spikes"),
        (lambda tx: gradtx.apply_if_finite(tx, 3), "apply_if_finite"),
        (
            lambda tx: gradtx.MultiSteps(
                tx, 2, should_skip_update_fn=gradtx.skip_not_finite
            ),
            "MultiSteps",
        ),
    ):
        said = rf"{name}: there is loss_scaling inside.*loss_scaling\({name}\(...\)\)"
        with pytest.raises(ValueError, match=said):
            make(tx).init(PARAMS)
    with pytest.raises(ValueError, match="inside already: leave one of them out"):
        gradtx.loss_scaling(tx).init(PARAMS)


def test_what_is_wrong_is_named():
    for wrong, said in (
        (dict(growth_interval=0), "growth_interval must be a whole number, at least 1"),
        (dict(factor=1.0), "factor must be above 1 and finite, got 1.0"),
        (dict(backoff=1.0), r"backoff must be in \(0, 1\), got 1.0"),
        (dict(init_scale=0.0), "init_scale must be above 0"),
        (dict(init_scale=0.5), "between min_scale and max_scale, 1.0 and 16777216.0"),
        (dict(min_scale=2.0, max_scale=1.0), "init_scale must be between"),
    ):
        with pytest.raises(ValueError, match=said):
            gradtx.loss_scaling(gradtx.sgd(0.1), **wrong)
    with pytest.raises(TypeError, match=r"growth_factor.*say factor=2\.0"):
        gradtx.loss_scaling(gradtx.sgd(0.1), growth_factor=2.0)
    tx = gradtx.loss_scaling(gradtx.sgd(0.1))
    with pytest.raises(TypeError, match=r"loss_scaling: updates\['w'\] is int32"):
        tx.update({"w": jnp.array([1, 2])}, tx.init(PARAMS), PARAMS)
