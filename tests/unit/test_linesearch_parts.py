"""Line searches for some of the leaves, and functions that return more."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

PARAMS = {"a": jnp.array([3.0, -1.0]), "b": jnp.array([2.0])}


def coupled(p, shift=0.0):
    """Lowest in `a`, for a given `b`, at b + shift."""
    return jnp.sum((p["a"] - p["b"] - shift) ** 2) + jnp.sum(p["b"] ** 2)


def given(p, shift):
    value, grad = jax.value_and_grad(coupled)(p, shift)
    return grad, {"value": value, "grad": grad, "value_fn": coupled, "shift": shift}


@pytest.mark.parametrize(
    "search",
    [
        gradtx.lbfgs(),
        gradtx.newton(),
        gradtx.chain(gradtx.sgd(1.0), gradtx.scale_by_backtracking_linesearch(20)),
    ],
)
def test_a_line_search_of_some_leaves_sees_the_others_where_they_are(search):
    masked = gradtx.masked(search, {"a": True, "b": False}, otherwise="zero")
    parted = gradtx.partition(
        {"search": search, "still": gradtx.set_to_zero()}, {"a": "search", "b": "still"}
    )
    for tx in (masked, parted):

        @jax.jit
        def run(p, state, tx=tx):
            grad, extra = given(p, 0.5)
            return tx.step(grad, state, p, **extra)

        p, state = PARAMS, tx.init(PARAMS)
        for _ in range(40):
            p, state = run(p, state)
        np.testing.assert_allclose(p["a"], 2.5, atol=1e-3)  # b + shift, by hand
        np.testing.assert_array_equal(p["b"], PARAMS["b"])


def test_a_function_may_return_more_than_its_value():
    def with_aux(p):
        return jnp.sum(p**2), {"largest": jnp.max(p)}

    read = gradtx.value_and_grad_from_state(with_aux, has_aux=True)
    p = jnp.array([1.0, -2.0])
    state = gradtx.scale_by_zoom_linesearch(5).init(p)
    (value, aux), grad = read(p, state=state)  # nothing there yet
    assert (float(value), float(aux["largest"]), grad.tolist()) == (5, 1, [2, -4])
    known = state._replace(value=jnp.float32(7.0), grad=jnp.array([8.0, 9.0]))
    (value, aux), grad = read(p, state=known)
    assert (float(value), float(aux["largest"]), grad.tolist()) == (7, 1, [8, 9])


def test_a_line_search_goes_behind_flatten():
    grad, extra = given(PARAMS, 0.5)
    inside = gradtx.flatten(gradtx.lbfgs())
    with pytest.raises(TypeError, match=r"flatten > .*called with vectors"):
        inside.update(grad, inside.init(PARAMS), PARAMS, **extra)
    behind = gradtx.chain(
        gradtx.flatten(gradtx.scale_by_lbfgs()),
        gradtx.scale(-1.0),
        gradtx.scale_by_zoom_linesearch(20),
    )
    moved, _ = behind.step(grad, behind.init(PARAMS), PARAMS, **extra)
    assert coupled(moved, 0.5) < extra["value"]


@pytest.mark.parametrize("conjugate", [False, True])
@pytest.mark.parametrize("name", ["zoom", "backtracking"])
def test_a_complex_gradient_may_be_conjugate(name, conjugate):
    """The step is that of the real and imaginary parts, whichever is given."""
    search = getattr(gradtx, f"scale_by_{name}_linesearch")
    tx, a = search(20), jnp.array([[1, -2], [3, 4], [-4 + 2j, 5 - 3j], [-2 - 2j, 6]])

    def f(z):
        return jnp.sum(jnp.abs(a @ z) ** 1.5)

    def parts(x):
        return f(x[0] + 1j * x[1])

    z = jnp.array([1 - 1j, 1j])
    x = jnp.stack([z.real, z.imag])
    value, grad = jax.value_and_grad(f)(z)
    given = grad.conj() if conjugate else grad
    kwargs = {"value": value, "value_fn": f, "grad": given}
    found, state = tx.update(-grad.conj(), tx.init(z), z, **kwargs)
    grad = jax.grad(parts)(x)
    kwargs = {"value": value, "value_fn": parts, "grad": grad}
    desired, twin = tx.update(-grad, tx.init(x), x, **kwargs)
    assert float(state.learning_rate) > 0
    np.testing.assert_allclose(state.learning_rate, twin.learning_rate, rtol=1e-4)
    np.testing.assert_allclose(found, desired[0] + 1j * desired[1], rtol=1e-4)
