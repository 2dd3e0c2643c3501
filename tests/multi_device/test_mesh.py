"""Which sharding each array of a state has, and what is refused."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AbstractMesh, NamedSharding, PartitionSpec as P

import gradtx
from gradtx.core.trees import paths_of
from gradtx.distributed.sharding import state_sharding

AXES = ("data", "model")
MESH = AbstractMesh((2, 4), AXES)


def specs(tree):
    """From path to spec."""
    return {path: s.spec for path, s in paths_of(tree) if s is not None}


PAIR = {
    "w": jax.ShapeDtypeStruct((8, 4), jnp.float32),
    "b": jax.ShapeDtypeStruct((4,), jnp.float32),
}
LAYOUT = {"w": P("data", "model"), "b": P("model")}


def by_shape(params):
    return jax.tree.map(lambda p: "matrix" if p.ndim > 1 else "vector", params)


def test_partition_masks_and_wrappers_keep_what_they_keep():
    inner = gradtx.partition(
        {
            "matrix": gradtx.lion(0.1),
            "vector": gradtx.masked(gradtx.adam(0.1), {"w": False, "b": True}),
        },
        by_shape,
    )
    found = specs(state_sharding(inner, PAIR, LAYOUT, mesh=MESH))
    below = ".inner_states['{}'].inner_state"
    assert found == {
        below.format("matrix") + "[0].count": P(),
        below.format("matrix") + "[0].mu['w']": P("data", "model"),
        below.format("vector") + ".inner_state[0].count": P(),
        below.format("vector") + ".inner_state[0].mu['b']": P("model"),
        below.format("vector") + ".inner_state[0].nu['b']": P("model"),
    }


def test_labels_may_look_at_single_leaves():
    tx = gradtx.partition(
        {"a": gradtx.trace(0.9), "b": gradtx.identity()},
        lambda params: {k: "ab"[p.shape[0] == 4] for k, p in params.items()},
    )
    found = specs(state_sharding(tx, PAIR, LAYOUT, mesh=MESH))
    assert list(found.values()) == [P("data", "model")]


def test_joined_vectors_are_replicated_or_split_by_zero1():
    tx = gradtx.chain(gradtx.flatten(gradtx.trace(0.9)), gradtx.trace(0.9))
    found = specs(state_sharding(tx, PAIR, LAYOUT, mesh=MESH))
    assert found["[0].trace['float32']"] == P()
    assert found["[1].trace['w']"] == P("data", "model")
    found = specs(state_sharding(tx, PAIR, P(), mesh=MESH, zero1_axis="data"))
    assert found["[0].trace['float32']"] == P("data")


class Slots(NamedTuple):
    """Slots of other shapes than the parameter's."""

    row: object
    column: object
    kept: object
    history: object
    pair: object


@gradtx.transformation
def factored():
    """Of every parameter its sums, its history and two arrays together."""

    def init(params):
        def each(make):
            return jax.tree.map(lambda p: jnp.zeros(make(p.shape)), params)

        return Slots(
            row=each(lambda shape: shape[:-1]),
            column=each(lambda shape: shape[1:]),
            kept=each(lambda shape: (*shape[:-1], 1)),
            history=each(lambda shape: (5, *shape)),
            pair=jax.tree.map(lambda p: {"codes": p, "scale": jnp.zeros([])}, params),
        )

    return init, lambda updates, state, params=None: (updates, state)


@pytest.mark.parametrize(
    ("shape", "row", "column"),
    [
        ((8, 4), P("data"), P("model")),
        ((8, 8), P(), P()),  # which of the two is kept cannot be told
    ],
)
def test_other_shapes_keep_the_axes_that_can_be_told(shape, row, column):
    params = {"w": jax.ShapeDtypeStruct(shape, jnp.float32)}
    where = state_sharding(factored(), params, P("data", "model"), mesh=MESH)
    assert where.row["w"].spec == row
    assert where.column["w"].spec == column
    assert where.kept["w"].spec == P("data")
    assert where.history["w"].spec == P(None, "data", "model")
    assert where.pair["w"]["codes"].spec == P("data", "model")
    assert where.pair["w"]["scale"].spec == P()


def test_zero1_splits_the_first_dimension_that_it_divides():
    shapes = {"a": (6, 8), "b": (3, 8), "c": (3, 5), "d": (), "e": (0, 2), "f": (16,)}
    params = {k: jax.ShapeDtypeStruct(s, jnp.float32) for k, s in shapes.items()}
    layout = dict.fromkeys(shapes, P()) | {"f": P("model"), "a": P(None, "model")}
    where = state_sharding(
        gradtx.trace(0.9), params, layout, mesh=MESH, zero1_axis="data"
    )
    assert {k: s.spec for k, s in where.trace.items()} == {
        "a": P("data", "model"),
        "b": P(None, "data"),
        "c": P(),
        "d": P(),
        "e": P(None, "data"),
        "f": P(("model", "data")),
    }


def test_shardings_of_the_leaves_themselves_and_of_another_kind_of_tree():
    where = NamedSharding(MESH, P("model"))
    params = {"w": jax.ShapeDtypeStruct((8, 4), jnp.float32, sharding=where)}
    tx = gradtx.lookahead(gradtx.trace(0.9), 2, 0.5)
    params = gradtx.LookaheadParams(params, params)
    found = specs(state_sharding(tx, params))
    assert found == {".fast_state.trace['w']": P("model"), ".steps_since_sync": P()}


def test_a_leaf_that_is_not_there_has_no_sharding():
    params = {"w": jax.ShapeDtypeStruct((8,), jnp.float32), "none": None}
    where = state_sharding(gradtx.trace(0.9), params, P("data"), mesh=MESH)
    assert specs(where) == {".trace['w']": P("data")}
    assert where.trace["none"] is None


def by_hand(params):
    return {name: jnp.zeros(p.shape) for name, p in params.items()}


def listed(params):
    return [jnp.zeros(p.shape) for p in jax.tree.leaves(params)]


def in_pieces(params):
    return [*listed(params), params]


def computing(params):
    return jnp.sum(params["w"])


@pytest.mark.parametrize(
    ("init", "said"),
    [
        (by_hand, r"state\['w'\] has the shape \(8, 4\) of params\['w'\].*tree.map"),
        (listed, r"state\[1\] has the shape \(8, 4\) of params\['w'\].*tree.map"),
        (in_pieces, "cannot be told: init takes the tree of parameters to pieces"),
        (computing, "cannot be told: init computes with parameters one by one"),
    ],
)
def test_what_cannot_be_told_is_refused(init, said):
    tx = gradtx.GradientTransformation(init, lambda u, s, p=None: (u, s))
    with pytest.raises(TypeError, match=said):
        state_sharding(tx, PAIR, LAYOUT, mesh=MESH)


OTHER = AbstractMesh((8,), ("data",))


@pytest.mark.parametrize(
    ("layout", "options", "kind", "said"),
    [
        (
            P("datum"),
            {},
            ValueError,
            r"params\['b'\] has P\('datum',?\): .*no mesh axis 'datum'.*'data': 2",
        ),
        (
            {"w": P(), "b": P(AXES)},
            {},
            ValueError,
            r"params\['b'\] has .* 0 of size 4 .* 'data' and 'model' of size 8. Pad it",
        ),
        (
            {"w": P(), "b": P(None, "data")},
            {},
            ValueError,
            r"params\['b'\] has shape \(4,\), too few",
        ),
        (P(), {"zero1_axis": "z"}, ValueError, "zero1_axis: there is no mesh axis 'z'"),
        (P(), {"mesh": None}, ValueError, r"params\['b'\] is P\(\): give mesh="),
        (P(P.UNCONSTRAINED), {}, ValueError, r"params\['b'\] has P\(UNCONSTRAINED"),
        ({"w": P()}, {}, ValueError, "params_sharding does not fit the tree"),
        (
            None,
            {},
            TypeError,
            r"sharding of params\['b'\] is None; it must be a NamedSharding",
        ),
        (
            {"w": P(), "b": NamedSharding(OTHER, P())},
            {},
            ValueError,
            "one mesh, got .*'model': 4.* and {'data': 8}",
        ),
    ],
)
def test_bad_layouts(layout, options, kind, said):
    with pytest.raises(kind, match=said):
        state_sharding(gradtx.adam(0.1), PAIR, layout, **{"mesh": MESH, **options})


def test_without_parameters_a_mesh_is_needed():
    with pytest.raises(ValueError, match="give mesh="):
        state_sharding(gradtx.adam(0.1), {})
    where = state_sharding(gradtx.adam(0.1), {}, mesh=MESH)
    assert specs(where) == {"[0].count": P()}
