"""Masks: which leaves of a tree a transformation sees."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from gradtx.core.stacks import layers_of
from gradtx.core.trees import (
    failure,
    first_misfit,
    is_function,
    is_none,
    leaves_of,
    paths_of,
)
from gradtx.core.types import MaskedNode

Mask = Any  # a tree of bools like the parameters, or a prefix of it
MaskOrFn = Mask | Callable[[Any], Mask]


def spread(name: str, prefix: Any, tree: Any) -> Any:
    """A tree like `tree` from a prefix of it: each value stands for all leaves below.

    Raises:
      ValueError: if it does not fit; the path is named.
    """
    return leaves_of(tree)[1].unflatten(spread_list(name, prefix, tree))


def spread_list(
    name: str,
    prefix: Any,
    tree: Any,
    is_leaf: Callable[[Any], bool] = is_none,
    hint: str = "",
) -> list[Any]:
    """The same as a list; `is_leaf` knows values that are trees themselves."""
    return covering(fitting(name, prefix, tree, is_leaf, hint), tree, is_leaf)


def covering(
    prefix: Any, tree: Any, is_leaf: Callable[[Any], bool] = is_none
) -> list[Any]:
    """The value of each leaf of the tree, from a prefix that fits."""
    leaves: list[Any] = []

    def cover(value: Any, subtree: Any) -> None:
        leaves.extend([value] * len(leaves_of(subtree)[0]))

    jax.tree.map(cover, prefix, tree, is_leaf=is_leaf)
    return leaves


def fitting(
    name: str,
    prefix: Any,
    tree: Any,
    is_leaf: Callable[[Any], bool] = is_none,
    hint: str = "",
) -> Any:
    """The prefix, cut where a mask around has taken a whole branch out of the tree.

    Raises:
      ValueError: if it does not fit; the path is named.
    """

    def fits(prefix: Any) -> bool:
        try:
            jax.tree.map(lambda value, subtree: None, prefix, tree, is_leaf=is_leaf)
        except (ValueError, TypeError, KeyError):
            return False
        return True

    if fits(prefix):
        return prefix
    prefix = _cut(prefix, tree, is_leaf)
    if fits(prefix):
        return prefix
    path, given, found = first_misfit(prefix, tree, is_leaf, prefix=True) or (
        "",
        f"{prefix!r:.60}",
        f"{tree!r:.60}",
    )
    raise failure(
        f"{name} does not fit the tree it is for: {name}{path} is {given}, where "
        f"the tree has {found}. Each of its values must stand at a leaf of the "
        f"tree or at a node above.{hint}"
    )


def _cut(prefix: Any, tree: Any, is_leaf: Callable[[Any], bool]) -> Any:
    """The prefix without what is below a `MaskedNode()` of the tree."""
    if isinstance(tree, MaskedNode):
        return tree
    if is_leaf(prefix):
        return prefix

    def below(node: Any) -> Any:
        return jax.tree.flatten(node, is_leaf=lambda x: x is not node or is_none(x))

    (here, node), (there, like) = below(prefix), below(tree)
    if node != like or (len(here) == 1 and here[0] is prefix):
        return prefix
    return node.unflatten(_cut(x, y, is_leaf) for x, y in zip(here, there, strict=True))


def resolve_mask(mask: MaskOrFn, tree: Any, name: str = "mask") -> Any:
    """A tree of bools like `tree`, from a mask, a prefix of one, or a function to one.

    `None` goes with a leaf that is `None`.

    Raises:
      ValueError: if it does not fit the tree.
      TypeError: if it holds anything but bools (a tracer is none: what is masked has
        to be known when `jit` traces).
    """
    return leaves_of(tree)[1].unflatten(covering(given_mask(mask, tree, name), tree))


def given_mask(mask: MaskOrFn, tree: Any, name: str = "mask") -> Any:
    """The same as it is given: a bool may stand for all leaves below.

    Raises:
      ValueError, TypeError: as `resolve_mask` does.
    """
    if stands_for_all(tree):
        return True
    given = mask(layers_of(tree)) if is_function(mask) else mask
    given = fitting(name, given, tree)
    each = zip(covering(given, tree), leaves_of(tree)[0], strict=True)
    for i, (keep, leaf) in enumerate(each):
        if leaf is not None and not _is_bool(keep):
            path = paths_of(tree)[i][0]
            raise failure(f"{name}{path} must be a bool, got {keep!r}.", TypeError)
    return given


def stands_for_all(tree: Any) -> bool:
    """Whether it is no tree but stands for one, as `tree.map_params` has it.

    A mask takes nothing out of it.
    """
    return getattr(tree, "stands_for_all", False)


def is_placeholder(x: Any) -> bool:
    """Whether it stands for a parameter or for all, as `tree.map_params` has it."""
    return hasattr(x, "stands_for_all")


def _is_bool(keep: Any) -> bool:
    """Whether it is a bool that is known now, as no tracer's value is."""
    if isinstance(keep, bool | np.bool_):
        return True
    is_array = isinstance(keep, np.ndarray | jax.Array) and not isinstance(keep, Tracer)
    return is_array and keep.shape == () and keep.dtype == bool


def hide(tree: Any, mask: Any) -> Any:
    """Put `MaskedNode()` wherever the mask (or a prefix of one) says False.

    One for a whole branch that is left out, so that a state is Optax's.
    """
    return jax.tree.map(
        lambda keep, x: x if keep else MaskedNode(), mask, tree, is_leaf=is_none
    )


def hide_alike(extra: Mapping[str, Any], like: Any, mask: Any) -> dict[str, Any]:
    """Extra arguments, of which those that are trees like the updates are masked."""
    structure = leaves_of(like)[1]
    return {
        name: hide(value, mask) if leaves_of(value)[1] == structure else value
        for name, value in extra.items()
    }


# Extra arguments that are functions of the parameters, and give a value or a gradient.
FUNCTIONS = ("value_fn", "obj_fn", "grad_fn")


def for_part(extra: Mapping[str, Any], params: Any, mask: Any) -> dict[str, Any]:
    """Extra arguments for a member that sees the leaves where the mask is True.

    A line search's function is called with the whole tree, the other leaves as they
    are in `params`; of its gradient the member sees its part.
    """
    if params is None:
        return dict(extra)

    def whole(part: Any) -> Any:
        return reveal(part, params, mask)

    def part(tree: Any) -> Any:
        return hide(tree, mask)

    given = functions_of(extra, whole, part)
    grad = extra.get("grad")
    if (
        callable(extra.get("value_fn"))
        and grad is not None
        and leaves_of(grad)[1] == leaves_of(params)[1]
    ):
        given["grad"] = part(grad)
    return given


def functions_of(
    extra: Mapping[str, Any], whole: Callable[[Any], Any], part: Callable[[Any], Any]
) -> dict[str, Any]:
    """Extra arguments for a member that sees the parameters in another form.

    Args:
      extra: of which those that are functions of the parameters are translated.
      whole: from the parameters as the member sees them to those of the function.
      part: from a gradient as the function gives it to the member's.
    """
    given = dict(extra)
    for name in FUNCTIONS:
        if callable(extra.get(name)):
            back = part if name == "grad_fn" else None
            given[name] = _translated(extra[name], whole, back)
    return given


def _translated(
    fn: Callable[..., Any], whole: Callable[[Any], Any], back: Callable | None
) -> Callable[..., Any]:
    @functools.wraps(fn)  # its signature says which arguments it takes
    def translated(params: Any, *args: Any, **kwargs: Any) -> Any:
        out = fn(whole(params), *args, **kwargs)
        return out if back is None else back(out)

    return translated


def reveal(inside: Any, outside: Any, mask: Any) -> Any:
    """Take leaves from `inside` where the mask is True, else from `outside`."""
    return jax.tree.map(
        lambda keep, x, y: x if keep else y, mask, inside, outside, is_leaf=is_none
    )
