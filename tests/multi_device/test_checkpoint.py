"""Stored and restored, on as many devices or fewer, a run goes on to the same bits."""

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

import gradtx
from gradtx.testing import PREPARE, discover, sample
from gradtx.tree.named import from_named, to_named

from . import training

STEPS = 12
STOPS = (6, 10)  # MultiSteps holds two micro-batches at each


def bits(tree):
    def of(x):
        keys = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(x) if keys else x).tobytes()

    return jax.tree.map(of, tree)


def run(params, state, start, stop):
    for i in range(start + 1, stop + 1):
        params, state = training.step(params, state, training.targets(i))
    return params, state


@pytest.fixture(scope="module")
def undisturbed():
    """The bits of parameters and state at the stops and at the end."""
    found, params, state = {}, *training.begin(8)
    for start, stop in zip((0, *STOPS), (*STOPS, STEPS), strict=True):
        params, state = run(params, state, start, stop)
        found[stop] = bits((params, state))
    return found


def shapes(devices):
    """Parameters and state as shapes with shardings."""
    params = training.placed(training.waves(0.0), devices)
    state = jax.eval_shape(training.TX.init, params)
    return params, training.placed(state, devices)


def by_orbax(params, state, devices, path):
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path, (params, state))
        checkpointer.wait_until_finished()
        return checkpointer.restore(path, shapes(devices))


def by_names_and_orbax(params, state, devices, path):
    tx, (like, state_like) = training.TX, shapes(devices)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path, (params, to_named(tx, state)))
        checkpointer.wait_until_finished()
        target = like, to_named(tx, state_like)
        params, named = checkpointer.restore(path, target)
    return params, from_named(tx, named, state_like)


def by_names_and_a_file(params, state, devices, path):
    path.mkdir()
    training.store(path / "run.npz", params, state, 0, lambda text: None)
    return training.load(path / "run.npz", devices)[:2]


@pytest.mark.parametrize("store", [by_orbax, by_names_and_orbax, by_names_and_a_file])
@pytest.mark.parametrize("devices", [(8, 8), (4, 8), (1, 4)])
def test_goes_on_to_the_same_bits(undisturbed, store, devices, tmp_path):
    params, state = training.begin(8)
    for start, stop, n in zip((0, *STOPS[:1]), STOPS, devices, strict=True):
        params, state = run(params, state, start, stop)
        params, state = store(params, state, n, tmp_path / f"{stop}")
        assert bits((params, state)) == undisturbed[stop]
        wanted = jax.tree.map(lambda x: x.sharding, shapes(n))
        jax.tree.map(check_sharding, (params, state), wanted)
    assert bits(run(params, state, STOPS[-1], STEPS)) == undisturbed[STEPS]


def check_sharding(x, wanted):
    assert x.sharding.is_equivalent_to(wanted, x.ndim)


def test_a_run_without_its_state_goes_elsewhere(undisturbed):
    params, state = training.begin(8)
    params, _ = run(params, state, 0, STOPS[0])
    _, fresh = training.begin(8)
    assert bits(run(params, fresh, STOPS[0], STEPS)) != undisturbed[STEPS]


@pytest.mark.parametrize("devices", [8, 4])
@pytest.mark.parametrize("host", [False, True])
def test_arrays_go_where_those_of_like_are(devices, host):
    tx = training.TX
    _, state = run(*training.begin(8), 0, STOPS[0])
    named = jax.device_get(to_named(tx, state)) if host else to_named(tx, state)
    params, like = training.begin(devices)
    restored = from_named(tx, named, like)
    jax.tree.map(lambda x, y: check_sharding(x, y.sharding), restored, like)
    before = bits(state)
    assert bits(restored) == before
    run(params, restored, STOPS[0], STEPS)  # donates it
    assert bits(from_named(tx, named, like)) == before


def test_without_a_place_it_goes_with_parameters_anywhere(undisturbed):
    tx = training.TX
    params, state = run(*training.begin(8), 0, STOPS[0])
    like = jax.eval_shape(tx.init, params)
    spread = to_named(tx, state)
    host = jax.device_get(spread)
    # As from a checkpoint that was restored without saying where to.
    on_one = jax.device_put(host, jax.devices()[1])
    for named in (spread, on_one, host, spread):  # donated each time, and still there
        again = jax.tree.map(jnp.copy, params)
        end = run(again, from_named(tx, named, like), STOPS[0], STEPS)
        assert bits(end) == undisturbed[STEPS]


def test_orbax_keeps_the_state_of_every_factory(tmp_path):
    # No leaves of size 0: Orbax refuses them.
    tree = {"kernel": jnp.ones((3, 2)), "gain": jnp.ones(()), "absent": None}

    def init(name, factory):
        args, kwargs = sample(factory)
        return factory(*args, **kwargs).init(PREPARE.get(name, lambda p: p)(tree))

    def numbered(i, x):
        keys = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
        return jax.random.key(i) if keys else jnp.full_like(x, i)

    factories = discover(gradtx)
    like = {name: init(name, factory) for name, factory in factories.items()}
    like["injected"] = gradtx.inject_hyperparams(gradtx.adam)(0.1).init(tree)
    leaves, treedef = jax.tree.flatten(like)
    states = treedef.unflatten(numbered(i, x) for i, x in enumerate(leaves))
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "all", states)
        checkpointer.wait_until_finished()
        restored = checkpointer.restore(tmp_path / "all", like)
    assert jax.tree.structure(restored) == treedef
    assert bits(restored) == bits(states)
