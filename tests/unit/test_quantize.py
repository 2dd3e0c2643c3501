"""State stored in 8 and 4 bits: around what, how large, in place; and refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.core import chunks
from gradtx.core.chunks import chunks_of, has_codes, is_encoded
from gradtx.core.encoded import tile_of
from gradtx.testing import discover, sample
from gradtx.testing.trial import extra_of, updates_of

PARAMS = {"w": jnp.ones((16, 12)), "b": jnp.ones(5), "s": jnp.ones(())}
# A monitor's averages are of numbers; the parameters of lookahead are two copies.
OTHERS = {"lookahead", "monitor", "quantize_state"}
FACTORIES = {n: f for n, f in discover(gradtx).items() if n not in OTHERS}
# They have no averages, or do not keep them as slots of a rule.
WITHOUT = [
    "adaptive_grad_clip",
    "add_decayed_weights",
    "add_noise",
    "apollo",
    "apollo_mini",
    "apply_every",
    "asgd",
    "centralize",
    "clip",
    "clip_by_block_rms",
    "clip_by_global_norm",
    "clip_by_history",
    "dadapt_adamw",
    "differentially_private_aggregate",
    "dog",
    "dowg",
    "dpsgd",
    "freeze",
    "fromage",
    "groups",
    "hutchinson_estimator_diag_hessian",
    "identity",
    "keep_params_nonnegative",
    "lbfgs",
    "momo",
    "momo_adam",
    "newton",
    "noisy_sgd",
    "normalize",
    "normalize_by_update_norm",
    "polyak_sgd",
    "prodigy",
    "reduce_on_plateau",
    "scale",
    "scale_by_apollo",
    "scale_by_asgd",
    "scale_by_backtracking_linesearch",
    "scale_by_distance_over_gradients",
    "scale_by_dog",
    "scale_by_dowg",
    "scale_by_factored_rms",
    "scale_by_lbfgs",
    "scale_by_learning_rate",
    "scale_by_newton_cg",
    "scale_by_param_block_norm",
    "scale_by_param_block_rms",
    "scale_by_polyak",
    "scale_by_schedule",
    "scale_by_sign",
    "scale_by_trust_ratio",
    "scale_by_zoom_linesearch",
    "schedule_free_sgd",
    "set_to_zero",
    "sign_sgd",
    "snapshot",
    "stateless",
    "stateless_with_tree_map",
    "zero_nans",
]


def coded(state):
    return [x for x in jax.tree.leaves(state, is_leaf=is_encoded) if is_encoded(x)]


@pytest.mark.parametrize("name", FACTORIES)
def test_around_any_transformation(name):
    args, kwargs = sample(FACTORIES[name])
    tx = FACTORIES[name](*args, **kwargs)
    quantized = gradtx.quantize_state(tx, min_size=1)
    if name in WITHOUT:
        with pytest.raises(ValueError, match="keeps no average"):
            jax.eval_shape(quantized.init, PARAMS)
        return
    state = jax.eval_shape(quantized.init, PARAMS)
    assert coded(state), "it has averages, and none is stored as codes"
    extra, updates = extra_of(tx, PARAMS, PARAMS), updates_of(tx, PARAMS)

    def step(updates, state, params):
        return quantized.step(updates, state, params, **extra)

    after = jax.eval_shape(step, updates, state, PARAMS)[1]
    assert jax.tree.structure(after) == jax.tree.structure(state)
    shapes = [(x.shape, x.dtype) for x in jax.tree.leaves(state)]
    assert [(x.shape, x.dtype) for x in jax.tree.leaves(after)] == shapes


# As far from a run in float32 as codes of 8 bits are, after three steps.
@pytest.mark.parametrize(
    "tx",
    [
        gradtx.adamw(1e-2),
        gradtx.sgd(1e-2, momentum=0.9),
        gradtx.lamb(1e-2),
        gradtx.adafactor(1e-2, momentum=0.9),
        gradtx.schedule_free_adamw(1e-2),
        gradtx.MultiSteps(gradtx.adamw(1e-2), 2),
        gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.rmsprop(1e-2)),
    ],
    ids=repr,
)
def test_a_few_steps_are_those_of_float32(tx):
    params = {"w": jnp.ones((40, 24)), "b": jnp.ones(70)}
    grads = [
        jax.tree.map(
            lambda x, i=i: jax.random.normal(jax.random.key(i), x.shape), params
        )
        for i in range(4)
    ]

    def run(tx):
        state, p = tx.init(params), params
        step = jax.jit(tx.step)
        for g in grads:
            p, state = step(g, state, p)
        return p

    exact, found = run(tx), run(gradtx.quantize_state(tx, min_size=1))
    for name in params:
        away = np.linalg.norm(found[name] - exact[name])
        assert 0 < away < 0.03 * np.linalg.norm(exact[name] - params[name])


LEAF = (8192, 64)  # is cut into 4 chunks
ODD = (8200, 33)  # and with a rest, and tiles that are not full


@pytest.mark.parametrize(("bits", "most"), [(8, 2.04), (4, 1.07)])
@pytest.mark.parametrize("shape", [LEAF, ODD])
def test_bytes_of_state_and_temporaries(bits, most, shape):
    tx = gradtx.quantize_state(gradtx.adamw(1e-3), bits)
    params = jax.ShapeDtypeStruct(shape, jnp.float32)
    state = jax.eval_shape(tx.init, params)
    size = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))
    assert size <= most * params.size * (1 if shape == LEAF else 1.05)

    def step(params, state, grads):
        return tx.step(grads, state, params)

    compiled = jax.jit(step, donate_argnums=(0, 1)).lower(params, state, params)
    memory = compiled.compile().memory_analysis()
    assert memory is not None
    axis, groups, rows = chunks_of(shape, tile_of(shape, 256 if bits == 8 else 128))
    chunk = groups * rows * params.size // shape[axis]
    assert chunk < params.size / 3
    # A chunk of parameters and moments and what is made of them, not of the leaf.
    assert memory.temp_size_in_bytes < 30 * chunk


def test_chunks_give_what_the_whole_leaf_gives(monkeypatch):
    params = jax.random.normal(jax.random.key(0), ODD)
    grads = jax.random.normal(jax.random.key(1), ODD)
    tx = gradtx.quantize_state(gradtx.adamw(1e-3))
    state = tx.step(grads, tx.init(params), params)[1]
    cut = jax.jit(lambda: tx.step(2 * grads, state, params))()
    assert chunks_of(ODD, tile_of(ODD, 256))[2] < ODD[0] / 2
    monkeypatch.setattr(chunks, "CHUNK", 2**30)
    assert chunks_of(ODD, tile_of(ODD, 256))[2] > ODD[0] / 2
    whole = jax.jit(
        lambda: gradtx.quantize_state(gradtx.adamw(1e-3)).step(2 * grads, state, params)
    )()
    for a, b in zip(jax.tree.leaves(cut), jax.tree.leaves(whole), strict=True):
        # XLA may fuse a product and a sum in one and not in the other.
        assert np.mean(np.asarray(a) != np.asarray(b)) < 1e-3


def test_one_block_size_for_all_widths():
    params = jax.random.normal(jax.random.key(0), LEAF)
    tx = gradtx.quantize_state(gradtx.adamw(1e-3), {"mu": 4, "nu": 8})
    state = tx.init(params)
    moments = state.inner_state[0]
    assert moments.mu.tile == moments.nu.tile == tile_of(LEAF, 128)
    compiled = jax.jit(lambda p, s, g: tx.step(g, s, p), donate_argnums=(0, 1))
    memory = compiled.lower(params, state, params).compile().memory_analysis()
    assert memory is not None
    assert memory.temp_size_in_bytes < 8 * params.size  # in chunks


def test_widths_by_name_and_leaves_left_out():
    params = {"w": jnp.ones((64, 64)), "head": jnp.ones((64, 64)), "b": jnp.ones(64)}
    tx = gradtx.quantize_state(
        gradtx.adamw(1e-3), {"mu": 4, "nu": 8}, exclude=lambda path: "head" in path
    )
    adam = tx.init(params).inner_state[0]
    assert not has_codes([[adam.mu["head"], adam.nu["head"], adam.mu["b"]]])
    assert adam.mu["w"].codec.per_byte == 2
    assert adam.mu["w"].codes.shape == (32, 64)
    assert adam.nu["w"].codec.per_byte == 1
    assert not adam.nu["w"].codec.signed
    only = gradtx.quantize_state(gradtx.adamw(1e-3), {"mu": 8}).init(params)
    assert not is_encoded(only.inner_state[0].nu["w"])


def test_a_run_goes_on_bit_for_bit():
    params = {"w": jax.random.normal(jax.random.key(0), (64, 64))}
    tx = gradtx.quantize_state(gradtx.adamw(1e-2), 8)
    step = jax.jit(tx.step)
    state = tx.init(params)
    for _ in range(2):
        params, state = step(params, state, params)
    leaves, treedef = jax.tree.flatten(state)
    again = treedef.unflatten([jnp.asarray(np.asarray(x)) for x in leaves])
    one, two = step(params, state, params), step(params, again, params)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        assert np.array_equal(a, b)


def test_what_is_refused():
    with pytest.raises(ValueError, match="bits must be one of"):
        gradtx.quantize_state(gradtx.adam(0.1), bits=3)
    with pytest.raises(ValueError, match="min_size"):
        gradtx.quantize_state(gradtx.adam(0.1), min_size=0)
    with pytest.raises(ValueError, match=r"no average 'momentum' in .*, only mu, nu"):
        gradtx.quantize_state(gradtx.adam(0.1), {"momentum": 8}).init(PARAMS)
    with pytest.raises(ValueError, match=r"lbfgs.* keeps no average"):
        gradtx.quantize_state(gradtx.lbfgs(0.1)).init(PARAMS)
    with pytest.raises(TypeError, match="quantize_state: inner"):
        gradtx.quantize_state(0.1)
    tx = gradtx.quantize_state(gradtx.adam(0.1))
    with pytest.raises(TypeError, match="not a QuantizeState"):
        tx.update(PARAMS, gradtx.adam(0.1).init(PARAMS))
    other = {**PARAMS, "w": jnp.ones((12, 16))}
    small = gradtx.quantize_state(gradtx.adam(0.1), min_size=1)
    with pytest.raises(ValueError, match=r"\['w'\] has shape \(12, 16\)"):
        small.update(other, small.init(PARAMS))
