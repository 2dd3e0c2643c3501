"""Smaller steps for the layers further down, to fine-tune a model."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradtx.core import check
from gradtx.core.axes import need_whole
from gradtx.core.call import show
from gradtx.core.compose import chain
from gradtx.core.stacks import named_leaves
from gradtx.core.transformation import inner_of, transformation
from gradtx.core.trees import failure, leaves_of
from gradtx.core.types import Scalar
from gradtx.transforms.leaf_factors import scale_leaves
from gradtx.wrappers.patterns import Pattern, is_part, matcher

Layer = Pattern | tuple[Pattern, int]


@transformation
def layerwise_decay(
    inner: Any,
    layers: Sequence[Layer] | Callable[[str, Any], int],
    decay: Scalar = 0.75,
    *,
    last: int | None = None,
):
    """Make the steps of each layer smaller by a factor than those of the layer above.

        u of layer i of 0 .. L becomes decay^(L - i) u

    As if each layer had a learning rate of its own; a decoupled weight decay inside is
    scaled with it, as in a parameter group of PyTorch. The features of a model that was
    trained before are the more general the further down they are, and the head is new.
    `print(tx.table(params))` shows who is in which layer.

    State: the inner one.

    Args:
      inner: the optimizer.
      layers: from the bottom to the top, patterns as in `groups`: `["embed",
        *(f"blocks/{i}" for i in range(12)), "head"]`. The first that matches wins. A
        pair `("blocks", axis)` is a stack, as for `scan`: each of its leaves has as
        many layers as entries along the axis. Or a function `(path, leaf) -> i`.
      decay: above 0 and at most 1; 0.65 to 0.85 are common.
      last: L; of a list its last. With a function it must be given.

    Returns:
      A transformation with a `table`.

    Raises:
      ValueError: decay out of range, a leaf that no layer has, a pattern that matches
        none, stacks of different lengths, a layer above the last, last that is not
        given with a function.
      TypeError: a layer that is no pattern, or inner is not a transformation.

    Source: Bao et al., BEiT: BERT pre-training of image transformers (2022), section
    3.2, where the embedding is layer 0 and the head is layer L.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> layers = ["embed", ("blocks", 0), "head"]
      >>> tx = gradtx.layerwise_decay(gradtx.sgd(1.0), layers, 0.5)
      >>> params = {"embed": jnp.ones(2), "blocks": jnp.ones((2, 3))}
      >>> params["head"] = jnp.ones(2)
      >>> print(tx.table(params))
      layer  factor  leaves  parameters
      0       0.125       1           2
      1        0.25       1           3
      2         0.5       1           3
      3           1       1           2
    """
    check.fraction("decay", decay)
    check.positive("decay", decay)
    tx = inner_of("layerwise_decay: inner", inner)
    if callable(layers):
        if last is None:
            raise ValueError(
                f"layerwise_decay: layers is the function {show(layers)}, which does "
                f"not say how many there are: say last=."
            )
        places = _by_function(layers)
    else:
        places = _by_patterns(layers)
    if last is not None:
        check.count("last", last)

    def indices(tree: Any) -> tuple[list[Any], int]:
        """The layer of each leaf, an array along the axis of a stack, and the last."""
        found, top = places(tree)
        top = top if last is None else last
        for (path, _), i in zip(named_leaves(tree), found, strict=True):
            if i is not None and (np.min(i) < 0 or np.max(i) > top):
                raise failure(
                    f"{path!r} is layer {np.ravel(i).tolist()}, and the "
                    f"layers are 0 to {top}."
                )
        return found, top

    def factors(tree: Any) -> Any:
        found, top = indices(tree)
        return leaves_of(tree)[1].unflatten(
            None if i is None else decay ** (top - i) for i in found
        )

    def table(params: Any) -> str:
        found, top = indices(params)
        counts: dict[int, list[int]] = {}
        for (_, leaf), i in zip(named_leaves(params), found, strict=True):
            here = [] if i is None else np.ravel(i).tolist()
            for layer in here:
                counts.setdefault(layer, []).append(np.size(leaf) // len(here))
        rows = [("layer", "factor", "leaves", "parameters")]
        rows += [
            (f"{i}", f"{decay ** (top - i):.3g}", f"{len(n)}", f"{sum(n):,}")
            for i, n in sorted(counts.items())
        ]
        return aligned(rows)

    factors.__dict__["table"] = table
    return chain(tx, scale_leaves(factors))


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """A table: the first column to the left, the others to the right."""
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(wide[0])]
            + [x.rjust(n) for x, n in zip(row[1:], wide[1:], strict=True)]
        )
        for row in rows
    )


def _by_function(layers: Callable[[str, Any], Any]) -> Callable[[Any], Any]:
    def places(tree: Any) -> tuple[list[Any], int]:
        return [
            None if leaf is None else np.asarray(layers(path, leaf), int)
            for path, leaf in named_leaves(tree)
        ], 0

    return places


def _by_patterns(layers: Sequence[Layer]) -> Callable[[Any], Any]:
    matchers: list[Any] = []
    for i, layer in enumerate(layers):
        stacked = isinstance(layer, tuple)
        if stacked and not (len(layer) == 2 and isinstance(layer[1], int)):
            raise TypeError(
                f"layerwise_decay: layer {i} must be a pattern, or a pair of one and "
                f"the axis that counts layers, got {show(layer):.60}."
            )
        pattern, axis = layer if isinstance(layer, tuple) else (layer, None)
        name, matches = matcher(f"layerwise_decay: layer {i}", pattern)
        matchers.append((name, matches, axis))

    def places(tree: Any) -> tuple[list[Any], int]:
        paths = list(named_leaves(tree))
        if not paths:  # nothing to place, as where state_sharding asks for the state
            return [], 0
        chosen = [
            next((k for k, (_, m, _) in enumerate(matchers) if m(path, leaf)), None)
            for path, leaf in paths
        ]
        for (path, leaf), k in zip(paths, chosen, strict=True):
            if k is None and leaf is not None:
                raise failure(
                    f"no layer has {path!r}. Add it to layers, at the top '**' for all "
                    f"the rest."
                )
        sizes = [1] * len(matchers)
        for k, (name, _, axis) in enumerate(matchers):
            here = [x for x, c in zip(paths, chosen, strict=True) if c == k]
            if not here and not is_part(tree):
                raise failure(f"layer {name!r} has no parameter.")
            if axis is not None:
                sizes[k] = _length(name, here, axis)
        starts = np.cumsum([0, *sizes])
        found = [
            None
            if leaf is None or k is None
            else _along(starts[k], sizes[k], matchers[k][2], leaf)
            for (_, leaf), k in zip(paths, chosen, strict=True)
        ]
        return found, int(starts[-1]) - 1

    return places


def _length(name: str, leaves: list[Any], axis: int) -> int:
    """How many layers a stack has."""
    need_whole()  # of a share the axis is another one
    lengths: dict[int, str] = {}
    for path, leaf in leaves:
        if leaf is None:
            continue
        shape = np.shape(leaf)
        if not -len(shape) <= axis < len(shape):
            raise failure(f"{path!r} has shape {shape}, and no axis {axis} of layers.")
        lengths.setdefault(shape[axis], path)
    if len(lengths) > 1:
        raise failure(
            f"layers {name!r} differ in length along axis {axis}: "
            + ", ".join(f"{n} in {path!r}" for n, path in lengths.items())
            + "."
        )
    if not lengths:
        raise failure(
            f"the layers of {name!r} cannot be counted: there is none of its leaves "
            f"here. Put layerwise_decay around what takes them out, and give update "
            f"the parameters."
        )
    return next(iter(lengths))


def _along(start: int, size: int, axis: int | None, leaf: Any) -> Any:
    """The layer of a leaf, or those of a stack, to be broadcast against it."""
    if axis is None:
        return np.asarray(start)
    shape = [1] * np.ndim(leaf)
    shape[axis] = size
    return (start + np.arange(size)).reshape(shape)
