"""What a rule or an `update` gives back is looked at, in every way of running it."""

import jax
import jax.numpy as jnp
import pytest

import gradtx
from gradtx import EmptyState, chain, zeros

from .test_mistakes import Averaged, Counted, factory, leaf, ones

PAIR = gradtx.Slot(lambda p: [jnp.zeros([]), jnp.zeros([])], like_param=False)

# A rule that gives something wrong. All are found in `update` and in `step`, alone
# and in a chain that runs its members as one rule.
RULES = {
    "an update of no shape": (
        leaf(EmptyState, lambda g: g.sum()),
        "mine: the rule's update for the leaf ['b'] has shape (), the gradient has "
        "(2,).",
    ),
    "an update that broadcasts": (
        leaf(EmptyState, lambda g: g[None]),
        "mine: the rule's update for the leaf ['b'] has shape (1, 2), the gradient has "
        "(2,).",
    ),
    "an update for some leaves": (
        leaf(EmptyState, lambda g: g.sum(-1) if g.ndim == 2 else g),
        "mine: the rule's update for the leaf ['w'] has shape (2,), the gradient has "
        "(2, 3).",
    ),
    "a complex update": (
        leaf(EmptyState, lambda g: 1j * g),
        "mine: the rule's update for the leaf ['b'] is complex64, the gradient is "
        "float32: the imaginary part would be lost.",
    ),
    "an update of bools": (
        leaf(EmptyState, lambda g: g > 0),
        "mine: the rule's update for the leaf ['b'] is bool, the gradient is float32.",
    ),
    "an update of integers": (
        leaf(EmptyState, lambda g: jnp.argsort(g)),
        "mine: the rule's update for the leaf ['b'] is int32, the gradient is float32.",
    ),
    "no update": (
        leaf(EmptyState, lambda g: None),
        "mine: the rule's update for the leaf ['b'] is None (is there no return?), not "
        "an array.",
    ),
    "a tuple of one": (
        leaf(EmptyState, lambda g: (g,)),
        "mine: the rule has no slots and must return the update alone; for the leaf "
        "['b'] it returned a tuple of 1.",
    ),
    "an update alone": (  # of two entries, as many as there must be results
        leaf(Averaged, lambda g, mu: g, mu=zeros()),
        "mine: the rule must return (update, mu), 2 results; for the leaf ['b'] it "
        "returned an array of shape (2,).",
    ),
    "three results": (
        leaf(Averaged, lambda g, mu: (g, mu, mu), mu=zeros()),
        "mine: the rule must return (update, mu), 2 results; for the leaf ['b'] it "
        "returned 3.",
    ),
    "a slot of no shape": (
        leaf(Counted, lambda g, mu: (g, mu.sum()), mu=zeros()),
        "mine: the rule's mu for the leaf ['b'] has shape (), the slot has (2,).",
    ),
    "a complex slot": (
        leaf(Counted, lambda g, mu: (g, 1j * mu), mu=zeros()),
        "mine: the rule's mu for the leaf ['b'] is complex64, the slot is float32: the "
        "imaginary part would be lost.",
    ),
    "a list for an array": (
        leaf(Counted, lambda g, mu: (g, [mu]), mu=zeros()),
        "mine: the rule's mu for the leaf ['b'] is a list, not an array.",
    ),
    "an array for a list": (
        leaf(Counted, lambda g, mu: (g, mu[0]), mu=PAIR),
        "mine: the rule's mu for the leaf ['b'] is a tree PyTreeDef(*), the slot is "
        "PyTreeDef([*, *]).",
    ),
    "a list with a wrong array": (
        leaf(Counted, lambda g, mu: (g, [mu[0], mu[1][None]]), mu=PAIR),
        "mine: the rule's mu[1] for the leaf ['b'] has shape (1,), the slot has ().",
    ),
    "no slot": (
        leaf(Counted, lambda g, mu: (g, None), mu=zeros()),
        "mine: the rule's mu for the leaf ['b'] is None (is there no return?), not an "
        "array.",
    ),
}

# The same of functions of whole trees; each gives the same to `update` and `step`.
TREES = {
    "a tree of another structure": (
        lambda: gradtx.stateless(lambda u, p: u["w"]),
        "stateless: returned updates has no counterpart in given updates: it has "
        "['b'], ['w'].",
    ),
    "a function of arrays that sums": (
        lambda: gradtx.stateless_with_tree_map(lambda g, p: g.sum()),
        "stateless_with_tree_map: returned updates['b'] has shape (), given "
        "updates['b'] has (2,).",
    ),
    "complex numbers": (
        lambda: gradtx.stateless_with_tree_map(lambda g, p: 1j * g),
        "stateless_with_tree_map: returned updates['b'] is complex64, given "
        "updates['b'] is float32: the imaginary part would be lost.",
    ),
    "no pair": (
        factory(lambda: (lambda params: EmptyState(), lambda u, s, p=None: u)),
        "mine: must return a pair, (updates, state); it returned a dict.",
    ),
}


@pytest.mark.parametrize("kind", ["update", "step"])
@pytest.mark.parametrize("mistake", RULES | TREES)
def test_a_result_that_is_wrong_is_named_where_it_is_made(mistake, kind):
    make, text = (RULES | TREES)[mistake]
    alone = make()
    among = chain(gradtx.clip(1.0), alone, gradtx.scale(-1.0))
    for tx, prefix in ((alone, ""), (among, "chain > ")):
        args = ones(), tx.init(ones()), ones()
        with pytest.raises((TypeError, ValueError)) as caught:
            jax.eval_shape(getattr(tx, kind), *args)
        assert str(caught.value) == prefix + text


def test_a_wrong_step_is_named():
    @gradtx.transformation
    def mine():
        def step(updates, state, params):
            return params["w"], state

        return *gradtx.identity(), step

    with pytest.raises(ValueError, match=r"^mine: returned params has no count"):
        mine().step(ones(), EmptyState(), ones())


def test_an_error_inside_of_a_rule_has_a_note():
    def fails(g):
        return {}[g.ndim] if g.ndim == 2 else g

    tx = chain(gradtx.clip(1.0), leaf(EmptyState, fails)())
    with pytest.raises(KeyError) as caught:
        tx.step(ones(), tx.init(ones()), ones())
    note = "chain > mine: raised in the rule, for the leaf ['w'], float32[2, 3]."
    assert caught.value.__notes__[-1] == note


def test_a_rule_may_be_right_for_another_shape_afterwards():
    tx = leaf(EmptyState, lambda g: g.sum(keepdims=True))()
    for _ in range(2):
        with pytest.raises(ValueError, match="has shape"):
            tx.update(jnp.ones(2), tx.init(jnp.ones(2)))
    assert tx.update(jnp.full(1, 3.0), tx.init(jnp.ones(1)))[0] == 3.0


def test_a_pair_from_elsewhere_is_named_by_its_place():
    pair = gradtx.GradientTransformation(
        lambda params: (), lambda u, s, p=None: (u["w"], s)
    )
    tx = chain(gradtx.clip(1.0), pair, gradtx.scale(-1.0))
    text = "^chain > chain: argument 1: returned updates has no counterpart in given"
    with pytest.raises(ValueError, match=text):
        tx.update(ones(), tx.init(ones()))
