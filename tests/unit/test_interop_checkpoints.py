"""A run begun with Optax, saved by Orbax or Flax, goes on here from the file."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from flax import nnx, serialization
from flax.training.train_state import TrainState

import gradtx

PARAMS = {
    "dense": {"kernel": jnp.array([[0.5, -1.0], [1.5, 2.0]]), "bias": jnp.ones(2)},
    "blocks": [jnp.ones(3), jnp.array([[0.3]])],
}


def halving(count):
    return 0.1 * 0.5**count


def matrices(params):
    return jax.tree.map(lambda p: p.ndim > 1, params)


def labels(params):
    return jax.tree.map(lambda p: "m" if p.ndim > 1 else "v", params)


CALLS = {
    "adamw": lambda lib: lib.adamw(0.1, weight_decay=0.1, mask=matrices),
    "clipped": lambda lib: lib.chain(lib.clip_by_global_norm(1.0), lib.adamw(halving)),
    "accumulated": lambda lib: lib.MultiSteps(lib.adamw(halving), 2),
    "groups": lambda lib: lib.partition(
        {"m": lib.adam(halving), "v": lib.sgd(0.1, 0.9)}, labels
    ),
    "injected": lambda lib: lib.inject_hyperparams(lib.sgd)(halving, 0.9),
    "named": lambda lib: lib.named_chain(("a", lib.clip(1.0)), ("b", lib.lion(0.1))),
    "masked": lambda lib: lib.masked(lib.sgd(0.1, 0.9), matrices),
}
THEIRS = {name: make(optax) for name, make in CALLS.items()}
THEIRS["accumulated"] = THEIRS["accumulated"].gradient_transformation()
OURS = {name: make(gradtx) for name, make in CALLS.items()}
LIKE = {name: tx.init(PARAMS) for name, tx in OURS.items()}


def gradients(step):
    return jax.tree.map(lambda p: jnp.cos(p * (step + 1)) + 0.1, PARAMS)


@jax.jit
def their_step(runs, i):
    return {name: run.apply_gradients(grads=gradients(i)) for name, run in runs.items()}


@jax.jit
def our_step(runs, i):
    return {
        name: OURS[name].step(gradients(i), state, params)
        for name, (params, state) in runs.items()
    }


@pytest.fixture(scope="module")
def begun():
    """A TrainState of each, after three steps of Optax's."""
    runs = {
        name: TrainState.create(apply_fn=None, params=PARAMS, tx=tx)
        for name, tx in THEIRS.items()
    }
    for i in range(3):
        runs = their_step(runs, i)
    return runs


def through_orbax(path, tree, *template):
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path, tree)
        checkpointer.wait_until_finished()
        return checkpointer.restore(path, *template)


def assert_same(tree, expected):
    assert jax.tree.structure(tree) == jax.tree.structure(expected)
    for x, y in zip(jax.tree.leaves(tree), jax.tree.leaves(expected), strict=True):
        assert (x.dtype, x.shape) == (y.dtype, y.shape)
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


def direct(runs):
    return {
        name: gradtx.from_optax(OURS[name], run.opt_state, LIKE[name])
        for name, run in runs.items()
    }


@pytest.mark.filterwarnings("ignore:Sharding info not provided")  # without a template
@pytest.mark.parametrize("with_template", [False, True])
def test_orbax(begun, with_template, tmp_path):
    template = [begun] if with_template else []
    saved = through_orbax(tmp_path / "runs", begun, *template)
    for name, expected in direct(begun).items():
        run = saved[name]
        state = run.opt_state if with_template else run["opt_state"]
        assert_same(gradtx.from_optax(OURS[name], state, LIKE[name]), expected)


def test_msgpack_of_flax(begun):
    for name, expected in direct(begun).items():
        if name == "named":  # flax 0.12 does not write an OrderedDict, which it is
            continue
        data = serialization.to_bytes(begun[name])
        raw = serialization.msgpack_restore(data)["opt_state"]
        full = serialization.from_bytes(begun[name], data).opt_state
        for state in (raw, full):
            assert_same(gradtx.from_optax(OURS[name], state, LIKE[name]), expected)


# The steps of `sgd` and `lion` are Optax's to the bit. Those of Adam are not: Optax's
# powers of b1 and b2 lose digits, and so does its bias correction in the first steps.
ROUNDING = dict.fromkeys(("adamw", "clipped", "accumulated", "groups"), 2e-5)


def test_what_follows_is_what_optax_does_from_there(begun):
    ours = {name: (begun[name].params, state) for name, state in direct(begun).items()}
    theirs = begun
    for i in range(3, 6):
        ours, theirs = our_step(ours, i), their_step(theirs, i)
    for name, (params, _) in ours.items():
        for x, y in zip(
            jax.tree.leaves(params), jax.tree.leaves(theirs[name].params), strict=True
        ):
            np.testing.assert_allclose(x, y, atol=0, rtol=ROUNDING.get(name, 1e-7))


@pytest.mark.filterwarnings("ignore:Sharding info not provided")  # without a template
def test_the_optimizer_of_nnx(tmp_path):
    model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    theirs = optax.chain(optax.clip(1.0), optax.adamw(halving, mask=matrices))
    optimizer = nnx.Optimizer(model, theirs, wrt=nnx.Param)
    optimizer.update(model, nnx.state(model, nnx.Param))
    params = nnx.to_pure_dict(nnx.state(model, nnx.Param))
    tx = gradtx.chain(gradtx.clip(1.0), gradtx.adamw(halving, mask=matrices))
    like = tx.init(params)
    pure = nnx.to_pure_dict(nnx.state(optimizer))
    expected = gradtx.from_optax(tx, pure["opt_state"], like)
    assert gradtx.tree.get(expected, "ScaleByAdamState").count == 1
    for i, given in enumerate((nnx.state(optimizer), pure)):
        raw = through_orbax(tmp_path / str(i), given)
        assert_same(gradtx.from_optax(tx, raw["opt_state"], like), expected)


def test_a_long_list_keeps_its_order():
    theirs, tx, params = optax.trace(0.9), gradtx.trace(0.9), [0.0] * 11
    _, state = theirs.update([jnp.float32(i) for i in range(11)], theirs.init(params))
    raw = serialization.msgpack_restore(serialization.to_bytes(state))  # "10" < "2"
    restored = gradtx.from_optax(tx, raw, tx.init([jnp.zeros([])] * 11))
    assert [int(x) for x in restored.trace] == list(range(11))


def test_what_does_not_fit_is_named(begun):
    tx, like = OURS["clipped"], LIKE["clipped"]
    data = serialization.to_bytes(begun["clipped"])
    raw = serialization.msgpack_restore(data)["opt_state"]
    with pytest.raises(TypeError, match=r"lost its classes.* Give like=tx.init"):
        gradtx.from_optax(tx, raw)
    other = tx.init(PARAMS | {"blocks": [jnp.ones(4), jnp.ones((1, 1))]})
    with pytest.raises(ValueError, match=r"mu\['blocks'\]\[0\] has shape \(4,\)"):
        gradtx.from_optax(tx, raw, other)
    lion = gradtx.lion(halving)
    with pytest.raises(ValueError, match=r"\[1\]\[0\]\.nu has no place"):
        gradtx.from_optax(lion, raw, lion.init(PARAMS))
    with pytest.raises(ValueError, match=r"parts .*, where .* are wanted"):
        gradtx.from_optax(gradtx.adam(0.1), raw, gradtx.adam(0.1).init(PARAMS))
    del raw["1"]["0"]["nu"]
    with pytest.raises(ValueError, match=r"\[1\]\[0\]\.nu is not in"):
        gradtx.from_optax(tx, raw, like)
