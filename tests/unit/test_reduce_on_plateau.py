"""reduce_on_plateau: PyTorch's algorithm, Optax's numbers where they are right."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx
from gradtx.transforms.plateau import reduce_on_plateau


def scales(tx, values, lib=gradtx):
    """The multiplier at each value."""
    state, seen = tx.init(jnp.zeros([])), []
    update = jax.jit(lambda state, value: tx.update(jnp.ones([]), state, value=value))
    for value in values:
        found, state = update(state, value)
        assert found == state.scale
        seen.append(float(found))
    return seen


def pytorchs(values, factor, patience, rtol, atol, cooldown, least):
    """torch.optim.lr_scheduler.ReduceLROnPlateau, from what its page says."""
    scale, best, bad, cooling, seen = 1.0, np.inf, 0, 0, []
    for value in values:
        margin = 0 if np.isinf(best) else rtol * abs(best) + atol
        if value < best - margin:
            best, bad = value, 0
        else:
            bad += 1
        if cooling > 0:
            cooling, bad = cooling - 1, 0
        if bad > patience:
            scale, cooling, bad = max(scale * factor, least), cooldown, 0
        seen.append(scale)
    return seen


def noisy(sign, seed=0, n=60):
    """Values that fall, then stay, then rise."""
    rng = np.random.default_rng(seed)
    falling = np.abs(np.arange(n) - 0.6 * n) / n
    return sign * 3 + falling + 0.05 * rng.normal(size=n)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("patience", "cooldown", "rtol", "atol"),
    [(2, 0, 1e-4, 0.0), (3, 4, 0.01, 0.0), (1, 1, 0.0, 0.05), (4, 0, 0.0, 0.0)],
)
def test_pytorchs_with_its_patience_one_less(patience, cooldown, rtol, atol, sign):
    values = noisy(sign)
    tx = reduce_on_plateau(0.5, patience, rtol, atol, cooldown, min_scale=0.1)
    desired = pytorchs(values, 0.5, patience - 1, rtol, atol, cooldown, 0.1)
    assert len(set(desired)) > 2
    np.testing.assert_allclose(scales(tx, values), desired, rtol=1e-6)


@pytest.mark.parametrize("size", [1, 3])
def test_optaxs_for_positive_values(size):
    options = {"factor": 0.5, "patience": 2, "cooldown": 2, "accumulation_size": size}
    values = noisy(1)
    theirs = optax.contrib.reduce_on_plateau(**options)
    desired = scales(theirs, values)
    assert desired[-1] < 0.5
    assert scales(reduce_on_plateau(**options), values) == desired


def test_a_negative_loss_that_rises_is_a_plateau():
    values = -3 + 1e-3 * np.arange(12)
    tx = reduce_on_plateau(0.5, 5, rtol=0.01)
    assert scales(tx, values)[-1] == 0.25
    # For Optax each of them is better than the best.
    assert scales(optax.contrib.reduce_on_plateau(0.5, 5, 0.01), values)[-1] == 1


def test_a_nan_is_no_better_and_does_not_stay():
    tx = reduce_on_plateau(0.5, 3)
    values = [2.0, np.nan, np.nan, 1.0, np.nan, 1.0, np.nan, 0.5]
    assert scales(tx, values) == [1, 1, 1, 1, 1, 1, 0.5, 0.5]
    assert scales(reduce_on_plateau(0.5, 1), [np.nan, -np.inf, -np.inf])[-1] == 0.25


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_narrow_parameters_have_wide_numbers(dtype):
    params = jnp.ones(2, dtype)
    tx = gradtx.chain(gradtx.sgd(1.0), reduce_on_plateau(0.3, 1))
    state = tx.init(params)
    assert {x.dtype.name for x in state[1]} == {"float32", "int32"}
    for _ in range(2):
        updates, state = tx.update(params, state, params, value=1000.3)
    assert updates.dtype == dtype
    assert float(state[1].scale) == np.float32(0.3)
    assert float(state[1].best_value) == np.float32(1000.3)


def test_what_is_missing_or_no_scalar_is_named():
    tx = gradtx.chain(gradtx.sgd(0.1), reduce_on_plateau())
    state = tx.init(1.0)
    with pytest.raises(ValueError, match="chain > reduce_on_plateau needs value"):
        tx.update(1.0, state)
    with pytest.raises(ValueError, match="value must be a scalar"):
        tx.update(1.0, state, value=jnp.ones(2))
