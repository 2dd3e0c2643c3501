"""The linear classifier of the page, against gradtx's losses and the lecture."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

# float64 on both sides, in another order.
CLOSE = {"rtol": 1e-12, "atol": 1e-14}

LOSSES = {
    "softmax": gradtx.softmax_cross_entropy_with_integer_labels,
    "hinge": gradtx.multiclass_hinge_loss,
}

TRAIN = """([params, points, options, steps]) => {
  for (let i = 0; i < steps; i += 1) params = linear.step(params, points, options);
  return { params, ...linear.evaluate(params, points, options) };
}"""


def total(params, x, y, loss, l2):
    scores = x @ params["W"].T + params["b"]
    losses = LOSSES[loss](scores, y)
    data, regularisation = losses.mean(), l2 * (params["W"] ** 2).sum()
    return data + regularisation, (data, regularisation, scores, losses)


def problem(seed):
    rng = np.random.default_rng(seed)
    params = {"W": rng.normal(size=(3, 2)), "b": rng.normal(size=3)}
    return params, rng.uniform(-1, 1, (9, 2)), rng.permutation([0, 1, 2] * 3)


def on_page(page, params, x, y, options, steps):
    points = [{"x": row.tolist(), "y": int(k)} for row, k in zip(x, y, strict=True)]
    arrays = {name: np.asarray(value).tolist() for name, value in params.items()}
    return page.evaluate(TRAIN, [arrays, points, options, steps])


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("seed", "step_size", "l2"), [(0, 0.1, 0.0), (1, 0.5, 0.3)])
def test_losses_and_gradients_are_those_of_gradtx(
    calculator, loss, seed, step_size, l2
):
    start, x, y = problem(seed)
    options = {"loss": loss, "step_size": step_size, "l2": l2}
    with jax.enable_x64(True):
        params = jax.tree.map(jnp.array, start)
        tx = gradtx.sgd(step_size)
        state = tx.init(params)
        grad = jax.jit(
            jax.value_and_grad(lambda p: total(p, x, y, loss, l2), has_aux=True)
        )
        for step in range(11):
            (value, (data, regularisation, scores, losses)), grads = grad(params)
            if step in (0, 1, 10):
                assert value.dtype == jnp.float64
                got = on_page(calculator, start, x, y, options, step)
                for ours, theirs in (
                    (got["params"]["W"], params["W"]),
                    (got["params"]["b"], params["b"]),
                    ([row["s"] for row in got["rows"]], scores),
                    ([row["loss"] for row in got["rows"]], losses),
                    (got["data"], data),
                    (got["regularisation"], regularisation),
                    (got["total"], value),
                    (got["dW"], grads["W"]),
                    (got["db"], grads["b"]),
                ):
                    np.testing.assert_allclose(ours, theirs, **CLOSE)
            params, state = tx.step(grads, state, params)


def test_the_table_of_the_lecture(play):
    """Its demonstration's numbers, to the two decimals that it shows."""
    play.check("#classify-hinge")

    def numbers(selector):
        shown = play.locator(selector).all_inner_texts()
        return [float(text.replace("−", "-")) for text in shown]

    scores = [
        [1.20, 1.67, 1.38, -0.80, -0.01, -1.57, 0.43, -0.28, -1.98],
        [0.01, 0.33, -0.80, -0.20, -0.88, -0.15, 1.55, 1.83, 1.26],
        [0.22, 1.10, -1.05, -1.62, -2.21, -2.10, 2.31, 2.26, 0.01],
    ]
    losses = [0.02, 0.44, 0.00, 0.39, 1.87, 0.00, 0.25, 0.57, 2.24]
    # It computes from weights with more decimals than it shows.
    for k, want in enumerate([*scores, losses]):
        got = numbers(f"#classify-points td:nth-child({4 + k})")
        np.testing.assert_allclose(got, want, rtol=0, atol=0.021)
    for name, want in (("data", 0.64), ("regularisation", 1.92), ("total", 2.57)):
        shown = float(play.inner_text(f"#classify-{name}"))
        assert shown == pytest.approx(want, abs=0.01), name
    # Its gradients hold a quarter of the gradient of the regularisation loss it shows.
    play.fill("#classify-l2", "0.025")
    got = numbers("#classify-weights td .gradient")
    want = [-0.12, 0.12, 0.00, 0.19, -0.37, 0.11, 0.17, 0.14, -0.11]
    np.testing.assert_allclose(got, want, rtol=0, atol=0.011)
