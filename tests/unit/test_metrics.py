"""with_metrics and metrics: every number beside NumPy, wherever the state is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from flax.training.train_state import TrainState

import gradtx
from gradtx import with_metrics
from gradtx.testing import CHECKS

PARAMS = {"w": jnp.array([[1.0, -2.0], [3.0, 0.5]]), "b": jnp.array([0.5, -1.0])}
# Below the limit of 1, above it, below, and far below.
SIZES = (0.5, 4.0, 0.9, 1e-3)
RATE = gradtx.linear_schedule(0.5, 0.1, 4)
CLIP = gradtx.clip_by_global_norm(1.0)
ROUNDED = {"rtol": 1e-5}  # a sum of float32


def grads_at(step):
    def of(p):
        return SIZES[step] * jnp.cos(jnp.arange(p.size) + step).reshape(p.shape) / 2

    return jax.tree.map(of, PARAMS)


def optimizer():
    return gradtx.chain(CLIP, gradtx.sgd(RATE, momentum=0.9))


def run(tx, *, steps=4, params=PARAMS, by="step", measured=True):
    """The metrics after each step, and parameters and state in the end."""

    @jax.jit
    def go(params, state, grads):
        if by == "step":
            return tx.step(grads, state, params)
        updates, state = tx.update(grads, state, params)
        return gradtx.apply_updates(params, updates), state

    state, found = tx.init(params), []
    for step in range(steps):
        params, state = go(params, state, grads_at(step))
        if measured:
            found.append(gradtx.metrics(state))
    return found, params, state


def length(*arrays):
    return np.sqrt(sum(np.sum(np.square(np.asarray(a, np.float64))) for a in arrays))


def in_numpy(decay=0.99):
    """The same training in float64, metrics by metrics."""
    w = {k: np.asarray(p, np.float64) for k, p in PARAMS.items()}
    velocity = {k: np.zeros_like(p) for k, p in w.items()}
    bits = []
    for step in range(4):
        g = {k: np.asarray(x, np.float64) for k, x in grads_at(step).items()}
        norm, before = length(*g.values()), length(*w.values())
        bits.append(norm > 1)
        rate = 0.5 - 0.1 * step
        velocity = {k: 0.9 * velocity[k] + g[k] / max(1, norm) for k in w}
        moved = rate * length(*velocity.values())
        w = {k: w[k] - rate * velocity[k] for k in w}
        weights = decay ** np.arange(step, -1, -1)
        yield {
            "learning_rate": rate,
            "grad_norm": norm,
            "clipped_grad_norm": min(norm, 1),
            "clip_fraction": np.sum(weights * bits) / np.sum(weights),
            "update_norm": moved,
            "param_norm": before,
            "update_ratio": moved / before,
        }


@pytest.mark.parametrize("by", ["step", "update"])
@pytest.mark.parametrize("joined", [True, False])
def test_every_metric_is_that_of_numpy(joined, by):
    tx = optimizer() if joined else gradtx.chain(optimizer(), gradtx.masked(CLIP, True))
    found, _, _ = run(with_metrics(tx, of="all", decay=0.5), by=by)
    for ours, theirs in zip(found, in_numpy(0.5), strict=True):
        assert ours.keys() == theirs.keys()
        for name, number in theirs.items():
            np.testing.assert_allclose(ours[name], number, **ROUNDED, err_msg=name)
            assert type(ours[name]) is float


@pytest.mark.parametrize("by", ["step", "update"])
def test_metrics_change_nothing(by):
    _, plain, state = run(optimizer(), by=by, measured=False)
    for of in (None, "all"):
        tx = with_metrics(optimizer(), of)
        _, params, wrapped = run(tx, by=by)
        for x, y in zip(
            jax.tree.leaves((plain, state)),
            jax.tree.leaves((params, wrapped.inner_state)),
            strict=True,
        ):
            np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("ratio", [1e-3, 1e-2, 1.0, 1e3])
def test_a_norm_within_the_limit_is_known_from_the_clip(ratio):
    limit, entries = 1e-2, 10**4
    g = jnp.full([entries], limit * ratio / entries**0.5)
    tx = with_metrics(gradtx.clip_by_global_norm(limit))
    found = gradtx.metrics(tx.update(g, tx.init(g))[1])
    np.testing.assert_allclose(found["grad_norm"], limit * ratio, rtol=1e-3)


def test_the_state_is_one_of_scan():
    tx = with_metrics(optimizer())
    start = tx.init(PARAMS)

    def body(carry, grads):
        params, state = tx.step(grads, carry[1], carry[0])
        return (params, state), gradtx.metrics(state)

    grads = jax.tree.map(lambda *g: jnp.stack(g), *map(grads_at, range(4)))
    (params, _), history = jax.lax.scan(body, (PARAMS, start), grads)
    by_hand, expected, _ = run(tx)
    for name, values in history.items():
        np.testing.assert_allclose(values, [m[name] for m in by_hand], **ROUNDED)
    np.testing.assert_allclose(params["w"], expected["w"], **ROUNDED)


def grouped(**kwargs):
    rules = [
        ("b", dict(learning_rate=0.3, multiplier=0.5)),
        ("w", gradtx.inject_hyperparams(gradtx.sgd)(RATE)),
    ]
    groups = gradtx.groups(rules, default=gradtx.sgd(0.1))
    return with_metrics(gradtx.chain(CLIP, groups), **kwargs)


def test_groups_have_their_own():
    params = PARAMS | {"rest": jnp.ones(3)}

    def grads(step):
        return grads_at(step) | {"rest": jnp.ones(3)}

    tx = grouped(of="all", per_group=True)
    state = tx.init(params)
    _, state = tx.step(grads(0), state, params)
    new, state = tx.step(grads(1), state, params)
    found, g = gradtx.metrics(state), grads(1)
    assert not [name for name in found if name.startswith("b/clip")]  # of all leaves
    np.testing.assert_allclose(found["grad_norm"], length(*g.values()), **ROUNDED)
    names = {"b": "b", "w": "w", "default": "rest"}
    for group, rate in {"b": 0.15, "w": 0.4, "default": 0.1}.items():
        own, moved = g[names[group]], new[names[group]] - params[names[group]]
        size = length(params[names[group]])
        expected = {
            "learning_rate": rate,
            "grad_norm": length(own),
            "update_norm": length(moved),
            "param_norm": size,
            "update_ratio": length(moved) / size,
        }
        for name, number in expected.items():
            # A difference of parameters is rounded.
            np.testing.assert_allclose(found[f"{group}/{name}"], number, rtol=1e-4)


def test_a_rate_of_all_groups_is_there_once():
    rules = [("b", dict(weight_decay=0.0))]
    tx = with_metrics(gradtx.groups(rules, default=gradtx.adamw(RATE)))
    found, _, _ = run(tx)
    assert [name for name in found[0] if "rate" in name] == ["learning_rate"]
    assert found[1]["learning_rate"] == pytest.approx(0.4)


def test_a_group_may_have_metrics_of_its_own():
    inner = with_metrics(gradtx.chain(CLIP, gradtx.sgd(RATE)))
    tx = gradtx.groups([("b", inner)], default=gradtx.sgd(0.1))
    found, _, _ = run(tx)
    np.testing.assert_allclose(found[1]["b/grad_norm"], length(grads_at(1)["b"]), 1e-5)
    assert found[1]["b/learning_rate"] == pytest.approx(0.4)


def test_a_rate_set_by_hand_is_the_one_of_the_next_step():
    tx = with_metrics(gradtx.inject_hyperparams(gradtx.sgd)(0.1))
    state = gradtx.tree.set(tx.init(PARAMS), learning_rate=0.7)
    assert gradtx.tree.get(state, "learning_rate") == jnp.float32(0.7)
    _, state = tx.step(grads_at(0), state, PARAMS)
    assert gradtx.metrics(state)["learning_rate"] == pytest.approx(0.7)
    assert float(gradtx.tree.get(state, "grad_norm")) > 0  # by name, too
    with pytest.raises(KeyError, match="there is no 'grad_norm'"):
        gradtx.tree.set(state, grad_norm=0.0)  # it is measured


def test_inside_of_multi_steps_a_step_is_one_of_the_mean():
    tx = gradtx.MultiSteps(with_metrics(gradtx.chain(CLIP, gradtx.sgd(RATE))), 2)
    found, _, _ = run(tx)
    mean = [
        (np.add(grads_at(i)[k], grads_at(i + 1)[k])) / 2 for i in (0, 2) for k in PARAMS
    ]
    np.testing.assert_allclose(found[1]["grad_norm"], length(*mean[:2]), **ROUNDED)
    np.testing.assert_allclose(found[3]["grad_norm"], length(*mean[2:]), **ROUNDED)
    assert found[2] == found[1]  # nothing is measured between
    assert [m["learning_rate"] for m in found[1::2]] == pytest.approx([0.5, 0.4])


@pytest.mark.parametrize("where", ["around", "inside", "rule"])
def test_steps_left_out_are_counted(where):
    if where == "rule":
        tx = with_metrics(
            gradtx.MultiSteps(
                gradtx.sgd(0.1), 1, should_skip_update_fn=gradtx.skip_not_finite
            )
        )
    elif where == "around":
        tx = with_metrics(gradtx.apply_if_finite(optimizer(), 5))
    else:
        tx = gradtx.apply_if_finite(with_metrics(optimizer()), 5)
    state, bad = tx.init(PARAMS), jax.tree.map(lambda p: p * jnp.nan, PARAMS)
    counts = []
    for grads in (bad, grads_at(0), bad, bad):
        _, state = tx.step(grads, state, PARAMS)
        counts.append(gradtx.metrics(state)["skipped"])
    assert counts == [1, 1, 2, 3]
    assert type(counts[-1]) is int


def test_what_holds_a_state_will_do():
    tx = with_metrics(gradtx.chain(CLIP, gradtx.sgd(RATE)))
    expected = run(tx, steps=1)[0][0]
    train = TrainState.create(apply_fn=None, params=PARAMS, tx=tx)
    assert gradtx.metrics(train.apply_gradients(grads=grads_at(0))) == expected

    class Model(nnx.Module):
        def __init__(self):
            self.w, self.b = nnx.Param(PARAMS["w"]), nnx.Param(PARAMS["b"])

    model = Model()
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
    grads = nnx.State({k: nnx.Param(g) for k, g in grads_at(0).items()})
    optimizer.update(model, grads)
    assert gradtx.metrics(optimizer) == expected


def test_numbers_are_fetched_at_once(monkeypatch):
    _, _, state = run(grouped(per_group=True, of="all"))
    fetched = []
    fetch = jax.device_get
    monkeypatch.setattr(jax, "device_get", lambda x: fetched.append(x) or fetch(x))
    gradtx.metrics(state)
    assert len(fetched) == 1


def test_a_state_is_stored_by_names_that_last():
    tx = with_metrics(optimizer())
    _, _, state = run(tx)
    named = gradtx.tree.to_named(tx, state)
    assert "with_metrics/metrics/grad_norm" in named
    assert "sgd/trace/w" in named  # the inner names are as without
    back = gradtx.tree.from_named(tx, named, tx.init(PARAMS))
    assert gradtx.metrics(back) == gradtx.metrics(state)
    plain, report = gradtx.tree.from_named(
        optimizer(), named, optimizer().init(PARAMS), partial=True
    )
    assert not report.new
    np.testing.assert_array_equal(gradtx.tree.get(plain, "count"), 4)


@pytest.mark.parametrize(
    "check",
    [
        "state_is_a_fixed_point",
        "can_be_donated",
        "keeps_bfloat16",
        "passes_missing_leaves_by",
        "takes_complex",
        "takes_shapes_for_params",
        "step_is_update_then_apply",
    ],
)
def test_all_metrics_conform(check):
    CHECKS[check](lambda: with_metrics(optimizer(), "all"))


SGD = gradtx.sgd(0.1)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: with_metrics(SGD, "lr"), "of must be one of .*'learning_rate'.*'lr'"),
        (
            lambda: with_metrics(SGD, "clip_fraction"),
            r"with_metrics: of='clip_fraction' needs a clip, and there is no",
        ),
        (
            lambda: with_metrics(gradtx.MultiSteps(optimizer(), 2), "clip_fraction"),
            r"out of sight.*Put with_metrics inside, around the chain that begins with",
        ),
        (lambda: with_metrics(SGD, per_group=True), "there are none in sgd"),
        (lambda: with_metrics(SGD, "skipped").init(PARAMS), "counts steps that it"),
        (
            lambda: with_metrics(gradtx.scale(0.1), "learning_rate").init(PARAMS),
            "there is no learning rate in scale",
        ),
        (
            lambda: with_metrics(SGD, "param_norm").update(
                PARAMS, with_metrics(SGD, "param_norm").init(PARAMS)
            ),
            "with_metrics needs params",
        ),
        (lambda: gradtx.metrics(SGD), "is a transformation; give its state"),
        (lambda: gradtx.metrics(SGD.init(PARAMS)), "with_metrics.*before state ="),
        (
            lambda: gradtx.metrics(jax.vmap(with_metrics(SGD).init)(PARAMS)),
            r"grad_norm has shape \(2,\), one number for each of several states",
        ),
    ],
)
def test_what_is_wrong_is_told(make, match):
    with pytest.raises(ValueError, match=match):
        make()
