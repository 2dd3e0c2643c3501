"""Where Optax has a name, its arguments are taken: names, order, kinds, defaults."""

import inspect
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx

MODULES = {
    "": (optax, gradtx),
    "tree.": (optax.tree, gradtx.tree),
    "contrib.": (optax.contrib, gradtx),
    "transforms.": (optax.transforms, gradtx),
    "losses.": (optax.losses, gradtx.losses),
    "projections.": (optax.projections, gradtx.projections),
    "second_order.": (optax.second_order, gradtx.curvature),
    "linear_algebra.": (optax, gradtx.curvature),
    "schedules.": (optax.schedules, gradtx.schedules),
}

# What differs, and why.
EXCEPTIONS = {
    "adadelta": "a learning rate of None would not turn the sign, and go uphill",
    "scale_by_learning_rate": "None would not turn the sign, and go uphill",
    "second_order.fisher_diag": "inputs and targets may be left out",
    "second_order.hessian_diag": "inputs and targets may be left out",
    "second_order.hvp": "inputs and targets may be left out",
    "tree.get": "a name that is not there is told, unless a default is given",
}


def shared():
    """The functions that both have, by name."""
    for prefix, (theirs, ours) in MODULES.items():
        for name, value in vars(theirs).items():
            mine = getattr(ours, name, None)
            if name.startswith("_") or isinstance(value, type | types.ModuleType):
                continue
            if inspect.isfunction(value) and callable(mine):
                yield prefix + name, value, mine


def parameters(function):
    return list(inspect.signature(function).parameters.values())


def name_of(parameter):
    """What a call may name it by: not what is behind * is called."""
    variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return "*" if variadic else parameter.name


def same_default(theirs, ours):
    if ours is None and callable(theirs):  # a dtype, or a function, of its own
        return True
    if inspect.isfunction(theirs):  # whose numbers other tests compare
        return inspect.isfunction(ours)
    if hasattr(theirs, "update"):  # a transformation, which prints otherwise
        return hasattr(ours, "update")
    return theirs is ours or repr(theirs) == repr(ours)


def differs(theirs, ours):
    """Whether the arguments of one are not the first of the other, or by keyword."""
    given = {name_of(p): p for p in parameters(ours)}
    wanted = {name_of(p): p for p in parameters(theirs)}
    in_order = [n for n, p in wanted.items() if p.kind is not p.KEYWORD_ONLY]
    taken = all(
        name in given
        and given[name].kind is p.kind
        and same_default(p.default, given[name].default)
        for name, p in wanted.items()
    )
    more = [p for name, p in given.items() if name not in wanted]
    return (
        list(given)[: len(in_order)] != in_order
        or not taken
        or any(p.default is p.empty for p in more)
    )


def test_optaxs_arguments_are_taken():
    found = {name for name, theirs, ours in shared() if differs(theirs, ours)}
    assert found == set(EXCEPTIONS)


def test_states_have_optaxs_fields():
    different = {}
    for name, theirs in vars(optax).items():
        ours = getattr(gradtx, name, None)
        fields = getattr(theirs, "_fields", None)
        if not isinstance(theirs, type) or fields is None or ours is None:
            continue
        if fields != ours._fields:
            different[name] = ours._fields
    assert different == {
        # An EmptyState there; here a schedule's decay can be read.
        "AddDecayedWeightsState": ("count", "weight_decay"),
        # One more, the weight gathered so far: () where there are none.
        "MultiStepsState": (*optax.MultiStepsState._fields, "weight"),
    }


G = {"w": jnp.array([3.0, -4.0]), "b": jnp.array(0.0)}


def test_a_transformation_without_a_state_takes_any():
    for tx in (
        *(gradtx.scale(0.5), gradtx.identity(), gradtx.set_to_zero()),
        *(gradtx.clip(1.0), gradtx.clip_by_global_norm(1.0), gradtx.centralize()),
        *(gradtx.stateless(lambda u, p: u), gradtx.scale_by_learning_rate(0.1)),
        gradtx.add_decayed_weights(0.1),
    ):
        for state in (None, {}, {"n": 1}, ()):
            updates, new = tx.update(G, state, G)
            assert new == state, tx
            assert jax.tree.structure(updates) == jax.tree.structure(G)


@pytest.mark.parametrize("name", ["trace", "ema"])
def test_a_decay_of_one_keeps_everything(name):
    tx = getattr(gradtx, name)(1.0)
    state = tx.init(G)
    for _ in range(3):
        updates, state = tx.update(G, state)
    times = {"trace": 3.0, "ema": 0.0}[name]
    np.testing.assert_array_equal(updates["w"], times * G["w"])


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint32", "float32"])
def test_safe_increment_is_optaxs(dtype):
    info = jnp.iinfo if "int" in dtype else jnp.finfo
    for count in (0, 5, info(dtype).max):
        ours = gradtx.safe_increment(jnp.asarray(count, dtype))
        theirs = optax.safe_increment(jnp.asarray(count, dtype))
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype
    assert int(gradtx.safe_increment(np.int32(1))) == 2
    with pytest.raises(ValueError, match="must be whole or floating, got bool"):
        gradtx.safe_increment(jnp.array(True))


def test_global_norm_takes_updates_by_name():
    assert float(gradtx.global_norm(updates=G)) == 5.0


def test_multi_steps_knows_its_inner_optimizer():
    assert gradtx.MultiSteps(gradtx.sgd(0.1), 2).inner_opt == gradtx.sgd(0.1)


def test_partition_masks_extra_arguments_too():
    def update(updates, state, params=None, *, ages, **extra):
        return jax.tree.map(jnp.multiply, updates, ages), state

    aged = gradtx.GradientTransformationExtraArgs(lambda p: (), update)
    members, labels = {"a": aged, "b": gradtx.scale(1.0)}, {"w": "a", "b": "b"}
    ages = {"w": jnp.array([2.0, 3.0]), "b": jnp.array(7.0)}
    tx = gradtx.partition(members, labels, mask_compatible_extra_args=True)
    updates, _ = tx.update(G, tx.init(G), G, ages=ages)
    np.testing.assert_array_equal(updates["w"], [6.0, -12.0])
    np.testing.assert_array_equal(updates["b"], G["b"])
    plain = gradtx.partition(members, labels)
    with pytest.raises(ValueError, match="different types at key path"):
        plain.update(G, plain.init(G), G, ages=ages)


@pytest.mark.parametrize("mode", ["hard", "smooth", "refined"])
def test_lion_has_optaxs_modes(mode):
    grads = [{"w": x * jnp.array([0.3, -4.0, 0.0])} for x in (1.0, -0.5, 2.0)]
    txs = [
        lib.scale_by_lion(0.8, 0.9, mode=mode, smooth_beta=2.0)
        for lib in (gradtx, optax)
    ]
    states = [tx.init(grads[0]) for tx in txs]
    for g in grads:
        found = []
        for i, tx in enumerate(txs):
            updates, states[i] = tx.update(g, states[i])
            found.append(updates["w"])
        np.testing.assert_allclose(*found, rtol=2e-6, atol=1e-7)


def test_lions_modes_keep_the_phase_of_complex_numbers():
    z = {"w": jnp.array([0.3 - 0.4j, 30.0 + 40.0j])}
    sizes = {"smooth": np.tanh([0.5, 50.0]), "refined": np.array([0.5, 1.0])}
    for mode, size in sizes.items():
        tx = gradtx.scale_by_lion(b1=0.0, mode=mode)
        updates, _ = tx.update(z, tx.init(z))
        wanted = size * z["w"] / np.abs(z["w"])
        np.testing.assert_allclose(updates["w"], wanted, rtol=1e-6)
