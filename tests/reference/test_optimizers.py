"""Every optimizer follows, in float64, the path that its paper prescribes."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

from .loops import STEPS, double, example, run, single, transform
from .tables import NAMES, OPTIMIZERS, REFERENCES, WHOLE, parametrize

# float64 rounds at 1.1e-16; 20 steps of a handful of operations, some of which cancel
# (a centered variance), stay below this.
TOLERANCE = 1e-12


def reference(name):
    [found] = [vars(m)[name] for m in REFERENCES if name in vars(m)]
    return found


def path(tx, params, grads):
    with jax.enable_x64(True):
        return run(tx, params, grads, gradtx.apply_updates)


def run32(tx, params, grads):
    return run(tx, single(params), single(grads), gradtx.apply_updates)


def expected(name, params, grads, rate, **kwargs):
    if name in WHOLE:
        return expected_of_all(name, params, grads, rate, **kwargs)
    return {
        key: np.stack(reference(name)(list(grads[key]), p, rate, **kwargs))
        for key, p in params.items()
    }


def expected_of_all(name, params, grads, rate, **kwargs):
    """The same of an algorithm that sees all leaves: as one vector."""
    w = np.concatenate([p.ravel() for p in params.values()])
    rows = [
        np.concatenate([x[t].ravel() for x in grads.values()]) for t in range(STEPS)
    ]
    found = np.stack(reference(name)(rows, w, rate, **kwargs))
    ends = np.cumsum([p.size for p in params.values()])[:-1]
    parts = np.split(found, ends, axis=1)
    return {
        key: part.reshape(STEPS, *p.shape).astype(np.result_type(p, np.float64))
        if np.iscomplexobj(p)
        else part.real.reshape(STEPS, *p.shape)
        for (key, p), part in zip(params.items(), parts, strict=True)
    }


def assert_same(actual, desired):
    assert actual.keys() == desired.keys()
    for key, x in desired.items():
        assert actual[key].dtype == x.dtype, key
        np.testing.assert_allclose(actual[key], x, rtol=TOLERANCE, err_msg=key)


@parametrize(OPTIMIZERS)
def test_the_path_is_the_papers(case):
    params, grads = example(case.dtype)
    tx = getattr(gradtx, case.name)(case.rate, **case.kwargs)
    desired = expected(case.name, params, grads, case.rate, **case.kwargs)
    assert_same(path(tx, params, grads), desired)


@parametrize(OPTIMIZERS)
def test_the_path_in_float32_stays_near(case):
    params, grads = map(single, example(case.dtype))
    tx = getattr(gradtx, case.name)(case.rate, **case.kwargs)
    wide = (double(params), double(grads))
    desired = expected(case.name, *wide, case.rate, **case.kwargs)
    for key, x in run(tx, params, grads, gradtx.apply_updates).items():
        assert x.dtype == params[key].dtype, key
        # Parameters are below 2, so 20 steps round 20 times by up to 6e-8, and all in
        # the same direction where only the decay moves them.
        np.testing.assert_allclose(x, desired[key], rtol=0, atol=1.3e-6, err_msg=key)


@pytest.mark.parametrize("name", NAMES)
def test_the_defaults_are_the_references(name):
    ours = inspect.signature(getattr(gradtx, name)).parameters
    for key, parameter in inspect.signature(reference(name)).parameters.items():
        if parameter.default is not parameter.empty:
            assert ours[key].default == parameter.default, key


@pytest.mark.parametrize("name", ["adamw", "nadamw", "adamaxw", "lion", "adadelta"])
def test_a_mask_spares_a_leaf_the_decay(name):
    params, grads = example()
    mask = "weight_decay_mask" if name == "adadelta" else "mask"
    options = {"weight_decay": 0.1, mask: {"w": True, "b": False}}
    desired = {
        "w": expected(name, params, grads, 1e-2, weight_decay=0.1)["w"],
        "b": expected(name, params, grads, 1e-2, weight_decay=0.0)["b"],
    }
    tx = getattr(gradtx, name)(1e-2, **options)
    assert_same(path(tx, params, grads), desired)


def test_adadelta_needs_no_rate():  # Zeiler 2012: it has none, and descends
    params, grads = example()
    desired = expected("adadelta", params, grads, 1.0)
    assert_same(path(gradtx.adadelta(), params, grads), desired)


def test_adam_lp_of_2_is_adam_with_epsilon_in_the_root():
    params, grads = example()
    # Its decay is b2^p, and what it adds in the root eps^p.
    same = {"b2": 0.9**2, "eps": 0.0, "eps_root": 1e-4**2}
    desired = expected("adam", params, grads, 1e-2, **same)
    tx = gradtx.adam_lp(1e-2, b2=0.9, p=2.0, eps=1e-4)
    assert_same(path(tx, params, grads), desired)


@pytest.mark.parametrize(("p", "run_in"), [(40.0, path), (1e3, path), (1e3, run32)])
@pytest.mark.parametrize("eps", [0.0, 1e-8])
def test_adam_lp_tends_to_adamax(p, run_in, eps):
    # 20 terms and eps add at most 21^(1/p) - 1 to the p-th root of the largest of them,
    # the weights 1 - b2^p and 1 - b2^(p t) change it by 1 % at p = 40, and a step is
    # about 1e-2. Adamax adds its eps otherwise, gradients are 1 at least.
    params, grads = example()
    grads = {key: g + np.where(g < 0, -1, 1) for key, g in grads.items()}
    desired = expected("adamax", params, grads, 1e-2, b2=0.9)
    tx = gradtx.adam_lp(1e-2, b2=0.9, p=p, eps=eps)
    apart = 21 ** (1 / p) - 1 + 0.9**p
    for key, x in run_in(tx, params, grads).items():
        atol = apart * 20 * 1e-2 + (1e-5 if run_in is run32 else 0)
        np.testing.assert_allclose(x, desired[key], rtol=0, atol=atol, err_msg=key)


def test_adam_lp_of_a_large_p_by_hand():
    # b2^p = 0.9^1000 = 2e-46 is 0 in float32. Of 1, 0.5, 0.5 the norm is 1, 0.9, 0.81.
    tx = gradtx.scale_by_adam_lp(b1=0.0, b2=0.9, p=1000.0, eps=0.0)
    updates = transform(tx, np.float32(2.0), np.float32([1.0, 0.5, 0.5]))
    np.testing.assert_allclose(updates, [1, 0.5 / 0.9, 0.5 / 0.81], rtol=1e-6)
    # eps is the least that a gradient is divided by.
    tx = gradtx.scale_by_adam_lp(b1=0.0, b2=0.9, p=1000.0, eps=10.0)
    updates = transform(tx, np.float32(2.0), np.float32([1.0, 0.5, 20.0]))
    np.testing.assert_allclose(updates, [0.1, 0.05, 1.0], rtol=1e-6)


@pytest.mark.parametrize("maximum_of", ["corrected", "uncorrected"])
def test_amsgrad_is_adam_with_amsgrad(maximum_of):
    params, grads = example()
    ours = path(gradtx.amsgrad(1e-2, b2=0.7, maximum_of=maximum_of), params, grads)
    assert_same(
        ours, path(gradtx.adam(1e-2, b2=0.7, amsgrad=maximum_of), params, grads)
    )


def test_adagrads_start():  # its docstring's figures
    g = np.float32([0.01, 1.0])
    for start, first in ((0.1, [0.0316, 0.9535]), (0.0, [1.0, 1.0])):
        tx = gradtx.scale_by_rss(start)
        update, _ = tx.update(g, tx.init(g))
        # Of a gradient of 0.01 from 0, eps = 1e-7 in the root takes 5e-4.
        np.testing.assert_allclose(update, first, rtol=6e-4)


def test_the_decay_of_adamws_algorithm_2_is_not_multiplied_by_alpha():
    # Loshchilov & Hutter 2019: eta_t (alpha adam + decay w), in adamw's one line.
    def eta(step):
        return 1 / (1.0 + step)

    params, grads = example()
    alpha, decay = 1e-2, 1e-3
    ours = path(
        gradtx.adamw(lambda t: alpha * eta(t), weight_decay=decay / alpha),
        *(params, grads),
    )
    for key, w in params.items():
        m, v = np.zeros_like(w), np.zeros_like(w)
        for step, g in enumerate(grads[key]):
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            m_hat, v_hat = m / (1 - 0.9 ** (step + 1)), v / (1 - 0.999 ** (step + 1))
            adam = m_hat / (np.sqrt(v_hat) + 1e-8)
            w = w - eta(step) * (alpha * adam + decay * w)
            np.testing.assert_allclose(ours[key][step], w, rtol=TOLERANCE)


def test_a_deviation_out_of_range_stops_an_entry():
    tx, g = gradtx.scale_by_stddev(), jnp.array([1e30, 0.0])
    with jax.disable_jit():  # compiled, a product and a sum are joined: not infinite
        state = tx.init(g)
        for _ in range(3):
            updates, state = tx.update(g, state)
            np.testing.assert_array_equal(updates, 0)
