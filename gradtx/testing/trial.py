"""A transformation tried out: a few steps on a small tree, kept for many checks."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.apply import apply_updates
from gradtx.core.call import Remembered
from gradtx.core.trees import is_none, paths_of
from gradtx.testing.leaves import (
    gradients as gradients,
    outline_key,
    waves as waves,
)
from gradtx.testing.values import EXTRA, PREPARE, UPDATES

Make = Callable[[], Any]

STEPS = 3


class Leaf(NamedTuple):
    """A type that must stay, or `jit` traces again and `scan` fails."""

    shape: tuple[int, ...]
    dtype: Any
    weak_type: bool

    def __str__(self) -> str:
        weak = ", weakly typed" if self.weak_type else ""
        return f"{self.dtype}{list(self.shape)}{weak}"


def leaf_type(x: Any) -> Leaf | None:
    """The type of an array; None for None."""
    if x is None:
        return None
    aval = x if isinstance(x, jax.ShapeDtypeStruct) else jax.typeof(x)
    return Leaf(aval.shape, aval.dtype, bool(getattr(aval, "weak_type", False)))


def types(tree: Any) -> Any:
    """The tree's arrays as their types."""
    return jax.tree.map(leaf_type, tree, is_leaf=is_none)


def expect_types(tree: Any, expected: Any, what: str, than: str) -> None:
    """Assert the structure and every leaf's shape, dtype and weak type."""
    try:
        chex.assert_trees_all_equal_structs(tree, expected)
    except AssertionError:
        structure, wanted = jax.tree.structure(tree), jax.tree.structure(expected)
        raise AssertionError(
            f"{what} has the structure {structure}, {than} has {wanted}"
        ) from None
    for (path, leaf), (_, like) in zip(paths_of(tree), paths_of(expected), strict=True):
        found, want = leaf_type(leaf), leaf_type(like)
        assert found == want, f"{what}{path} is {found}, {than} is {want}"


def numbers(x: Any) -> np.ndarray:
    """Any array, random keys and bfloat16 too, as numbers to compare."""
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        x = jax.random.key_data(x)
    x = np.asarray(x)
    return x.astype(complex) if x.dtype.kind not in "biu" else x


def expect_close(
    tree: Any, expected: Any, what: str, than: str, rtol: float = 0.0
) -> None:
    """Assert that the numbers agree: to the bit, or relative to each leaf's largest."""
    for (path, leaf), (_, like) in zip(paths_of(tree), paths_of(expected), strict=True):
        if leaf is None or like is None:
            assert leaf is like, f"{what}{path} is {leaf}, {than} is {like}"
            continue
        a, b = numbers(leaf), numbers(like)
        finite = np.abs(b[np.isfinite(b)])
        atol = rtol * finite.max() if finite.size else 0.0
        try:
            chex.assert_trees_all_close(a, b, rtol=0, atol=atol)
        except AssertionError as error:
            # The leaf first, then which of its entries.
            text = f"{what}{path} is {leaf}, {than} is {like}\n{error}"
            raise AssertionError(text) from None


def expect_no_nan(tree: Any, what: str) -> None:
    """Assert that there is none in any leaf."""
    for path, leaf in paths_of(tree):
        assert leaf is None or not np.isnan(numbers(leaf)).any(), (
            f"{what}{path} has NaN: {leaf}"
        )


def copied(tree: Any) -> Any:
    """The same numbers in new buffers."""
    return jax.tree.map(jnp.copy, tree)


def _factory_name(tx: Any) -> str:
    """The name in the tables of what made it."""
    factory = getattr(getattr(tx, "call", None), "factory", None)
    while isinstance(factory, Remembered) and factory.call is not None:
        factory = factory.call.args[0]  # of inject_hyperparams(factory)
    return getattr(factory, "__name__", "")


def prepare(tx: Any, params: Any) -> Any:
    """Parameters as the transformation wants them: for most, as they are."""
    wanted = PREPARE.get(_factory_name(tx))
    return params if wanted is None else wanted(params)


def extra_of(tx: Any, grads: Any, params: Any) -> dict[str, Any]:
    """The extra arguments that its `update` wants: for most, none."""
    wanted = EXTRA.get(_factory_name(tx))
    return {} if wanted is None else wanted(grads, params)


def updates_of(tx: Any, grads: Any) -> Any:
    """Gradients as its `update` wants them: for most, as they are."""
    wanted = UPDATES.get(_factory_name(tx))
    return grads if wanted is None else wanted(grads)


class Stepped(NamedTuple):
    """What a step gives."""

    updates: Any
    params: Any
    state: Any

    @property
    def moved(self) -> "Stepped":
        """Without the state, for a state of another kind."""
        return self._replace(state=None)


class Trial:
    """The first steps of one transformation, each way computed once.

    `make_trial` keeps it, since transformations compare by value: a dozen checks then
    share one compiled program.
    """

    def __init__(self, tx: Any):
        self.tx = tx
        self.traces = 0

        def step(tx: Any, grads: Any, state: Any, params: Any) -> Any:
            self.traces += 1
            return one_step(tx, grads, state, params)

        # Donated, so that the checks of donation need no program of their own.
        # Unused arguments are kept, so that each donated buffer finds its successor.
        self.step = jax.jit(
            step, static_argnums=0, donate_argnums=(2, 3), keep_unused=True
        )

    def params(self, dtype: Any = jnp.float32, lead: tuple[int, ...] = ()) -> Any:
        """Fresh parameters, as the transformation wants them."""
        return prepare(self.tx, waves(1.0, dtype, lead))

    @functools.cached_property
    def start(self) -> Any:
        """The state before the first step."""
        return self.tx.init(self.params())

    @functools.cached_property
    def jitted(self) -> list[Stepped]:
        """The results of each step, with `update` under `jit`."""
        params, state, steps = self.params(), self.start, []
        for i in range(STEPS):
            args = gradients(i), copied(state), copied(params)
            steps.append(self.step(self.tx, *args))
            _, params, state = steps[-1]
        return steps

    @functools.cached_property
    def eager(self) -> list[Stepped]:
        """The same without `jit`; two steps, for they are slow."""
        params, state, steps = self.params(), self.start, []
        for i in range(2):
            steps.append(one_step(self.tx, gradients(i), state, params))
            _, params, state = steps[-1]
        return steps

    def shapes_of(self, dtype: Any = jnp.float32) -> tuple[Any, Any, Any]:
        """(gradients, state, params) as arrays without numbers, for tracing only."""
        params = jax.eval_shape(lambda: self.params(dtype))
        state = jax.eval_shape(self.tx.init, params)
        return jax.eval_shape(lambda: gradients(0, dtype)), state, params

    def traced(self, dtype: Any = jnp.float32) -> Stepped:
        """The results of a first step as arrays without numbers."""
        return jax.eval_shape(
            lambda *args: one_step(self.tx, *args), *self.shapes_of(dtype)
        )


def one_step(tx: Any, grads: Any, state: Any, params: Any) -> Stepped:
    """Update, then apply."""
    extra = extra_of(tx, grads, params)
    updates, state = tx.update(updates_of(tx, grads), state, params, **extra)
    return Stepped(updates, apply_updates(params, updates), state)


def both_ways(tx: Any, grads: Any, state: Any, params: Any) -> tuple[Stepped, Stepped]:
    """A step by update and apply, and one by `step`."""
    extra = extra_of(tx, grads, params)
    moved = tx.step(updates_of(tx, grads), state, params, **extra)
    return one_step(tx, grads, state, params), Stepped(None, *moved)


def arguments_of(tx: Any) -> dict[str, Any]:
    """The arguments of its call by name; none for a pair put together by hand."""
    call = getattr(tx, "call", None)
    return {} if call is None else dict(call.bound.arguments)


def rebuilt(tx: Any, name: str, value: Any) -> Any:
    """The same call with one argument changed."""
    bound = tx.call.bound
    bound.arguments[name] = value
    return tx.call.factory(*bound.args, **bound.kwargs)


@functools.lru_cache(maxsize=8)
def _trial(tx: Any, key: Any) -> Trial:
    return Trial(tx)


def make_trial(make: Make) -> Trial:
    """The trial of what `make` builds; an equal transformation shares it."""
    return _trial(make(), outline_key())
