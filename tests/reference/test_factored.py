"""What looks at whole leaves, where rows of the tables say too little."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx

from . import optimizers_factored as papers
from .loops import example, run, single, transform
from .test_optimizers import assert_same, expected, path


@pytest.mark.parametrize("size", [1e-30, 1e-3, 1.0, 1e30])
def test_sizes_of_parameters_are_right_over_the_whole_range(size):
    # Squares of 1e-30 and 1e30 are out of the range of float32.
    p = np.float32(size) * np.float32([3.0, 4.0])
    for name, unit in (("norm", 5.0), ("rms", 5 / 2**0.5)):
        tx = getattr(gradtx, f"scale_by_param_block_{name}")(0.0)
        found = tx.update(np.float32([1, -1]), tx.init(p), p)[0]
        np.testing.assert_allclose(found, [size * unit, -size * unit], rtol=1e-6)


def test_a_leaf_at_zero_moves_by_the_least():
    p = np.zeros(4, np.float32)
    for tx in (gradtx.scale_by_param_block_norm(), gradtx.scale_by_param_block_rms()):
        np.testing.assert_allclose(tx.update(p + 2, tx.init(p), p)[0], 2e-3, rtol=1e-6)


@pytest.mark.parametrize("shape", [(2, 3, 4), (4, 2, 3), (3, 3, 2)])
def test_the_two_longest_axes_are_the_matrices_of_a_stack(shape):
    params, grads = example(shapes={"stack": shape})
    batch = int(np.argmin(shape))
    options = {"min_dim_size_to_factor": 3, "clipping_threshold": None}
    options |= {"multiply_by_parameter_scale": False}
    found = path(gradtx.adafactor(1e-2, **options), params, grads)["stack"]
    for i in range(shape[batch]):
        g, p = (np.take(x["stack"], i, batch + n) for x, n in ((grads, 1), (params, 0)))
        alone = np.stack(papers.adafactor(list(g), p, 1e-2, **options))
        np.testing.assert_allclose(np.take(found, i, batch + 1), alone, rtol=1e-12)


SHAPES = {"square": (3, 3), "tall": (5, 3), "stack": (4, 2, 3), "bias": (3,)}
LIKE_OPTAX = {
    "adafactor": lambda lib: lib.adafactor(0.1, min_dim_size_to_factor=3, momentum=0.9),
    "sm3": lambda lib: lib.sm3(0.1),
    "novograd": lambda lib: lib.novograd(0.1),
    "galore": lambda lib: getattr(lib, "contrib", lib).galore(0.1, rank=2),
}


@pytest.mark.parametrize("name", LIKE_OPTAX)
def test_states_have_the_shapes_of_optaxs(name):
    params = {key: jnp.ones(shape) for key, shape in SHAPES.items()}

    def outline(lib):
        state = LIKE_OPTAX[name](lib).init(params)
        return [
            (jax.tree_util.keystr(path), x.shape, x.dtype)
            for path, x in jax.tree_util.tree_leaves_with_path(state)
            if x.size  # Optax has bases of shape (0, 0) where here are none
        ]

    assert outline(gradtx) == outline(optax)


def test_sm3_is_optaxs_but_for_leaves_that_it_refuses():
    params, grads = map(single, example(shapes=SHAPES))
    ours, theirs = (
        run(lib.sm3(1e-2, momentum=0.8), params, grads, lib.apply_updates)
        for lib in (gradtx, optax)
    )
    for key in SHAPES:
        np.testing.assert_allclose(ours[key], theirs[key], rtol=1e-6, atol=1e-6)


def torch_adafactor(grads, w, lr, beta2_decay, eps, d, weight_decay):
    """The algorithm that torch.optim.Adafactor documents, in its own order."""
    r, c, v = 0.0, 0.0, 0.0
    for step, g in enumerate(grads):
        t = step + 1
        fresh = t**beta2_decay
        rate = min(lr, 1 / np.sqrt(t)) * max(eps[1], papers.rms(w))
        w = w - lr * weight_decay * w
        if w.ndim > 1:
            r = (1 - fresh) * r + fresh * np.mean(g**2, axis=-1, keepdims=True)
            c = (1 - fresh) * c + fresh * np.mean(g**2, axis=-2, keepdims=True)
            v = r * c / np.maximum(np.mean(r, axis=-2, keepdims=True), eps[0])
        else:
            v = (1 - fresh) * v + fresh * g**2
        u = g / np.sqrt(np.maximum(v, eps[0] ** 2))
        w = w - rate * papers.clipped(u, d)
        yield w


@pytest.mark.parametrize(
    ("lr", "eps", "wd"), [(1e-2, (None, 1e-3), 0.0), (0.7, (0.3, 4.0), 0.1)]
)
def test_as_pytorch_it_is_torchs_adafactor(lr, eps, wd):
    params, grads = example(shapes={"w": (3, 2), "stack": (4, 2, 3), "bias": (3,)})
    tx = gradtx.adafactor(
        lr,
        decay_rate=0.6,
        eps=eps[0],
        min_scale=eps[1],
        clipping_threshold=1.5,
        weight_decay_rate=lr * wd,
        as_pytorch=True,
    )
    least = np.finfo(np.float64).eps if eps[0] is None else eps[0]
    options = (lr, -0.6, (least, eps[1]), 1.5, wd)
    desired = {
        key: np.stack(list(torch_adafactor(grads[key], p, *options)))
        for key, p in params.items()
    }
    assert_same(path(tx, params, grads), desired)


def test_a_mask_spares_a_leaf_the_decay_of_stable_adamw():
    params, grads = example()
    tx = gradtx.stable_adamw(1e-2, weight_decay=0.1, mask={"w": True, "b": False})
    with_decay, without = (
        expected("stable_adamw", params, grads, 1e-2, weight_decay=x) for x in (0.1, 0)
    )
    assert_same(path(tx, params, grads), {"w": with_decay["w"], "b": without["b"]})


def test_blocks_are_chosen_by_path():
    def blocks(params):
        def choose(path, p):
            return (0,) if "table" in jax.tree_util.keystr(path) else "output"

        return jax.tree_util.tree_map_with_path(choose, params)

    params, grads = example(shapes={"table": (3, 2), "kernel": (3, 2)})
    found = path(gradtx.adam_mini(1e-2, blocks=blocks), params, grads)
    rows = {key: np.swapaxes(x, -1, -2) for key, x in grads.items()}
    turned = papers.adam_mini(list(rows["table"]), params["table"].T, 1e-2)
    np.testing.assert_allclose(
        found["table"], np.swapaxes(np.stack(turned), -1, -2), rtol=1e-12
    )
    alone = papers.adam_mini(list(grads["kernel"]), params["kernel"], 1e-2)
    np.testing.assert_allclose(found["kernel"], np.stack(alone), rtol=1e-12)


@pytest.mark.parametrize("blocks", ["columns", (2,), {"w": 3, "b": "leaf"}])
def test_blocks_that_are_none_are_named(blocks):
    tx = gradtx.adam_mini(0.1, blocks=blocks)
    with pytest.raises(ValueError, match=r"adam_mini: blocks\['(b|w)'\] must be 'out"):
        tx.init({"w": jnp.ones((3, 2)), "b": jnp.ones(2)})


def test_a_wide_matrix_is_projected_from_the_other_side():
    params, grads = example(shapes={"a": (), "w": (2, 5)})
    for name, options in (
        ("apollo", {"rank": 1, "update_proj_gap": 3}),
        ("galore", {"rank": 1, "update_proj_gap": 3}),
        ("galore", {}),
    ):
        tx = getattr(gradtx, name)(1e-2, **options)
        desired = expected(name, params, grads, 1e-2, **options)
        assert_same(path(tx, params, grads), desired)


def test_galore_takes_axes_together_to_a_matrix():
    params, grads = example(shapes={"heads": (3, 2, 2)})
    numbers = gradtx.GaLoreDimensionNumbers(1, (2, 0))
    options = {"rank": 1, "update_proj_gap": 5}
    tx = gradtx.galore(1e-2, **options, weight_dimension_numbers=numbers)

    def matrix(x):  # rows are axis 1, columns axes 2 and 0
        return np.moveaxis(x, (-2, -1, -3), (-3, -2, -1)).reshape(*x.shape[:-3], 2, 6)

    found = path(tx, params, grads)["heads"]
    alone = papers.galore(
        list(matrix(grads["heads"])), matrix(params["heads"]), 1e-2, **options
    )
    np.testing.assert_allclose(matrix(found), np.stack(alone), rtol=1e-12)


def test_galores_axes_are_each_axis_once():
    tx = gradtx.scale_by_galore(
        weight_dimension_numbers={"w": gradtx.GaLoreDimensionNumbers(0, 0), "b": None}
    )
    with pytest.raises(ValueError, match=r"numbers\['w'\] must name each axis of the"):
        tx.init({"w": jnp.ones((3, 2)), "b": jnp.ones(2)})


def test_galores_base_optimizer_that_needs_params_says_so():
    tx = gradtx.galore(0.1, base_optimizer=gradtx.adamw(-1.0))
    params = {"w": jnp.ones((3, 2))}
    with pytest.raises(ValueError, match=r"galore.*add_decayed_weights needs params"):
        tx.update(params, tx.init(params), params)


def test_the_norm_of_apollos_updates_grows_slowly():
    g = np.ones((2, 3)) * np.float64([1, 1, 100, 100, 0, 1])[:, None, None]
    tx = gradtx.scale_by_apollo(rank=1, b1=0.0, max_growth=1.5)
    with jax.enable_x64(True):
        updates = transform(tx, np.ones((2, 3)), g)
    sizes = np.linalg.norm(updates, axis=(1, 2))
    assert sizes[4] == 0 < sizes[5]  # after a norm of 0 there is no limit
    assert (sizes[1:5] <= 1.5 * sizes[:4] * (1 + 1e-12)).all()
    assert np.isclose(sizes[2], 1.5 * sizes[1])
