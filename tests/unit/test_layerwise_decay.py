"""Layer-wise rates: who is in which layer, stacks, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

ONE = gradtx.sgd(-1.0)  # updates are the gradients, scaled
PARAMS = {
    "embed": jnp.ones((5, 2)),
    "blocks": [{"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)} for _ in range(3)],
    "head": jnp.ones((2, 1)),
}
LAYERS = ["embed", *(f"blocks/{i}" for i in range(3)), "head"]


def factors(layers, params=PARAMS, decay=0.5, **kwargs):
    """What a step of ones becomes, leaf by leaf."""
    tx = gradtx.layerwise_decay(ONE, layers, decay, **kwargs)
    grads = jax.tree.map(jnp.ones_like, params)
    return tx.update(grads, tx.init(params), params)[0]


def assert_filled(found, value):
    np.testing.assert_array_equal(found, np.full(found.shape, value))


def test_each_layer_is_slower_than_the_one_above():
    found = factors(LAYERS)
    assert_filled(found["embed"], 0.5**4)
    for i, block in enumerate(found["blocks"]):
        assert_filled(block["kernel"], 0.5 ** (3 - i))
        assert_filled(block["bias"], 0.5 ** (3 - i))
    assert_filled(found["head"], 1)


def test_as_groups_with_multipliers_and_a_decoupled_decay_is_scaled_too():
    adamw = gradtx.adamw(0.1, weight_decay=0.5)
    rules = [(name, dict(multiplier=0.5 ** (4 - i))) for i, name in enumerate(LAYERS)]
    params = grads = PARAMS
    found, expected = (
        tx.step(grads, tx.init(params), params)[0]
        for tx in (
            gradtx.layerwise_decay(adamw, LAYERS, 0.5),
            gradtx.groups(rules, default=adamw),
        )
    )
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_a_stack_has_as_many_layers_as_its_axis():
    stack = {
        "embed": PARAMS["embed"],
        "blocks": {"kernel": jnp.ones((3, 2, 2)), "bias": jnp.ones((3, 2))},
        "head": PARAMS["head"],
    }
    found, single = factors(["embed", ("blocks", 0), "head"], stack), factors(LAYERS)
    for i, block in enumerate(single["blocks"]):
        for key, x in block.items():
            np.testing.assert_array_equal(found["blocks"][key][i], x)
    assert_filled(found["embed"], 0.5**4)
    turned = {"blocks": jnp.ones((2, 3)), "head": jnp.ones(1)}
    found = factors([("blocks", -1), "head"], turned)
    np.testing.assert_array_equal(found["blocks"], [[0.125, 0.25, 0.5]] * 2)


def test_a_function_says_the_layer_and_the_last_is_given():
    def layer(path, leaf):
        return {"e": 0, "b": 2}.get(path[0], 3)

    found = factors(layer, last=5)
    assert_filled(found["embed"], 0.5**5)
    assert_filled(found["blocks"][0]["bias"], 0.5**3)
    assert_filled(found["head"], 0.25)


def test_missing_gradients_stay_missing():
    tx = gradtx.layerwise_decay(ONE, LAYERS)
    grads = {**PARAMS, "embed": None}
    updates, _ = tx.update(grads, tx.init(PARAMS), PARAMS)
    assert updates["embed"] is None
    assert_filled(updates["head"], 1)


def test_inside_of_a_mask_layers_are_those_of_all():
    tx = gradtx.masked(
        gradtx.layerwise_decay(ONE, LAYERS, 0.5),
        {"embed": True, "blocks": True, "head": False},
        otherwise="zero",
    )
    updates, _ = tx.update(PARAMS, tx.init(PARAMS), PARAMS)
    assert_filled(updates["embed"], 0.5**4)


def test_a_stack_that_is_out_of_sight_is_not_guessed():
    tx = gradtx.masked(
        gradtx.layerwise_decay(ONE, ["embed", ("blocks", 0), "head"]),
        {"embed": True, "blocks": False, "head": True},
    )
    with pytest.raises(ValueError, match="layers of 'blocks' cannot be counted"):
        tx.init({**PARAMS, "blocks": jnp.ones((3, 2))})


def test_its_state_is_laid_out_as_the_optimizers():
    sizes = {"embed": 4, "blocks": 6, "head": 2}
    params = {key: jnp.ones((n, 2)) for key, n in sizes.items()}
    mesh = jax.sharding.AbstractMesh((2,), ("data",))
    split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    layout, adam = jax.tree.map(lambda p: split, params), gradtx.adam(0.1)
    tx = gradtx.layerwise_decay(adam, ["embed", ("blocks", 0), "head"])
    found = gradtx.distributed.state_sharding(tx, params, layout)
    assert found[0] == gradtx.distributed.state_sharding(adam, params, layout)


REFUSED = [
    (LAYERS[1:], {}, "no layer has 'embed'"),
    ([*LAYERS, "neck"], {}, "layer 'neck' has no parameter"),
    (LAYERS, {"last": 3}, r"'head' is layer \[4\], and the layers are 0 to 3"),
    (LAYERS, {"decay": 0.0}, "decay must be above 0"),
    (LAYERS, {"decay": 1.5}, r"decay must be in \[0, 1\]"),
    (len, {}, "function len, which does not say how many there are: say last="),
    ([("**", 2)], {}, r"'blocks/0/bias' has shape \(2,\), and no axis 2"),
    ([("**", 0)], {}, "differ in length along axis 0: 2 in .*, 5 in 'embed'"),
]


@pytest.mark.parametrize(("layers", "options", "says"), REFUSED)
def test_what_is_refused(layers, options, says):
    with pytest.raises(ValueError, match=says):
        factors(layers, **options)


def test_a_layer_that_is_no_pattern_is_told():
    with pytest.raises(TypeError, match="layer 1 must be a pattern, or a pair"):
        factors(["embed", ("blocks", "0")])
