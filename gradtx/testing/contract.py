"""Checks of the contract: pure functions whose state has one type for good."""

import operator
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.trees import paths_of
from gradtx.core.types import MaskedNode
from gradtx.testing.leaves import bias, kernel, replaced
from gradtx.testing.trial import (
    Make,
    Stepped,
    Trial,
    copied,
    expect_close,
    expect_types,
    extra_of,
    gradients,
    make_trial,
    one_step,
    prepare,
    updates_of,
)


def is_a_pair_with_a_step(make: Make) -> None:
    """It unpacks as `init, update` and has a `step`."""
    tx = make()
    pair = isinstance(tx, tuple) and len(tx) == 2
    assert pair, f"{tx!r} must unpack as init, update = tx"
    for name, function in zip(("init", "update"), tx, strict=True):
        assert callable(function), f"{name} must be a function, got {function!r}"
        assert getattr(tx, name, None) is function, f"tx.{name} must be that function"
    assert callable(getattr(tx, "step", None)), f"{tx!r} has no step"


def keeps_types(make: Make) -> None:
    """Updates and parameters keep shape and dtype; a state is of arrays."""
    trial = make_trial(make)
    for path, leaf in paths_of(trial.start):
        assert leaf is None or isinstance(leaf, jax.Array), (
            f"state{path} must be a jax.Array, is a {type(leaf).__name__}"
        )
    updates, params, _ = trial.jitted[0]
    expect_types(updates, trial.params(), "updates", "params")
    expect_types(params, trial.params(), "new params", "params")


def state_is_a_fixed_point(make: Make) -> None:
    """Structure, shapes, dtypes and weak types of the state stay, from `init` on."""
    trial = make_trial(make)
    abstract = jax.eval_shape(trial.tx.init, trial.params())
    expect_types(abstract, trial.start, "the state of init under jit", "without jit it")
    for i, (_, _, state) in enumerate(trial.jitted):
        expect_types(state, trial.start, f"the state after step {i + 1}", "init's")


def traces_once(make: Make) -> None:
    """Several steps, and one with a rebuilt transformation, take a single trace."""
    trial = make_trial(make)
    _, params, state = trial.jitted[-1]
    trial.step(make(), gradients(0), copied(state), copied(params))
    assert trial.traces == 1, (
        f"expected one trace over all steps, got {trial.traces}: the type of the state "
        f"changes, or an equal transformation has another hash"
    )


def eager_equals_jit(make: Make) -> None:
    """The same numbers with and without `jit`."""
    trial = make_trial(make)
    for i, eager in enumerate(trial.eager):
        # XLA fuses multiplications into additions under jit: some last digits of
        # float32 (6e-8), more where a difference of close numbers follows.
        what = f"step {i + 1} without jit"
        expect_close(eager, trial.jitted[i], what, "under jit", 3e-5)


def runs_under_scan(make: Make) -> None:
    """A `lax.scan` over steps takes state and parameters as its carry."""
    trial = make_trial(make)

    def run(grads: Any, state: Any, params: Any) -> Any:
        def body(carry: Any, grads: Any) -> Any:
            updates, state, params = None, *carry
            updates, params, state = one_step(trial.tx, grads, state, params)
            return (state, params), updates

        return jax.lax.scan(body, (state, params), grads)

    # Tracing is all that can fail: compiled, the body is that of the plain loop.
    jax.eval_shape(run, gradients(0, lead=(3,)), trial.start, trial.params())


def runs_under_vmap(make: Make) -> None:
    """Stacked along a new axis, each member steps as it would alone."""
    trial = make_trial(make)
    members = 2
    params, grads = trial.params(lead=(members,)), gradients(0, lead=(members,))

    @jax.jit
    def stacked(grads: Any, params: Any) -> Any:
        state = jax.vmap(trial.tx.init)(params)
        return jax.vmap(lambda g, s, p: one_step(trial.tx, g, s, p))(
            grads, state, params
        )

    together = stacked(grads, params)
    for i in range(members):
        g, p, part = jax.tree.map(operator.itemgetter(i), (grads, params, together))
        alone = trial.step(trial.tx, g, copied(trial.tx.init(p)), p)
        # As for jit: another program, other fusions.
        expect_close(part, alone, f"member {i} under vmap", "alone", 3e-5)


def passes_through_jit(make: Make) -> None:
    """It is a plain argument of a jitted function: a node without leaves."""
    tx = make()
    leaves = jax.tree.leaves(tx)
    assert not leaves, f"jax.tree.leaves(tx) must be [], is {leaves}"
    assert jax.tree.structure(tx) == jax.tree.structure(make()), (
        "a rebuilt transformation must have the same tree structure"
    )
    args = make_trial(make).shapes_of()
    jax.eval_shape(jax.jit(one_step), tx, *args)


def leaves_its_inputs_alone(make: Make) -> None:
    """`update` changes neither the arrays nor the containers that it is given."""
    trial = make_trial(make)

    def writable(x: Any) -> Any:  # NumPy arrays, which could be written to
        keys = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
        return x if keys else np.array(x)

    given = gradients(1), trial.jitted[0][2], trial.jitted[0][1]
    given = [jax.tree.map(writable, tree) for tree in given]
    leaves = [jax.tree.leaves(tree) for tree in given]
    before = [copied(tree) for tree in given]
    extra = extra_of(trial.tx, given[0], given[2])
    trial.tx.update(updates_of(trial.tx, given[0]), *given[1:], **extra)
    names = ("updates", "state", "params")
    for name, tree, own, old in zip(names, given, leaves, before, strict=True):
        same = jax.tree.structure(tree) == jax.tree.structure(old) and all(
            a is b for a, b in zip(jax.tree.leaves(tree), own, strict=True)
        )
        assert same, f"update has put something else into the {name} it was given"
        expect_close(tree, old, f"{name} after update", "before")


def can_be_donated(make: Make) -> None:
    """State and parameters are buffers of their own, all of them free to be reused."""
    trial = make_trial(make)
    params = trial.params()
    state = trial.tx.init(params)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # donated buffers that were not usable
        for i in range(2):
            _expect_distinct(state, params, f"before step {i + 1}")
            old = [x for x in jax.tree.leaves((state, params)) if x.size]
            _, params, state = trial.step(trial.tx, gradients(i), state, params)
            kept = [x for x in old if not x.is_deleted()]
            assert not kept, f"donated buffers were not usable: {kept}"
    expect_close(state, trial.jitted[1][2], "the state of a donated run", "of a plain")


def _expect_distinct(state: Any, params: Any, when: str) -> None:
    owner: dict[int, str] = {}
    for name, tree in (("params", params), ("state", state)):
        for path, leaf in paths_of(tree):
            if leaf is None or leaf.size == 0:
                continue
            if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                leaf = jax.random.key_data(leaf)
            where = leaf.unsafe_buffer_pointer()
            other = owner.setdefault(where, f"{name}{path}")
            assert other == f"{name}{path}", (
                f"{when} {name}{path} is the same buffer as {other}: it cannot be "
                f"donated; make it with jnp.copy"
            )


def step_is_update_then_apply(make: Make) -> None:
    """`step` gives the parameters and state of `update` and `apply_updates`."""
    trial = make_trial(make)

    def step(grads: Any, state: Any, params: Any) -> Any:
        extra = extra_of(trial.tx, grads, params)
        updates = updates_of(trial.tx, grads)
        return trial.tx.step(updates, state, params, **extra)

    def apart(grads: Any, state: Any, params: Any) -> Any:
        return tuple(one_step(trial.tx, grads, state, params)[1:])

    args = gradients(2), trial.jitted[1][2], trial.jitted[1][1]
    if _same_program(step, apart, args):
        return
    results = Stepped(None, *jax.jit(step)(*args))
    expected = trial.jitted[2]._replace(updates=None)  # the same, computed already
    # Another program, as of a wrapper that applies inside of its lax.cond: XLA may
    # round p + a b once there, twice here. The last digit of float32.
    expect_close(results, expected, "step", "update and apply_updates", 2e-7)


def _same_program(f: Any, g: Any, args: Any) -> bool:
    """Whether both trace to the same text and constants: then nothing need run."""
    one, other = jax.make_jaxpr(f)(*args), jax.make_jaxpr(g)(*args)
    consts = zip(one.consts, other.consts, strict=False)
    return (
        len(one.consts) == len(other.consts)
        and str(one) == str(other)
        and all(np.array_equal(a, b) for a, b in consts)
        and jax.tree.structure(jax.eval_shape(f, *args))
        == jax.tree.structure(jax.eval_shape(g, *args))
    )


def state_survives_storage(make: Make) -> None:
    """Taken apart, stored as NumPy arrays and put together, the state goes on."""
    trial = make_trial(make)
    _, params, state = trial.jitted[0]
    leaves, structure = jax.tree.flatten(state)

    def stored(x: Any) -> jax.Array:
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            data = jnp.array(np.asarray(jax.random.key_data(x)))
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(x))
        return jnp.array(np.asarray(x))

    restored = structure.unflatten(map(stored, leaves))
    expect_types(restored, state, "the restored state", "the state")
    after = trial.step(trial.tx, gradients(1), restored, copied(params))
    what = "a step from the restored state"
    expect_close(after, trial.jitted[1], what, "from the state itself")


def passes_other_keywords_by(make: Make) -> None:
    """`update` and `step` take keywords that they do not know."""
    trial = make_trial(make)
    args = trial.shapes_of()
    for name in ("update", "step"):
        function = getattr(trial.tx, name)

        def call(grads: Any, state: Any, params: Any, f: Any = function) -> Any:
            extra = extra_of(trial.tx, grads, params)
            updates = updates_of(trial.tx, grads)
            return f(updates, state, params, unheard_of=1.0, **extra)

        jax.eval_shape(call, *args)


def passes_missing_leaves_by(make: Make) -> None:
    """A leaf whose gradient is None has the update None and keeps its state."""
    trial = make_trial(make)
    grads = replaced(gradients(0), bias(), None)
    updates, params, state = _traced(trial, grads)
    for path, leaf in paths_of(updates):
        if path.endswith(bias()):
            assert leaf is None, f"updates{path} must be None like the gradient: {leaf}"
    expect_types(params, trial.params(), "new params", "params")
    expect_types(state, trial.start, "the state", "init's")


def passes_masked_leaves_by(make: Make) -> None:
    """It fits into `masked` and `partition`, which put MaskedNode() for some leaves."""
    trial = make_trial(make)

    def hidden(tree: Any) -> Any:
        for path, _ in paths_of(tree):
            if path.endswith(kernel()):
                tree = replaced(tree, path, MaskedNode())
        return tree

    grads, params = hidden(gradients(0)), hidden(trial.params())
    state = trial.tx.init(params)
    updates, new_params, new_state = _traced(trial, grads, state, params)
    expect_types(updates, params, "updates", "params")
    expect_types(new_params, params, "new params", "params")
    expect_types(new_state, state, "the state", "init's")


def takes_an_empty_tree(make: Make) -> None:
    """Without leaves there is nothing to do, and no error."""
    trial = make_trial(make)
    tx = trial.tx
    params = prepare(tx, {})
    extra = extra_of(tx, {}, params)
    updates, state = tx.update(updates_of(tx, {}), tx.init(params), params, **extra)
    assert jax.tree.leaves(updates) == [], f"expected no updates, got {updates}"
    expect_types(state, tx.init(params), "the state", "init's")


def _traced(trial: Trial, grads: Any, state: Any = None, params: Any = None) -> Any:
    """The types of (updates, params, state) after a step."""
    state = trial.start if state is None else state
    params = trial.params() if params is None else params
    return jax.eval_shape(lambda *a: one_step(trial.tx, *a), grads, state, params)
