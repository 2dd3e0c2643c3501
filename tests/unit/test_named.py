"""States by name: each leaf has one, it lasts, and nothing is lost on the way back."""

import inspect
import json
import warnings
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import gradtx
from gradtx.testing import PREPARE, discover, sample
from gradtx.testing.trial import waves
from gradtx.tree.named import FORMAT, from_named, to_named

FACTORIES = discover(gradtx)
RATE = gradtx.constant_schedule(0.1)


def build(name, **changes):
    """A typical transformation of a factory, with some arguments changed."""
    factory = FACTORIES[name]
    args, kwargs = sample(factory)
    bound = inspect.signature(factory).bind(*args, **kwargs)
    bound.arguments.update(changes)
    return factory(*bound.args, **bound.kwargs)


def init(tx, params=None):
    params = waves(1.0) if params is None else params
    for name, prepare in PREPARE.items():
        params = prepare(params) if name in repr(tx) else params
    return tx.init(params)


def numbered(state):
    """The state with another number in every leaf, so that none pass for another."""

    def fill(i, x):
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            return jax.random.key(i)
        return jnp.full_like(x, i)

    leaves, treedef = jax.tree.flatten(state)
    return treedef.unflatten(fill(i, x) for i, x in enumerate(leaves))


def names(tx, params=None):
    return [*to_named(tx, init(tx, params))][:-1]


def data(x):
    keys = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(x) if keys else x)


def assert_same(state, expected):
    assert jax.tree.structure(state) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(expected), strict=True):
        assert type(a) is type(b)
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert data(a).tobytes() == data(b).tobytes()


def through_a_file(named, path):
    np.savez(path, **named)
    return np.load(path)  # without pickle, by default


@pytest.mark.parametrize("name", FACTORIES)
def test_every_state_comes_back_from_a_file(name, tmp_path):
    tx = build(name)
    state = numbered(init(tx))
    named = to_named(tx, state)
    assert len(named) == len(jax.tree.leaves(state)) + 1
    loaded = through_a_file(named, tmp_path / "state.npz")
    assert_same(from_named(tx, loaded, init(tx)), state)
    assert_same(from_named(tx, loaded, jax.eval_shape(lambda: init(tx))), state)


class Layer(NamedTuple):
    kernel: Any
    scale: Any


CONTAINERS = {
    "bare": (jnp.ones(2), [None]),
    "dict": ({"a/b": 1.0, "50%": 2.0, "": 3.0}, ["", "50%25", "a%2Fb"]),
    "haiku": ({"net/~/linear": {"w": jnp.ones(1)}}, ["net%2F~%2Flinear/w"]),
    "ints": ({0: 1.0, 1: {2: 2.0}}, ["0", "1/2"]),
    "list": ([jnp.ones(1), (jnp.ones(2), None)], ["0", "1/0"]),
    "namedtuple": (Layer(jnp.ones(2), {"x": jnp.ones(1)}), ["kernel", "scale/x"]),
    "equinox": (
        eqx.filter(eqx.nn.Linear(2, 1, key=jax.random.key(0)), eqx.is_array),
        ["weight", "bias"],
    ),
    "nnx": (
        nnx.to_pure_dict(nnx.state(nnx.Linear(2, 1, rngs=nnx.Rngs(0)))),
        ["bias", "kernel"],
    ),
    "empty": ({}, []),
    "absent": ({"frozen": None}, []),
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_parameters_in_any_container(kind):
    params, paths = CONTAINERS[kind]
    tx = gradtx.lion(0.1)
    state = numbered(tx.init(params))
    expected = [
        "lion/count",
        *("/".join(["lion/mu", *[p][: p is not None]]) for p in paths),
    ]
    named = to_named(tx, state)
    assert [*named] == [*expected, FORMAT]
    assert_same(from_named(tx, named, tx.init(params)), state)


def test_an_edited_chain_is_reported_and_nothing_lost_silently():
    params = {"w": jnp.ones(3), "b": jnp.ones(2)}
    old = gradtx.chain(gradtx.trace(0.9), gradtx.adamw(0.1, mu_dtype=jnp.bfloat16))
    new = gradtx.chain(gradtx.adamw(RATE), gradtx.ema(0.9))
    state = numbered(old.init(params))
    like = numbered(new.init(params | {"w": jnp.ones(4)}))
    named = to_named(old, state)
    with pytest.raises(ValueError, match="partial=True") as error:
        from_named(new, named, like)
    restored, report = from_named(new, named, like, partial=True)
    assert report.matched == ("adamw/count", "adamw/nu/b")
    assert report.new == (
        "adamw/scale_by_learning_rate/count",
        "adamw/scale_by_learning_rate/learning_rate",
        "ema/count",
        "ema/ema/b",
        "ema/ema/w",
    )
    assert report.dropped == ("trace/trace/b", "trace/trace/w")
    assert report.changed == {
        "adamw/mu/b": "saved as bfloat16[2], here float32[2]",
        "adamw/mu/w": "saved as bfloat16[3], here float32[4]",
        "adamw/nu/w": "saved as float32[3], here float32[4]",
    }
    for name in (*report.new, *report.dropped, *report.changed.items()):
        for part in (name,) if isinstance(name, str) else name:
            assert part in str(error.value)
            assert part in str(report)
    # What matched is the saved, all else as it was given.
    saved, given = to_named(old, state), to_named(new, like)
    for name, value in to_named(new, restored).items():
        if name != FORMAT:
            source = saved if name in report.matched else given
            np.testing.assert_array_equal(value, source[name])
    with pytest.raises(ValueError, match=r"only its\s+shape"):
        from_named(new, named, jax.eval_shape(lambda: like), partial=True)


def test_what_fits_has_an_empty_report():
    tx = gradtx.lion(0.1)
    named = to_named(tx, tx.init(1.0))
    _, report = from_named(tx, named, tx.init(2.0), partial=True)
    assert report == (("lion/count", "lion/mu"), (), (), {}, {})


def test_a_long_list_of_names_is_cut_in_the_error_only():
    params = {f"layer{i:02}": jnp.ones(1) for i in range(30)}
    tx = gradtx.trace(0.9)
    named = to_named(tx, tx.init(params))
    with pytest.raises(ValueError, match=r"layer09, and 20 more\n") as error:
        from_named(gradtx.identity(), named, ())
    assert "layer29" not in str(error.value)
    _, report = from_named(gradtx.identity(), named, (), partial=True)
    assert "layer29" in str(report)


def header(**changes):
    text = json.dumps({"version": 1, "dtypes": {}} | changes)
    return np.frombuffer(text.encode(), np.uint8)


def test_formats_that_are_not_known_are_refused():
    tx = gradtx.trace(0.9)
    state = tx.init(1.0)
    named = to_named(tx, state)
    assert json.loads(bytes(named[FORMAT])) == {"version": 1, "dtypes": {}}
    with pytest.raises(ValueError, match="version 2, this gradtx knows version 1"):
        from_named(tx, named | {FORMAT: header(version=2)}, state)
    del named[FORMAT]
    with pytest.raises(ValueError, match=f"no entry '{FORMAT}'"):
        from_named(tx, named, state)


def test_dtypes_that_a_file_forgets_come_back(tmp_path):
    for dtype in (jnp.bfloat16, jnp.float8_e4m3fn, jnp.float8_e5m2, jnp.float16):
        tx = gradtx.trace(0.9, accumulator_dtype=dtype)
        params = [jnp.ones(()), jnp.ones((2, 1))]
        state = numbered(tx.init(params))
        loaded = through_a_file(to_named(tx, state), tmp_path / "state.npz")
        assert_same(from_named(tx, loaded, tx.init(params)), state)
    # Under a name of its own the bytes are not taken for those of another dtype.
    tx = gradtx.trace(0.9, accumulator_dtype=jnp.bfloat16)
    loaded = dict(through_a_file(to_named(tx, tx.init(1.0)), tmp_path / "state.npz"))
    loaded["trace/trace/other"] = loaded.pop("trace/trace")
    with pytest.raises(ValueError, match=r"saved as \|V2\[\], here bfloat16\[\]"):
        from_named(tx, loaded, tx.init({"other": 1.0}))


def test_random_keys_keep_their_kind(tmp_path):
    def noise(impl):
        return gradtx.add_noise(0.1, 0.55, jax.random.key(7, impl=impl))

    state = noise("rbg").init(1.0)
    path = tmp_path / "state.npz"
    loaded = through_a_file(to_named(noise("rbg"), state), path)
    assert_same(from_named(noise("rbg"), loaded, noise("rbg").init(1.0)), state)
    for other in ("threefry2x32", "unsafe_rbg"):  # the one of another size, one not
        with pytest.raises(ValueError, match=r"rng_key \(saved as key<rbg>\[\]"):
            from_named(noise(other), loaded, noise(other).init(1.0))


def foreign(params):
    return {"scale": 2.0, "steps": 3, "on": True, "host": np.arange(2.0), "rest": None}


def test_numbers_in_a_state_stay_numbers(tmp_path):
    tx = gradtx.GradientTransformation(foreign, lambda u, s, p=None: (u, s))
    state = foreign(None) | {"scale": 4.0, "steps": 5, "on": False}
    loaded = through_a_file(to_named(tx, state), tmp_path / "state.npz")
    assert [*loaded][:-1] == [f"foreign/{x}" for x in ("host", "on", "scale", "steps")]
    restored = from_named(tx, loaded, tx.init(None))
    assert {k: type(v) for k, v in restored.items()} == {
        k: type(v) for k, v in state.items()
    }
    np.testing.assert_array_equal(restored.pop("host"), state.pop("host"))
    assert restored == state


@pytest.mark.parametrize("source", ["device", "file"])
def test_a_restored_state_may_be_donated(source, tmp_path):
    tx = gradtx.chain(gradtx.add_noise(0.1, 0.55, 0), gradtx.scale_by_lion())
    params = jnp.ones(1 << 12)  # large enough that NumPy's memory could be taken over
    start = tx.init(params)
    named = to_named(tx, start)
    if source == "file":
        named = dict(through_a_file(named, tmp_path / "state.npz"))
    before = {name: np.array(x) for name, x in named.items()}
    step = jax.jit(lambda s, g: tx.update(g, s)[1], donate_argnums=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # donated buffers that were not usable
        for _ in range(2):
            state = from_named(tx, named, jax.eval_shape(tx.init, params))
            after = step(state, jnp.ones_like(params))
            assert all(x.is_deleted() for x in jax.tree.leaves(state))
    assert_same(after, step(tx.init(params), jnp.ones_like(params)))
    for name, x in named.items():
        np.testing.assert_array_equal(x, before[name])
    # Nor is what `like` gives to a partial restore shared with it.
    like = tx.init(params)
    state, _ = from_named(tx, {FORMAT: named[FORMAT]}, like, partial=True)
    step(state, jnp.ones_like(params))
    assert_same(like, start)


def test_what_is_no_state_or_no_transformation_is_refused():
    tx = gradtx.chain(gradtx.trace(0.9), gradtx.scale(2.0))
    state = tx.init(1.0)
    with pytest.raises(
        TypeError, match=r"chain\(trace\(0.9\), scale\(2.0\)\) does not"
    ):
        to_named(tx, state[:1])
    with pytest.raises(TypeError, match="does not make a state like"):
        from_named(gradtx.named_chain(("one", tx)), to_named(tx, state), {"two": state})
    less, more = gradtx.named_chain(("one", tx)), {"one": state, "two": state}
    with pytest.raises(TypeError, match="does not make a state like"):
        to_named(less, more)
    with pytest.raises(TypeError, match="tx: expected a gradient transformation"):
        to_named(tx.init, state)
    with pytest.raises(TypeError, match="trace/trace is 'x', not an array"):
        to_named(tx, (gradtx.TraceState("x"), state[1]))
