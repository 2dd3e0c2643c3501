"""Layers that lie stacked in a leaf: seen singly, as if each were a leaf."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.core.stacks import layers_of, stack_axes, stacking

LAYERS = 3


def layer(rng):
    return {name: rng.normal(size=n) for name, n in (("w", (4, 6)), ("b", 6))}


def model(seed):
    rng = np.random.default_rng(seed)
    tree = {"layers": [layer(rng) for _ in range(LAYERS)], "head": rng.normal(size=3)}
    return jax.tree.map(jnp.float32, tree)


def stacked(tree, axis=0):
    layers = jax.tree.map(lambda *xs: jnp.stack(xs, axis), *tree["layers"])
    return {**tree, "layers": layers}


def two_steps(tx, layout=lambda tree: tree):
    params = layout(model(0))
    state, step = tx.init(params), jax.jit(tx.step)
    for seed in (1, 2):
        params, state = step(layout(model(seed)), state, params)
    return params, state


def matrices(params):
    return jax.tree.map(lambda p: p.ndim > 1, params)


# All that looks at a leaf as a whole, in few programs.
OF_LAYERS = {
    "trust ratio": gradtx.lamb(0.1, weight_decay=0.1, mask=matrices),
    "factored": gradtx.adafactor(0.1, min_dim_size_to_factor=4),
    "blocks": gradtx.adam_mini(0.1),
    "covers": gradtx.sm3(0.1),
    "projected": gradtx.galore(0.1, rank=2, update_proj_gap=1),
    "one moment": gradtx.novograd(0.1),
    "rates": gradtx.scale_by_distance_over_gradients(reps_rel=0.1),
    "agreement": gradtx.cautious(gradtx.sgd(0.1, momentum=0.9)),
    "clips": gradtx.chain(
        gradtx.clip_by_global_norm(0.5),  # of all leaves as ever
        gradtx.clip_by_block_rms(0.05),
        gradtx.adaptive_grad_clip(0.04),
        gradtx.scale_by_param_block_rms(),
        gradtx.scale_by_param_block_norm(),
        gradtx.centralize(),
        gradtx.sgd(0.1),
    ),
}


@pytest.mark.parametrize("name", OF_LAYERS)
def test_each_layer_moves_as_a_leaf_of_its_own(name):
    tx = OF_LAYERS[name]
    alone = stacked(two_steps(tx)[0])
    together = gradtx.groups([], default=tx, stacked=("layers/*", 0))
    found = two_steps(together, stacked)[0]
    # The same sums, which the compiler may order otherwise.
    chex.assert_trees_all_close(found, alone, rtol=1e-6, atol=1e-7)
    whole = two_steps(tx, stacked)[0]
    moved = jnp.max(jnp.abs(whole["layers"]["w"] - found["layers"]["w"]))
    assert moved > 1e-4  # else nothing here would depend on the layers


@pytest.mark.parametrize("name", ["trust ratio", "factored"])
def test_layers_along_another_axis(name):
    tx = OF_LAYERS[name]
    alone = stacked(two_steps(tx)[0], 1)
    for axis in (1, -1) if name == "factored" else (1,):
        together = gradtx.groups([], default=tx, stacked=[("layers", axis)])
        found = two_steps(together, lambda tree, a=axis: stacked(tree, a))[0]
        if axis == -1:
            found["layers"]["w"] = jnp.swapaxes(found["layers"]["w"], 1, 2)
        chex.assert_trees_all_close(found, alone, rtol=1e-5, atol=1e-6)  # sums again


def test_the_state_stays_stacked_and_counts_once():
    tx = gradtx.groups([], OF_LAYERS["factored"], stacked=("layers", 0))
    shapes = jax.tree.map(jnp.shape, tx.init(stacked(model(0))))
    state = shapes.inner_states["default"].inner_state[0]
    assert state.count == ()
    assert state.v_row["layers"] == {"b": (3, 1), "w": (3, 4)}
    assert state.v_col["layers"]["w"] == (3, 6)
    assert state.v["layers"]["b"] == (3, 6)
    abstract = tx.init(jax.eval_shape(lambda: stacked(model(0))))
    assert jax.tree.map(jnp.shape, abstract) == shapes


def test_layers_are_projected_by_matrices_of_their_own():
    tx = gradtx.groups([], gradtx.apollo(0.1, rank=2), stacked=("w", 0))
    params = {"w": jnp.ones((2, 4, 6))}
    g = {"w": jnp.broadcast_to(jnp.arange(24.0).reshape(4, 6), (2, 4, 6))}
    updates, state = tx.update(g, tx.init(params), params)
    mu = state.inner_states["default"].inner_state[0].mu["w"]
    assert mu.shape == (2, 2, 6)
    assert jnp.max(jnp.abs(mu[0] - mu[1])) > 0.1
    assert jnp.max(jnp.abs(updates["w"][0] - updates["w"][1])) > 1e-4


def test_norms_out_of_range_are_those_of_their_layer():
    tx = gradtx.scale_by_trust_ratio()
    g = {"w": jnp.array([[1e30, 1e30], [2.0, 1.0], [1e-30, 0.0], [0.0, 0.0]])}
    p = {"w": jnp.array([[1.0, 2.0], [1e30, 0.0], [3.0, 4.0], [1.0, 1.0]])}
    together = gradtx.groups([], tx, stacked=("w", 0))
    found, _ = together.update(g, together.init(p), p)
    for i, row in enumerate(found["w"]):
        alone, _ = tx.update(g["w"][i], tx.init(p), p["w"][i])
        np.testing.assert_allclose(row, alone, rtol=1e-6)


def test_groups_of_stacked_and_other_leaves():
    tx = gradtx.groups(
        [(lambda path, leaf: leaf.ndim == 1, dict(weight_decay=0.0)), ("w", None)],
        default=gradtx.adamw(0.1),
        stacked=[("layers/b", 0), ("layers/w", -1)],
    )
    params = {
        "layers": {"b": jnp.ones((3, 6)), "w": jnp.ones((4, 6, 3))},
        "w": jnp.ones((2, 2)),
    }
    table = tx.table(params)
    assert table.splitlines()[0] == "group     leaves  parameters  layers  optimizer"
    assert table.splitlines()[1].startswith(
        "<lambda>       1          18       3  adam"
    )
    assert table.splitlines()[2].split() == ["w", "1", "4", "frozen"]
    assert table.splitlines()[3].split()[:4] == ["default", "1", "72", "3"]


def test_what_another_file_may_ask():
    params = {"layers": {"w": jnp.ones((5, 2, 4))}, "head": jnp.ones((2, 3))}
    with stacking(lambda path: 1 if path.startswith("layers") else None):
        assert stack_axes(params) == [None, 1]
        shapes = jax.tree.map(jnp.shape, layers_of(params))
    assert shapes == {"layers": {"w": (5, 4)}, "head": (2, 3)}
    assert stack_axes(params) == [None, None]


def test_zero1_refuses_to_cut_layers():
    tx = gradtx.groups([], gradtx.lamb(0.1), stacked=("w", 0))
    tx = gradtx.distributed.zero1(tx, "data")
    params = {"w": jnp.ones((4, 2))}

    def step(g):
        return tx.step({"w": g}, tx.init(params), params)[0]["w"]

    with pytest.raises(ValueError, match=r"lamb: looks at layers, .*leaves=True"):
        jax.vmap(step, axis_name="data")(jnp.ones((2, 4, 2)))


@gradtx.transformation
def of_a_wrong_shape():
    return gradtx.leafwise(gradtx.EmptyState, lambda g: g[0])


SGD = gradtx.sgd(0.1)


@pytest.mark.parametrize(
    ("given", "default", "kind", "text"),
    [
        (("layer/*", 0), SGD, ValueError, "'layer/\\*' matches no .* nearest: layers/"),
        (
            ("layers/*", 2),
            SGD,
            ValueError,
            r"'layers/b' has shape \(3, 6\), and no axi",
        ),
        (("layers/*", "0"), SGD, TypeError, "stacked must be .*'0'"),
        (("layers/*", True), SGD, TypeError, "stacked must be .*True"),
        ((SGD, 0), SGD, TypeError, "stacked must be"),
        ([("layers", 0), ("layers/w", 1)], SGD, ValueError, "taken by 'layers'"),
        ([("layers", 0), ("layers", 1)], SGD, ValueError, "'layers' comes twice"),
        (("layers", 0), gradtx.flatten(SGD), ValueError, "'layers/b' is a stack of"),
        (("layers", 0), gradtx.lazy(SGD), ValueError, "of which lazy would take"),
        (("layers", 0), of_a_wrong_shape(), ValueError, r"gradient has \(6,\)"),
    ],
)
def test_what_is_wrong_is_said(given, default, kind, text):
    params = stacked(model(0))

    def step():
        tx = gradtx.groups([("head", None)], default, stacked=given)
        return tx.update(params, tx.init(params), params)

    with pytest.raises(kind, match=text):
        step()
