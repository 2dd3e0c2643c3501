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

EXTENSIONS = str(Path(__file__).parents[2] / "docs/_ext")
with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(EXTENSIONS)
    import notation
    import updates

    for name in ("notation", "updates"):
        sys.modules.pop(name)

# With a line search, or a norm of a whole leaf: they are read below, not taken.
READ_ONLY = {"lbfgs", "mars", "newton"}
STEPS = 6
RATE = 0.1
FUNCTIONS = {"sqrt": np.sqrt, "sign": np.sign, "max": np.maximum, "min": np.minimum}


class Values:
    """The values of names, those with an index by steps."""

    def __init__(self, constants):
        self.constants = constants
        self.series = {}
        self.t = 0

    def of(self, node):
        return getattr(self, node[0])(*node[1:])

    def number(self, text):
        return float(text)

    def name(self, name, hat, index, primed):
        assert not primed
        if index is None:
            return self.t if name == "t" else self.constants[name]
        return self.series[name, hat, int(self.of(index))]

    def call(self, function, inside):
        arguments = inside[1:] if inside[0] == "list" else [inside]
        return FUNCTIONS[function[1]](*map(self.of, arguments))

    def paren(self, inside):
        return self.of(inside)

    def abs(self, inside):
        return np.abs(self.of(inside))

    def fraction(self, above, below):
        return self.of(above) / self.of(below)

    def power(self, base, exponent):
        return self.of(base) ** self.of(exponent)

    def product(self, *factors):
        return np.prod([np.broadcast_to(self.of(f), 3) for f in factors], axis=0)

    def sum(self, *terms):
        return sum((1 if sign == "+" else -1) * self.of(term) for sign, term in terms)

    def holds(self, relation):
        _, left, sign, right = relation
        a, b = self.of(left), self.of(right)
        return {">": a > b, "<": a < b, ">=": a >= b, "=": a == b}[sign]

    def assign(self, left, value):
        if (
            left[0] == "power"
        ):  # r_t^2 = ..., of which r_t is the root where there is one
            left, value = left[1], np.sqrt(np.maximum(value, 0))
        _, name, hat, index, _ = left
        if index is None:
            self.constants[name] = value
        else:
            self.series[name, hat, int(self.of(index))] = value


def start(values, lines, params):
    """What is given for t = 0; the rest of what has an index is zero there."""
    for node in nodes(lines):
        if node[0] == "name" and node[3] is not None:
            values.series.setdefault((node[1], node[2], 0), np.zeros(3))
    for name in "pw":
        values.series[name, False, 0] = params
    for _, cells in lines:
        for cell in cells:
            for part in cell:
                if part[0] == "relation" and part[1][3:4] == (("number", "0"),):
                    values.assign(part[1], np.broadcast_to(values.of(part[3]), 3))


def nodes(tree):
    if isinstance(tree, tuple | list):
        if tree and isinstance(tree[0], str):
            yield tree
        for part in tree:
            yield from nodes(part)


def step(values, lines):
    """The lines once, in the order of writing."""
    left = None
    for _, cells in lines:
        parts = [part for cell in cells for part in cell if part != ("text", ",")]
        now = [p for p in parts if not (p[0] == "relation" and is_start(p))]
        words = {part[1] for part in now if part[0] == "text"}
        if not words:
            for _, left, _, right in now:
                values.assign(left, values.of(right))
        elif now[0][0] == "relation":  # the first of the cases
            left, value, taken = now[0][1], values.of(now[0][3]), values.holds(now[-1])
            values.assign(left, np.where(taken, value, np.nan))
        else:
            key = left[1], left[2], int(values.of(left[3]))
            otherwise = "otherwise" in words
            old = values.series[key]
            taken = np.isnan(old) if otherwise else values.holds(now[-1])
            values.series[key] = np.where(taken, values.of(now[0]), old)


def is_start(relation):
    return relation[1][3:4] == (("number", "0"),)


@pytest.mark.parametrize("call", [c for c in updates.UPDATES if c not in READ_ONLY])
def test_the_update_on_the_page_is_the_one_taken(call):
    name, _, given = call.partition("(")
    factory = getattr(gradtx, name)
    options = eval(f"dict({given}") if given else {}
    with jax.enable_x64(True):
        tx = factory(RATE, **options)
        params = np.array([1.0, -2.0, 0.5])
        constants = {
            key: parameter.default
            for key, parameter in inspect.signature(factory).parameters.items()
        }
        values = Values(constants | {"learning_rate": RATE} | options)
        lines = notation.equations(updates.UPDATES[call])
        start(values, lines, params)
        state, p = tx.init(jnp.asarray(params)), jnp.asarray(params)
        for t in range(1, STEPS + 1):
            # Of changing signs, and none of them zero.
            gradient = np.cos(t * np.array([1.0, 2.0, 0.3]) + 0.1)
            values.t = values.constants["t"] = t
            values.series["g", False, t] = gradient
            step(values, lines)
            p, state = tx.step(jnp.asarray(gradient), state, p)
            shown = values.series["w" if name == "adam_lp" else "p", False, t]
            # float64; the library has other orders of the same operations.
            np.testing.assert_allclose(p, shown, rtol=1e-11)


def test_every_update_can_be_read():
    for block in updates.UPDATES.values():
        lines = notation.equations(block)
        last = SimpleNamespace(p=False)
        for node in nodes(lines):
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
        ("eps_root_0", "eps_root_0"),
    ],
)
def test_the_notation_is_read(text, tree):
    def shown(node):
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
