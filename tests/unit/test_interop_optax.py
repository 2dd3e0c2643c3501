"""A run begun with Optax goes on here with the same numbers, and the other way."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx
from gradtx.core.pair import GradientTransformation
from gradtx.testing import EXTRA, PREPARE, discover, sample
from gradtx.testing.values import UPDATES

# Optax's bias corrections are off by 5e-5 in the first steps, of steps of 0.1.
TOLERANCE = {"rtol": 2e-5, "atol": 2e-5}
# ... and its rho by 0.03.
WIDER = {"scale_by_radam": 1e-3}
NOT_COMPARED = {  # Optax's numbers are others: see "What behaves differently"
    "acprop": "it takes g_t - mu_{t-1}: google-deepmind/optax#1716",
    "adadelta": "it wants a rate in Optax, and is below with one",
    "adan": "it weighs differences by 1 - b2: google-deepmind/optax#1715",
    "mechanize": "its sum falls by eps over the scale in each step",
    "noisy_sgd": "Optax wants a key; below it has one",
    "optimistic_adam": "Optax warns and says optimistic_adam_v2, which is compared",
    "rprop": "its updates are a step late: google-deepmind/optax#1725",
    "scale_by_acprop": "as acprop",
    "scale_by_adan": "as adan",
    "scale_by_lbfgs": "alone it goes uphill; within lbfgs it is compared",
    "scale_by_muon": "here is a vector, which both refuse; within muon it is compared",
    "scale_by_rprop": "as rprop",
    "selective_transform": "in Optax its mask is no function; below it is a tree",
}
PARAMS = {
    "w": jnp.array([[0.5, -1.0], [1.5, 2.0], [-0.3, 0.8]]),
    "b": jnp.array([1.0, -0.5]),
}


def halving(count):
    return 0.1 * 0.5**count


def matrices(params):
    return jax.tree.map(lambda p: jnp.ndim(p) > 1, params)


def labels(params):
    return jax.tree.map(lambda p: "m" if jnp.ndim(p) > 1 else "v", params)


def peer(name):
    return getattr(optax.contrib, name, None) or getattr(optax, name, None)


def of_optax(value):
    """The same call in Optax, with all that is inside."""
    if isinstance(value, GradientTransformation):
        call = value.call
        if call.factory.__class__.__name__ == "Injected":
            factory = optax.inject_hyperparams(
                peer(call.factory.inner_factory.__name__)
            )
        else:
            factory = peer(call.factory.__name__)
        kwargs = {name: of_optax(x) for name, x in call.kwargs.items()}
        made = factory(*map(of_optax, call.args), **kwargs)
        return getattr(made, "gradient_transformation", lambda: made)()
    if isinstance(value, dict):
        return {key: of_optax(x) for key, x in value.items()}
    return tuple(map(of_optax, value)) if isinstance(value, tuple) else value


def shared():
    for name, factory in discover(gradtx).items():
        if peer(name) and name not in NOT_COMPARED:
            args, kwargs = sample(factory)
            yield pytest.param(factory(*args, **kwargs), id=name)


inject = gradtx.inject_hyperparams
MORE = [
    gradtx.adadelta(1.0),
    gradtx.noisy_sgd(0.1, key=0),
    gradtx.sgd(halving, momentum=0.9),
    gradtx.adamw(halving, weight_decay=0.1, mask=matrices),
    gradtx.adamw(0.1, weight_decay=halving, mask=matrices),
    gradtx.rmsprop(halving, momentum=0.9, centered=True),
    gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.chain(gradtx.adam(0.1))),
    gradtx.partition({"m": gradtx.adam(halving), "v": gradtx.sgd(0.1, 0.9)}, labels),
    gradtx.MultiSteps(gradtx.adamw(halving), 2),
    gradtx.MultiSteps(gradtx.sgd(0.1), 2, use_grad_mean=False),
    gradtx.MultiSteps(gradtx.sgd(0.1), 2, should_skip_update_fn=gradtx.skip_not_finite),
    gradtx.apply_if_finite(gradtx.masked(gradtx.adam(0.1), matrices), 3),
    gradtx.selective_transform(gradtx.adam(0.1), freeze_mask={"w": True, "b": False}),
    inject(gradtx.adamw)(0.1, weight_decay=0.1),
    inject(gradtx.sgd)(halving, momentum=0.9),
    gradtx.apply_if_finite(inject(gradtx.adam)(halving), 3),
]


def bowl(params):
    return jnp.sum(jnp.cosh(params["w"])) + 3 * jnp.sum(jnp.square(params["b"]))


def gradients(step, params, search):
    """Signs change, one entry is at rest at first; for a line search, of a bowl."""
    if search:
        return jax.grad(bowl)(params)
    g = jax.tree.map(lambda p: jnp.cos(p * (step + 1)) + 0.1, PARAMS)
    g["b"] = g["b"].at[0].multiply(step > 1)
    return g


def searched(grads, params):
    return {"value": bowl(params), "grad": grads, "value_fn": bowl}


def estimated(grads, params):
    return {"obj_fn": bowl}


def seen(grads, params):
    return {"value": bowl(params)}


# Of an optimizer that takes more than a gradient in Optax, too: what.
MORE_IN_UPDATE = {
    "hutchinson_estimator_diag_hessian": estimated,
    "lbfgs": searched,
    "reduce_on_plateau": seen,
    "sam": None,
    "scale_by_sophia": estimated,
    "sophia": estimated,
}


def downhill(grads, params):
    """For a search alone, which gets a direction in place of the gradient."""
    return searched(grads, params)


def run(tx, params, state, steps, apply, extra=None, name=""):
    for step in steps:
        g = gradients(step, params, extra)
        more = extra(g, params) if extra else {}
        if extra is downhill:
            g = jax.tree.map(jnp.negative, g)
        g = UPDATES.get(name, lambda g: g)(g)
        updates, state = tx.update(g, state, params, **more)
        params = apply(params, updates)
    return params, state


def close(tree, other, **within):
    """All arrays, in any containers; random keys by their data."""
    for x, y in zip(jax.tree.leaves(tree), jax.tree.leaves(other), strict=True):
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = map(jax.random.key_data, (x, y))
        np.testing.assert_allclose(x, y, **within)


def name_of(tx):
    return getattr(tx.call.factory, "__name__", "")


def both(tx):
    """Parameters and state of either after three steps in Optax and three in both."""
    peer, name = optax.with_extra_args_support(of_optax(tx)), name_of(tx)
    extra = EXTRA.get(name) and MORE_IN_UPDATE.get(name, downhill)
    ours, theirs = jax.tree.map(jnp.array, (PARAMS, PARAMS))
    if name in PREPARE:
        ours, theirs = PREPARE[name](ours), optax.LookaheadParams.init_synced(theirs)
    like = tx.init(ours)
    theirs, begun = run(
        peer, theirs, peer.init(theirs), range(3), optax.apply_updates, extra, name
    )
    state = gradtx.from_optax(tx, begun, like)
    chex.assert_trees_all_equal_shapes_and_dtypes(state, like)
    again = gradtx.to_optax_state(tx, state, begun)
    chex.assert_trees_all_equal_structs(again, begun)
    close(again, begun, rtol=1e-6)
    ours = jax.tree.structure(ours).unflatten(map(jnp.array, jax.tree.leaves(theirs)))
    ours = run(tx, ours, state, range(3, 6), gradtx.apply_updates, extra, name)
    theirs = run(peer, theirs, begun, range(3, 6), optax.apply_updates, extra, name)
    return ours, theirs


@pytest.mark.filterwarnings("ignore:.seed. is deprecated")  # in Optax's own dpsgd
@pytest.mark.parametrize("tx", [*shared(), *(pytest.param(x, id=str(x)) for x in MORE)])
def test_goes_on_with_the_same_numbers(tx):
    (params, state), (theirs, their_state) = both(tx)
    within = TOLERANCE | {"rtol": WIDER.get(name_of(tx), TOLERANCE["rtol"])}
    close(params, theirs, **within)
    close(gradtx.to_optax_state(tx, state, their_state), their_state, **within)


@pytest.mark.parametrize("tx", [MORE[0], MORE[1], MORE[5], MORE[6], MORE[10]], ids=str)
def test_like_is_needed_for_dtypes_alone(tx):
    theirs = of_optax(tx)
    _, state = run(theirs, PARAMS, theirs.init(PARAMS), range(3), optax.apply_updates)
    chex.assert_trees_all_equal(
        gradtx.from_optax(tx, state), gradtx.from_optax(tx, state, tx.init(PARAMS))
    )


def test_shapes_are_enough_and_the_dtypes_are_ours():
    narrow = jax.tree.map(lambda p: p.astype(jnp.bfloat16), PARAMS)
    tx = gradtx.adam(0.1)
    like = jax.eval_shape(tx.init, narrow)
    theirs: Any = optax.adam(0.1).init(narrow)
    assert theirs[0].nu["w"].dtype == jnp.bfloat16
    assert gradtx.from_optax(tx, theirs, like)[0].nu["w"].dtype == jnp.float32
    assert gradtx.from_optax(tx, theirs)[0].nu["w"].dtype == jnp.bfloat16


def test_the_rate_of_a_schedule_is_that_of_the_last_step():
    tx = gradtx.adam(halving)
    _, theirs = run(
        optax.adam(halving),
        PARAMS,
        optax.adam(halving).init(PARAMS),
        range(3),
        optax.apply_updates,
    )
    state = gradtx.from_optax(tx, theirs)
    np.testing.assert_allclose(gradtx.tree.get(state, "learning_rate"), halving(2))


@pytest.mark.parametrize(
    ("tx", "theirs", "message"),
    [
        (gradtx.adam(0.1), optax.sgd(0.1, 0.9), "TraceState, where ScaleByAdamState"),
        (gradtx.adam(0.1), optax.sgd(0.1), "parts none, where ScaleByAdamState"),
        (gradtx.adam(halving), optax.adam(0.1), "ScaleByLearningRateState are wanted"),
        (gradtx.adam(0.1), optax.amsgrad(0.1), "is ScaleByAmsgradState"),
    ],
)
def test_another_state_is_refused(tx, theirs, message):
    with pytest.raises(ValueError, match=f"from_optax: .*{message}"):
        gradtx.from_optax(tx, theirs.init(PARAMS))


def test_another_shape_is_refused_by_its_path():
    tx, theirs = gradtx.adam(0.1), optax.adam(0.1).init(PARAMS)
    like = tx.init(PARAMS | {"b": jnp.ones(3)})
    with pytest.raises(ValueError, match=r"\[0\]\.mu\['b'\] has shape \(3,\)"):
        gradtx.from_optax(tx, theirs, like)
    with pytest.raises(ValueError, match=r"\[0\]\.mu\['c'\]"):
        gradtx.from_optax(tx, theirs, tx.init(PARAMS | {"c": jnp.ones(3)}))


def test_what_depends_on_the_parameters_asks_for_like():
    @gradtx.transformation
    def first_leaf():
        def init(params):
            return {"first": params["w"]}

        def update(updates, state, params=None):
            return updates, state

        return init, update

    tx, state = first_leaf(), {"first": PARAMS["w"]}
    with pytest.raises(TypeError, match=r"Give like=tx.init\(params\)"):
        gradtx.from_optax(tx, state)
    like = tx.init(PARAMS)
    chex.assert_trees_all_equal(gradtx.from_optax(tx, state, like), like)


def test_lookahead_does_without_like():
    tx = gradtx.lookahead(gradtx.adam(0.1), 2, 0.5)
    theirs = optax.lookahead(optax.adam(0.1), 2, 0.5)
    state = theirs.init(optax.LookaheadParams.init_synced(PARAMS))
    like = tx.init(gradtx.LookaheadParams.init_synced(PARAMS))
    chex.assert_trees_all_equal(gradtx.from_optax(tx, state), like)


def test_a_basis_of_size_0_is_none_and_comes_back():
    tx, theirs = gradtx.galore(0.1, rank=1), optax.contrib.galore(0.1, rank=1)
    begun = theirs.init(PARAMS)
    for state in (
        gradtx.from_optax(tx, begun),
        gradtx.from_optax(tx, begun, tx.init(PARAMS)),
    ):
        chex.assert_trees_all_equal_structs(state, tx.init(PARAMS))
        assert state[0].projector["b"] is None
    back = gradtx.to_optax_state(tx, state, begun)
    assert back[0].projector["b"].shape == (0, 0)
