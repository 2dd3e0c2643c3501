"""The linear classifier of the page, against gradtx's losses and More Optimization."""

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


# The demonstration of the slide, as printed.
WEIGHTS = [[2.06, 1.48, -0.42], [0.44, -1.82, 0.52], [2.27, -2.04, -0.10]]
GRADIENTS = [[-0.12, 0.12, 0.00], [0.19, -0.37, 0.11], [0.17, 0.14, -0.11]]
TABLE = """
     0.50  0.40 0  1.20  0.01  0.22 0.02
     0.80  0.30 0  1.67  0.33  1.10 0.44
     0.30  0.80 0  1.38 -0.80 -1.05 0.00
    -0.40  0.30 1 -0.80 -0.20 -1.62 0.39
    -0.30  0.70 1 -0.01 -0.88 -2.21 1.87
    -0.70  0.20 1 -1.57 -0.15 -2.10 0.00
     0.70 -0.40 2  0.43  1.55  2.31 0.25
     0.50 -0.60 2 -0.28  1.83  2.26 0.57
    -0.40 -0.50 2 -1.98  1.26  0.01 2.24"""


def numbers(page, selector):
    shown = page.locator(selector).all_inner_texts()
    return np.array([float(text.replace("−", "-")) for text in shown])


def spoil(page):
    """Take everything that a button sets away from where it will be."""
    page.fill("#classify-step_size", "0.5")
    page.click("#classify-step")
    page.locator("#classify-point-0").focus()
    page.keyboard.press("ArrowUp")
    page.fill("#classify-l2", "-1")  # refused
    assert "at least 0" in page.inner_text("#classify-status")


def test_a_button_brings_the_table_of_the_slide(play):
    spoil(play)
    play.click("#classify-slide")
    assert play.is_checked("#classify-hinge")
    assert play.input_value("#classify-step_size") == "0.1"
    assert play.input_value("#classify-l2") == "0.1"
    assert play.get_attribute("#classify-l2", "aria-invalid") == "false"
    assert play.inner_text("#classify-status").startswith("Step 0: ")
    weights = numbers(play, "#classify-weights td span:first-child").reshape(3, 3)
    np.testing.assert_array_equal(weights, WEIGHTS)
    got = numbers(play, "#classify-points td").reshape(9, 7)
    want = np.array(TABLE.split(), float).reshape(9, 7)
    np.testing.assert_array_equal(got[:, :3], want[:, :3])  # points and classes
    # It computes scores from weights with more decimals than it shows: half a unit of
    # the last place each in three products, and twice that in a difference.
    np.testing.assert_allclose(got[:, 3:], want[:, 3:], rtol=0, atol=0.021)
    for name, loss in (("data", 0.64), ("regularisation", 1.92), ("total", 2.57)):
        shown = float(play.inner_text(f"#classify-{name}"))
        assert shown == pytest.approx(loss, abs=0.01), name
    gradients = numbers(play, "#classify-weights td .gradient").reshape(3, 3)
    assert np.abs(gradients - GRADIENTS)[:, :2].max() > 0.3  # not those of 0.1


def test_the_gradients_of_the_slide_are_those_of_a_quarter_of_the_strength(play):
    spoil(play)
    play.click("#classify-slide_gradients")
    assert play.input_value("#classify-l2") == "0.025"
    got = numbers(play, "#classify-weights td .gradient").reshape(3, 3)
    np.testing.assert_allclose(got, GRADIENTS, rtol=0, atol=0.011)  # as above
    # With it the penalty would be 0.48: the losses are those of another strength.
    assert float(play.inner_text("#classify-regularisation")) < 0.5


def test_no_strength_gives_both_the_losses_and_the_gradients_of_the_slide():
    weights, gradients = (np.array(x)[:, :2] for x in (WEIGHTS, GRADIENTS))
    want = np.array(TABLE.split(), float).reshape(9, 7)
    x, y, losses = want[:, :2], want[:, 2].astype(int), want[:, 6]
    scores = x @ weights.T + np.array(WEIGHTS)[:, 2]
    margins = np.maximum(0, scores - scores[np.arange(9), y][:, None] + 1)
    margins[np.arange(9), y] = 0
    pulls = (margins > 0).astype(float)
    pulls[np.arange(9), y] = -pulls.sum(1)
    data = pulls.T @ x / 9  # the gradient of the data loss
    squares = (weights**2).sum()
    assert losses.mean() == pytest.approx(0.64, abs=0.005)
    assert 1.92 / squares == pytest.approx(0.1, abs=1e-3)  # lambda |W|^2
    fit = (gradients - data).ravel() @ weights.ravel() / squares
    assert fit / 2 == pytest.approx(0.025, abs=1e-3)  # 2 lambda W
