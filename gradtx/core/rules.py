"""Rules: what a transformation does to one array."""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.numerics import after, again
from gradtx.core.outcome import results
from gradtx.core.trees import compute_dtype, failure


class Formula:
    """An update as what it is made of, for a rule further on that looks at it twice.

    XLA stores in full what is dear (a quotient, a root) and has two uses, a norm and a
    step. Made twice, of arrays that are stored anyway, each has one use.

    Args:
      dear: from parts to the update.
      cheap: from the arrays to the parts, by sums and products.
      arrays: arrays of state, gradients, and numbers: all that the update is made of.
        A constant inside of dear XLA would make as large as the leaf.
    """

    def __init__(
        self,
        dear: Callable[..., Any],
        cheap: Callable[..., tuple[Any, ...]],
        arrays: tuple[Any, ...],
        parts: tuple[Any, ...] | None = None,
    ):
        self.dear = dear
        self.cheap = cheap
        self.arrays = arrays
        self.parts = cheap(*arrays) if parts is None else parts

    def __call__(self) -> Any:
        return self.dear(*self.parts)

    def of(self, *arrays: Any) -> Any:
        """The update, made of such arrays."""
        return self.dear(*self.cheap(*arrays))

    def again(self) -> Any:
        """The same update, which XLA computes by itself, entry by entry."""
        return self.dear(*again(jax.tree.map(jnp.asarray, self.parts)))

    def apart(self) -> tuple[Any, ...]:
        """The arrays, of which a sum over entries is computed by itself."""
        return again(jax.tree.map(jnp.asarray, self.arrays))

    def then(self, fn: Callable[[Any], Any]) -> "Formula":
        """The formula of what a function makes of the update."""
        return Formula(
            lambda *parts: fn(self.dear(*parts)), self.cheap, self.arrays, self.parts
        )


class Rule(NamedTuple):
    """A rule for one array."""

    fn: Callable[..., Any]  # (g, [p,] *slots, *scalars) -> update or (update, *slots)
    with_params: bool = False  # whether it takes the parameter, second
    slots: tuple[str, ...] = ()  # their names, as far as they have some
    within: tuple[str, ...] = ()  # names of what it is in, the outermost first
    last: tuple[str, ...] = ()  # slots whose old values the parameters are made of
    twice: bool = False  # whether it takes the update's formula or None, after it
    whole: bool = False  # whether it takes whole numbers, as float32
    entrywise: bool = False  # whether it looks at one entry of a leaf at a time
    writes: bool = False  # whether what it gives is the new parameter; see `writing`


def is_narrow(dtype: Any) -> bool:
    """Whether sums with numbers of that dtype are rounded: floating, below 32 bits."""
    return bool(jnp.issubdtype(dtype, jnp.floating)) and jnp.finfo(dtype).bits < 32


def check_last(rules: Sequence[Rule]) -> None:
    """Raise if something comes behind a rule that writes the parameters."""
    for rule, other in itertools.pairwise(rules):
        if rule.writes:
            name = rule.within[-1] if rule.within else "write"
            behind = other.within[-1] if other.within else "another one"
            raise failure(
                f"{name} decides what the parameters become, so "
                f"it comes once and last; behind it is {behind}. Put it around all."
            )


def writing(rule: Rule, dtype: Any, tiled: bool) -> Rule:
    """A rule that writes parameters, for one of that dtype.

    Args:
      dtype: the parameter's, that what it gives can be rounded to without a change.
      tiled: whether it sees blocks of the leaf, their tiles along every second axis.
    """
    return rule._replace(fn=functools.partial(rule.fn, dtype=dtype, tiled=tiled))


def ordered(rule: Rule, row: tuple, p: Any) -> tuple:
    """Its new slots, those that are written last after the parameter."""
    if not rule.last:
        return row
    names = zip(rule.slots, row, strict=True)
    return tuple(
        x if x is None or name not in rule.last else after(x, p) for name, x in names
    )


def evaluate(
    rule: Rule,
    g: Any,
    p: Any,
    slots: tuple,
    scalars: tuple,
    formula: Formula | None = None,
) -> tuple[Any, Any, Formula | None]:
    """One rule on one leaf, in at least float32; its slots keep their dtypes.

    Returns:
      The update, the new slots, and the update's formula, if it has one.
    """
    arrays = (g, p, *slots) if rule.with_params else (g, *slots)
    dtypes = map(_real_dtype, jax.tree.leaves(arrays))  # a slot may be a small tree
    width = functools.reduce(jnp.promote_types, dtypes)

    def up(x: Any) -> Any:  # also a scalar: it must not promote what it meets
        if x is None:  # a slot that this leaf has not
            return None
        dtype = jnp.result_type(x)
        if not jnp.issubdtype(dtype, jnp.inexact):
            return x
        if jnp.issubdtype(dtype, jnp.complexfloating):
            return jnp.asarray(x, jnp.promote_types(width, jnp.complex64))
        return jnp.asarray(x, width)

    def rounded(u: Any) -> Any:
        return jnp.asarray(u, up(g).dtype)

    given = jax.tree.map(up, arrays)
    if rule.twice:
        given = (given[0], formula and formula.then(up), *given[1:])
    out = rule.fn(*given, *map(up, scalars))
    made = None
    if isinstance(out, tuple) and out and isinstance(out[0], Formula):
        made = out[0].then(rounded)
        out = (out[0](), *out[1:])
    elif formula is not None and not slots and not rule.twice:
        made = formula.then(lambda u: evaluate(rule, u, p, (), scalars)[0])
    new_g, *new = results(out, g, slots, rule.slots)
    new = jax.tree.map(lambda s, n: jnp.asarray(n, s.dtype), tuple(slots), tuple(new))
    return rounded(new_g), new, made


def _real_dtype(x: Any) -> Any:
    """The real dtype to compute in, at least float32."""
    return jnp.finfo(compute_dtype(jnp.result_type(x))).dtype
