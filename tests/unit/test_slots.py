"""Slots that begin as copies of parameters, and those that some leaves have not."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.core.leafwise import initial, leafwise
from gradtx.core.numerics import after, settled
from gradtx.tree.norms import sum_of_entries


def test_an_initial_slot_is_a_copy_in_float32_at_least():
    p = jnp.arange(3.0)
    x = initial().init(p)
    np.testing.assert_array_equal(x, p)
    assert x.unsafe_buffer_pointer() != p.unsafe_buffer_pointer()
    y = jax.jit(initial().init)(p)  # where JAX hands arguments on, if nothing is done
    assert y.unsafe_buffer_pointer() != p.unsafe_buffer_pointer()
    assert initial().init(p.astype(jnp.bfloat16)).dtype == jnp.float32
    assert initial(jnp.bfloat16).init(p).dtype == jnp.bfloat16
    assert initial(jnp.bfloat16).init(1j * p).dtype == jnp.complex64
    with pytest.raises(ValueError, match=r"must be floating or complex, got .*int32"):
        initial(jnp.int32)


def test_an_initial_slot_of_a_shape_is_zeros():
    shape = jax.ShapeDtypeStruct((2,), jnp.bfloat16)
    np.testing.assert_array_equal(initial().init(shape), np.zeros(2, np.float32))


class KeptState(NamedTuple):
    kept: Any  # the sum of gradients, of narrow parameters only


def keeping(give):
    @gradtx.transformation
    def keeps_of_narrow():
        def rule(g, kept):
            return (g, give(g)) if kept is None else (kept + g, kept + g)

        return leafwise(KeptState, rule, kept=initial(narrow_only=True))

    return keeps_of_narrow()


def test_a_leaf_may_have_no_slot():
    params = {"wide": jnp.ones(2), "narrow": jnp.ones(2, jnp.bfloat16)}
    tx = keeping(lambda g: None)
    state = tx.init(params)
    assert state.kept["wide"] is None
    assert state.kept["narrow"].dtype == jnp.float32
    updates, new = jax.jit(tx.update)(params, state)
    assert jax.tree.structure(new) == jax.tree.structure(state)
    np.testing.assert_array_equal(updates["wide"], [1, 1])
    np.testing.assert_array_equal(new.kept["narrow"], [2, 2])


def test_a_slot_that_a_leaf_has_not_cannot_be_given():
    tx = keeping(lambda g: g)
    p = jnp.ones(2)
    with pytest.raises(
        ValueError, match=r"keeps_of_narrow: the rule's kept .* is a tree"
    ):
        tx.update(p, tx.init(p))


def test_the_sum_of_entries_is_wide_and_real():
    tree = {"a": jnp.full(3000, 1.0, jnp.bfloat16), "b": jnp.array([2 + 3j]), "c": None}
    assert sum_of_entries(tree) == 3002
    assert sum_of_entries({}) == 0
    assert sum_of_entries(tree).dtype == jnp.float32


def test_what_waits_for_a_number_is_itself_unless_that_is_nan():
    assert after(2.0, jnp.float32(jnp.inf)) == 2
    assert jnp.isnan(after(2.0, jnp.float32(jnp.nan)))
    x = jnp.array([1.0, 3.0])
    found = settled(x, jnp.array([jnp.nan, 5.0]))
    np.testing.assert_array_equal(found, [np.nan, 3.0])
