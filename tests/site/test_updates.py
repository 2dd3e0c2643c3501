"""The updates that the algorithms' pages show are those that the optimizers take.

Each is taken as it is written there, in float64, on the tree that is typeset.
"""

import inspect
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests.site import taken

EXTENSIONS = str(Path(__file__).parents[2] / "docs/_ext")
with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(EXTENSIONS)
    import notation
    import updates

    for name in ("notation", "updates", "updates_norms", "updates_parts"):
        sys.modules.pop(name)

# With a line search: they are read below, not taken.
READ_ONLY = {"lbfgs", "newton"}
# Arguments at which all of an update shows, and that have no default.
OPTIONS = {
    "adafactor": {"min_dim_size_to_factor": 2, "weight_decay_rate": 0.05},
    "apollo": {"rank": 1},
    "dadapt_adamw": {"estim_lr0": 0.01},
    "dog": {"init_step": ("heuristic", 0.1)},
    "dowg": {"init_estim_sq_dist": 0.01},
    "dpsgd": {"l2_norm_clip": 1.5, "noise_multiplier": 0.5, "seed": 0},
    "galore": {"rank": 1, "scale": 0.5},
    "noisy_sgd": {"eta": 0.5},
    "optimistic_adam": {"optimism": 0.05},
    "prodigy": {"estim_lr0": 0.01, "beta3": 0.9},
    "schedule_free_adamw": {"warmup_steps": 4},
    "schedule_free_sgd": {"warmup_steps": 4},
    "sophia": {"update_interval": 2},
}
# The parameter is one of these matrices, else two leaves of three and two entries.
MATRICES = {
    "adafactor": (3, 2),
    "apollo": (2, 3),
    "apollo_mini": (2, 3),
    "came": (3, 2),
    "galore": (3, 2),
    "sm3": (3, 2),
}
LEAVES = slice(0, 3), slice(3, 5)
STEPS = 6
RATE = 0.1
CURVES = np.array([300.0, 20.0, 1.0, -5.0, 0.1])  # a Hessian's diagonal, for sophia


def leaves(name, x):
    """The parameter as the optimizers have it, with an axis in front or not."""
    parts = [x] if name in MATRICES else np.split(x, [LEAVES[0].stop], axis=-1)
    return [jnp.asarray(part) for part in parts]


def whole(tree):
    return np.concatenate(tree, axis=-1)


def gradient(t, shape):
    """Of changing signs, and none of them zero."""
    return np.cos(t * np.linspace(0.3, 2.0, int(np.prod(shape))) + 0.1).reshape(shape)


def given(name, values, options, grads):
    """What comes from outside: noise, projections; and what else `step` needs."""
    like = leaves(name, np.zeros(grads[0].shape))
    extra = {}
    if name in ("noisy_sgd", "dpsgd"):  # the noise alone: what the zero becomes
        if name == "dpsgd":
            numbers = options["l2_norm_clip"], options["noise_multiplier"]
            noise = gradtx.differentially_private_aggregate(*numbers, key=0)
            unit = numbers[0] * numbers[1] / taken.EXAMPLES
            values.constants["B"] = taken.EXAMPLES
        else:
            noise, unit = gradtx.add_noise(values.constants["eta"], 0.55, key=0), 1.0
        state = noise.init(leaves(name, grads[0]))
        for t in range(1, STEPS + 1):
            drawn, state = noise.update(like, state)
            values.series["n", False, t] = whole(drawn) / unit
    if name in ("apollo", "apollo_mini"):  # of one row, drawn once in these steps
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), 0), 0)
        drawn = np.asarray(jax.random.normal(key, (1, grads[0].shape[0]), jnp.float32))
        values.series.update({("P", False, t): drawn for t in range(1, STEPS + 1)})
    if name == "galore":
        basis = np.linalg.svd(grads[0])[0][:, : options["rank"]]
        values.series.update({("P", False, t): basis for t in range(1, STEPS + 1)})
    if name in ("momo", "momo_adam", "polyak_sgd"):
        heights = [1 + 0.3 * t for t in range(STEPS + 1)]
        values.series.update({("v", False, t): v for t, v in enumerate(heights)})
        extra["value"] = lambda t: heights[t]
    if name == "sophia":
        values.series.update({("h", False, t): CURVES for t in range(1, STEPS + 1)})

        def quadratic(p):
            return jnp.sum(CURVES * jnp.concatenate(p) ** 2) / 2

        extra["obj_fn"] = lambda t: quadratic
    return extra


@pytest.mark.parametrize("call", [c for c in updates.UPDATES if c not in READ_ONLY])
def test_the_update_on_the_page_is_the_one_taken(call):
    name, _, arguments = call.partition("(")
    factory = getattr(gradtx, name)
    block = updates.UPDATES[call]
    options = eval(f"dict({arguments}") if arguments else dict(OPTIONS.get(name, {}))
    rate, *_ = parameters = inspect.signature(factory).parameters
    if "weight_decay" in parameters:
        options["weight_decay"] = 0.05
    with jax.enable_x64(True):
        tx = factory(RATE, **options)
        shape = MATRICES.get(name, (LEAVES[-1].stop,))
        params = gradient(7, shape) * 2
        batch = (taken.EXAMPLES,) if name == "dpsgd" else ()
        grads = [gradient(t, (*batch, *shape)) for t in range(1, STEPS + 1)]
        constants = {key: p.default for key, p in parameters.items()}
        constants |= {rate: RATE} | options
        for letter, meaning in updates.OWN_LETTERS.get(name, {}).items():
            if meaning.startswith("`"):
                constants[letter] = eval(meaning.strip("`"), dict(constants))
        base, kept = gradtx.scale_by_adam(), []

        def base_optimizer(x):
            state = kept.pop() if kept else base.init(x)
            made, state = base.update(x, state)
            kept.append(state)
            return np.asarray(made)

        tree = "whole tree" in block or name in MATRICES
        functions = {"base_optimizer": base_optimizer}
        values = taken.Values(constants, () if tree else LEAVES, functions)
        parameter = "w" if name == "adam_lp" else "p"
        values.series[parameter, False, 0] = params
        values.series.update({("g", False, t + 1): g for t, g in enumerate(grads)})
        extra = given(name, values, options, grads)
        lines = notation.equations(block)
        taken.start(values, lines)
        p = leaves(name, params)
        state = tx.init(p)
        for t, g in enumerate(grads, 1):
            values.t = values.constants["t"] = t
            taken.step(values, lines)
            more = {key: at(t) for key, at in extra.items()}
            p, state = tx.step(leaves(name, g), state, p, **more)
            shown = values.series[parameter, False, t]
            # float64; the library has other orders of the same operations.
            np.testing.assert_allclose(whole(p), shown, rtol=1e-11)


def test_every_update_can_be_read():
    for block in updates.UPDATES.values():
        lines = notation.equations(block)
        last = SimpleNamespace(p=False)
        for node in taken.nodes(lines):
            last.p |= node[0] == "name" and node[1] in "pw"
        assert last.p


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a b / c d", "product(fraction(product(a, b), c), d)"),
        ("1 / s_k.y_k", "fraction(1, dot(s_k, y_k))"),
        ("-x^2 + f(y)", "sum(-power(x, 2), +call(f, y))"),
        ("mu^_{t-1}", "mu^_sum(+t, -1)"),
        ("|a| b", "product(abs(a), b)"),
        ("|a|_2^2 t^-c", "product(power(norm(a, 2), 2), power(t, sum(-c)))"),
        ("a <x, y / b>", "product(a, inner(x, fraction(y, b)))"),
        ("a < b", "relation(a, <, b)"),
        ("n ~ N(0, 1)", "relation(n, ~, call(N, list(0, 1)))"),
        ("eps_root_0", "eps_root_0"),
    ],
)
def test_the_notation_is_read(text, tree):
    def shown(node):
        if isinstance(node, str):
            return node
        if node[0] == "number":
            return node[1]
        if node[0] == "name":
            index = "" if node[3] is None else f"_{shown(node[3])}"
            return node[1] + "^" * node[2] + index
        if node[0] == "sum":
            return f"sum({', '.join(sign + shown(term) for sign, term in node[1:])})"
        return f"{node[0]}({', '.join(map(shown, node[1:]))})"

    assert shown(notation.read(text)) == tree


@pytest.mark.parametrize("text", ["update(grads, state, value=)", "a ->", "(a", "x: y"])
def test_code_and_sentences_are_no_equations(text):
    with pytest.raises(notation.NotAnEquationError):
        notation.equations(f"{text} = {text}")
