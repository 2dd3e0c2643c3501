"""Takes the steps of an update as the site has it written, on the tree that is typeset.

A value is an array of all leaves side by side, or one matrix; float64.
"""

import numpy as np

EXAMPLES = 3  # of a batch
AXES = {"i": 0, "j": 1}
FUNCTIONS = {
    "sqrt": np.sqrt,
    "cbrt": np.cbrt,
    "sign": np.sign,
    "max": np.maximum,
    "min": np.minimum,
    "mod": np.mod,
    "clip": lambda x, most: np.clip(x, -most, most),
    "diag": lambda x: x,  # a row, which a product spreads over the matrix
}
# Of one leaf, or over an axis of a matrix.
REDUCTIONS = {
    "mean": np.mean,
    "max": np.max,
    "norm": lambda x, **over: np.sqrt(np.sum(x**2, **over)),
    "rms": lambda x, **over: np.sqrt(np.mean(x**2, **over)),
}


class Values:
    """The values of names, those with an index by steps."""

    def __init__(self, constants, leaves=(), functions=None):
        self.constants = constants
        self.leaves = leaves  # slices of what is given; none: all of it
        self.functions = FUNCTIONS | (functions or {})
        self.series = {}
        self.t = 0

    def of(self, node):
        return getattr(self, node[0])(*node[1:])

    def number(self, text):
        return float(text)

    def name(self, name, hat, index, primed):
        if index is None:
            return self.t if name == "t" else self.constants[name]
        if index[0] == "list":  # g_{t,i}, of an example
            t, i = map(self.of, index[1:])
            return self.series[name, hat, int(t)][i]
        at = int(self.of(index))
        key = name, hat, at
        value = self.series[key] if at else self.series.get(key, 0.0)
        # A row and a column have both axes, so that their product is a matrix.
        return value.T if primed and name == "P" else value

    def reduced(self, name, x, axis=None):
        """A number for each leaf, entry by entry, or one."""
        if axis is not None:
            return REDUCTIONS[name](x, axis=axis, keepdims=True)
        if not self.leaves:
            return REDUCTIONS[name](x)
        parts = [
            np.full(x[leaf].shape, REDUCTIONS[name](x[leaf])) for leaf in self.leaves
        ]
        return np.concatenate(parts)

    def call(self, function, inside):
        _, name, _, index, _ = function
        arguments = [
            self.of(x) for x in (inside[1:] if inside[0] == "list" else [inside])
        ]
        if index is not None:
            return self.reduced(name, *arguments, AXES[index[1]])
        if name in REDUCTIONS and len(arguments) == 1:
            return self.reduced(name, *arguments)
        return self.functions[name](*arguments)

    def paren(self, inside):
        return self.of(inside)

    def abs(self, inside):
        return np.abs(self.of(inside))

    def norm(self, inside, order):
        x = self.of(inside)
        if self.of(order) == 1:
            return np.sum(np.abs(x))
        return self.reduced("norm", x)

    def inner(self, a, b):
        return np.sum(self.of(a) * self.of(b))

    def fraction(self, above, below):
        return self.of(above) / self.of(below)

    def power(self, base, exponent):
        return self.of(base) ** self.of(exponent)

    def product(self, *factors):
        if factors[0][0] == "big":  # over the examples
            total = 0.0
            for self.constants["i"] in range(EXAMPLES):
                total = total + self.product(*factors[1:])
            return total
        found = 1.0
        for before, factor in zip((None, *factors), factors, strict=False):
            projects = before is not None and before[:2] == ("name", "P")
            found = found @ self.of(factor) if projects else found * self.of(factor)
        return found

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


def relations(lines):
    """For each line its parts: relations, and the words between; no notes."""
    for _, cells in lines:
        parts = [part for cell in cells for part in cell]
        yield [p for p in parts if p[0] != "text" or not p[1].startswith((",", "("))]


def start(values, lines):
    """What is given for t = 0; the rest of what has an index is zero there."""
    for parts in relations(lines):
        for part in parts:
            if part[0] == "relation" and is_start(part):
                values.assign(part[1], values.of(part[3]) + np.zeros(()))


def nodes(tree):
    if isinstance(tree, tuple | list):
        if tree and isinstance(tree[0], str):
            yield tree
        for part in tree:
            yield from nodes(part)


def step(values, lines):
    """Take the lines once, in the order of writing."""
    left = None
    for parts in relations(lines):
        now = [p for p in parts if not (p[0] == "relation" and is_start(p))]
        words = {part[1] for part in now if part[0] == "text"}
        if not words:
            for _, left, sign, right in now:
                if sign == "=":  # what is drawn at random is given
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
