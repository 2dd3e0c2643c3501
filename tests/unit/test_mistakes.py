"""What is wrong raises an error that says what is right: a table of mistakes."""

import inspect
import re
from typing import NamedTuple

import jax
import jax.numpy as jnp
import pytest

import gradtx
from gradtx import EmptyState, chain, full, leafwise, zeros
from gradtx.core.hints import ALIASES, DECAYED, ELSEWHERE
from gradtx.testing import discover


class Averaged(NamedTuple):
    mu: gradtx.Updates


class Counted(NamedTuple):
    count: jax.Array
    mu: gradtx.Updates


def rule(g, mu):
    return mu, mu


def leaf(*args, **kwargs):
    """The call of a factory that returns a leafwise transformation."""
    return lambda: factory(lambda: leafwise(*args, **kwargs))()


def factory(make):
    """A factory named `mine`."""

    @gradtx.transformation
    def mine():
        return make()

    return mine


def ones():
    return {"w": jnp.ones((2, 3)), "b": jnp.ones(2)}


def call(tx, *order):
    """`update` with gradients, state and parameters in some order."""
    params = ones()
    given = {"grads": ones(), "state": tx.init(params), "params": params}
    return tx.update(*(given[name] for name in order))


ADAM = gradtx.adam(0.1)

# What one may write, and what the error must say: all of it, without the type's name.
CALLS = {
    "torch's rate": (
        lambda: gradtx.adam(lr=1e-3),
        "adam: unexpected keyword argument 'lr'; say learning_rate=0.001.",
    ),
    "torch's betas": (
        lambda: gradtx.adamw(1e-3, betas=(0.9, 0.95)),
        "adamw: unexpected keyword argument 'betas'; say b1=0.9, b2=0.95.",
    ),
    "two at once": (
        lambda: gradtx.adam(lr=1e-3, beta_1=0.8),
        "adam: unexpected keyword argument 'lr'; say learning_rate=0.001. unexpected "
        "keyword argument 'beta_1'; say b1=0.8.",
    ),
    "momentum of Adam": (
        lambda: gradtx.adam(1e-3, momentum=0.9),
        "adam: unexpected keyword argument 'momentum'; say b1=0.9.",
    ),
    "decay of Adam": (
        lambda: gradtx.adam(1e-3, weight_decay=0.01),
        "adam: unexpected keyword argument 'weight_decay'; say adamw(..., "
        "weight_decay=0.01), or for an L2 penalty chain(add_decayed_weights(...), "
        "adam(...)).",
    ),
    "decay of SGD": (
        lambda: gradtx.sgd(1e-3, weight_decay=0.01),
        "sgd: unexpected keyword argument 'weight_decay'; say "
        "chain(add_decayed_weights(...), sgd(...)).",
    ),
    "torch's alpha": (
        lambda: gradtx.rmsprop(1e-3, alpha=0.99),
        "rmsprop: unexpected keyword argument 'alpha'; say decay=0.99.",
    ),
    "the paper's alpha": (
        lambda: gradtx.adam(alpha=0.01),
        "adam: unexpected keyword argument 'alpha'; say learning_rate=0.01.",
    ),
    "Keras' rho": (
        lambda: gradtx.rmsprop(1e-3, rho=0.99),
        "rmsprop: unexpected keyword argument 'rho'; say decay=0.99.",
    ),
    "Keras' epsilon": (
        lambda: gradtx.adagrad(1e-3, epsilon=1e-7),
        "adagrad: unexpected keyword argument 'epsilon'; say eps=1e-07.",
    ),
    "torch's etas": (
        lambda: gradtx.rprop(1e-3, etas=(0.5, 1.2)),
        "rprop: unexpected keyword argument 'etas'; say eta_minus=0.5, eta_plus=1.2.",
    ),
    "torch's switch": (
        lambda: gradtx.adam(1e-3, fused=True),
        "adam: unexpected keyword argument 'fused'; leave it out: under jax.jit every "
        "step is one program.",
    ),
    "a slip": (
        lambda: gradtx.adam(1e-3, mu_dype=jnp.bfloat16),
        "adam: unexpected keyword argument 'mu_dype'; did you mean mu_dtype?",
    ),
    "nothing near": (
        lambda: gradtx.scale(0.1, zzz=1),
        "scale: unexpected keyword argument 'zzz'; it takes step_size.",
    ),
    "no rate": (
        lambda: gradtx.adagrad(),
        "adagrad: missing a required argument: 'learning_rate'; it takes "
        "learning_rate, initial_accumulator_value, eps, eps_in_sqrt.",
    ),
    "through inject_hyperparams": (
        lambda: gradtx.inject_hyperparams(gradtx.adam)(lr=0.1),
        "inject_hyperparams(adam): unexpected keyword argument 'lr'; say "
        "learning_rate=0.1.",
    ),
    "a schedule's": (
        lambda: gradtx.cosine_decay_schedule(lr=0.1, decay_steps=10),
        "cosine_decay_schedule: unexpected keyword argument 'lr'; say init_value=0.1.",
    ),
    "a list": (
        lambda: chain([gradtx.clip(1.0), gradtx.sgd(0.1)]),
        "chain: argument 0: expected a gradient transformation (init, update), got "
        "[clip(1.0), sgd(0.1)], which are several. Join them: chain(*members).",
    ),
    "not called": (
        lambda: chain(gradtx.clip(1.0), gradtx.adam),
        "chain: argument 1: expected a gradient transformation (init, update), got "
        "adam, which is a function. Call it: adam(...).",
    ),
    "not called in masked": (
        lambda: gradtx.masked(gradtx.adam, True),
        "masked: inner: expected a gradient transformation (init, update), got adam, "
        "which is a function. Call it: adam(...).",
    ),
    "not called in MultiSteps": (
        lambda: gradtx.MultiSteps(gradtx.adam, 2),
        "MultiSteps: opt: expected a gradient transformation (init, update), got "
        "adam, which is a function. Call it: adam(...).",
    ),
    "injected, not called": (
        lambda: chain(gradtx.inject_hyperparams(gradtx.adam)),
        "chain: argument 0: expected a gradient transformation (init, update), got "
        "inject_hyperparams(adam), which is a factory. Call it: "
        "inject_hyperparams(adam)(...).",
    ),
    "a string": (
        lambda: gradtx.adam("1e-3"),
        "learning_rate must be a number, finite, got '1e-3': a string (YAML reads "
        "1.0e-3 as a number, but not 1e-3). Say float('1e-3').",
    ),
    "a state before the parameters": (
        lambda: call(ADAM, "grads", "params", "state"),
        "adam: the second argument looks like parameters, the third like a state. "
        "Call update(updates, state, params).",
    ),
    "parameters for a state": (
        lambda: call(gradtx.trace(0.9), "grads", "params"),
        "trace: the state is a dict, not a TraceState. Call update(updates, state, "
        "params) with the state that init made.",
    ),
    "no state": (
        lambda: call(ADAM, "grads"),
        "adam.update() missing 1 required positional argument: 'state'",
    ),
}

PARTS = {
    "no return": (
        factory(lambda: None),
        "mine: a factory must return init, update (and step, if it has one), or a "
        "transformation; it returned None: is there no return?",
    ),
    "no pair": (
        factory(lambda: (len,)),
        "mine: a factory must return init, update (and step, if it has one), or a "
        "transformation; it returned (<built-in function len>,)",
    ),
    "a state that is no NamedTuple": (
        leaf(dict, rule, mu=zeros()),
        "mine: leafwise: State must be a NamedTuple class, got <class 'dict'>. Give "
        "EmptyState where there is no state.",
    ),
    "a state that is made already": (
        leaf(EmptyState(), rule),
        "mine: leafwise: State must be a NamedTuple class, got EmptyState(). Give "
        "EmptyState where there is no state.",
    ),
    "no rule": (
        leaf(EmptyState, None),
        "mine: leafwise: rule must be a function, got None.",
    ),
    "scalars made already": (
        leaf(Counted, rule, scalars=(1.0,), mu=zeros()),
        "mine: leafwise: scalars must be a function, got (1.0,).",
    ),
    "scalars of no count": (
        leaf(Averaged, rule, scalars=lambda t: (t,), mu=zeros()),
        "mine: leafwise: scalars are computed from the count of steps, and Averaged "
        "has no field `count`, only mu.",
    ),
    "zeros of jnp": (
        leaf(Averaged, rule, mu=jnp.zeros),
        "mine: leafwise: mu must be a slot, got zeros. Say mu=zeros(), or "
        "mu=full(value).",
    ),
    "a slot of no field": (
        leaf(Averaged, rule, mu=zeros(), nu=zeros()),
        "mine: leafwise: nu is given as a slot, and Averaged has no such field, only "
        "mu.",
    ),
    "a field of no slot": (
        leaf(Counted, rule),
        "mine: leafwise: Counted has the field mu, for which there is no slot. Say "
        "mu=zeros(), or mu=full(value).",
    ),
    "scalars of no sequence": (
        lambda: call(
            leaf(Counted, rule, scalars=lambda t: 1 / t, mu=full(1.0))(),
            "grads",
            "state",
        ),
        "mine: leafwise: scalars must return a tuple of what the rule takes last, as "
        "in (x,), got ArrayImpl.",
    ),
}

MISTAKES = CALLS | PARTS


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_error_says_what_is_right(mistake):
    make, text = MISTAKES[mistake]
    with pytest.raises(TypeError, match=f"^{re.escape(text)}$"):
        make()


def _names(space):
    return set(discover(space)) | {n for n in vars(space) if n.endswith("_schedule")}


def test_what_a_hint_names_is_there():
    makers = [getattr(gradtx, name) for name in _names(gradtx)]
    known = {n for make in makers for n in inspect.signature(make).parameters}
    known |= {"decay_rate"}  # of exponential_decay
    assert {n for found in ALIASES.values() for names in found for n in names} <= known
    said = " ".join(ELSEWHERE.values())
    assert set(re.findall(r"(\w+)\(", said)) <= set(discover(gradtx))
    for plain, decayed in DECAYED.items():
        assert plain in discover(gradtx)
        parameters = inspect.signature(getattr(gradtx, decayed)).parameters
        assert "weight_decay" in parameters


def test_a_hint_is_given_for_what_a_factory_has_not():
    for name, make in discover(gradtx).items():
        for alias in set(ALIASES) - set(inspect.signature(make).parameters):
            with pytest.raises(TypeError, match=f"^{name}: unexpected keyword arg"):
                make(**{alias: 1.0})
