"""A run of PyTorch's goes on here, from its state_dict, with the same numbers."""

import copy
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

from .torch_states import CALLS, FILE, HALF, gradients

DATA = json.loads(FILE.read_text())
NAMES = {"kernel": 0, "bias": 1}
# As the trajectories: float64, and sums in another order.
TOLERANCE = {"rtol": 1e-9, "atol": 1e-9}


def made(call):
    names = {
        "labels": {"kernel": "m", "bias": "v"},
        "matrices": {"kernel": True, "bias": False},
    }
    return eval(CALLS[call], vars(gradtx) | names)


def test_the_file_has_the_calls():
    assert list(DATA) == list(CALLS)


@pytest.mark.parametrize("call", CALLS)
def test_goes_on_as_pytorch_does(call):
    row = DATA[call]
    with jax.enable_x64(True):
        tx = made(call)
        params = jax.tree.map(
            jnp.array, row["params"], is_leaf=lambda x: type(x) is list
        )
        step = HALF if "StepLR" in call else None
        state = gradtx.from_torch(tx, row["saved"], NAMES, params, step=step)
        fresh = tx.init(params)
        assert jax.tree.map(jnp.shape, state) == jax.tree.map(jnp.shape, fresh)
        assert jax.tree.map(jnp.result_type, state) == jax.tree.map(
            jnp.result_type, fresh
        )

        def body(carry, t):
            params, state = carry
            return tx.step(gradients(jnp, t, params), state, params), None

        times = jnp.arange(float(HALF), 2.0 * HALF)
        (params, _), _ = jax.jit(lambda *c: jax.lax.scan(body, c, times))(params, state)
    for name, want in row["end"].items():
        np.testing.assert_allclose(params[name], want, **TOLERANCE)


MAXIMIZED = "AdamW(p, lr=0.02, eps=1e-3, maximize=True)"
GROUPS = "AdamW(groups, lr=0.02, weight_decay=0.1)"
STEPPED = "StepLR(Adam(p, lr=0.02), 15)"
LABELS = {"kernel": "m", "bias": "v"}
inject = gradtx.inject_hyperparams
stepped = gradtx.exponential_decay(0.02, 15, 0.1, staircase=True)
adamw = functools.partial(gradtx.adamw, eps=1e-3, weight_decay=1e-2)
# A call of PyTorch's, wrappers around the same here, micro-batches of a step.
WITHIN = [
    ("Adam(p, lr=0.02)", inject(gradtx.adam)(learning_rate=5.0), 1),
    (
        MAXIMIZED,
        gradtx.maximize(inject(gradtx.adamw)(0.02, eps=1e-3, weight_decay=1e-2)),
        1,
    ),
    (STEPPED, inject(gradtx.adam)(stepped), 1),
    (STEPPED, gradtx.inject_stateful_hyperparams(gradtx.adam)(stepped), 1),
    (
        "SGD(p, lr=0.02, momentum=0.9, nesterov=True)",
        inject(gradtx.sgd)(0.5, momentum=0.9, nesterov=True),
        1,
    ),
    (MAXIMIZED, gradtx.MultiSteps(gradtx.maximize(adamw(0.02)), 2), 2),
    (STEPPED, gradtx.MultiSteps(inject(gradtx.adam)(stepped), 3), 3),
    (
        "Adam(p, lr=0.02)",
        gradtx.MultiSteps(
            gradtx.adam(0.02), 2, should_skip_update_fn=gradtx.skip_not_finite
        ),
        2,
    ),
    (
        GROUPS,
        gradtx.partition(
            {
                "m": inject(gradtx.adamw)(9.0, weight_decay=0.1),
                "v": gradtx.MultiSteps(gradtx.adamw(0.05, weight_decay=0.0), 1),
            },
            LABELS,
        ),
        1,
    ),
]


@pytest.mark.parametrize(
    ("call", "tx", "k"), WITHIN, ids=[f"{tx!r:.70}" for _, tx, _ in WITHIN]
)
def test_goes_on_within_wrappers(call, tx, k):
    row = DATA[call]
    with jax.enable_x64(True):
        params = jax.tree.map(
            jnp.array, row["params"], is_leaf=lambda x: type(x) is list
        )
        state = gradtx.from_torch(tx, row["saved"], NAMES, params)
        fresh = tx.init(params)
        assert jax.tree.structure(state) == jax.tree.structure(fresh)
        assert jax.tree.map(jnp.result_type, state) == jax.tree.map(
            jnp.result_type, fresh
        )

        def body(carry, t):
            params, state = carry
            grads = gradients(jnp, t, params)
            for _ in range(k):
                params, state = tx.step(grads, state, params)
            return (params, state), None

        times = jnp.arange(float(HALF), 2.0 * HALF)
        (params, _), _ = jax.jit(lambda *c: jax.lax.scan(body, c, times))(params, state)
    for name, want in row["end"].items():
        np.testing.assert_allclose(params[name], want, **TOLERANCE)


def test_a_wrapped_optimizer_that_differs_is_refused():
    saved = DATA["Adam(p, lr=0.02)"]["saved"]
    for tx in (
        inject(gradtx.adam)(0.02, b1=0.8),
        gradtx.MultiSteps(gradtx.adam(1.0), 2),
    ):
        with pytest.raises(ValueError, match=r"from_torch: (betas|lr) is"):
            gradtx.from_torch(tx, saved, NAMES)
    tx = gradtx.MultiSteps(gradtx.sgd(0.02, momentum=0.9, nesterov=True), 2)
    with pytest.raises(ValueError, match="give step="):
        gradtx.from_torch(tx, DATA[SGD]["saved"], NAMES)
    assert gradtx.from_torch(tx, DATA[SGD]["saved"], NAMES, step=7).gradient_step == 7


ADAM, SGD = "Adam(p, lr=0.02)", "SGD(p, lr=0.02, momentum=0.9, nesterov=True)"
RMSPROP = "RMSprop(p, lr=0.02, alpha=0.9, centered=True, momentum=0.8)"


def test_by_pytorchs_names_and_by_numbers_it_is_the_same():
    tx, saved = made(ADAM), DATA[ADAM]["saved"]
    names = {"kernel": "kernel", "bias": "bias", "none": None}
    named, numbered = (
        gradtx.from_torch(tx, saved, x)[0] for x in (names, NAMES | {"none": None})
    )
    assert named.mu["none"] is None
    np.testing.assert_array_equal(named.mu["bias"], numbered.mu["bias"])
    assert named.count == HALF


class Tensor:
    """As much of a tensor on a device as is asked for."""

    def __init__(self, value, at="cuda"):
        self.value, self.at, self.dtype = np.asarray(value), at, "torch.float32"

    def detach(self):
        return self

    def cpu(self):
        return Tensor(self.value, "cpu")

    def __array__(self, dtype=None, copy=None):
        assert self.at == "cpu"
        return self.value.astype(dtype or self.value.dtype)


def test_tensors_are_taken_as_they_are():
    saved = copy.deepcopy(DATA[ADAM]["saved"])
    plain = gradtx.from_torch(made(ADAM), saved, NAMES)
    for number, entry in list(saved["state"].items()):
        del saved["state"][number]
        saved["state"][int(number)] = {key: Tensor(x) for key, x in entry.items()}
    saved["param_groups"][0]["lr"] = Tensor(0.02)
    state = gradtx.from_torch(made(ADAM), saved, NAMES)
    for x, y in zip(jax.tree.leaves(state), jax.tree.leaves(plain), strict=True):
        np.testing.assert_array_equal(x, y)


def test_a_step_compiles_with_what_comes_out():
    tx, row = made(ADAM), DATA[ADAM]
    params = jax.tree.map(jnp.array, row["params"], is_leaf=lambda x: type(x) is list)
    state = gradtx.from_torch(tx, row["saved"], NAMES)
    grads = jax.tree.map(jnp.ones_like, params)
    params, new = jax.jit(tx.step, donate_argnums=(1, 2))(grads, state, params)
    assert new[0].count == HALF + 1


OTHER = [  # of the call that was saved, what goes on, and the error
    (ADAM, "adam(0.01)", r"lr is 0\.02 in param_groups\[0\], here 0\.01"),
    (
        ADAM,
        "adam(0.02, b2=0.9)",
        r"betas is \[0\.9, 0\.999\] in .*, here \(0\.9, 0\.9\)",
    ),
    (ADAM, "adam(0.02, eps=1e-6)", "eps is 1e-08"),
    (ADAM, "adam(0.02, amsgrad='uncorrected')", "no max_exp_avg_sq"),
    (ADAM, "adam(0.02, amsgrad=True)", "PyTorch's is 'uncorrected'"),
    (ADAM, "adam(0.02, nesterov=True)", "nesterov=True, PyTorch's is False"),
    (ADAM, "adam(0.02, eps_root=1e-8)", "eps_root=1e-08, PyTorch's is 0"),
    (ADAM, "adamw(0.02, weight_decay=0.1)", "weight_decay is 0 in .*, here 0.1"),
    (ADAM, "maximize(adam(0.02))", "maximize is False"),
    (ADAM, "sgd(0.02)", "nothing in tx has the betas"),
    (
        ADAM,
        "sgd(0.02, 0.9)",
        r"param_groups\[0\] is of Adam, and trace is not its part",
    ),
    (ADAM, "scale_by_adam()", r"nothing in tx has the lr of param_groups\[0\]"),
    (ADAM, "adam(linear_schedule(0.1, 0.0, 99))", "lr is 0.02"),
    (
        ADAM,
        "apply_if_finite(adam(0.02), 2)",
        "a state that no optimizer of PyTorch has",
    ),
    (ADAM, "chain(scale(0.5), adam(0.02))", "scale has no counterpart"),
    (SGD, "sgd(0.02)", "momentum is 0.9 in .*, here 0"),
    (SGD, "sgd(0.02, 0.9)", "nesterov is True"),
    (SGD, "adam(0.02)", "is of SGD, and scale_by_adam is not its part"),
    (SGD, "sgd(constant_schedule(0.02), 0.9, nesterov=True)", "give step="),
    (SGD, "chain(trace(0.9, True), add_decayed_weights(0.1), scale(-1))", "before"),
    (RMSPROP, "rmsprop(0.02, 0.9, centered=True, momentum=0.8)", "eps_in_sqrt=True"),
    (
        RMSPROP,
        "rmsprop(0.02, 0.9, eps_in_sqrt=False, momentum=0.8)",
        "centered is True",
    ),
]


@pytest.mark.parametrize(("call", "other", "message"), OTHER)
def test_another_optimizer_is_refused(call, other, message):
    tx = eval(other, vars(gradtx))
    with pytest.raises(ValueError, match=f"from_torch: .*{message}"):
        gradtx.from_torch(tx, DATA[call]["saved"], NAMES)


def without_slot(saved):
    del saved["state"]["1"]["exp_avg_sq"]


def ahead(saved):
    saved["state"]["1"]["step"] = 7


def narrower(saved):
    saved["state"]["1"]["exp_avg"] = [0.0]


def of_adagrad(saved):
    del saved["param_groups"][0]["betas"]


@pytest.mark.parametrize(
    ("change", "names", "message"),
    [
        (None, {"kernel": 0}, "parameter 1 of the state_dict has no leaf of names"),
        (None, {"a": 0, "b": 0, "c": 1}, "parameter 0 .* is at several leaves"),
        (None, {"a": 0, "b": 2}, r"names\['b'\] is 2, PyTorch has"),
        (without_slot, NAMES, r"names\['bias'\], parameter 1, has no exp_avg_sq"),
        (ahead, NAMES, "the steps taken differ"),
        (narrower, NAMES, r"exp_avg_sq of names\['bias'\] has shape \(2,\)"),
        (of_adagrad, NAMES, "is not of Adam, AdamW, SGD or RMSprop"),
    ],
)
def test_what_does_not_fit_is_named(change, names, message):
    saved = copy.deepcopy(DATA[ADAM]["saved"])
    if change is not None:
        change(saved)
    with pytest.raises(ValueError, match=message):
        gradtx.from_torch(made(ADAM), saved, names)


def test_shapes_are_compared_with_the_parameters():
    params = {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(2)}
    with pytest.raises(
        ValueError, match=r"kernel.*\(3, 2\), the parameter has \(2, 3\)"
    ):
        gradtx.from_torch(made(ADAM), DATA[ADAM]["saved"], NAMES, params)
    with pytest.raises(ValueError, match="names is a tree"):
        gradtx.from_torch(made(ADAM), DATA[ADAM]["saved"], NAMES, {"a": params})


def test_names_need_an_optimizer_that_was_given_them():
    call = "AdamW(groups, lr=0.02, weight_decay=0.1)"
    with pytest.raises(ValueError, match=r"so give numbers.*named_parameters\(\)"):
        gradtx.from_torch(made(call), DATA[call]["saved"], {"kernel": "kernel"})
