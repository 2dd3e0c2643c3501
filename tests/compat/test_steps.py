"""Line searches behind the face take Optax's steps."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax as peer
import pytest

import gradtx
import gradtx.optax as optax
from tests.reference.full_batch import FAMILIES

# Each step repeats the rounding of the one before it, some hundred times larger.
CLOSE = 1e-6
STEPS = 15


def run(library, tx, problem):
    """The value, the step's length and the evaluations of each step."""
    fn = functools.partial(problem.value_fn, **problem.data)
    read = library.value_and_grad_from_state(fn)

    @jax.jit
    def step(params, state):
        value, grad = read(params, state=state)
        extra = {"value": value, "grad": grad, "value_fn": fn}
        updates, state = tx.update(grad, state, params, **extra)
        last = state[-1]
        seen = last.value, last.learning_rate, last.info.num_linesearch_steps
        return library.apply_updates(params, updates), state, jnp.stack(seen)

    params, rows = jnp.asarray(problem.start), []
    state = tx.init(params)
    for _ in range(STEPS):
        params, state, row = step(params, state)
        rows.append(row)
    return np.stack(rows)


CHAINS = {
    "lbfgs": lambda library: library.lbfgs(),
    "zoom": lambda library: library.chain(
        library.sgd(1.0), library.scale_by_zoom_linesearch(30, 4.0)
    ),
    "backtracking": lambda library: library.chain(
        library.sgd(1.0),
        library.scale_by_backtracking_linesearch(40, store_grad=True),
    ),
}


@pytest.mark.parametrize("family", ["rosenbrock, 2", "logistic regression"])
@pytest.mark.parametrize("chain", CHAINS)
def test_a_script_has_the_same_losses(chain, family):
    with jax.enable_x64(True):
        for problem in FAMILIES[family][:3]:
            desired = run(peer, CHAINS[chain](peer), problem)
            found = run(optax, CHAINS[chain](optax), problem)
            np.testing.assert_allclose(found, desired, rtol=CLOSE)


def test_without_the_face_lbfgs_takes_other_steps():
    with jax.enable_x64(True):
        for problem in FAMILIES["rosenbrock, 2"][:1]:
            desired = run(peer, peer.lbfgs(), problem)
            found = run(gradtx, gradtx.lbfgs(), problem)
            assert not np.allclose(found[:, 0], desired[:, 0], rtol=0.1)


def test_the_face_says_what_it_built():
    asked = optax.lbfgs(0.5, 3)
    search = gradtx.scale_by_zoom_linesearch(
        20, initial_guess_strategy="one", interpolation="values"
    )
    assert asked == gradtx.lbfgs(0.5, 3, linesearch=search)
    assert optax.scale_by_zoom_linesearch(5, interpolation="slopes") == (
        gradtx.scale_by_zoom_linesearch(5)
    )
    with pytest.raises(TypeError, match="no_such"):
        optax.lbfgs(no_such=1)
