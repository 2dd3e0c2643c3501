"""The layout of a state over devices: right, in place, and without an effect."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P

import gradtx
from gradtx.core.trees import paths_of
from gradtx.distributed.sharding import check_shardings, state_sharding

AXES = ("data", "model")


def mesh_of(*sizes, kind=AxisType.Auto):
    devices = jax.devices()[: int(np.prod(sizes))]
    return jax.make_mesh(sizes, AXES, axis_types=(kind,) * len(sizes), devices=devices)


# A run: a small network, its optimizer, and ways of laying it out.

SHAPES = {"in": (8, 16), "bias": (16,), "out": (16, 8)}
FULLY = {"in": P(AXES), "bias": P(AXES), "out": P(AXES)}
WHOLE = dict.fromkeys(SHAPES, P())
TENSOR = {"in": P(None, "model"), "bias": P("model"), "out": P("model")}
# The limit is below the norm of the gradients: clipping has something to do.
TX = gradtx.MultiSteps(
    gradtx.chain(gradtx.clip_by_global_norm(0.1), gradtx.adamw(1e-2)), 2
)


def wave(shape, start):
    return np.cos(1.7 * np.arange(np.prod(shape)) + start).reshape(shape) / 2


PARAMS = {
    name: wave(s, i).astype("float32") for i, (name, s) in enumerate(SHAPES.items())
}
BATCHES = [wave((16, 8), 10 + i).astype("float32") for i in range(6)]


def loss(params, x):
    hidden = jnp.tanh(x @ params["in"] + params["bias"])
    return jnp.mean((hidden @ params["out"] - x[:, ::-1]) ** 2)


def step(params, state, x):
    return TX.step(jax.grad(loss)(params, x), state, params)


def run(step, params, state, batches):
    for x in batches:
        params, state = step(params, state, x)
    return params, state


@pytest.fixture(scope="module")
def alone():
    """The run on one device."""
    params = jax.tree.map(jnp.array, PARAMS)
    return run(jax.jit(step), params, TX.init(params), BATCHES)


def assert_close(tree, expected):
    """Relative to the largest entry of each leaf.

    Sums over devices are taken in another order, which moves a gradient by some 1e-7
    of its size; Adam divides it by its own size, and three steps add up (4.3e-7 at
    most was seen).
    """
    for (path, a), (_, b) in zip(paths_of(tree), paths_of(expected), strict=True):
        a, b = np.asarray(a), np.asarray(b)
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-6 * abs(b).max(), err_msg=path)


@pytest.mark.parametrize(
    ("sizes", "layout", "zero1_axis"),
    [
        ((1, 1), FULLY, None),
        ((2, 4), FULLY, None),
        ((8, 1), FULLY, None),
        ((4, 2), FULLY, None),
        ((2, 4), TENSOR, None),
        ((4, 2), TENSOR, "data"),
        ((8, 1), WHOLE, "data"),
    ],
)
def test_a_run_does_not_depend_on_the_mesh(sizes, layout, zero1_axis, alone):
    mesh = mesh_of(*sizes)
    params_lie = {name: NamedSharding(mesh, layout[name]) for name in SHAPES}
    state_lies = state_sharding(TX, PARAMS, params_lie, zero1_axis=zero1_axis)
    split = NamedSharding(mesh, P("data"))
    params = jax.device_put(PARAMS, params_lie)
    state = jax.jit(TX.init, out_shardings=state_lies)(params)
    lie = params_lie, state_lies
    jitted = jax.jit(step, in_shardings=(*lie, split), out_shardings=lie)
    batches = [jax.device_put(x, split) for x in BATCHES]
    params, state = run(jitted, params, state, batches)
    assert_close((params, state), alone)
    if zero1_axis:
        moment = state.inner_opt_state[1][0].mu["in"]
        share = moment.addressable_shards[0].data.size
        assert share * mesh.size == moment.size


@pytest.mark.parametrize("layout", [FULLY, TENSOR])
def test_explicit_axes_will_do(layout, alone):
    mesh = mesh_of(2, 4, kind=AxisType.Explicit)
    params = jax.tree.map(
        lambda x, s: jax.device_put(x, NamedSharding(mesh, s)), PARAMS, layout
    )
    where = state_sharding(TX, params)
    with jax.set_mesh(mesh):
        state = jax.jit(TX.init)(params)
        update = jax.jit(lambda g, s, p: TX.step(g, s, p))
        for x in BATCHES:
            # The network is not the point: its gradients are taken on one device.
            here = jax.tree.map(np.asarray, params)
            grads = jax.tree.map(
                lambda g, p: jax.device_put(np.asarray(g), p.sharding),
                jax.grad(loss)(here, x),
                params,
            )
            params, state = update(grads, state, params)
            # Here JAX itself finds out where everything lies.
            for (path, x), s in zip(
                paths_of(state), jax.tree.leaves(where), strict=True
            ):
                assert x.sharding.is_equivalent_to(s, x.ndim), path
    assert_close((params, state), alone)


def test_init_never_makes_a_full_copy():
    mesh = mesh_of(8, 1)
    shapes = {"w": jax.ShapeDtypeStruct((1024, 64), jnp.float32)}
    tx = gradtx.MultiSteps(gradtx.adamw(1e-3), 4)

    def peak(spec, **options):
        where = state_sharding(tx, shapes, spec, mesh=mesh, **options)
        given = jax.ShapeDtypeStruct(
            (1024, 64), jnp.float32, sharding=NamedSharding(mesh, spec)
        )
        made = jax.jit(tx.init, out_shardings=where).lower({"w": given}).compile()
        memory = made.memory_analysis()
        return memory.output_size_in_bytes + memory.temp_size_in_bytes

    whole = 3 * 4 * 1024 * 64  # accumulator and two moments
    rest = 1024  # counts, and a table of pointers to the results
    assert whole <= peak(P()) <= whole + rest
    assert whole / 8 <= peak(P("data")) <= whole / 8 + rest
    split = peak(P(), zero1_axis="data")
    assert whole / 8 <= split <= whole / 8 + rest


def test_gradients_that_lie_otherwise_are_found():
    mesh = mesh_of(2, 4)
    tree = {"w": jnp.ones((8, 4)), "b": jnp.ones(4)}
    params = jax.device_put(tree, NamedSharding(mesh, P()))
    layout = {"w": NamedSharding(mesh, P(None, "model")), "b": NamedSharding(mesh, P())}
    grads = jax.device_put(tree, layout)
    check_shardings(params, params)
    check_shardings(params, grads | {"w": None})
    said = (
        r"grads\['w'\] has P\(None, 'model'\) on .*'model': 4.*params\['w'\] has P\(\)"
    )
    with pytest.raises(ValueError, match=said):
        check_shardings(params, grads)
    with pytest.raises(TypeError, match=r"grads\['b'\] is .* outside of jit"):
        jax.jit(check_shardings)(params, grads)
