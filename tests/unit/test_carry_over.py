"""A run is edited: what it knows goes over by name, and a report says what did not."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.tree import carry_over, get

PARAMS = {
    "embed": jnp.ones((3, 2)),
    "head": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)},
}
ADAM = gradtx.adam(0.1)


def numbered(state, start=1):
    """A state whose leaves all differ; counts are alike, as in a run."""
    leaves, treedef = jax.tree.flatten(state)
    return treedef.unflatten(
        jnp.full_like(x, 7 if x.ndim == 0 else i) for i, x in enumerate(leaves, start)
    )


def moments(state, field):
    """From parameter to the one number that fills its entry, over all groups."""
    found = {}
    for _, tree in gradtx.tree.get_all_with_path(state, field):
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            found[jax.tree_util.keystr(path, simple=True, separator="/")] = float(
                leaf.ravel()[0]
            )
    return found


def grouped(labels):
    members = {"a": gradtx.adamw(0.1), "b": gradtx.adamw(0.2), "c": gradtx.sgd(0.1)}
    return gradtx.partition(members, labels)


FIRST = {"embed": "a", "head": {"kernel": "b", "bias": "b"}}
SECOND = {"embed": "b", "head": {"kernel": "a", "bias": "c"}}
EDITS = {
    "a clip in front": (ADAM, gradtx.chain(gradtx.clip_by_global_norm(1.0), ADAM)),
    "an average": (ADAM, gradtx.chain(ADAM, gradtx.ema(0.99))),
    "adam to adamw": (ADAM, gradtx.adamw(0.1, weight_decay=0.1)),
    "accumulation": (ADAM, gradtx.MultiSteps(ADAM, 4)),
    "a rate to change": (ADAM, gradtx.inject_hyperparams(gradtx.adam)(0.1)),
    "groups made": (ADAM, grouped(FIRST)),
    "groups joined": (grouped(FIRST), ADAM),
    "by path": (
        ADAM,
        gradtx.groups([("*/bias", dict(weight_decay=0.0))], gradtx.adamw(0.1)),
    ),
    "a name": (ADAM, gradtx.named_chain(("rule", gradtx.adamw(0.1)))),
}


@pytest.mark.parametrize("edit", EDITS)
def test_moments_and_counts_go_over(edit):
    old, new = EDITS[edit]
    state = numbered(old.init(PARAMS))
    restored, report = carry_over(old, state, new, PARAMS)
    for field in ("mu", "nu"):
        expected = moments(state, field)
        assert len(expected) == 3
        assert moments(restored, field) == expected
    adams = gradtx.tree.get_all_with_path(restored, "ScaleByAdamState")
    assert {int(x.count) for _, x in adams} == {7}
    assert not report.changed
    assert not report.dropped
    wanted = new.init(PARAMS)
    assert jax.tree.structure(restored) == jax.tree.structure(wanted)
    # It steps, and shares nothing with the old state.
    new.step(PARAMS, restored, PARAMS)
    jax.jit(lambda x: x, donate_argnums=0)(restored)
    assert not any(x.is_deleted() for x in jax.tree.leaves(state))


def test_what_is_new_is_as_init_has_it():
    old, new = EDITS["an average"]
    restored, report = carry_over(old, numbered(old.init(PARAMS)), new, PARAMS)
    assert get(restored, "EmaState").count == 0
    assert np.all(get(restored, "EmaState").ema["embed"] == 0)
    assert report.new == tuple(
        f"ema/{x}" for x in ("count", "ema/embed", "ema/head/bias", "ema/head/kernel")
    )
    assert len(report.matched) == 7
    assert not report.moved


def test_parameters_change_groups():
    old, new = grouped(FIRST), grouped(SECOND)
    state = numbered(old.init(PARAMS))
    restored, report = carry_over(old, state, new, PARAMS)
    before, after = moments(state, "mu"), moments(restored, "mu")
    assert after == {x: before[x] for x in ("embed", "head/kernel")}
    assert report.moved == {
        f"partition/{to}/adamw/{field}/{x}": f"partition/{at}/adamw/{field}/{x}"
        for to, at, x in (("a", "b", "head/kernel"), ("b", "a", "embed"))
        for field in ("mu", "nu")
    }
    assert report.matched == ("partition/a/adamw/count", "partition/b/adamw/count")
    assert report.dropped == tuple(
        f"partition/b/adamw/{field}/head/bias" for field in ("mu", "nu")
    )
    text = str(report)
    for name in (*report.matched, *report.moved, *report.dropped):
        assert name in text


def test_what_has_changed_is_an_error_unless_it_may_begin_anew():
    state = numbered(ADAM.init(PARAMS))
    larger = PARAMS | {"embed": jnp.ones((4, 2))}
    narrow = gradtx.adamw(0.1, nu_dtype=jnp.bfloat16)
    with pytest.raises(ValueError, match="restart=True") as error:
        carry_over(ADAM, state, narrow, larger)
    changed = {
        "adamw/mu/embed": "was float32[3, 2], here float32[4, 2]",
        "adamw/nu/embed": "was float32[3, 2], here bfloat16[4, 2]",
        "adamw/nu/head/bias": "was float32[2], here bfloat16[2]",
        "adamw/nu/head/kernel": "was float32[2, 2], here bfloat16[2, 2]",
    }
    for name, how in changed.items():
        assert f"{name} ({how})" in str(error.value)
    restored, report = carry_over(ADAM, state, narrow, larger, restart=True)
    assert report.changed == changed
    assert np.all(restored[0].nu["embed"] == 0)
    assert np.all(restored[0].mu["head"]["bias"] == state[0].mu["head"]["bias"])


def test_groups_at_different_steps_do_not_become_one_silently():
    tx = grouped(FIRST)
    state = numbered(tx.init(PARAMS))
    inner = state.inner_states
    ahead = gradtx.tree.set(inner["a"], count=9)
    state = state._replace(inner_states=inner | {"a": ahead})
    both = "partition/a/adamw/count, partition/b/adamw/count"
    with pytest.raises(ValueError, match=re.escape(f"adam/count (differs in {both})")):
        carry_over(tx, state, ADAM, PARAMS)
    restored, _ = carry_over(tx, state, ADAM, PARAMS, restart=True)
    assert get(restored, "count") == 0


def test_an_entry_goes_to_one_place():
    old, new = gradtx.trace(0.9), gradtx.chain(gradtx.trace(0.9), gradtx.trace(0.5))
    state = numbered(old.init(PARAMS))
    restored, report = carry_over(old, state, new, PARAMS)
    assert np.all(restored[0].trace["embed"] == state.trace["embed"])
    assert np.all(restored[1].trace["embed"] == 0)
    named = gradtx.named_chain(("one", gradtx.trace(0.9)), ("two", gradtx.trace(0.5)))
    restored, report = carry_over(old, state, named, PARAMS)
    assert len(report.moved) == len(report.new) == 3
    assert np.all(restored["two"].trace["embed"] == 0)


def test_what_is_no_state_of_it_is_refused():
    with pytest.raises(TypeError, match="does not make a state like"):
        carry_over(gradtx.sgd(0.1, 0.9), ADAM.init(PARAMS)[0], ADAM, PARAMS)
