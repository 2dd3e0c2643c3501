"""The update rules, functions and losses of the page against those of gradtx."""

import functools
import inspect
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.plot import surfaces

STEPS = 50
# Both sides compute in float64, in another order. 50 steps of AdaDelta in Rosenbrock's
# valley enlarge what they round off to 3e-11, all others less; atol: a coordinate may
# pass 0.
CLOSE = {"rtol": 1e-9, "atol": 1e-12}

SURFACES = {
    "quadratic": surfaces.QUADRATIC,
    "saddle": surfaces.SADDLE,
    "beale": surfaces.BEALE,
    "rosenbrock": surfaces.ROSENBROCK,
    "plateau": surfaces.PLATEAU,
    "two_minima": surfaces.TWO_MINIMA,
}

# The page's optimizer, gradtx's, and options other than the defaults.
OPTIMIZERS = {
    "sgd": (gradtx.sgd, {}),
    "momentum": (partial(gradtx.sgd, momentum=0.9), {"momentum": 0.7}),
    "nesterov": (partial(gradtx.sgd, momentum=0.9, nesterov=True), {"momentum": 0.7}),
    "adagrad": (gradtx.adagrad, {"initial_accumulator_value": 0.5, "eps": 0.01}),
    "rmsprop": (
        gradtx.rmsprop,
        {"decay": 0.7, "eps": 0.01, "initial_scale": 0.5, "momentum": 0.6},
    ),
    "adadelta": (gradtx.adadelta, {"rho": 0.7, "eps": 1e-3}),
    "adam": (gradtx.adam, {"b1": 0.7, "b2": 0.9, "eps": 0.01}),
    "adamax": (gradtx.adamax, {"b1": 0.7, "b2": 0.9, "eps": 0.01}),
    "amsgrad": (gradtx.amsgrad, {"b1": 0.7, "b2": 0.9, "eps": 0.01}),
    "adamw": (gradtx.adamw, {"b1": 0.7, "b2": 0.9, "eps": 0.01, "weight_decay": 0.3}),
    "lion": (gradtx.lion, {"b1": 0.7, "b2": 0.8, "weight_decay": 0.3}),
}

WALK = """([optimizer, options, steps]) =>
  Object.values(surfaces).map((surface) => {
    const tx = rules.make(optimizer, surface.rates[optimizer], options);
    const state = tx.init(surface.start);
    const path = [surface.start];
    for (let i = 0; i < steps; i += 1) {
      const p = path.at(-1);
      const updates = tx.update(surface.grad(p), state, p);
      path.push(p.map((value, k) => value + updates[k]));
    }
    return path;
  })"""


def walks(factory, rates, starts):
    """The path on each surface, with a rate of its own: (surfaces, steps + 1, 2)."""
    functions = [surface.fn for surface in SURFACES.values()]

    def walk(rate, start, i):
        tx = factory(rate)
        slope = jax.grad(lambda p: jax.lax.switch(i, functions, p))

        def step(carry, _):
            params, state = carry
            params, state = tx.step(slope(params), state, params)
            return (params, state), params

        _, points = jax.lax.scan(step, (start, tx.init(start)), length=STEPS)
        return jnp.concatenate([start[None], points])

    return jax.vmap(walk)(rates, starts, jnp.arange(len(functions)))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_fifty_steps_are_those_of_gradtx(calculator, optimizer):
    factory, others = OPTIMIZERS[optimizer]
    rates = calculator.evaluate(
        f"Object.values(surfaces).map((s) => s.rates.{optimizer})"
    )
    with jax.enable_x64(True):
        starts = jnp.array([s.start for s in SURFACES.values()])
        assert starts.dtype == jnp.float64
        both = factory, functools.partial(factory, **others)
        run = jax.jit(lambda *args: [walks(make, *args) for make in both])
        wanted = run(jnp.array(rates), starts)
    for options, want in zip(({}, others), wanted, strict=True):
        got = calculator.evaluate(WALK, [optimizer, options, STEPS])
        longest = np.abs(np.diff(want, axis=1)).max(axis=(1, 2))
        assert longest.min() > 1e-4  # there is something to compare on every surface
        np.testing.assert_allclose(got, want, **CLOSE, err_msg=str(options))


def test_the_page_has_the_defaults_of_gradtx(calculator):
    shown = calculator.evaluate(
        "Object.entries(rules.optimizers).map(([name, o]) => [name, o.options])"
    )
    assert [name for name, _ in shown] == list(OPTIMIZERS)
    for name, options in shown:
        factory, others = OPTIMIZERS[name]
        assert options.keys() == others.keys()  # each is tested away from its default
        for option, value in options.items():
            default = inspect.signature(factory).parameters[option].default
            assert value == (default or 0), (name, option)  # no momentum is momentum 0


def test_the_page_refuses_what_gradtx_refuses(calculator):
    for name, (factory, others) in OPTIMIZERS.items():
        for option in others:
            for value in (-0.1, 0.0, 0.5, 1.0, 2.0):
                valid = calculator.evaluate(
                    "([o, name, value]) => rules.isValid(o, name, value)",
                    [name, option, value],
                )
                try:
                    factory(0.1, **{option: value})
                except ValueError:
                    assert not valid, (name, option, value)
                else:
                    assert valid, (name, option, value)


def test_the_functions_are_those_of_gradtx_plot(calculator):
    shown = calculator.evaluate("Object.keys(surfaces)")
    assert shown == list(SURFACES)
    points = np.random.default_rng(0).uniform(-1.5, 1.5, (20, 2))
    for name, surface in SURFACES.items():
        page = calculator.evaluate(
            """([name, points]) => {
              const { f, grad, start, xlim, ylim, minimum } = surfaces[name];
              return { f: points.map(f), grad: points.map(grad),
                       start, xlim, ylim, minimum };
            }""",
            [name, points.tolist()],
        )
        with jax.enable_x64(True):
            want, grads = jax.jit(jax.vmap(jax.value_and_grad(surface.fn)))(points)
            assert grads.dtype == jnp.float64
        np.testing.assert_allclose(page["f"], want, **CLOSE)
        np.testing.assert_allclose(page["grad"], grads, **CLOSE)
        for field in ("start", "xlim", "ylim"):
            assert page[field] == list(getattr(surface, field)), (name, field)
        minimum = surface.minimum
        assert page["minimum"] == (None if minimum is None else list(minimum))
