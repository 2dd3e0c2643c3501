"""ZeRO, stage 1, with whole leaves: each device updates some of the parameters."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradtx.core.axes import Names, apart, as_varying, gathered, size_of
from gradtx.core.trees import absent, as_array, failure, leaves_of
from gradtx.core.widths import handed_out, wider_of


def owners(sizes: Sequence[int], n: int) -> list[int]:
    """Who updates which leaf: the largest first, each to who has least so far."""
    loads = [0] * n
    found = [0] * len(sizes)
    for i in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        found[i] = loads.index(min(loads))
        loads[found[i]] += sizes[i]
    return found


def pack(arrays: Sequence[jax.Array], lengths: dict[str, int]) -> dict[str, jax.Array]:
    """One vector for each dtype, with zeros at the end."""
    parts: dict[str, list[jax.Array]] = {name: [] for name in lengths}
    for x in arrays:
        parts[x.dtype.name].append(jnp.ravel(x))
    packed = {}
    for name, length in lengths.items():
        room = length - sum(x.size for x in parts[name])
        packed[name] = jnp.concatenate([*parts[name], jnp.zeros(room, name)])
    return packed


def unpack(packed: dict[str, jax.Array], like: Sequence[Any]) -> list[jax.Array]:
    """The arrays again, in the shapes and dtypes of `like`."""
    starts = dict.fromkeys(packed, 0)
    found = []
    for x in like:
        name, start = x.dtype.name, starts[x.dtype.name]
        starts[name] = start + x.size
        found.append(packed[name][start : start + x.size].reshape(x.shape))
    return found


def lengths_of(groups: Sequence[Sequence[Any]]) -> dict[str, int]:
    """The longest vector of each dtype that a group of arrays needs."""
    longest: dict[str, int] = {}
    for arrays in groups:
        needed: dict[str, int] = {}
        for x in arrays:
            if jnp.issubdtype(x.dtype, jax.dtypes.extended):
                raise failure("with whole leaves a state cannot hold random keys.")
            needed[x.dtype.name] = needed.get(x.dtype.name, 0) + x.size
        for name, length in needed.items():
            longest[name] = max(longest.get(name, 0), length)
    return longest


class Owned:
    """Which leaves each device owns, and its part of a tree."""

    def __init__(self, params: Any, names: Names):
        self.names = names
        self.n = size_of(names)
        leaves, self.treedef = leaves_of(params)
        self.leaves = [x if absent(x) else as_array(x) for x in leaves]
        sizes = [0 if absent(x) else jnp.size(x) for x in self.leaves]
        self.owner = owners(sizes, self.n)

    def part(self, leaves: Sequence[Any], d: int) -> Any:
        """The tree with only what device d owns; the rest is absent."""
        mine = [x if i == d else None for x, i in zip(leaves, self.owner, strict=True)]
        return self.treedef.unflatten(mine)

    def there(self, leaves: Sequence[Any], d: int) -> list[Any]:
        """The same as a list, without what is absent."""
        pairs = zip(leaves, self.owner, strict=True)
        return [x for x, i in pairs if i == d and not absent(x)]

    def placed(self, leaves: Sequence[Any], each: Sequence[Sequence[Any]]) -> list[Any]:
        """What the devices have of present leaves, in the leaves' order."""
        rows = [iter(row) for row in each]
        pairs = zip(leaves, self.owner, strict=True)
        return [x if absent(x) else next(rows[i]) for x, i in pairs]

    def states(self, tx: Any) -> list[tuple[list[Any], Any]]:
        """Leaves and structure of each device's state, as shapes."""
        shapes = [x if absent(x) else _shape(x) for x in self.leaves]
        parts = [self.part(shapes, d) for d in range(self.n)]
        return [jax.tree.flatten(jax.eval_shape(tx.init, part)) for part in parts]

    def on_own(self, branch: Callable[..., Any], *operands: Any) -> Any:
        """On each device its own branch: `branch(d, *operands)`."""

        def differing(tree: Any) -> Any:  # all branches give one type
            return jax.tree.map(lambda x: as_varying(x, self.names), tree)

        def own(d: int) -> Callable[..., Any]:
            return lambda *args: differing(branch(d, *args))

        with apart():
            here, branches = lax.axis_index(self.names), map(own, range(self.n))
            return lax.switch(here, list(branches), *differing(operands))


def _shape(x: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(jnp.shape(x), jnp.result_type(x))


def _as_wide(grads: Sequence[Any], params: Sequence[Any]) -> list[Any]:
    """The updates, as shapes, as wide as they are handed out."""
    return [
        g if absent(g) else jax.ShapeDtypeStruct(jnp.shape(g), wider_of(g, p))
        for g, p in zip(grads, params, strict=True)
    ]


def init(tx: Any, params: Any, names: Names) -> dict[str, jax.Array]:
    """The state of the leaves that this device owns, a vector for each dtype."""
    owned = Owned(params, names)
    lengths = lengths_of([leaves for leaves, _ in owned.states(tx)])

    def begin(d: int, leaves: list[Any]) -> dict[str, jax.Array]:
        state = jax.tree.leaves(tx.init(owned.part(leaves, d)))
        return pack(state, lengths)

    return owned.on_own(begin, owned.leaves)


def run(
    tx: Any,
    updates: Any,
    state: Any,
    params: Any,
    names: Names,
    extra: Any,
    apply: bool,
) -> tuple[Any, Any]:
    """Average, update what this device owns, and gather; see `zero1`."""
    owned = Owned(params, names)
    grads = owned.treedef.flatten_up_to(updates)
    like = owned.leaves if apply else _as_wide(grads, owned.leaves)  # what comes out
    states = owned.states(tx)
    n = range(owned.n)
    shapes = [[_shape(x) for x in owned.there(grads, d)] for d in n]
    results = [[_shape(x) for x in owned.there(like, d)] for d in n]
    given, made = lengths_of(shapes), lengths_of(results)
    kept = lengths_of([leaves for leaves, _ in states])

    rows = [pack(owned.there(grads, d), given) for d in n]
    stacked = {name: jnp.stack([row[name] for row in rows]) for name in given}
    mean = {k: lax.psum_scatter(x, names) / owned.n for k, x in stacked.items()}

    def mine(d: int, mean: Any, packed: Any, leaves: list[Any]) -> Any:
        rows = [unpack(mean, shapes[d]) if i == d else shapes[i] for i in n]
        g = owned.part(owned.placed(grads, rows), d)
        here, treedef = states[d]
        old = treedef.unflatten(unpack(packed, here))
        call = tx.step if apply else tx.update
        here = owned.part(leaves, d)
        result, new = call(g, old, here, **extra)
        if not apply:
            result = handed_out(result, g, here)
        out = [x for x in leaves_of(result)[0] if not absent(x)]
        return pack(out, made), pack(jax.tree.leaves(new), kept)

    found, state = owned.on_own(mine, mean, state, owned.leaves)
    whole = {name: gathered(x, names) for name, x in found.items()}
    each = [unpack({k: x[d] for k, x in whole.items()}, results[d]) for d in n]
    return owned.treedef.unflatten(owned.placed(like, each)), state
